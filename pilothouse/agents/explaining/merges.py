"""Which records of source systems were taken for one firm on the way to a decision, and on what evidence."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from pilothouse.agents.explaining.since import walked
from pilothouse.tables.why.explain import Explainer
from pilothouse.tables.why.reading import At, Connection
from pilothouse.tables.why.row import Row

_MEMBER: Final = "intermediate/int_firm_member"
_LINK: Final = "intermediate/int_firm_link"


@dataclass(frozen=True)
class Link:
    """Two records that were taken for the same, and what speaks for and against it: each comparison with its outcome and weight."""

    left: str
    right: str
    probability: float
    weight: float
    evidence: Mapping[str, tuple[str, float]]


@dataclass(frozen=True)
class Merge:
    """A record, the firm that it stands for, and what holds the two together."""

    record: str
    firm: str
    evidence: str  # itself, likeness, or that somebody said so
    weight: float | None
    through: tuple[str, ...]
    links: tuple[Link, ...]


def merges(explainer: Explainer, connection: Connection, rows: Sequence[Row]) -> list[Merge]:
    """Every record that was resolved to a firm of another name on the way to these rows."""
    found = {id(row): row for _, row in walked(rows)}
    members = [row for row in found.values() if row.table == _MEMBER]
    linked = [row for row in found.values() if row.table == _LINK]
    links = {
        frozenset({each["left_id"], each["right_id"]}): Link(
            each["left_id"], each["right_id"], each["probability"], each["weight"], json.loads(each["evidence"])
        )
        for each in _published(explainer, connection, linked)
    }
    told = {
        f"{each['source']}:{each['record_id']}": each for each in _published(explainer, connection, members) if each["evidence"] != "itself"
    }
    return [
        Merge(
            record,
            each["firm_id"],
            each["evidence"],
            each["weight"],
            tuple(way := each["through"].split()),
            tuple(links[pair] for pair in map(frozenset, pairwise(way)) if pair in links),
        )
        for record, each in sorted(told.items())
    ]


def _published(explainer: Explainer, connection: Connection, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """These rows as they are published, with all of their columns."""
    told: list[dict[str, Any]] = []
    for at in sorted({At(row.table, row.version) for row in rows}):
        keys = sorted({tuple(row.key.values()) for row in rows if (row.table, row.version) == at})
        model = explainer.model_of(at.table)
        assert model is not None
        names = ", ".join(f'"{name}"' for name in model.key)
        wanted = ", ".join(f"unnest(?) AS {name}" for name in (f'"{each}"' for each in model.key))
        duck = connection.duck.execute(
            f"SELECT * FROM ({explainer.reading.rows_of(at)}) WHERE ({names}) IN (SELECT {names} FROM (SELECT {wanted}))",
            [[key[place] for key in keys] for place in range(len(model.key))],
        )
        columns = [column[0] for column in duck.description or ()]
        told += [dict(zip(columns, values, strict=True)) for values in duck.fetchall()]
    return told
