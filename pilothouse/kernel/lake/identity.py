"""Who a row is and what it says: the columns that every raw row carries.

`_row_id` is the hash of source, stream and natural key, so it is the same for ever and anywhere. `_row_hash` is the
hash of the content, so an unchanged row is recognised without comparing columns (`hashing`).

They come first in the table: Delta keeps statistics of the first 32 columns only, and `_changed_at` and `_batch_id` are
what reads are pruned by.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal

import polars as pl
import pyarrow as pa

from pilothouse.kernel.lake.hashing import Hashes, hash_rows


def _field(name: str, kind: pa.DataType, label: str, *, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={b"label": label.encode()})


IDENTITY: Final = pa.schema(
    [
        _field("_row_id", pa.binary(), "Hash of source, stream and natural key: the same for ever"),
        _field("_row_hash", pa.binary(), "Hash of the content"),
        _field("_change", pa.string(), "upsert or delete"),
        _field("_changed_at", pa.timestamp("us", "UTC"), "When the source says the row changed", nullable=True),
        _field("_seen_at", pa.timestamp("us", "UTC"), "When we read it; grows along the table"),
        _field("_batch_id", pa.string(), "The batch that brought it"),
        _field("_synthetic", pa.bool_(), "Whether the row comes from the enterprise in a box"),
    ]
)


def row_ids(frame: pl.DataFrame, source: str, stream: str, key: Sequence[str]) -> Hashes:
    """The identities of rows by their natural key."""
    return hash_rows(frame.select(key), salt=(source, stream), unique=True)


def row_hashes(frame: pl.DataFrame) -> Hashes:
    """The hashes of rows' content. Columns go by name, so their order in the source does not matter."""
    return hash_rows(frame.select(sorted(frame.columns)))


def stamp(
    content: pa.Table,
    ids: Hashes,
    hashes: Hashes,
    *,
    change: Literal["upsert", "delete"],
    changed_at: pl.Series,
    seen_at: datetime,
    batch_id: str,
    synthetic: pl.Series,
) -> pa.Table:
    """The rows with their identity columns before them. They stay in Arrow: a round trip through Polars copies every text twice."""
    values = {
        "_row_id": ids.as_arrow(),
        "_row_hash": hashes.as_arrow(),
        "_change": pa.repeat(change, content.num_rows),
        "_changed_at": changed_at.cast(pl.Datetime("us", "UTC")).to_arrow(),
        "_seen_at": pa.repeat(pa.scalar(seen_at, IDENTITY.field("_seen_at").type), content.num_rows),
        "_batch_id": pa.repeat(batch_id, content.num_rows),
        "_synthetic": synthetic.to_arrow(),
    }
    return pa.Table.from_arrays([*(values[name] for name in IDENTITY.names), *content.columns], schema=raw_schema(content.schema))


def raw_schema(content: pa.Schema) -> pa.Schema:
    """The schema of a raw table for content of this schema."""
    return pa.schema([*IDENTITY, *content])
