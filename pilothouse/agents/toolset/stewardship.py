"""What can be asked about the data itself: pairs of records that may be one firm, and rows that a rule holds back."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, Field

from pilothouse.agents.snapshot import Snapshot
from pilothouse.agents.tools import Tool
from pilothouse.kernel.errors import ToolFailed

LINKS: Final = "intermediate/int_firm_link"
MEMBERS: Final = "intermediate/int_firm_member"
PARTIES: Final = "intermediate/int_party"
SAID: Final = "raw/pilothouse/firm_correction"
QUARANTINES: Final = "quarantine/*"
RAW: Final = "raw/*"
_SHOWN: Final = ("name", "street", "postal_code", "city", "country", "tax_number")
_MOST: Final = 5_000  # rejections of a rule that are looked at
_CHECKED: Final = 25  # of whose rows a newer version is looked for
_ALL: Final = 200_000
_THRESHOLD: Final = 9.964  # the weight from which on two records are taken as one firm: 999 to 1, as a power of two
_UNSURE: Final = 8.0  # how far from it one may still doubt: a piece of evidence more or less, such as a house number


class OfPair(BaseModel):
    """Which two records."""

    left: str = Field(min_length=1, description="one record, as source:number, such as crm:001J800")
    right: str = Field(min_length=1, description="the other, such as s4:10100001")


class OfHeld(BaseModel):
    """Which held rows."""

    source: str = Field(min_length=1)
    stream: str = Field(min_length=1)
    rule: str = Field(min_length=1, description="the rule that they broke")


def doubt(left: str, right: str) -> str:
    """The key of a doubt as a subject."""
    return f"doubt:{left}={right}"


def held(source: str, stream: str, rule: str) -> str:
    """The key of held rows as a subject. A slash would begin another key."""
    return f"held:{source}:{stream}:{rule.replace('/', '%2F')}"


def asked_about(key: str) -> OfPair | OfHeld:
    """What a key of a subject names; ToolFailed where it names nothing of the kind."""
    kind, _, rest = key.partition(":")
    parts = rest.split("=", 1) if kind == "doubt" else rest.split(":", 2) if kind == "held" else []
    if kind == "doubt" and len(parts) == 2 and all(parts):
        return OfPair(left=parts[0], right=parts[1])
    if kind == "held" and len(parts) == 3 and all(parts):
        return OfHeld(source=parts[0], stream=parts[1], rule=parts[2].replace("%2F", "/"))
    raise ToolFailed(f"'{key}' is neither a doubt nor held rows", hint="such as doubt:crm:001J800=s4:10100001, or held:s4:sales_order:RULE")


def _pair(snapshot: Snapshot, asked: OfPair) -> dict[str, Any]:
    link = snapshot.row(LINKS, {"left_id": asked.left, "right_id": asked.right})
    if link is None:
        raise ToolFailed(
            f"{asked.left} and {asked.right} were not compared", hint="their order counts; `pilothouse firm doubts` lists pairs"
        )
    records = {name: _record(snapshot, record) for name, record in (("left", asked.left), ("right", asked.right))}
    firms = [_firm_of(snapshot, record) for record in (asked.left, asked.right)]
    return {
        **records,
        "probability": link["probability"],
        "evidence": {name: level for name, (level, _) in json.loads(link["evidence"]).items()},
        "together": firms[0] is not None and firms[0] == firms[1],
        "said": _said(snapshot, asked),
        "_synthetic": link["_synthetic"],
    }


def _record(snapshot: Snapshot, record: str) -> dict[str, Any]:
    source, _, number = record.partition(":")
    found = snapshot.row(PARTIES, {"source": source, "record_id": number}) or {}
    return {name: found.get(name) for name in _SHOWN}


def _firm_of(snapshot: Snapshot, record: str) -> Any:
    source, _, number = record.partition(":")
    return (snapshot.row(MEMBERS, {"source": source, "record_id": number}) or {}).get("firm_id")


def _said(snapshot: Snapshot, asked: OfPair) -> str | None:
    """What people said of the pair last; None where nobody did."""
    if SAID not in snapshot.tables:
        return None
    pair = {"left_record": min(asked.left, asked.right), "right_record": max(asked.left, asked.right)}
    newest = snapshot.rows(SAID, pair, limit=1, order="-_seen_at")
    return None if not newest or newest[0]["verdict"] == "withdrawn" else str(newest[0]["verdict"])


def _held(snapshot: Snapshot, asked: OfHeld) -> dict[str, Any]:
    table = f"quarantine/{asked.source}/{asked.stream}"
    if table not in snapshot.tables:
        return {"rejections": 0}
    still = list(_open(snapshot.rows(table, {"rule": asked.rule}, limit=_MOST, order="rejected_at, id")))
    if not still:
        return {"rejections": 0}
    values = Counter(each["value"] for each in still)
    known = [(value, count) for value, count in values.most_common() if value is not None]
    return {
        "rejections": len(still),
        "rows": len({each["row"] for each in still}),
        "column": still[0]["column"],
        "missing": values[None],
        "values": [{"value": value, "count": count} for value, count in known[:5]],
        "since": still[0]["rejected_at"],
        "until": still[-1]["rejected_at"],
        "keys": [each["key"] for each in still[:3]],
        "replaced": sum(_replaced(snapshot, asked, each) for each in still[:_CHECKED]),
        "_synthetic": any(each["_synthetic"] for each in still),
    }


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


def what_is_unsure(snapshot: Snapshot, _: datetime) -> list[str]:
    """What a steward has to look at: held rows, most of them first, then pairs, the least sure first, of which nobody has spoken."""
    return [*_held_back(snapshot), *_doubts(snapshot)]


def _held_back(snapshot: Snapshot) -> list[str]:
    counts: Counter[str] = Counter()
    for table in snapshot.tables:
        if table.startswith("quarantine/"):
            for each in _open(snapshot.rows(table, {}, limit=_ALL, order="rejected_at, id")):
                counts[held(each["source"], each["stream"], each["rule"])] += 1
    return [key for key, _ in sorted(counts.items(), key=lambda each: (-each[1], each[0]))]


def _doubts(snapshot: Snapshot) -> list[str]:
    if LINKS not in snapshot.tables:
        return []
    rows = snapshot.rows(LINKS, {}, limit=_ALL, order="left_id, right_id")
    unsure = [(abs(each["weight"] - _THRESHOLD), each["left_id"], each["right_id"]) for each in rows]
    pairs = [OfPair(left=left, right=right) for distance, left, right in sorted(unsure) if distance <= _UNSURE]
    return [doubt(each.left, each.right) for each in pairs if _said(snapshot, each) is None]


PAIR_OF_RECORDS: Final = Tool(
    name="pair",
    description="Two records beside each other: what likeness says of each part, whether they are taken as one firm, and what people said.",
    arguments=OfPair,
    run=_pair,
    permission="stewardship",
)
HELD_ROWS: Final = Tool(
    name="held_rows",
    description="The rows of a stream that a rule holds back: how many, which values they have, and whether newer versions came since.",
    arguments=OfHeld,
    run=_held,
    permission="stewardship",
)
