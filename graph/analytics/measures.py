"""Who stands where: degree, PageRank, betweenness, components, communities, and the shortest way between two."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import polars as pl

from graph.analytics.network import Network, seeded

DAMPING: Final = 0.85


def degrees(network: Network) -> pl.DataFrame:
    """How many edges come in and go out; both are one in a network without direction."""
    return network.told(incoming=network.graph.indegree(), outgoing=network.graph.outdegree())


def pagerank(network: Network) -> pl.DataFrame:
    """How much of a walk along the edges, by their weights, is spent at each node."""
    if not len(network.nodes):
        return network.told(pagerank=pl.Series([], dtype=pl.Float64))
    return network.told(pagerank=network.graph.pagerank(damping=DAMPING, weights="weight"))


def betweenness(network: Network, *, within: int | None = None) -> pl.DataFrame:
    """How many shortest ways (counted in edges) lead over each node. It costs nodes times edges: `within` leaves longer ways out."""
    return network.told(betweenness=pl.Series(network.graph.betweenness(cutoff=within), dtype=pl.Float64))


def components(network: Network) -> pl.DataFrame:
    """What hangs together at all, whatever the direction of edges: each node's group, called after its first member."""
    return network.named(network.graph.connected_components(mode="weak").membership)


def communities(network: Network, *, resolution: float = 1.0) -> pl.DataFrame:
    """What hangs together more closely than with the rest, by Leiden's method over modularity. Lots are drawn with a seed of ours."""
    with seeded():
        found = network.graph.community_leiden(objective_function="modularity", weights="weight", resolution=resolution, n_iterations=10)
    return network.named(found.membership)


def way(network: Network, begin: str, end: str) -> Sequence[str]:
    """The nodes of a shortest way between two, counted in edges, both included; empty where none leads there."""
    first, last = network.place(begin), network.place(end)
    if math.isinf(network.graph.distances(first, last, mode="out")[0][0]):
        return []
    steps = network.graph.get_shortest_path(first, last, weights=None, mode="out")
    return [network.nodes[step] for step in steps]
