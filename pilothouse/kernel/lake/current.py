"""The rows that hold now, out of a raw table that keeps every version of every row.

The newest version is the one seen last; of versions seen in one batch, the one the source changed last. What the source
says about its own clock comes second, because clocks of sources go back.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl


def newest(rows: pl.LazyFrame, columns: Sequence[str]) -> pl.LazyFrame:
    """The newest version of each row, tombstones included: `_row_id` and the named columns."""
    order = ("_seen_at", "_changed_at")
    return rows.group_by("_row_id").agg(pl.col(name).sort_by(order).last() for name in columns if name != "_row_id")


def current(rows: pl.LazyFrame, columns: Sequence[str] | None = None) -> pl.LazyFrame:
    """The rows that exist now (deleted ones are gone), with the named columns or all of them."""
    chosen = list(columns) if columns is not None else rows.collect_schema().names()
    wanted = ["_row_id", *(name for name in chosen if name != "_row_id")]
    return newest(rows, [*wanted, *({"_change"} - set(wanted))]).filter(pl.col("_change") != "delete").select(wanted)
