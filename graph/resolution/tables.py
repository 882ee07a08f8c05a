"""The tables of resolution, made of tables: links between records, and the firm that each record stands for."""

from __future__ import annotations

import json
from datetime import date
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Protocol

import pyarrow as pa

from graph.resolution.clusters import Link, Member, members
from graph.resolution.firms import FIRMS
from graph.resolution.resolver import Weights, links, told

if TYPE_CHECKING:
    from collections.abc import Iterable

_PLACES: Final = {"s4": 1, "crm": 2}  # of records that are known as long: SAP's name a firm before those of others
_FAR: Final = date.max
_LINK: Final = pa.schema(
    [
        pa.field("left_id", pa.string()),
        pa.field("right_id", pa.string()),
        pa.field("probability", pa.float64()),
        pa.field("weight", pa.float64()),
        pa.field("is_same", pa.bool_()),
        pa.field("evidence", pa.string()),
        pa.field("weights_version", pa.string()),
        pa.field("_synthetic", pa.bool_()),
    ]
)
_MEMBER: Final = pa.schema(
    [
        pa.field("source", pa.string()),
        pa.field("record_id", pa.string()),
        pa.field("firm_id", pa.string()),
        pa.field("evidence", pa.string()),
        pa.field("weight", pa.float64()),
        pa.field("through", pa.string()),
        pa.field("_synthetic", pa.bool_()),
    ]
)


class Partial(Protocol):
    """A build that may make only what changed."""

    def changed(self, model: str) -> pa.Table | None:
        """The rows of an input that changed; None where all is made."""

    def before(self) -> pa.Table:
        """The table as it is."""

    def touch(self, keys: pa.Table) -> None:
        """Tell which rows are made anew."""


def firm_links(parties: pa.Table, weights: pa.Table, partial: Partial | None = None) -> pa.Table:
    """The links between records; of those that changed alone, where the build is partial."""
    changed = partial.changed("int_party") if partial else None
    known = Weights.from_json(weights["weights"][0].as_py())
    if partial is None or changed is None:
        return _links(parties, known, None)
    new_weights = partial.changed("int_firm_weights")
    if new_weights is not None and new_weights.num_rows:
        made = _links(parties, known, None)
        partial.touch(_keys(made, partial.before().to_pylist()))
        return made
    records = set(_ids(changed))
    made = _links(parties, known, sorted(records))
    partial.touch(_keys(made, (row for row in partial.before().to_pylist() if row["left_id"] in records or row["right_id"] in records)))
    return made


def firm_members(parties: pa.Table, links: pa.Table, corrections: pa.Table) -> pa.Table:
    """Every record with its firm."""
    synthetic = dict(zip(_ids(parties), parties["_synthetic"].to_pylist(), strict=True))
    found = [
        Link(row["left_id"], row["right_id"], row["weight"])
        for row in links.select(["left_id", "right_id", "weight", "is_same"]).to_pylist()
        if row["is_same"]
    ]
    said = corrections.select(["left_record", "right_record", "verdict"]).to_pylist()
    same, different = (
        [(row["left_record"], row["right_record"]) for row in said if row["verdict"] == verdict] for verdict in ("same", "different")
    )
    rows = [_member_row(member, synthetic) for member in members(_known_since(parties), found, same, different)]
    return pa.Table.from_pylist(rows, schema=_MEMBER)


def _known_since(parties: pa.Table) -> dict[str, tuple[date, int]]:
    columns = (parties[name].to_pylist() for name in ("source", "known_since"))
    return {record: (since or _FAR, _PLACES.get(source, 3)) for record, source, since in zip(_ids(parties), *columns, strict=True)}


def _member_row(member: Member, synthetic: dict[str, bool]) -> dict[str, Any]:
    source, _, number = member.record.partition(":")
    weights = [link.weight for link in member.path]
    evidence = "itself" if not member.path else "somebody said so" if None in weights else "likeness"
    return {
        "source": source,
        "record_id": number,
        "firm_id": member.group,
        "evidence": evidence,
        "weight": min((weight for weight in weights if weight is not None), default=None),
        "through": " ".join(member.through),
        "_synthetic": any(synthetic[record] for record in member.through),
    }


def _links(parties: pa.Table, weights: Weights, changed: list[str] | None) -> pa.Table:
    synthetic = dict(zip(_ids(parties), parties["_synthetic"].to_pylist(), strict=True))
    version = weights.version
    names = [each.name for each in FIRMS.comparisons]

    @cache  # most pairs compare in one of few ways
    def evidence(*levels: int) -> str:
        return json.dumps(told(FIRMS, weights, dict(zip(names, levels, strict=True))))

    rows = [
        {
            **{name: row[name] for name in ("left_id", "right_id", "probability", "weight")},
            "is_same": row["probability"] >= FIRMS.likely,
            "evidence": evidence(*(row[name] for name in names)),
            "weights_version": version,
            "_synthetic": synthetic[row["left_id"]] or synthetic[row["right_id"]],
        }
        for row in links(FIRMS, weights, parties, changed).to_pylist()
    ]
    return pa.Table.from_pylist(rows, schema=_LINK)


def _ids(parties: pa.Table) -> list[str]:
    return [f"{source}:{number}" for source, number in zip(parties["source"].to_pylist(), parties["record_id"].to_pylist(), strict=True)]


def _keys(made: pa.Table, before: Iterable[dict[str, Any]]) -> pa.Table:
    keys = made.select(["left_id", "right_id"])
    return pa.concat_tables([keys, pa.Table.from_pylist([{name: row[name] for name in keys.column_names} for row in before], keys.schema)])
