"""Rows that a rule holds back, and what that rule takes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any, ClassVar, Final, Self

from pydantic import Field

from pilothouse.agents.snapshot import Snapshot
from pilothouse.agents.tools import Tool
from pilothouse.agents.toolset.stewardship import Asked
from pilothouse.agents.toolset.stewardship.taking import broken, wider

QUARANTINES: Final = "quarantine/*"
RAW: Final = "raw/*"
CHANGED: Final = "raw/pilothouse/stream_rule"
HELD_BY: Final = "raw/pilothouse/held_rule"
RULE_CHANGED: Final = "rule.changed"  # the topic of the event that tells that a rule which holds rows is another now
_MOST: Final = 5_000  # rejections of a rule that are looked at
_CHECKED: Final = 25  # of whose rows a newer version is looked for
_ALL: Final = 200_000


class OfHeld(Asked):
    """Which held rows."""

    PREFIX: ClassVar[str] = "held"
    source: str = Field(min_length=1)
    stream: str = Field(min_length=1)
    rule: str = Field(min_length=1, description="the rule that they broke")

    @property
    def key(self) -> str:
        """It as a subject's key."""
        return f"{self.PREFIX}:{self.source}:{self.stream}:{self.rule.replace('/', '%2F')}"

    @classmethod
    def named(cls, rest: str) -> Self | None:
        """What the rest of a key names."""
        parts = rest.split(":", 2)
        return cls(source=parts[0], stream=parts[1], rule=parts[2].replace("%2F", "/")) if len(parts) == 3 and all(parts) else None


def _held(snapshot: Snapshot, asked: OfHeld) -> dict[str, Any]:
    table = f"quarantine/{asked.source}/{asked.stream}"
    if table not in snapshot.tables:
        return {"rejections": 0}
    still = list(_open(snapshot.rows(table, {"rule": asked.rule}, limit=_MOST, order="rejected_at, id")))
    if not still:
        return {"rejections": 0}
    rule, values = _rule(snapshot, asked), Counter(each["value"] for each in still)
    known = [(value, count) for value, count in values.most_common() if value is not None]
    return {
        "rejections": len(still),
        "rows": len({each["row"] for each in still}),
        "column": still[0]["column"],
        "missing": values[None],
        "values": [{"value": value, "count": count} for value, count in known[:5]],
        "rule": rule,
        "broken": None if rule is None else broken(**rule, values=values),
        "wider": None if rule is None else wider(**rule, values=values),
        "since": still[0]["rejected_at"],
        "until": still[-1]["rejected_at"],
        "keys": [each["key"] for each in still[:3]],
        "replaced": sum(_replaced(snapshot, asked, each) for each in still[:_CHECKED]),
        "_synthetic": any(each["_synthetic"] for each in still),
    }


def _rule(snapshot: Snapshot, asked: OfHeld) -> dict[str, str] | None:
    """The rule as it is in force: as it stood when it held rows, or as people changed it; None where it was not taken down."""
    held, changed = (_newest(snapshot, table, asked) for table in (HELD_BY, CHANGED))
    if held is None:
        return None
    later = changed is not None and (not changed["as_declared"] or changed["said_at"] > held["noted_at"])
    rule = changed if changed is not None and later and changed["expectation"] == held["expectation"] else held
    return {name: str(rule[name]) for name in ("expectation", "arguments")}


def _newest(snapshot: Snapshot, table: str, asked: OfHeld) -> dict[str, Any] | None:
    notes = snapshot.rows(table, asked.model_dump(), limit=1, order="-_seen_at") if table in snapshot.tables else []
    return notes[0] if notes else None


def _open(history: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The rejections that nobody has released, each once, the oldest first."""
    seen = {each["id"] for each in history if each["status"] == "released"}
    for each in history:
        if each["id"] not in seen:
            seen.add(each["id"])
            yield each


def _replaced(snapshot: Snapshot, asked: OfHeld, rejection: dict[str, Any]) -> bool:
    """Whether its source has brought a version of the row since that went through: a release would put the old one over it."""
    raw = f"raw/{asked.source}/{asked.stream}"
    key = {name: value for name, value in json.loads(rejection["key"]).items() if value is not None}
    if raw not in snapshot.tables or not key:
        return False
    newest = snapshot.rows(raw, key, limit=1, order="-_seen_at")
    return bool(newest) and datetime.fromisoformat(newest[0]["_seen_at"]) > datetime.fromisoformat(rejection["rejected_at"])


def held_back(snapshot: Snapshot, _: datetime) -> list[str]:
    """What rules hold back, most rows first."""
    counts: Counter[str] = Counter()
    for table in snapshot.tables:
        if table.startswith("quarantine/"):
            for each in _open(snapshot.rows(table, {}, limit=_ALL, order="rejected_at, id")):
                counts[OfHeld(source=each["source"], stream=each["stream"], rule=each["rule"]).key] += 1
    return [key for key, _ in sorted(counts.items(), key=lambda each: (-each[1], each[0]))]


HELD_ROWS: Final = Tool(
    name="held_rows",
    description="The rows of a stream that a rule holds back: how many, which values they have, whether newer versions came since; and the "
    "rule: what it takes, how many of them it would hold back now, and what it would have to take to let them pass.",
    arguments=OfHeld,
    run=_held,
    permission="stewardship",
)
