"""The types of the ontology as assets: one operation brings the graph up to its marts, and each type tells what became of it.

No `from __future__ import annotations` here: Dagster reads the annotation of `context` itself, not its text.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.failures import translated_errors
from assets.resource import PlatformResource
from assets.tables import asset_key
from graph.kinds import EdgeType, NodeType, Ontology

if TYPE_CHECKING:
    from assets.platform import Platform
    from graph.loading import Loaded, Loader

COMPLETE = "as_many_as_the_mart_has"
SINGLE = "each_one_once"
OP = "graph"


class LoadOptions(dg.Config):
    """How a run loads the graph."""

    rebuild: bool = False


def load_graph(platform: "Platform", *, rebuild: bool = False) -> "tuple[Loader, list[Loaded]]":
    """Bring the graph up to its marts. CommitConflict where somebody else is at it: two loads would do the same work twice."""
    from graph.loading import Loader
    from pilothouse.kernel.database.locks import exclusively

    loader = Loader(platform.graph, platform.lake, platform.ontology)
    with exclusively(platform.database, "graph", what="a load of the graph"):
        return loader, loader.rebuild() if rebuild else loader.load()


def graph_key(each: NodeType | EdgeType) -> dg.AssetKey:
    """A type as an asset."""
    return dg.AssetKey(["graph", each.name.lower()])


def graph_assets(ontology: Ontology) -> dg.AssetsDefinition:
    """Every type, as the outputs of one operation. Types without news are left alone."""

    @dg.multi_asset(
        name=OP,
        specs=[_spec(each, ontology) for each in ontology.types],
        check_specs=[check for each in ontology.types for check in _checks(each)],
        can_subset=True,  # or each run would have to check every type, also those without news
    )
    def graph(
        context: dg.AssetExecutionContext,
        config: LoadOptions,
        platform: PlatformResource,
    ) -> Iterator[dg.MaterializeResult]:  # type: ignore[type-arg]  # Dagster knows only the bare class
        from assets.progress import GRAPH

        with translated_errors(context), platform.recording(context):
            loader, found = load_graph(platform.platform, rebuild=config.rebuild)
            for loaded in found:
                GRAPH.tell(loaded.type.name, loaded)
                if loaded.news and graph_key(loaded.type) in context.selected_asset_keys:
                    context.log.info(f"{loaded.type.name}: {loaded.created} new, {loaded.changed} changed, {loaded.deleted} gone")
                    yield _materialized(loader, loaded)

    return graph


def _spec(each: NodeType | EdgeType, ontology: Ontology) -> dg.AssetSpec:
    node = isinstance(each, NodeType)
    ends = [] if isinstance(each, NodeType) else [graph_key(ontology.nodes[end.label]) for end in each.ends]
    kinds = ontology.kinds.get(each.mart, {})
    metadata: dict[str, Any] = {
        "dagster/column_schema": dg.TableSchema([dg.TableColumn(name, kinds.get(name, "string")) for name in each.properties]),
        "mart": each.mart,
        "in_cypher": f"(:{each.name})" if node else f"(:{each.ends[0].label})-[:{each.name}]->(:{each.ends[1].label})",  # type: ignore[union-attr]
    }
    return dg.AssetSpec(
        key=graph_key(each),
        deps=[asset_key(each.mart), *dict.fromkeys(ends), *([asset_key(each.measures.table)] if node and each.measures else [])],  # type: ignore[union-attr]
        description=each.description,
        group_name="graph",
        kinds={"cypher", "node" if node else "edge"},
        owners=["team:data-engineering"],
        metadata=metadata,
        tags={"pilothouse/stage": "graph"},
        skippable=True,
    )


def _checks(each: NodeType | EdgeType) -> Iterator[dg.AssetCheckSpec]:
    what = "nodes" if isinstance(each, NodeType) else "edges"
    told = f"There are as many {what} as {each.mart} has rows that are one."
    yield dg.AssetCheckSpec(COMPLETE, asset=graph_key(each), description=told)
    once = "No two nodes have one id." if isinstance(each, NodeType) else "No two edges join the same two nodes."
    yield dg.AssetCheckSpec(SINGLE, asset=graph_key(each), description=once)


def _materialized(loader: "Loader", loaded: "Loaded") -> dg.MaterializeResult:  # type: ignore[type-arg]
    from assets.display import version_vector
    from graph.notes import Summary
    from pilothouse.kernel.versions import Versions

    census, key = loader.census(loaded.type), graph_key(loaded.type)
    results = [
        dg.AssetCheckResult(
            passed=census.here + census.waiting == census.in_mart,
            asset_key=key,
            check_name=COMPLETE,
            metadata={"in_the_graph": census.here, "waiting_for_an_end": census.waiting, "in_the_mart": census.in_mart},
        ),
        dg.AssetCheckResult(passed=census.twice == 0, asset_key=key, check_name=SINGLE, metadata={"twice": census.twice}),
    ]
    return dg.MaterializeResult(
        asset_key=key,
        metadata={
            "dagster/row_count": census.here,
            "created": loaded.created,
            "changed": loaded.changed,
            "deleted": loaded.deleted,
            "mart_version": int(loaded.mart.version),
            "versions": version_vector(Versions((loaded.mart,), (Summary.of(loader.notes()).pinned(),))),
        },
        check_results=results,
    )
