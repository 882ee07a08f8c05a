"""What a mart says of a type of node or edge, read by DuckDB from the files of a version; and what is different from another one.

Only the columns of the ontology are looked at, so a change of any other is none. Amounts become floats: Bolt knows no decimals.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from graph.kinds import SYNTHETIC, EdgeType, NodeType, node_id
from pilothouse.kernel.errors import DataRejected
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.lake.duck import Scan, offer_store

if TYPE_CHECKING:
    import duckdb

VALID_FROM, VALID_TO = "_valid_from", "_valid_to"
Said = dict[str, Any]  # what a node or an edge says: its properties, with the graph's own


@dataclass(frozen=True)
class NodeChanges:
    """Nodes that are gone, and those that came or say something else."""

    gone: Sequence[str]
    said: Mapping[str, Said]


@dataclass(frozen=True)
class EdgeChanges:
    """The same of edges, each named by its two ends."""

    gone: Sequence[tuple[str, str]]
    said: Mapping[tuple[str, str], Said]


def node_changes(rows: duckdb.DuckDBPyConnection, node: NodeType) -> NodeChanges:
    """How the nodes of a type differ between the two versions that are open."""
    read = [(node_id(row[name] for name in node.key), row) for row in _read(rows, node, "gained")]
    said = {named: {name: row[name] for name in (*node.properties, SYNTHETIC)} | _validity(node, row) for named, row in read}
    before = dict.fromkeys(node_id(row[name] for name in node.key) for row in _read(rows, node, "lost"))
    return NodeChanges([named for named in before if named not in said], said)


def edge_changes(rows: duckdb.DuckDBPyConnection, edge: EdgeType) -> EdgeChanges:
    """How the edges of a type differ between the two versions that are open."""
    said = {
        ends: {name: row[name] for name in (*edge.properties, SYNTHETIC)} | _validity(edge, row)
        for row in _read(rows, edge, "gained")
        if (ends := _ends(edge, row)) is not None
    }
    before = dict.fromkeys(ends for row in _read(rows, edge, "lost") if (ends := _ends(edge, row)) is not None)
    return EdgeChanges([ends for ends in before if ends not in said], said)


@contextmanager
def opened(lake: Lake, now: Scan, lost: Scan, gained: Scan) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection in which `now` is the version as a whole, and `lost` and `gained` are the files that make the difference."""
    import duckdb

    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        offer_store(connection, lake)
        for name, scan in (("now", now), ("lost", lost), ("gained", gained)):
            connection.execute(f"CREATE VIEW {name} AS {scan.sql}")
        yield connection


def refuse_duplicates(rows: duckdb.DuckDBPyConnection, each: NodeType | EdgeType) -> None:
    """DataRejected where two rows of the version would be one node or one edge."""
    columns = each.key if isinstance(each, NodeType) else (*each.source.columns, *each.target.columns)
    key = _quoted(dict.fromkeys(columns))
    there = " AND ".join(f'"{name}" IS NOT NULL' for name in columns) + (_where(each) if isinstance(each, EdgeType) else "")
    found = rows.execute(
        f"SELECT {key}, count(*) FROM now WHERE {there} GROUP BY {key} HAVING count(*) > 1 ORDER BY {key} LIMIT 1"
    ).fetchone()
    if found:
        told = ", ".join(f"{name}={value!r}" for name, value in zip(dict.fromkeys(columns), found[:-1], strict=True))
        what = "node" if isinstance(each, NodeType) else "edge"
        raise DataRejected(
            f"{each.mart}: {found[-1]} rows are one {what} {each.name}: {told}",
            hint="its key must name one row: mend the model that makes the mart; the graph stays at the version before",
        )


def _read(rows: duckdb.DuckDBPyConnection, each: NodeType | EdgeType, which: str) -> Iterator[Said]:
    """Rows of the files that came (or went) that are not the same in those that went (or came)."""
    other = {"gained": "lost", "lost": "gained"}[which]
    kinds = dict(rows.execute("SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'now'").fetchall())
    columns = ", ".join(_typed(name, kinds[name]) for name in each.columns)
    text = f"SELECT {columns} FROM {{}} WHERE true{_where(each) if isinstance(each, EdgeType) else ''}"
    answer = rows.sql(f"{text.format(which)} EXCEPT {text.format(other)} ORDER BY ALL").pl()
    for row in answer.iter_rows(named=True):
        yield row


def _typed(name: str, kind: str) -> str:
    if kind.startswith("DECIMAL"):
        return f'CAST("{name}" AS DOUBLE) AS "{name}"'
    # To the millisecond, which is what both engines keep; and as what it is in UTC, for a zone costs a conversion a value.
    return f"date_trunc('milliseconds', \"{name}\") AS \"{name}\"" if kind.startswith("TIMESTAMP") else f'"{name}"'


def _where(edge: EdgeType) -> str:
    return f' AND "{edge.where}"' if edge.where else ""


def _quoted(names: Any) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _ends(edge: EdgeType, row: Said) -> tuple[str, str] | None:
    """The ends that a row names; none where it leaves one open."""
    parts = [[row[name] for name in end.columns] for end in edge.ends]
    if any(part is None for named in parts for part in named):
        return None
    return node_id(parts[0]), node_id(parts[1])


def _validity(each: NodeType | EdgeType, row: Said) -> Said:
    found = {VALID_FROM: each.valid_from, VALID_TO: each.valid_to}
    return {name: _moment(row[column]) for name, column in found.items() if column}


def _moment(value: Any) -> datetime | None:
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value if value is None else value.astimezone(UTC)
