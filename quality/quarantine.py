"""Rejected rows: kept with their key, the rule, the value and the batch, shown to people, and released by them.

A quarantine table is append-only like every raw table, so it is history too: a release appends a record of the same id
with the status `released`, and the state of a rejection is its newest record. The whole row is kept as JSON, whatever its
schema; `released` gives it back typed, and the loader sends it through the gate without the rules it was released from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, cast

import polars as pl
import pyarrow as pa

from pilothouse.kernel.errors import ConfigError
from quality.rows import from_json

SCHEMA: Final = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("stream", pa.string(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("rule", pa.string(), nullable=False),
        pa.field("column", pa.string()),
        pa.field("value", pa.string()),
        pa.field("row", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("rejected_at", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("released_at", pa.timestamp("us", "UTC")),
        pa.field("released_by", pa.string()),
        pa.field("_batch_id", pa.string(), nullable=False),
        pa.field("_synthetic", pa.bool_(), nullable=False),
    ]
)
_FRAME: Final = cast("pl.DataFrame", pl.from_arrow(SCHEMA.empty_table())).schema


@dataclass(frozen=True)
class Release:
    """Rejections that a person lets pass: the records to append, the rows once each as JSON, and the rules they are
    released from."""

    records: pa.Table
    rows: tuple[str, ...]
    rules: tuple[str, ...]


def records(rejected: pl.DataFrame, *, source: str, stream: str, batch_id: str, synthetic: bool, at: datetime | None = None) -> pa.Table:
    """A gate's rejections as records for `quarantine/<source>/<stream>`. A rejection's id says what it is, not when it came: a
    retry, or a bad row that the source shows on every read, is recognised."""
    moment = at or datetime.now(UTC)
    frame = rejected.with_columns(
        _ids(rejected, source, stream),
        source=pl.lit(source),
        stream=pl.lit(stream),
        status=pl.lit("open"),
        rejected_at=pl.lit(moment),
        released_at=pl.lit(None, pl.String),
        released_by=pl.lit(None, pl.String),
        _batch_id=pl.lit(batch_id),
        _synthetic=pl.lit(synthetic),
    )
    return _table(frame)


def current(history: pl.LazyFrame) -> pl.LazyFrame:
    """Each rejection once, in its newest state."""
    released = history.filter(pl.col("status") == "released").unique("id", keep="any")
    opened = history.filter(pl.col("status") == "open").unique("id", keep="any").join(released.select("id"), on="id", how="anti")
    return pl.concat([opened, released]).sort("rejected_at", "id")


def overview(history: pl.LazyFrame) -> pl.DataFrame:
    """What is open, by rule: rejections, rows, since when. A row that breaks three rules counts as one row in each."""
    return (
        current(history)
        .filter(pl.col("status") == "open")
        .group_by("source", "stream", "rule", "column")
        .agg(
            rejections=pl.len(),
            rows=pl.col("row").n_unique(),
            since=pl.col("rejected_at").min(),
            latest=pl.col("rejected_at").max(),
            example=pl.col("value").drop_nulls().first(),
            synthetic=pl.col("_synthetic").any(),
        )
        .sort("source", "stream", "rejections", "rule", descending=[False, False, True, False])
        .collect()
    )


def open_rejections(history: pl.LazyFrame, *, rule: str | None = None, ids: Sequence[str] = (), limit: int | None = None) -> pl.DataFrame:
    """The open rejections, of one rule or by their ids (a beginning that is unambiguous is enough)."""
    found = current(history).filter(pl.col("status") == "open")
    if rule is not None:
        found = found.filter(pl.col("rule") == rule)
    if ids:
        found = found.filter(pl.any_horizontal(pl.col("id").str.starts_with(beginning) for beginning in ids))
    frame = (found.head(limit) if limit is not None else found).collect()
    for beginning in ids:
        if (matches := frame.filter(pl.col("id").str.starts_with(beginning)).height) != 1:
            raise ConfigError(
                f"{matches} open rejections have an id that begins with {beginning!r}",
                hint="`pilothouse quarantine show` lists the ids; give a whole one",
            )
    return frame


def release(rejections: pl.DataFrame, history: pl.LazyFrame, *, by: str, at: datetime | None = None) -> Release:
    """Let these open rejections pass. A row leaves quarantine when none of its rejections stays open, so that a release from
    one rule does not wave it through another."""
    moment = at or datetime.now(UTC)
    closed = rejections.with_columns(status=pl.lit("released"), released_at=pl.lit(moment), released_by=pl.lit(by))
    together = ["_batch_id", "key", "row"]
    touched = current(history).join(rejections.lazy().select(together).unique(), on=together, how="semi").collect()
    still_open = touched.filter(pl.col("status") == "open").join(rejections.select("id"), on="id", how="anti")
    leaving = rejections.join(still_open.select(together), on=together, how="anti")
    freed_from = touched.join(leaving.select(together).unique(), on=together, how="semi")
    rows = tuple(leaving.unique(together, keep="first", maintain_order=True)["row"])
    return Release(_table(closed), rows, tuple(freed_from["rule"].unique().sort()))


def released(rows: Sequence[str], schema: pa.Schema) -> pl.DataFrame:
    """Released rows with the types of their stream, ready for `Gate(..., without=release.rules)`."""
    return from_json(rows, cast("pl.DataFrame", pl.from_arrow(schema.empty_table())).schema)


def staying(history: pl.LazyFrame, *, since: datetime) -> pl.LazyFrame:
    """The records of rejections that came, or were released, since that moment: what a retention leaves."""
    moment = pl.coalesce("released_at", "rejected_at")
    return history.filter(moment.max().over("id") >= since)


def _ids(rejected: pl.DataFrame, source: str, stream: str) -> pl.Series:
    prefix = f"{source}\0{stream}\0"
    parts = rejected.select(pl.concat_str("key", "rule", pl.col("column").fill_null(""), "row", separator="\0")).to_series()
    return pl.Series("id", [hashlib.blake2b((prefix + part).encode(), digest_size=10).hexdigest() for part in parts], dtype=pl.String)


def _table(frame: pl.DataFrame) -> pa.Table:
    return frame.select(pl.col(name).cast(dtype) for name, dtype in _FRAME.items()).to_arrow().cast(SCHEMA)
