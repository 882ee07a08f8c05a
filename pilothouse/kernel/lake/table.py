"""One Delta table: appended, replaced and read at a version.

Merging at arrival costs 0.6 to 5.9 s for 100,000 rows of five million and rewrites history that a decision may point
to; appending costs 0.15 s and keeps it. So raw tables only grow, and the current row is a view (`dbt_project/staging`).

Rows and watermark land in one Delta commit, whose application transaction is the commit's sequence number. A crash
before it loses nothing durable; a crash after it is seen by the next sync, which starts from the new watermark; and of
two writers at once the store lets one win. Every read names a version and records itself (`versions.note_read`).
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from deltalake import (
    ColumnProperties,
    CommitProperties,
    DeltaTable,
    PostCommitHookProperties,
    Transaction,
    WriterProperties,
    write_deltalake,
)
from deltalake.exceptions import TableNotFoundError

from pilothouse.kernel.ahead import ahead
from pilothouse.kernel.errors import CommitConflict, LakeError, PilothouseError
from pilothouse.kernel.lake.commit import TRANSACTION, Commit, encode_schema
from pilothouse.kernel.lake.identity import row_hashes
from pilothouse.kernel.lake.translation import translated
from pilothouse.kernel.versions import Pinned, note_read, note_written

# zstd level 1 halves the files of level 0 (snappy) at the same speed; statistics beyond the identity columns serve pruning by users.
# The writer holds a row group in memory, and statistics of smaller ones prune better. A dictionary that outgrows 64 KiB belongs to
# a column of ever new values (hashes, keys, moments): giving up on it early saves a third of the writing and makes smaller files.
_HASH = ColumnProperties(dictionary_enabled=False, statistics_enabled="NONE")
_WRITER = WriterProperties(
    compression="ZSTD",
    compression_level=1,
    max_row_group_size=1 << 18,
    dictionary_page_size_limit=1 << 16,
    column_properties={"_row_id": _HASH, "_row_hash": _HASH},
)
_PROPERTIES: Mapping[str, str | None] = {
    "delta.enableDeletionVectors": "false",  # delta-rs cannot read them into Arrow
    "delta.enableExpiredLogCleanup": "false",  # the log is cut by `upkeep` alone, which knows what is pinned
}


class Table:
    """A table of the lake by its name, whether it exists yet or not."""

    def __init__(self, name: str, uri: str, storage_options: dict[str, str]) -> None:
        self.name = name
        self.uri = uri
        self._options = storage_options

    def __repr__(self) -> str:
        return f"Table({self.name})"

    def exists(self) -> bool:
        """Whether anything was ever committed to it."""
        with translated(self.uri):
            return DeltaTable.is_deltatable(self.uri, self._options)

    def delta(self, version: int | None = None) -> DeltaTable:
        """The table as delta-rs sees it; LakeError where the table or the version is not there."""
        with translated(self.uri):
            try:
                return DeltaTable(self.uri, version=version, storage_options=self._options)
            except TableNotFoundError as error:
                raise LakeError(f"{self.name}: there is no such table", hint="`pilothouse tables` lists the tables there are") from error
            except Exception as error:
                if version is not None and "version" in str(error).lower():
                    raise LakeError(
                        f"{self.name}: version {version} cannot be read ({error})",
                        hint=f"`pilothouse history {self.name}` lists its versions",
                    ) from error
                raise

    def version(self) -> int:
        """The newest version."""
        return int(self.delta().version())

    def schema(self, version: int | None = None) -> pa.Schema:
        """The Arrow schema, with the field metadata that sources gave."""
        schema: pa.Schema = pa.schema(self.delta(version).schema().to_arrow())
        return schema

    def rows(self, version: int | None = None) -> int:
        """How many rows the table holds, from its log alone."""
        return int(self.delta(version).count())

    def scan(self, version: int | None = None) -> pl.LazyFrame:
        """The rows at a version (the newest one by default), recorded in the open version vector."""
        delta = self.delta(version)
        note_read(self._pinned(delta))
        return pl.scan_delta(delta)

    def dataset(self, version: int | None = None) -> Any:
        """The rows at a version as an Arrow dataset, recorded like any read: what DuckDB scans lazily."""
        delta = self.delta(version)
        note_read(self._pinned(delta))
        return delta.to_pyarrow_dataset()

    def version_at(self, moment: datetime) -> int:
        """The version that was the newest at a moment; LakeError where the table did not exist yet."""
        for entry in self.history():
            if datetime.fromtimestamp(entry["timestamp"] / 1000, UTC) <= moment:
                return int(entry["version"])
        raise LakeError(f"{self.name}: did not exist at {moment.isoformat()}", hint=f"`pilothouse history {self.name}` shows since when")

    def pinned(self, version: int | None = None) -> Pinned:
        """The table at a version as an entry of a version vector."""
        return self._pinned(self.delta(version))

    def history(self, limit: int | None = None) -> list[dict[str, Any]]:
        """Delta's own history, newest first."""
        with translated(self.uri):
            return self.delta().history(limit)

    def commits(self, after: int = -1) -> Iterator[tuple[int, Commit]]:
        """The batches with a version above `after`, oldest first."""
        for entry in sorted(self.history(), key=lambda entry: int(entry["version"])):
            commit = Commit.decode(entry)
            if commit is not None and entry["version"] > after:
                yield entry["version"], commit

    def last_commit(self) -> Commit | None:
        """The newest batch; None before the first."""
        if not self.exists():
            return None
        for limit in (20, None):  # compaction and properties rarely push a batch out of the newest twenty
            for entry in self.history(limit):
                commit = Commit.decode(entry)
                if commit is not None:
                    return commit
        return None

    def append(self, rows: pa.RecordBatchReader, commit: Commit) -> Pinned:
        """Add rows under their commit: all of them, or none. CommitConflict where the sequence is taken."""
        delta = self.delta() if self.exists() else None  # opened once: every opening reads the log
        if delta is not None:
            self._refuse_taken(delta, commit)
            rows = _described_as(pa.schema(delta.schema().to_arrow()), rows)
        properties = CommitProperties(
            custom_metadata=commit.encode(), app_transactions=[Transaction(TRANSACTION, commit.sequence)], max_commit_retries=0
        )
        return self._write(rows, properties, mode="append", schema_mode="merge", delta=delta)

    def replace(self, rows: pa.RecordBatchReader, metadata: Mapping[str, str] | None = None) -> Pinned:
        """Make these rows the table. Equal content (whatever its order) publishes no new version.

        Whether anything changed is known only after the last row, so rows wait in a file, not in memory.
        """
        with tempfile.TemporaryFile(prefix="pilothouse-replace-") as spill:
            digest = _Digest(rows.schema)
            with pa.ipc.new_stream(spill, rows.schema) as writer:
                for batch in rows:
                    digest.add(pl.DataFrame(pl.from_arrow(batch)))
                    writer.write_batch(batch)
            if self.exists() and self._digest_kept() == digest.hexdigest():
                return self.pinned()
            spill.seek(0)
            properties = CommitProperties(custom_metadata={**(metadata or {}), "digest": digest.hexdigest()})
            return self._write(pa.ipc.open_stream(spill), properties, mode="overwrite", schema_mode="overwrite")

    def retype(self, content: pa.Schema, last: Commit) -> Pinned:
        """Write every row anew under wider types of its content columns: Delta cannot widen a column in place. The commit
        carries the last one's watermark on, and the rows keep their identity, so nothing is read or announced again."""
        fields = [content.field(field.name) if field.name in content.names else field for field in self.schema()]
        schema = pa.schema(fields)
        rows = (batch for frame in self.scan().collect_batches() for batch in frame.to_arrow().cast(schema).to_batches())
        commit = replace(last, sequence=last.sequence + 1, batch_id=f"{last.batch_id}, retyped", contract=encode_schema(content))
        properties = CommitProperties(custom_metadata=commit.encode(), app_transactions=[Transaction(TRANSACTION, commit.sequence)])
        return self._write(pa.RecordBatchReader.from_batches(schema, rows), properties, mode="overwrite", schema_mode="overwrite")

    def digest(self, version: int | None = None, columns: list[str] | None = None) -> str:
        """What the rows say, whatever their order and files: equal digests, equal content."""
        scan = self.scan(version)
        names = columns or scan.collect_schema().names()
        digest = _Digest(self.schema(version))
        for frame in scan.select(names).collect_batches(chunk_size=200_000):
            digest.add(frame)
        return digest.hexdigest()

    def _refuse_taken(self, delta: DeltaTable, commit: Commit) -> None:
        taken = delta.transaction_version(TRANSACTION)
        if taken is not None and taken >= commit.sequence:
            raise CommitConflict(
                f"{self.name}: batch {commit.sequence} is already committed", hint="another sync was faster; sync again to read what is new"
            )

    def _write(
        self, rows: pa.RecordBatchReader, properties: CommitProperties, *, mode: Any, schema_mode: Any, delta: DeltaTable | None = None
    ) -> Pinned:
        """Write through delta-rs. An error of ours that the rows' producer raised comes out as it was raised."""
        raised: list[BaseException] = []

        def watched() -> Iterator[pa.RecordBatch]:
            try:
                yield from ahead(rows)
            except BaseException as error:
                raised.append(error)
                raise

        exists = delta is not None or self.exists()
        with translated(self.uri):
            try:
                write_deltalake(
                    self.uri if delta is None else delta,
                    pa.RecordBatchReader.from_batches(rows.schema, watched()),
                    mode=mode,
                    schema_mode=schema_mode if exists else None,
                    configuration=None if exists else _PROPERTIES,
                    storage_options=self._options if delta is None and self._options else None,
                    writer_properties=_WRITER,
                    commit_properties=properties,
                    post_commithook_properties=PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False),
                )
            except Exception:
                if raised and isinstance(raised[0], PilothouseError):
                    raise raised[0] from None
                raise
        pinned = self.pinned() if delta is None else self._pinned(delta)
        note_written(pinned)
        return pinned

    def _digest_kept(self) -> str | None:
        entry = next(iter(self.history(1)), {})
        kept = entry.get("digest")
        return str(kept) if kept is not None else None

    def _pinned(self, delta: DeltaTable) -> Pinned:
        return Pinned("table", self.name, str(delta.version()), str(delta.metadata().id))


def _described_as(table: pa.Schema, rows: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """The rows with the table's own field metadata: Delta refuses to merge two descriptions of one column, and a source may
    reword a label any day. What the source says now stands in the commit's contract."""
    fields = [field.with_metadata(table.field(field.name).metadata) if field.name in table.names else field for field in rows.schema]
    schema = pa.schema(fields)
    return pa.RecordBatchReader.from_batches(schema, (pa.RecordBatch.from_arrays(batch.columns, schema=schema) for batch in rows))


class _Digest:
    """Sum of row hashes in two words, so that order does not matter, over the schema's names and types."""

    def __init__(self, schema: pa.Schema) -> None:
        self._words = np.zeros(3, dtype=np.uint64)
        self._schema = "|".join(sorted(f"{field.name}:{field.type}" for field in schema))

    def add(self, frame: pl.DataFrame) -> None:
        hashes = row_hashes(frame)
        self._words += np.array([hashes.high.sum(dtype=np.uint64), hashes.low.sum(dtype=np.uint64), len(hashes)], dtype=np.uint64)

    def hexdigest(self) -> str:
        return hashlib.sha256(self._schema.encode() + self._words.tobytes()).hexdigest()
