"""What analytics say of nodes, as properties beside those of their mart.

They stand on nodes that are there now and name the version of the table they come from. They are no history of their own: what a firm's
centrality was is a read of that table at another version.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import polars as pl

from graph.kinds import Measures, NodeType, Ontology
from graph.store import Graph
from graph.writing_nodes import batches
from pilothouse.kernel.errors import ConfigError
from pilothouse.kernel.lake import Lake, Table

VERSION: Final = "_measures"  # the property that tells of which version of the table they are


def write_measures(graph: Graph, lake: Lake, ontology: Ontology, *, fresh: Iterable[str]) -> None:
    """Bring the measures of each type that has some up to their table. Nodes that came since have none yet."""
    for node in ontology.nodes.values():
        if node.measures is not None and lake.table(node.measures.table).exists():
            _write(graph, lake, node, node.measures, anew=node.label in fresh)


def outdated_measures(graph: Graph, lake: Lake, ontology: Ontology) -> dict[str, str]:
    """The tables of which the graph shows another version, or none, each with the version that is there."""
    found = {}
    for node in ontology.nodes.values():
        if node.measures is not None and lake.table(node.measures.table).exists():
            version = _version(lake.table(node.measures.table))
            if not _shown(graph, node, version):
                found[node.measures.table] = version
    return found


def _version(table: Table) -> str:
    return f"{table.pinned().identity}@{table.content_version()}"


def _shown(graph: Graph, node: NodeType, version: str) -> bool:
    """Whether nodes show this version and no other. Nodes that came since show none, and wait for the next one."""
    outdated = graph.read(f"MATCH (n:`{node.label}`) WHERE n.{VERSION} <> $version RETURN 1 AS one LIMIT 1", version=version)
    measured = graph.read(f"MATCH (n:`{node.label}`) WHERE n.{VERSION} = $version RETURN 1 AS one LIMIT 1", version=version)
    return bool(measured) and not outdated


def _write(graph: Graph, lake: Lake, node: NodeType, measures: Measures, *, anew: bool) -> None:
    table = lake.table(measures.table)
    version = _version(table)
    if not anew and _shown(graph, node, version):
        return
    rows = _rows(table.scan(), node, measures)
    names = list(next(iter(rows.values()), {}))
    taken = set(names) & {"id", *node.properties}
    if taken:
        raise ConfigError(f"{measures.table}: {node.label} has a property '{min(taken)}' of its own", hint="call the measure otherwise")
    there = graph.read(f"MATCH (n:`{node.label}`) RETURN n.id AS id, n.{VERSION} AS version")
    for batch in batches(each["id"] for each in there if each["version"] != version or each["id"] not in rows):
        known = [[named, *rows[named].values()] for named in batch if named in rows]
        given = ", ".join(f"n.`{name}` = row[{place}]" for place, name in enumerate([*names, VERSION], 1))
        if known:
            query = f"UNWIND $rows AS row MATCH (n:`{node.label}` {{id: row[0]}}) SET {given}"
            graph.write(query, rows=[[*row, version] for row in known])
        nothing = ", ".join(f"n.`{name}` = null" for name in [*names, VERSION])  # ArcadeDB passes over REMOVE of a quoted name
        unknown = [named for named in batch if named not in rows]
        if unknown:
            graph.write(f"UNWIND $ids AS id MATCH (n:`{node.label}` {{id: id}}) SET {nothing}", ids=unknown)


def _rows(table: pl.LazyFrame, node: NodeType, measures: Measures) -> Mapping[str, Mapping[str, Any]]:
    frame = table.collect()
    if measures.key not in frame.columns:
        raise ConfigError(f"{measures.table}: there is no column '{measures.key}'", hint=f"it names the {node.label} that a row is about")
    shown = frame.select(
        pl.col(measures.key).cast(pl.String),
        *[
            pl.col(name).cast(pl.Float64) if kind.is_decimal() else pl.col(name)
            for name, kind in frame.schema.items()
            if name != measures.key and not name.startswith("_")
        ],
    )
    return {row.pop(measures.key): row for row in shown.iter_rows(named=True)}
