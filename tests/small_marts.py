"""Marts of a small world, edited as somebody likes: firms that own each other and place orders. And what the graph of them must say,
computed from the tables alone, by other means than the graph's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl

from graph.dump import Edge, Moment, Node, lines_of_edges, lines_of_nodes
from graph.kinds import EdgeType, End, NodeType, Ontology
from pilothouse.kernel.lake import Lake

FIRM = NodeType(
    label="Firm",
    description="A firm.",
    mart="marts/firm",
    key=("firm_id",),
    properties=("name", "rating", "limit_eur", "seen_at"),
    title="name",
    indexed=("name",),
)
ORDER = NodeType(
    label="Order",
    description="An order.",
    mart="marts/order",
    key=("order_id", "part"),
    properties=("amount", "ordered_on", "is_open"),
    valid_from="ordered_on",
)
PLACED = EdgeType(
    type="PLACED",
    description="Who placed it.",
    mart="marts/order",
    source=End("Firm", ("firm_id",)),
    target=End("Order", ("order_id", "part")),
    valid_from="ordered_on",
)
OWNS = EdgeType(
    type="OWNS",
    description="Who owns whom.",
    mart="marts/owner",
    source=End("Firm", ("owner_id",)),
    target=End("Firm", ("owned_id",)),
    properties=("share",),
    valid_from="since",
    valid_to="until",
    where="is_sure",
)
SMALL = Ontology.of([FIRM, ORDER], [PLACED, OWNS])

_SCHEMAS: dict[str, dict[str, Any]] = {
    "marts/firm": {
        "firm_id": pl.String, "name": pl.String, "rating": pl.Int64, "limit_eur": pl.Decimal(14, 2), "seen_at": pl.Datetime("us", "UTC"),
        "note": pl.String, "_synthetic": pl.Boolean,
    },
    "marts/order": {
        "order_id": pl.String, "part": pl.Int64, "firm_id": pl.String, "amount": pl.Decimal(14, 2), "ordered_on": pl.Date,
        "is_open": pl.Boolean, "_synthetic": pl.Boolean,
    },
    "marts/owner": {
        "owner_id": pl.String, "owned_id": pl.String, "share": pl.Float64, "since": pl.Date, "until": pl.Date, "is_sure": pl.Boolean,
        "_synthetic": pl.Boolean,
    },
}  # fmt: skip
KEYS = {"marts/firm": ("firm_id",), "marts/order": ("order_id", "part"), "marts/owner": ("owner_id", "owned_id")}

Row = dict[str, Any]


def firm(number: int, **other: Any) -> Row:
    seen = datetime(2026, 3, 1, 9, 30, 0, 123000, tzinfo=UTC) + timedelta(days=number)
    row = {
        "firm_id": f"f{number}",
        "name": f"Firm {number}",
        "rating": 1,
        "limit_eur": 100,
        "seen_at": seen,
        "note": "",
        "_synthetic": True,
    }
    return row | other


def order(number: int, by: int, **other: Any) -> Row:
    row = {"order_id": f"o{number}", "part": 1, "firm_id": f"f{by}", "amount": 10, "ordered_on": date(2026, 1, 1), "is_open": True}
    return row | {"_synthetic": True} | other


def owner(above: int, below: int, **other: Any) -> Row:
    row = {"owner_id": f"f{above}", "owned_id": f"f{below}", "share": 51.5, "since": None, "until": None, "is_sure": True}
    return row | {"_synthetic": True} | other


@dataclass
class SmallMarts:
    """The marts as they are now, and how they come into the lake."""

    lake: Lake
    rows: dict[str, dict[tuple[Any, ...], Row]] = field(default_factory=lambda: {name: {} for name in KEYS})

    def put(self, mart: str, *rows: Row) -> None:
        """Rows that come, or say something else."""
        for row in rows:
            self.rows[mart][tuple(row[name] for name in KEYS[mart])] = row

    def drop(self, mart: str, *key: Any) -> None:
        """A row that goes."""
        self.rows[mart].pop(key, None)

    def publish(self, *marts: str, merge: bool = False) -> None:
        """A version of each of these (all by default): as a whole, or by merging what changed."""
        for mart in marts or KEYS:
            table, frame = self.lake.table(mart), self.frame(mart)
            if not merge or not table.exists():
                table.replace(frame.to_arrow().to_reader(), key=KEYS[mart])
                continue
            before = table.scan().collect().select(frame.columns)
            removed, added = (
                before.join(frame, on=frame.columns, how="anti", nulls_equal=True),
                frame.join(before, on=frame.columns, how="anti", nulls_equal=True),
            )
            if removed.height or added.height:
                table.merge(KEYS[mart], removed.to_arrow(), added.to_arrow())

    def frame(self, mart: str) -> pl.DataFrame:
        """One of them as it is now."""
        return pl.DataFrame(list(self.rows[mart].values()), schema=_SCHEMAS[mart])


def moments(lake: Lake) -> list[datetime]:
    """Every moment at which a mart said something new, and those beside it."""
    found = {moment for mart in KEYS if lake.table(mart).exists() for _, moment in lake.table(mart).content_versions()}
    beside = timedelta(milliseconds=1)
    return sorted({each + shift for each in found for shift in (-beside, timedelta(0), beside)})


def told_by_tables(lake: Lake, moment: Moment) -> str:
    """What the graph must say of a moment, by brute force: every mart as it was then, row by row."""
    frames = {mart: _as_it_was(lake, mart, moment.known) for mart in KEYS}
    nodes = list(_nodes(frames))
    there = [node for node in nodes if moment.valid is None or _held(node.said, moment.valid)]
    named = {(node.label, node.id) for node in there}
    edges = [
        edge
        for edge in _edges(frames)
        if ("Firm", edge.source) in named
        and ("Order" if edge.type == "PLACED" else "Firm", edge.target) in named
        and (moment.valid is None or _held(edge.said, moment.valid))
    ]
    return "".join(f"{line}\n" for line in sorted(lines_of_nodes(there) + lines_of_edges(edges)))


def _as_it_was(lake: Lake, mart: str, known: datetime | None) -> pl.DataFrame:
    versions = lake.table(mart).content_versions() if lake.table(mart).exists() else []
    then = [version for version, at in versions if known is None or at <= known]
    return lake.table(mart).scan(then[-1]).collect() if then else pl.DataFrame(schema=_SCHEMAS[mart])


def _nodes(frames: dict[str, pl.DataFrame]) -> Iterator[Node]:
    for row in frames["marts/firm"].iter_rows(named=True):
        limit = None if row["limit_eur"] is None else float(row["limit_eur"])
        said = {name: row[name] for name in ("name", "rating", "seen_at", "_synthetic")} | {"limit_eur": limit}
        yield Node("Firm", row["firm_id"], said)
    for row in frames["marts/order"].iter_rows(named=True):
        amount = None if row["amount"] is None else float(row["amount"])
        said = {name: row[name] for name in ("ordered_on", "is_open", "_synthetic")}
        yield Node("Order", f"{row['order_id']}/{row['part']}", {**said, "amount": amount, "_valid_from": _midnight(row["ordered_on"])})


def _edges(frames: dict[str, pl.DataFrame]) -> Iterator[Edge]:
    for row in frames["marts/order"].iter_rows(named=True):
        if row["firm_id"] is not None:
            said = {"_synthetic": row["_synthetic"], "_valid_from": _midnight(row["ordered_on"])}
            yield Edge("PLACED", row["firm_id"], f"{row['order_id']}/{row['part']}", said)
    for row in frames["marts/owner"].iter_rows(named=True):
        if row["is_sure"]:
            said = {"share": row["share"], "_synthetic": row["_synthetic"]}
            validity = {"_valid_from": _midnight(row["since"]), "_valid_to": _midnight(row["until"])}
            yield Edge("OWNS", row["owner_id"], row["owned_id"], said | validity)


def _midnight(day: date | None) -> datetime | None:
    return None if day is None else datetime(day.year, day.month, day.day, tzinfo=UTC)


def _held(said: Any, valid: datetime) -> bool:
    since, until = said.get("_valid_from"), said.get("_valid_to")
    return (since is None or since <= valid) and (until is None or valid < until)
