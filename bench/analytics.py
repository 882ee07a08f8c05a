"""Graph analytics at a million nodes and three million edges: what each measure costs, beside networkx where that comes to an end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import networkx as nx
import numpy as np
import polars as pl

from bench.figure import Figure, figure
from graph.analytics.likeness import alike
from graph.analytics.measures import communities, components, degrees, pagerank
from graph.analytics.network import Network
from graph.analytics.ownership import groups, holdings

NODES: Final = 1_000_000
EDGES: Final = 3_000_000


def figures() -> list[Figure]:
    chance = np.random.default_rng(7)
    edges = _edges(chance, NODES, EDGES)
    firms = pl.Series([f"firm{number:07}" for number in range(NODES)])
    network, made = _timed(lambda: _network(edges, firms))
    few = edges.head(EDGES // 20)
    small = nx.from_edgelist(few.select("source", "target").rows())
    _, theirs = _timed(lambda: nx.pagerank(small))
    _, ours = _timed(lambda: pagerank(_network(few, pl.Series([], dtype=pl.String))))
    owns = _owns(chance)
    has = pl.DataFrame({"node": firms.gather(chance.integers(0, NODES // 10, EDGES // 3)), "item": chance.integers(0, 200_000, EDGES // 3)})
    return [
        figure("1M nodes, 3M edges: the network", made, "s", better="lower"),
        figure("degree", _timed(lambda: degrees(network))[1], "s", better="lower"),
        figure("PageRank", _timed(lambda: pagerank(network))[1], "s", better="lower", bar=10),
        figure("components", _timed(lambda: components(network))[1], "s", better="lower", bar=10),
        figure("communities (Leiden)", _timed(lambda: communities(network))[1], "s", better="lower", bar=120),
        figure("PageRank of 150k edges, network included", ours, "s", better="lower", peer="networkx", peer_value=theirs),
        figure("groups of 1M firms by 300k holdings", _timed(lambda: groups(owns, firms))[1], "s", better="lower"),
        figure("holdings through others, of 300k", _timed(lambda: holdings(owns))[1], "s", better="lower"),
        figure("the ten most alike of 100k firms, 1M purchases", _timed(lambda: alike(has, best=10, least=0.1))[1], "s", better="lower"),
    ]


def _network(edges: pl.DataFrame, nodes: pl.Series) -> Network:
    network = Network(edges, nodes, directed=True)
    assert network.graph.vcount() > 0
    return network


def _edges(chance: np.random.Generator, nodes: int, edges: int) -> pl.DataFrame:
    ends = [pl.Series(chance.integers(0, nodes, edges)) for _ in range(2)]
    names = [pl.select(pl.format("firm{}", each.cast(pl.String).str.zfill(7))).to_series() for each in ends]
    return pl.DataFrame({"source": names[0], "target": names[1]}).filter(pl.col("source") != pl.col("target"))


def _owns(chance: np.random.Generator) -> pl.DataFrame:
    """A forest: who owns stands before what is owned."""
    owned = np.sort(chance.choice(np.arange(1, NODES), 300_000, replace=False))
    owner = (owned * chance.random(len(owned))).astype(np.int64)
    share = np.where(chance.random(len(owned)) < 0.6, 1.0, chance.uniform(0.51, 0.99, len(owned)))
    names = [pl.select(pl.format("firm{}", pl.Series(each).cast(pl.String).str.zfill(7))).to_series() for each in (owner, owned)]
    return pl.DataFrame({"owner": names[0], "owned": names[1], "share": share})


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    began = time.perf_counter()
    result = work()
    return result, time.perf_counter() - began
