"""Streams that their source describes otherwise than before, which nothing is loaded of until somebody has said what is meant."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, ClassVar, Final, Self

from pydantic import Field

from pilothouse.agents.snapshot import Snapshot
from pilothouse.agents.tools import Tool
from pilothouse.agents.toolset.stewardship import Asked

NOTED: Final = "raw/pilothouse/stream_drift"
REFUSED: Final = "stream.refused"  # the topic of the event that tells of it
_ALL: Final = 200_000


class OfDrift(Asked):
    """Which stream."""

    PREFIX: ClassVar[str] = "drift"
    source: str = Field(min_length=1)
    stream: str = Field(min_length=1)

    @property
    def key(self) -> str:
        """It as a subject's key."""
        return f"{self.PREFIX}:{self.source}:{self.stream}"

    @classmethod
    def named(cls, rest: str) -> Self | None:
        """What the rest of a key names."""
        source, _, stream = rest.partition(":")
        return cls(source=source, stream=stream) if source and stream else None


def _drift(snapshot: Snapshot, asked: OfDrift) -> dict[str, Any]:
    notes = [] if NOTED not in snapshot.tables else snapshot.rows(NOTED, asked.model_dump(), limit=1, order="-_seen_at")
    if not notes or notes[0]["status"] != "refused":
        return {"status": notes[0]["status"] if notes else "none"}
    return {
        "status": "refused",
        "policy": notes[0]["policy"],
        "differences": json.loads(notes[0]["differences"]),
        "seen": notes[0]["seen"],
        "since": notes[0]["noted_at"],
        "_synthetic": notes[0]["_synthetic"],
    }


def refused(snapshot: Snapshot, _: datetime) -> list[str]:
    """Streams that are refused as they are now, those that wait longest first."""
    if NOTED not in snapshot.tables:
        return []
    newest = {(each["source"], each["stream"]): each for each in snapshot.rows(NOTED, {}, limit=_ALL, order="_seen_at")}
    still = sorted((each for each in newest.values() if each["status"] == "refused"), key=lambda each: str(each["noted_at"]))
    return [OfDrift(source=each["source"], stream=each["stream"]).key for each in still]


DRIFT: Final = Tool(
    name="drift",
    description="How a source describes a stream otherwise than before: each difference, what reads the column, and what the policy says.",
    arguments=OfDrift,
    run=_drift,
    permission="stewardship",
)
