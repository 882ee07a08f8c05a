"""Pairs of records of which likeness is not sure whether they are one firm."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, ClassVar, Final, Self

from pydantic import Field

from pilothouse.agents.snapshot import Snapshot
from pilothouse.agents.tools import Tool
from pilothouse.agents.toolset.stewardship import Asked
from pilothouse.kernel.errors import ToolFailed

LINKS: Final = "intermediate/int_firm_link"
MEMBERS: Final = "intermediate/int_firm_member"
PARTIES: Final = "intermediate/int_party"
SAID: Final = "raw/pilothouse/firm_correction"
_SHOWN: Final = ("name", "street", "postal_code", "city", "country", "tax_number")
_ALL: Final = 200_000
_THRESHOLD: Final = 9.964  # the weight from which on two records are taken as one firm: 999 to 1, as a power of two
_UNSURE: Final = 8.0  # how far from it one may still doubt: a piece of evidence more or less, such as a house number


class OfPair(Asked):
    """Which two records."""

    PREFIX: ClassVar[str] = "doubt"
    left: str = Field(min_length=1, description="one record, as source:number, such as crm:001J800")
    right: str = Field(min_length=1, description="the other, such as s4:10100001")

    @property
    def key(self) -> str:
        """It as a subject's key."""
        return f"{self.PREFIX}:{self.left}={self.right}"

    @classmethod
    def named(cls, rest: str) -> Self | None:
        """What the rest of a key names."""
        left, _, right = rest.partition("=")
        return cls(left=left, right=right) if left and right else None


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


def doubtful(snapshot: Snapshot, _: datetime) -> list[str]:
    """Pairs of which nobody has spoken, the least sure first."""
    if LINKS not in snapshot.tables:
        return []
    rows = snapshot.rows(LINKS, {}, limit=_ALL, order="left_id, right_id")
    unsure = [(abs(each["weight"] - _THRESHOLD), each["left_id"], each["right_id"]) for each in rows]
    pairs = [OfPair(left=left, right=right) for distance, left, right in sorted(unsure) if distance <= _UNSURE]
    return [each.key for each in pairs if _said(snapshot, each) is None]


PAIR_OF_RECORDS: Final = Tool(
    name="pair",
    description="Two records beside each other: what likeness says of each part, whether they are taken as one firm, and what people said.",
    arguments=OfPair,
    run=_pair,
    permission="stewardship",
)
