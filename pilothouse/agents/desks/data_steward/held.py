"""Rows that a rule holds back: their release."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from pilothouse.agents.desks.data_steward.matter import Matter, Told, Write
from pilothouse.agents.toolset.stewardship.held import HELD_ROWS, QUARANTINES, RAW, OfHeld, held_back


class Held(Matter[OfHeld]):
    """Whether held rows may pass."""

    asked = OfHeld
    tool = HELD_ROWS
    tables = (QUARANTINES, RAW)
    find = staticmethod(held_back)
    sets: ClassVar = {"release": "released"}

    def about(self, asked: OfHeld) -> str:
        """Of which stream, by which rule."""
        return f"{asked.source}/{asked.stream}: {asked.rule}"

    def facts(self, told: Told) -> Mapping[str, Any]:
        """How many, and how much alike."""
        if not told["rejections"]:
            return {"held.rows": 0}
        count, most = told["rejections"], max((each["count"] for each in told["values"]), default=0)
        shares = {"held.missing_share": round(told["missing"] / count, 2), "held.common_share": round(most / count, 2)}
        return {"held.rows": told["rows"], "held.replaced": told["replaced"], **shares}

    def shown(self, asked: OfHeld, told: Told) -> Mapping[str, Any]:  # noqa: ARG002 - a matter's signature
        """Their number, and what they say."""
        return {"rows": told["rows"], "values": told["values"]} if told["rejections"] else {"rows": 0}

    def reasons(self, asked: OfHeld, told: Told) -> Iterator[str]:  # noqa: ARG002 - a matter's signature
        """How many since when, and which values."""
        if not told["rejections"]:
            return
        yield f"{told['rows']} rows since {told['since'][:10]}, {told['missing']} of them without a value in {told['column']}"
        if told["values"]:
            commonest = ", ".join(f"{each['value']!r} {each['count']} times" for each in told["values"][:3])
            yield f"The commonest values: {commonest}"
        if told["replaced"]:
            yield f"Newer versions of {told['replaced']} of them went through since"

    def write(self, action: str, asked: OfHeld, told: Told) -> Write | None:
        """The rows that were seen and no later ones: what is held back after this was decided nobody has looked at."""
        if action != "release" or not told["rejections"]:
            return None
        identity = {**asked.model_dump(), "until": told["until"]}
        return Write(record="held_rows", identity=identity, values={"status": "released"}, seen={"status": "open"})
