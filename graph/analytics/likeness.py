"""Which nodes have the same around them: firms that buy the same products, or that have the same neighbours.

A sparse matrix times itself, some rows at a time, each of which keeps its best: pairs are many, and nobody wants them all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import polars as pl

from graph.analytics.network import DIGITS

_ROWS: Final = 2_048
SCHEMA: Final = {
    "node": pl.String,
    "other": pl.String,
    "shared": pl.Int64,
    "jaccard": pl.Float64,
    "adamic_adar": pl.Float64,
}


def alike(has: pl.DataFrame, *, best: int | None = None, least: float = 0.0, common: int | None = None) -> pl.DataFrame:
    """For each node those that are most like it. `has` says by the columns node and item who has what.

    `jaccard` is the part of what either has that both have; `adamic_adar` counts what both have, rare things more than common ones.
    Items that more than `common` nodes have are left out: they say little, and cost their number squared. Pairs below `least` (of
    Jaccard) are dropped, and of the others the `best` of each node are kept.
    """
    pairs = has.select(pl.col("node", "item").cast(pl.String)).unique()
    if common is not None:
        pairs = pairs.filter(pl.len().over("item") <= common)
    if pairs.is_empty():
        return pl.DataFrame(schema=SCHEMA)
    nodes, items = pairs["node"].unique().sort(), pairs["item"].unique().sort()
    parts = list(_parts(_matrix(pairs, nodes, items), best, least))
    rows, others, shared, jaccard, adamic = (np.concatenate(each) for each in zip(*parts, strict=True))
    return pl.DataFrame(
        {
            "node": nodes[rows],
            "other": nodes[others],
            "shared": pl.Series(shared, dtype=pl.Int64),
            "jaccard": pl.Series(jaccard).round(DIGITS),
            "adamic_adar": pl.Series(adamic).round(DIGITS),
        }
    )


def neighbours(edges: pl.DataFrame) -> pl.DataFrame:
    """Who has whom beside it, for `alike`: edges without their direction."""
    both = [edges.select(node=one, item=other) for one, other in (("source", "target"), ("target", "source"))]
    return pl.concat(both).filter(pl.col("node") != pl.col("item"))


def _matrix(pairs: pl.DataFrame, nodes: pl.Series, items: pl.Series) -> Any:
    from scipy.sparse import csr_array

    rows, columns = nodes.search_sorted(pairs["node"]).to_numpy(), items.search_sorted(pairs["item"]).to_numpy()
    return csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(nodes), len(items)))


def _parts(matrix: Any, best: int | None, least: float) -> Iterator[tuple[Any, ...]]:
    counts = np.asarray(matrix.sum(axis=1)).ravel()
    popular = np.asarray(matrix.sum(axis=0)).ravel()
    rarity = 1 / np.log(np.maximum(popular, 2))  # what one alone has counts for no pair
    turned, weighted = matrix.T.tocsr(), (matrix * rarity).tocsr()
    for begin in range(0, matrix.shape[0], _ROWS):
        shared = (matrix[begin : begin + _ROWS] @ turned).tocsr()
        weights = (weighted[begin : begin + _ROWS] @ turned).tocsr()
        shared.sort_indices()
        weights.sort_indices()
        rows = np.repeat(np.arange(shared.shape[0]), np.diff(shared.indptr)) + begin
        others, both = shared.indices.astype(np.int64), shared.data
        jaccard = both / (counts[rows] + counts[others] - both)
        # of equal ones the first by name, so that the best are the same in every run
        order = np.lexsort((others, -np.round(weights.data, DIGITS), -np.round(jaccard, DIGITS), rows))
        kept = order[(others[order] != rows[order]) & (jaccard[order] >= least)]
        if best is not None and len(kept):
            starts = np.flatnonzero(np.r_[True, np.diff(rows[kept]) != 0])
            rank = np.arange(len(kept)) - np.repeat(starts, np.diff(np.r_[starts, len(kept)]))
            kept = kept[rank < best]
        yield rows[kept], others[kept], both[kept], jaccard[kept], weights.data[kept]
