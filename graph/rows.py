"""What a mart says of a type of node or edge, read by DuckDB from the files of a version; and what is different from another one.

Only the columns of the ontology are looked at, so a change of any other is none. Amounts become floats, for Bolt knows no decimals;
moments are cut to the millisecond, which is what both engines keep; a day of validity begins at midnight UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from graph.kinds import SYNTHETIC, VALID_FROM, VALID_TO, EdgeType, End, NodeType
from pilothouse.kernel.errors import DataRejected, LakeError
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.lake.duck import Scan, offer_store

if TYPE_CHECKING:
    import duckdb

Values = tuple[Any, ...]  # in the order of the type's `said`
Ends = tuple[str, str]
K = TypeVar("K", str, Ends)


@dataclass(frozen=True)
class Changes(Generic[K]):
    """Nodes (by id) or edges (by the ids of both ends) that are gone, and those that came or say something else."""

    gone: Sequence[K]
    said: Mapping[K, Values]


class MartRows:
    """One step of a mart: a version of it, beside the files that make the difference to the version before."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        described = connection.execute("SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'now'")
        self._kinds: dict[str, str] = dict(described.fetchall())

    def nodes(self, node: NodeType) -> Changes[str]:
        """How the nodes of a type differ between the two versions."""
        named = _identity(node.key)
        said = {row[0]: row[1:] for row in self._different([named, *self._said(node)], "", "gained")}
        lost = dict.fromkeys(row[0] for row in self._different([named, *self._said(node)], "", "lost"))
        return Changes([each for each in lost if each not in said], said)

    def edges(self, edge: EdgeType) -> Changes[Ends]:
        """How the edges of a type differ between the two versions. A row that leaves an end open is no edge."""
        columns = [*(_identity(end.columns) for end in edge.ends), *self._said(edge)]
        where = _is_edge(edge)
        said = {(row[0], row[1]): row[2:] for row in self._different(columns, where, "gained")}
        lost = dict.fromkeys((row[0], row[1]) for row in self._different(columns, where, "lost"))
        return Changes([each for each in lost if each not in said], said)

    def count(self, each: NodeType | EdgeType) -> int:
        """How many there are in the version as a whole."""
        where = _is_edge(each) if isinstance(each, EdgeType) else "true"
        found = self._connection.execute(f"SELECT count(*) FROM now WHERE {where}").fetchone()
        return int(found[0]) if found else 0

    def refuse_duplicates(self, each: NodeType | EdgeType) -> None:
        """DataRejected where two rows of the version would be one node or one edge."""
        columns = each.key if isinstance(each, NodeType) else (*each.source.columns, *each.target.columns)
        key = _quoted(dict.fromkeys(columns))
        where = _is_edge(each) if isinstance(each, EdgeType) else "true"
        found = self._connection.execute(
            f"SELECT {key}, count(*) FROM now WHERE {where} GROUP BY {key} HAVING count(*) > 1 ORDER BY {key} LIMIT 1"
        ).fetchone()
        if found:
            told = ", ".join(f"{name}={value!r}" for name, value in zip(dict.fromkeys(columns), found[:-1], strict=True))
            what = "node" if isinstance(each, NodeType) else "edge"
            raise DataRejected(
                f"{each.mart}: {found[-1]} rows are one {what} {each.name}: {told}",
                hint="its key must name one row: mend the model that makes the mart; the graph stays at the version before",
            )

    def _different(self, columns: Sequence[str], where: str, which: str) -> list[Values]:
        """Rows of the files that came (or went) that are not the same in those that went (or came)."""
        other = {"gained": "lost", "lost": "gained"}[which]
        text = f"SELECT {', '.join(columns)} FROM {{}} WHERE {where or 'true'}"
        rows: list[Values] = self._connection.sql(f"{text.format(which)} EXCEPT {text.format(other)} ORDER BY ALL").pl().rows()
        return rows

    def _said(self, each: NodeType | EdgeType) -> Iterator[str]:
        for name in (*each.properties, SYNTHETIC):
            yield self._typed(name)
        for name, column in ((VALID_FROM, each.valid_from), (VALID_TO, each.valid_to)):
            if column:
                yield f'date_trunc(\'milliseconds\', CAST("{column}" AS TIMESTAMPTZ)) AS "{name}"'

    def _typed(self, name: str) -> str:
        kind = self._kinds[name]
        if kind.startswith("DECIMAL"):
            return f'CAST("{name}" AS DOUBLE) AS "{name}"'
        return f'date_trunc(\'milliseconds\', CAST("{name}" AS TIMESTAMPTZ)) AS "{name}"' if kind.startswith("TIMESTAMP") else f'"{name}"'


@contextmanager
def opened(lake: Lake, now: Scan, lost: Scan, gained: Scan) -> Iterator[MartRows]:
    """The rows of a step: `now` is the version as a whole, `lost` and `gained` are the files that make the difference. LakeError where
    some of them are gone."""
    import duckdb

    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        offer_store(connection, lake)
        try:
            for name, scan in (("now", now), ("lost", lost), ("gained", gained)):
                connection.execute(f"CREATE VIEW {name} AS {scan.sql}")
        except duckdb.Error as error:
            raise LakeError(f"files of a version cannot be read: {error}", hint="it may have expired: read a later one") from error
        yield MartRows(connection)


def _identity(columns: Sequence[str]) -> str:
    """A node's id in SQL: `kinds.node_id` of its key."""
    if len(columns) == 1:
        return f'CAST("{columns[0]}" AS VARCHAR)'
    return " || '/' || ".join(f'CAST("{name}" AS VARCHAR)' for name in columns)


def _is_edge(edge: EdgeType) -> str:
    named: list[End] = list(edge.ends)
    told = [f'"{name}" IS NOT NULL' for end in named for name in end.columns]
    return " AND ".join([*told, f'"{edge.where}"'] if edge.where else told)


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
