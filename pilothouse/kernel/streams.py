"""What a source offers and what a read of it brings: the shapes between connectors, quality, lake and assets.

A connector yields batches of typed Arrow rows. It does not hash, check, deduplicate or write them: that is the
same for every source and happens once, downstream (`assets/loading.py`).

A row that cannot be turned into its declared types is not dropped and does not stop the read. The connector leaves
the field null, fills the extra string column `_defect` with what was wrong and the value as it came, and the quality
gate sends the row to quarantine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pyarrow as pa  # half a second that a list of streams does not need


Change = Literal["upsert", "insert", "delete"]
DEFECT = "_defect"


@dataclass(frozen=True)
class Cursor:
    """The field that tells when a row changed, and how late a change may still become visible.

    Sources commit out of order: a transaction that started earlier can appear later with an older timestamp. Each
    read starts `lag` before the last watermark; rows seen before are recognised by their hash and cost nothing.
    """

    field: str
    lag: timedelta = timedelta(minutes=5)


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One table a source offers, as a value. Connectors extend it with where the table is found.

    `deletes` says how a deletion becomes known:
    - `snapshot`: every read is complete, so a row that is missing is gone;
    - `tombstones`: the source reports deleted keys (`Batch.deleted`);
    - `keys`: reads bring changes only; the connector can list all keys cheaply, and a key that is missing is gone;
    - `never`: the source does not delete.
    """

    name: str
    key: tuple[str, ...]
    cursor: Cursor | None = None
    deletes: Literal["snapshot", "tombstones", "keys", "never"] = "snapshot"
    description: str = ""
    owner: str = ""
    announces: Mapping[Change, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Watermark:
    """How far a stream has been read: JSON that only its connector understands, kept in the commit of the rows."""

    position: Mapping[str, str | int | float | bool | None]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Rows, and the watermark that is true once they are durable.

    `rows` is streamed: nobody may assume that it fits into memory. Its schema is that of `Connector.schema`, plus
    `_defect` where a row could be unreadable. `deleted` holds the stream's key columns and `_changed_at` (UTC, may
    be null). `synthetic` has no default, so that no connector can forget to say whether the rows are real.
    `snapshot` says that the batches of this read together hold every row there is, so that a row known before and
    missing now is gone: true of each read of a `snapshot` stream, and of a delta stream that had to start over.
    `distinct` says that the source itself sees to it that no row comes twice in the batch; of all others it is checked.
    """

    rows: pa.RecordBatchReader | pa.Table
    watermark: Watermark | None
    synthetic: bool
    deleted: pa.Table | None = None
    snapshot: bool = False
    distinct: bool = False

    def reader(self) -> pa.RecordBatchReader:
        """The rows as a reader, whichever form they came in."""
        import pyarrow as pa

        return self.rows.to_reader() if isinstance(self.rows, pa.Table) else self.rows


def batch_of(
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    watermark: Watermark | None,
    *,
    synthetic: bool,
    snapshot: bool = False,
    distinct: bool = False,
) -> Batch:
    """A streamed batch from record batches that appear while they are consumed."""
    import pyarrow as pa

    rows = pa.RecordBatchReader.from_batches(schema, batches)
    return Batch(rows=rows, watermark=watermark, synthetic=synthetic, snapshot=snapshot, distinct=distinct)
