"""What people said about records: the same or different. A raw table like any other (`kernel/lake/notes.py`), which explains rows.

A pair's newest correction holds. It names records, not firms: firms come out of it, and change with the records.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

import pyarrow as pa

from graph.resolution.clusters import Pair, refuse_contradictions
from pilothouse.kernel.lake import Commit, Lake
from pilothouse.kernel.lake.notes import Note, Notes, Overtaken

STREAM: Final = "firm_correction"
_CONTENT: Final = pa.schema(
    [
        pa.field("left_record", pa.string(), nullable=False, metadata={"label": "One record, as source:number"}),
        pa.field("right_record", pa.string(), nullable=False, metadata={"label": "The other"}),
        pa.field("verdict", pa.string(), nullable=False, metadata={"label": "same, different or withdrawn"}),
        pa.field("reason", pa.string(), metadata={"label": "Why, in the words of who said it"}),
        pa.field("said_by", pa.string(), nullable=False, metadata={"label": "Who said it"}),
        pa.field("said_at", pa.timestamp("us", "UTC"), nullable=False, metadata={"label": "When"}),
    ]
)

Verdict = Literal["same", "different", "withdrawn"]  # withdrawn: as if nobody had said anything


@dataclass(frozen=True)
class Correction:
    """What somebody said about two records."""

    pair: Pair
    verdict: Verdict
    reason: str
    said_by: str
    said_at: datetime


class Corrections:
    """What was said so far."""

    def __init__(self, lake: Lake) -> None:
        self._notes = Notes(lake, STREAM, _CONTENT, key=("left_record", "right_record"), moment="said_at")

    def ensure(self) -> None:
        """Let there be a table to be read, if an empty one."""
        self._notes.ensure()

    def holding(self) -> list[Correction]:
        """What holds: the newest of each pair, in the order of the pairs, but for those that were withdrawn."""
        return [each for each in map(_correction, self._notes.newest()) if each.verdict != "withdrawn"]

    def newest(self, left: str, right: str) -> Correction | None:
        """What was said last about two records, withdrawn or not."""
        note = self._notes.about(min(left, right), max(left, right))
        return None if note is None else _correction(note)

    def say(self, left: str, right: str, verdict: Verdict, *, by: str, reason: str = "") -> Correction:
        """Note a correction; DataRejected where it contradicts another."""
        return self.say_all([(left, right)], verdict, by=by, reason=reason)[0]

    def say_all(self, of: Iterable[Pair], verdict: Verdict, *, by: str, reason: str = "") -> list[Correction]:
        """Note the same of several pairs, or of none where one contradicts."""
        self.ensure()
        return self._say(of, verdict, by, reason, self._notes.table.last_commit())

    def say_after(self, known: datetime | None, left: str, right: str, verdict: Verdict, *, by: str, reason: str = "") -> Correction:
        """The same, unless somebody has spoken of the pair since its last correction that is known: Overtaken."""
        self.ensure()
        last = self._notes.table.last_commit()  # before anything else is looked at: whoever says something in between takes its number
        newest = self.newest(left, right)
        if (newest.said_at if newest else None) != known:
            raise Overtaken
        return self._say([(left, right)], verdict, by, reason, last)[0]

    def _say(self, of: Iterable[Pair], verdict: Verdict, by: str, reason: str, last: Commit | None) -> list[Correction]:
        said = [Correction(pair, verdict, reason, by, datetime.now(UTC)) for pair in sorted({(min(each), max(each)) for each in of})]
        spoken_of = {each.pair for each in said}
        same, different = pairs([*(each for each in self.holding() if each.pair not in spoken_of), *said])
        refuse_contradictions(same, different)
        self._notes.add([_note(each) for each in said], last)
        return said


def _correction(note: Note) -> Correction:
    pair = note["left_record"], note["right_record"]
    return Correction(pair, note["verdict"], note["reason"] or "", note["said_by"], note["said_at"])


def _note(said: Correction) -> Note:
    left, right = said.pair
    words = {"verdict": said.verdict, "reason": said.reason or None, "said_by": said.said_by, "said_at": said.said_at}
    return {"left_record": left, "right_record": right, **words}


def pairs(corrections: list[Correction]) -> tuple[list[Pair], list[Pair]]:
    """The pairs that are the same, and those that are different."""
    return tuple(sorted(each.pair for each in corrections if each.verdict == verdict) for verdict in ("same", "different"))  # type: ignore[return-value]
