"""Changed schemas that were refused, and what became of them: notes of our own, so that people and agents can see what is waiting.

One note for each distinct set of differences, not one for each sync that runs into them. The newest about a stream holds: `refused`
(nothing is loaded), `accepted` (it is read on), or `gone` (the source describes it as before).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

import pyarrow as pa

from pilothouse.kernel.lake import Lake
from pilothouse.kernel.lake.notes import Notes
from quality.drift import Drift, DriftPolicy

STREAM: Final = "stream_drift"
_CONTENT: Final = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False, metadata={"label": "The source"}),
        pa.field("stream", pa.string(), nullable=False, metadata={"label": "The stream that it describes otherwise"}),
        pa.field("status", pa.string(), nullable=False, metadata={"label": "refused, accepted or gone"}),
        pa.field("seen", pa.string(), nullable=False, metadata={"label": "A digest of the differences"}),
        pa.field("policy", pa.string(), nullable=False, metadata={"label": "hold: a person may accept it; block: nobody may"}),
        pa.field(
            "differences", pa.string(), nullable=False, metadata={"label": "Each with its kind, its column and what reads that, as JSON"}
        ),
        pa.field("noted_by", pa.string(), nullable=False, metadata={"label": "Who accepted it, or the sync that met it"}),
        pa.field("noted_at", pa.timestamp("us", "UTC"), nullable=False, metadata={"label": "When"}),
    ]
)

Status = Literal["refused", "accepted", "gone"]
Readers = Callable[[str], tuple[str, ...] | None]  # what of ours reads a column; None where that is not known


@dataclass(frozen=True)
class Refusal:
    """The newest that is known of a stream's changed schema."""

    status: Status
    seen: str
    noted_at: datetime


class Refusals:
    """What was refused so far."""

    def __init__(self, lake: Lake) -> None:
        self._notes = Notes(lake, STREAM, _CONTENT, key=("source", "stream"), moment="noted_at")

    def newest(self, source: str, stream: str) -> Refusal | None:
        """What was noted last of a stream; None where its schema never was in doubt."""
        note = self._notes.about(source, stream)
        return None if note is None else Refusal(note["status"], note["seen"], note["noted_at"])

    def refuse(
        self, source: str, stream: str, drifts: Sequence[Drift], policy: DriftPolicy, *, by: str, readers: Readers, synthetic: bool
    ) -> bool:
        """Note what is refused, unless the same was noted last; returns whether it was news."""
        newest, seen = self.newest(source, stream), digest(drift.describe() for drift in drifts)
        if newest is not None and (newest.status, newest.seen) == ("refused", seen):
            return False
        told = [_difference(drift, policy, readers) for drift in drifts]
        blocked = any(each["policy"] == "block" for each in told)
        said = {"seen": seen, "policy": "block" if blocked else "hold", "differences": json.dumps(told)}
        self._add({"source": source, "stream": stream, "status": "refused", **said}, by, synthetic=synthetic)
        return True

    def settle(self, source: str, stream: str, status: Status, *, by: str) -> None:
        """Note what became of what was noted last."""
        note = self._notes.about(source, stream)
        if note is not None and note["status"] != status:
            kept = {name: note[name] for name in _CONTENT.names}
            self._add({**kept, "status": status}, by, synthetic=note["_synthetic"])

    def _add(self, note: Mapping[str, Any], by: str, *, synthetic: bool) -> None:
        self._notes.add_whoever_else_does({**note, "noted_by": by, "noted_at": datetime.now(UTC)}, synthetic=synthetic)


def digest(words: Iterable[str]) -> str:
    """One short text for these differences, in whatever order they are told."""
    return hashlib.sha256("\n".join(sorted(words)).encode()).hexdigest()[:16]


def _difference(drift: Drift, policy: DriftPolicy, readers: Readers) -> dict[str, Any]:
    read = () if drift.before is None else readers(drift.column)
    known = {"kind": drift.kind, "column": drift.column, "words": drift.describe(), "policy": policy.answer(drift)}
    return {**known, "read_by": None if read is None else list(read)}
