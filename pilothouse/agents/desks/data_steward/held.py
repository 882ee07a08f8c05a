"""Rows that a rule holds back: their release, or another rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from pilothouse.agents.desks.data_steward.matter import Matter, Told, Write
from pilothouse.agents.toolset.stewardship.held import CHANGED, HELD_BY, HELD_ROWS, QUARANTINES, RAW, RULE_CHANGED, OfHeld, held_back


class Held(Matter[OfHeld]):
    """Whether held rows may pass, and whether their rule is behind the world."""

    asked = OfHeld
    tool = HELD_ROWS
    tables = (QUARANTINES, RAW, CHANGED, HELD_BY)
    wakes_on = (RULE_CHANGED,)
    find = staticmethod(held_back)
    writes: ClassVar = {"release": {"status": "released"}, "change": {"arguments": None}}

    def about(self, asked: OfHeld) -> str:
        """Of which stream, by which rule."""
        return f"{asked.source}/{asked.stream}: {asked.rule}"

    def facts(self, told: Told) -> Mapping[str, Any]:
        """How many, how much alike, and how near to what the rule takes."""
        if not told["rejections"]:
            return {"held.rows": 0}
        count, most = told["rejections"], max((each["count"] for each in told["values"]), default=0)
        shares = {"held.missing_share": round(told["missing"] / count, 2), "held.common_share": round(most / count, 2)}
        wider = told.get("wider") or {}  # what was answered before rules were taken down says nothing of them
        lacking = wider.get("share") if wider.get("beyond") is None else None
        rule = {"held.broken": told.get("broken"), "held.lacking": lacking, "held.beyond": wider.get("beyond")}
        return {"held.rows": told["rows"], "held.replaced": told["replaced"], **shares, **rule}

    def shown(self, asked: OfHeld, told: Told) -> Mapping[str, Any]:  # noqa: ARG002 - a matter's signature
        """Their number, what they say, and what the rule takes."""
        return {"rows": told["rows"], "values": told["values"], "rule": told.get("rule")} if told["rejections"] else {"rows": 0}

    def reasons(self, asked: OfHeld, told: Told) -> Iterator[str]:  # noqa: ARG002 - a matter's signature
        """How many since when, and which values."""
        if not told["rejections"]:
            return
        yield f"{told['rows']} rows since {told['since'][:10]}, {told['missing']} of them without a value in {told['column']}"
        if told["values"]:
            commonest = ", ".join(f"{each['value']!r} {each['count']} times" for each in told["values"][:3])
            yield f"The commonest values: {commonest}"
        if told.get("rule"):
            yield f"The rule takes {told['rule']['arguments']}"
        if told["replaced"]:
            yield f"Newer versions of {told['replaced']} of them went through since"

    def write(self, action: str, asked: OfHeld, told: Told) -> Write | None:
        """The rows that were seen and no later ones: what is held back after this was decided nobody has looked at. Or what the rule
        would have to take."""
        if action == "release" and told["rejections"]:
            identity = {**asked.model_dump(), "until": told["until"]}
            return Write(record="held_rows", identity=identity, values={"status": "released"}, seen={"status": "open"})
        if action == "change" and told["rejections"] and told.get("wider"):
            seen, values = ({"arguments": each["arguments"]} for each in (told["rule"], told["wider"]))
            return Write(record="stream_rule", identity=asked.model_dump(), values=values, seen=seen)
        return None
