"""A stream that its source describes otherwise than before: whether it is read on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from pilothouse.agents.desks.data_steward.matter import Matter, Told, Write
from pilothouse.agents.toolset.stewardship.drift import DRIFT, NOTED, REFUSED, OfDrift, refused


class Drift(Matter[OfDrift]):
    """Whether a changed schema is accepted."""

    asked = OfDrift
    tool = DRIFT
    tables = (NOTED,)
    wakes_on = (REFUSED,)
    find = staticmethod(refused)
    writes: ClassVar = {"accept": {"status": "accepted"}}

    def about(self, asked: OfDrift) -> str:
        """Which stream."""
        return f"{asked.source}/{asked.stream} as its source describes it now"

    def facts(self, told: Told) -> Mapping[str, Any]:
        """What the policy says, and whether anything of ours reads what has changed."""
        if told["status"] != "refused":
            return {"drift.refused": False}
        differences = told["differences"]
        read = [each["read_by"] for each in differences if each["policy"] != "accept"]
        return {
            "drift.refused": True,
            "drift.policy": told["policy"],
            "drift.retyped": sum(each["kind"] == "retyped" for each in differences),
            "drift.read": None if None in read else sum(bool(each) for each in read),
        }

    def shown(self, asked: OfDrift, told: Told) -> Mapping[str, Any]:  # noqa: ARG002 - a matter's signature
        """Every difference."""
        return {"differences": told.get("differences", [])}

    def reasons(self, asked: OfDrift, told: Told) -> Iterator[str]:
        """Since when, and each difference with what reads the column."""
        if told["status"] != "refused":
            return
        yield f"Nothing of {asked.source}/{asked.stream} is loaded since {told['since'][:16]}"
        for each in told["differences"]:
            yield f"{each['words'][0].upper()}{each['words'][1:]}: {_readers(each)}"

    def write(self, action: str, asked: OfDrift, told: Told) -> Write | None:
        """These differences and no others: what the source says after this was decided nobody has looked at."""
        if action != "accept" or told["status"] != "refused" or told["policy"] == "block":
            return None
        identity = {**asked.model_dump(), "seen": told["seen"]}
        return Write(record="stream_drift", identity=identity, values={"status": "accepted"}, seen={"status": "refused"})


def _readers(difference: Mapping[str, Any]) -> str:
    if difference["policy"] == "accept":
        return "which the policy lets pass"
    if difference["read_by"] is None:
        return "what reads it is not known"
    return f"read by {', '.join(difference['read_by'])}" if difference["read_by"] else "nothing of ours reads it"
