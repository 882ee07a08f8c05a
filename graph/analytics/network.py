"""A network of names, as igraph has it: made of sorted edges, so that equal edges give equal answers whatever their order.

igraph computes on 1M nodes and 3M edges in seconds what a graph server computes in minutes or not at all (PageRank 0.5 s against 9).
It is loaded where a network is made.
"""

from __future__ import annotations

import random
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from pilothouse.kernel.errors import GraphError

if TYPE_CHECKING:
    from collections.abc import Iterable

DIGITS: Final = 10  # of a measure: what lies behind is the order in which sums were made
SEED: Final = 7


class Network:
    """Nodes and weighted edges. `edges` has the columns source and target, and may have weight; edges between the same two add up."""

    def __init__(self, edges: pl.DataFrame, nodes: Iterable[str] | pl.Series = (), *, directed: bool = False) -> None:
        self.directed = directed
        weighted = edges.with_columns(weight=pl.col("weight").cast(pl.Float64) if "weight" in edges.columns else pl.lit(1.0))
        named = weighted.select(pl.col("source", "target").cast(pl.String), "weight")
        if named.null_count().select(pl.sum_horizontal(pl.all())).item():
            raise GraphError("an edge has no source, no target or no weight", hint="leave such edges out before a network is made of them")
        if not directed:
            ends = pl.min_horizontal("source", "target"), pl.max_horizontal("source", "target")
            named = named.select(ends[0].alias("source"), ends[1].alias("target"), "weight")
        # sorted by weight before it is added up, for a sum depends on its order
        self.edges = named.sort("source", "target", "weight").group_by("source", "target", maintain_order=True).agg(pl.col("weight").sum())
        others = pl.Series("node", nodes, dtype=pl.String)
        self.nodes = pl.concat([self.edges["source"].rename("node"), self.edges["target"].rename("node"), others]).unique().sort()

    @cached_property
    def graph(self) -> Any:
        """The network in igraph; node n is the n-th name."""
        import igraph

        places = pl.DataFrame({"node": self.nodes}).with_row_index("place")
        ends = [
            self.edges.select(node=end).join(places, on="node", how="left", maintain_order="left")["place"] for end in ("source", "target")
        ]
        pairs = pl.DataFrame({"source": ends[0], "target": ends[1]}).to_numpy()
        made = igraph.Graph(n=len(self.nodes), edges=pairs, directed=self.directed)
        made.es["weight"] = self.edges["weight"].to_list()
        return made

    def place(self, node: str) -> int:
        """Where a node stands; GraphError where there is none of that name."""
        found = self.nodes.search_sorted(node)
        if found == len(self.nodes) or self.nodes[found] != node:
            raise GraphError(f"there is no '{node}' in this network", hint="`pilothouse graph query` finds firms by their names")
        return int(found)

    def told(self, **measures: Any) -> pl.DataFrame:
        """Measures of every node, by its name."""
        columns = {name: pl.Series(values) for name, values in measures.items()}
        rounded = {name: each.round(DIGITS) if each.dtype.is_float() else each for name, each in columns.items()}
        return pl.DataFrame({"node": self.nodes, **rounded})

    def named(self, groups: list[int]) -> pl.DataFrame:
        """The group of each node, called after its first member, with how many it has."""
        frame = pl.DataFrame({"node": self.nodes, "number": groups}, schema_overrides={"number": pl.Int64})
        return frame.select("node", group=pl.col("node").min().over("number"), members=pl.len().over("number").cast(pl.Int64))


class seeded:  # noqa: N801 - used as a context, like a function
    """igraph draws lots from here while it is open: the same in every run."""

    def __init__(self, seed: int = SEED) -> None:
        self._lots = random.Random(seed)  # noqa: S311 - no secret is drawn

    def __enter__(self) -> None:
        import igraph

        igraph.set_random_number_generator(self._lots)

    def __exit__(self, *_: object) -> None:
        import igraph

        igraph.set_random_number_generator(random)
