"""One Delta table: appended, replaced and read at a version.

Merging at arrival costs 0.6 to 5.9 s for 100,000 rows of five million and rewrites history that a decision may point
to; appending costs 0.15 s and keeps it. So raw tables only grow, and the current row is a view (`dbt_project/staging`).

Rows and watermark land in one Delta commit, whose application transaction is the commit's sequence number. A crash
before it loses nothing durable; a crash after it is seen by the next sync, which starts from the new watermark; and of
two writers at once the store lets one win. Every read names a version and records itself (`versions.note_read`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal

import polars as pl
import pyarrow as pa
import pyarrow.fs as pafs
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Schema, TableFeatures, Transaction
from deltalake.exceptions import TableNotFoundError
from deltalake.transaction import create_table_with_add_actions

from pilothouse.kernel.ahead import ahead
from pilothouse.kernel.errors import CommitConflict, LakeError
from pilothouse.kernel.lake.commit import TRANSACTION, Commit, encode_schema
from pilothouse.kernel.lake.digest import Digest
from pilothouse.kernel.lake.duck import Scan
from pilothouse.kernel.lake.files import Files, delta_schema, row_count
from pilothouse.kernel.lake.opened import OF_ROWS, Opened
from pilothouse.kernel.lake.translation import translated
from pilothouse.kernel.stores import filesystem
from pilothouse.kernel.versions import Pinned, note_read, note_written

_NO_ZONE = "timestampNtz"  # the feature that a table needs for moments without a time zone
_AFTER_COMMIT = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)
_NO_RETRY = CommitProperties(max_commit_retries=0)  # who was faster has changed what this commit was made for
_GONE = "_gone"  # the column that tells a merge which rows to take out
# Which columns delta-rs keeps bounds of in files that a merge writes: it cuts those of moments below their value.
_INDEXED = "delta.dataSkippingStatsColumns"
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

    def opened(self, version: int | None = None) -> Opened:
        """The table at a version (the newest one by default), for who asks more than one thing of it."""
        return Opened(self.name, self.uri, self.delta(version))

    def version(self) -> int:
        """The newest version."""
        return int(self.delta().version())

    def content_version(self) -> int:
        """The version since which the table says what it says now: upkeep commits too, and changes no row."""
        return self.opened().content

    def content_versions(self, after: int = -1) -> list[tuple[int, datetime]]:
        """The versions above `after` that changed rows, oldest first, each with the moment of its commit."""
        entries = [entry for entry in self.history() if entry["version"] > after and entry.get("operation") in OF_ROWS]
        return [(int(entry["version"]), datetime.fromtimestamp(entry["timestamp"] / 1000, UTC)) for entry in reversed(entries)]

    def schema(self, version: int | None = None) -> pa.Schema:
        """The Arrow schema, with the field metadata that sources gave."""
        return self.opened(version).schema

    def rows(self, version: int | None = None) -> int:
        """How many rows the table holds, from its log alone."""
        return self.opened(version).rows

    def scan(self, version: int | None = None) -> pl.LazyFrame:
        """The rows at a version (the newest one by default), recorded in the open version vector."""
        there = self.opened(version)
        note_read(there.pinned)
        return pl.scan_delta(there.delta)

    def version_at(self, moment: datetime) -> int:
        """The version that was the newest at a moment; LakeError where the table did not exist yet."""
        for entry in self.history():
            if datetime.fromtimestamp(entry["timestamp"] / 1000, UTC) <= moment:
                return int(entry["version"])
        raise LakeError(f"{self.name}: did not exist at {moment.isoformat()}", hint=f"`pilothouse history {self.name}` shows since when")

    def pinned(self, version: int | None = None) -> Pinned:
        """The table at a version as an entry of a version vector."""
        return self.opened(version).pinned

    def history(self, limit: int | None = None) -> list[dict[str, Any]]:
        """Delta's own history, newest first."""
        return self.opened().history(limit)

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
        return self._written(rows, "append", commit)

    def replace(self, rows: pa.RecordBatchReader, metadata: Mapping[str, str] | None = None, *, key: Sequence[str] = ()) -> Pinned:
        """Make these rows the table. Equal content (whatever its order) publishes no new version.

        Whether anything changed is known only after the last row: its files are written by then, and the commit that would
        have named them is what is left out. `key` names the columns by which rows of the table will be looked up.
        """
        digest = Digest.of(delta_schema(rows.schema))
        counted = pa.RecordBatchReader.from_batches(rows.schema, digest.counting(rows))

        def news(there: Opened | None) -> Mapping[str, str] | None:
            return None if there is not None and there.told_digest() == digest else {**(metadata or {}), **digest.as_metadata()}

        return self._write(counted, "overwrite", news, key=key)

    def merge(self, key: Sequence[str], removed: pa.Table, added: pa.Table, metadata: Mapping[str, str] | None = None) -> Pinned:
        """Take rows out and put rows in, by one commit that rewrites only the files they are in. A key that is in both is a row
        that changed. Both are whole rows: what the table says as a whole (`digest`) follows from them without reading it."""
        there = self.opened()
        delta = there.delta
        digest = (there.told_digest() or self._measured(delta.version())).without(removed).including(added)
        gone = removed.select(key).join(added.select(key), list(key), join_type="left anti")
        source = pa.concat_tables(
            [
                added.append_column(_GONE, pa.repeat(False, added.num_rows)),  # noqa: FBT003 - a value
                gone.append_column(_GONE, pa.repeat(True, gone.num_rows)),  # noqa: FBT003 - a value
            ],
            promote_options="default",
        )
        with translated(self.uri):
            written = replace(there.pinned, version=str(delta.version() + 1))
            (
                delta.merge(
                    source.cast(_nullable(source.schema)),
                    " AND ".join(f'target."{name}" = source."{name}"' for name in key),
                    source_alias="source",
                    target_alias="target",
                    commit_properties=CommitProperties(custom_metadata={**(metadata or {}), **digest.as_metadata()}, max_commit_retries=0),
                    post_commithook_properties=_AFTER_COMMIT,
                )
                .when_matched_delete(f"source.{_GONE}")
                .when_matched_update_all(except_cols=[_GONE])
                .when_not_matched_insert_all(f"NOT source.{_GONE}", except_cols=[_GONE])
                .execute()
            )
        note_written(written)
        return written

    def retype(self, content: pa.Schema, last: Commit) -> Pinned:
        """Write every row anew under wider types of its content columns: Delta cannot widen a column in place. The commit
        carries the last one's watermark on, and the rows keep their identity, so nothing is read or announced again."""
        kept = delta_schema(content)
        schema = pa.schema([kept.field(field.name) if field.name in kept.names else field for field in self.schema()])
        rows = (batch for frame in self.scan().collect_batches() for batch in frame.to_arrow().cast(schema).to_batches())
        commit = replace(last, sequence=last.sequence + 1, batch_id=f"{last.batch_id}, retyped", contract=encode_schema(content))
        return self._written(pa.RecordBatchReader.from_batches(schema, rows), "overwrite", commit)

    def prune(self, staying: pl.LazyFrame, last: Commit) -> Pinned:
        """Write the rows that stay anew, without the others. The commit carries the last one's watermark on. CommitConflict where
        somebody has appended since."""
        schema = self.schema()
        rows = (batch for frame in staying.collect_batches() for batch in frame.to_arrow().cast(schema).to_batches())
        commit = replace(last, sequence=last.sequence + 1, batch_id=f"{last.batch_id}, pruned")
        return self._written(pa.RecordBatchReader.from_batches(schema, rows), "overwrite", commit)

    def _written(self, rows: pa.RecordBatchReader, mode: Literal["append", "overwrite"], commit: Commit) -> Pinned:
        return self._write(rows, mode, lambda _: commit.encode(), commit.sequence)

    def digest(self, version: int | None = None, columns: list[str] | None = None) -> str:
        """What the rows say, whatever their order and files: equal digests, equal content."""
        return self._measured(version, columns).hexdigest()

    def told_digest(self) -> str | None:
        """The digest that the newest commit of rows tells of itself; None where none does."""
        told = self.opened().told_digest()
        return told.hexdigest() if told else None

    def files(self, version: int | None = None) -> Scan:
        """The files of a version, recorded like any read: what DuckDB reads."""
        return self.opened(version).files()

    def difference(self, since: int, version: int | None = None) -> tuple[Scan, Scan]:
        """The files that a version lost and gained against an earlier one: every row that changed between the two is in them,
        among others that a rewrite of their file brought along. LakeError where one is gone."""
        return self.lost_and_gained(since, self.opened(version))

    def lost_and_gained(self, since: int, there: Opened) -> tuple[Scan, Scan]:
        """The same, of a version that is open."""
        before, now = self.delta(since), there.delta
        note_read(there.pinned)
        if before.metadata().id != now.metadata().id:
            raise LakeError(f"{self.name}: version {since} is of an earlier table of that name", hint="read the table as a whole")
        old, new = before.file_uris(), now.file_uris()
        schema, kept = there.schema, set(old) & set(new)
        lost = Scan(tuple(uri for uri in old if uri not in kept), schema)
        store, root = filesystem(self.uri, self._options)
        paths = [f"{root}/{uri.removeprefix(self.uri).removeprefix('/')}" for uri in lost.uris]
        if any(info.type == pafs.FileType.NotFound for info in store.get_file_info(paths)):
            raise LakeError(f"{self.name}: version {since} has expired", hint="read the table as a whole")
        return lost, Scan(tuple(uri for uri in new if uri not in kept), schema)

    def _write(
        self,
        rows: pa.RecordBatchReader,
        mode: Literal["append", "overwrite"],
        told: Callable[[Opened | None], Mapping[str, Any] | None],
        sequence: int | None = None,
        key: Sequence[str] = (),
    ) -> Pinned:
        """Write the rows to files while more of them are made, then commit the files. A sequence is committed once. What the commit
        tells is asked when all rows are written, with the table as it was before; None means that it says the same already."""
        there = self.opened() if self.exists() else None
        delta = there.delta if there is not None else None
        with translated(self.uri):
            schema = delta_schema(rows.schema)
            if delta is not None:
                if sequence is not None:
                    self._refuse_taken(delta, sequence)
                schema = self._grown(delta, schema) if mode == "append" else self._admitting(delta, schema)
            files = Files(self.uri, self._options)
            added = files.write(ahead(rows), schema)
            metadata = told(there)
            if metadata is None and there is not None:
                files.discard(added)
                return there.pinned
            properties = CommitProperties(
                custom_metadata={**(metadata or {}), "operationMetrics": {"num_added_rows": row_count(added)}},
                app_transactions=None if sequence is None else [Transaction(TRANSACTION, sequence)],
                max_commit_retries=0,
            )
            if there is None or delta is None:
                create_table_with_add_actions(
                    self.uri,
                    Schema.from_arrow(schema),
                    added,
                    configuration={**_PROPERTIES, **({_INDEXED: ",".join(key)} if key else {})},
                    storage_options=self._options or None,
                    commit_properties=properties,
                    post_commithook_properties=_AFTER_COMMIT,
                )
                written = self.pinned(0)
            else:
                # Without a retry the commit is the very next version. Asking afterwards could tell of a later one, by somebody else.
                written = replace(there.pinned, version=str(delta.version() + 1))
                kept = delta.schema() if mode == "append" else schema
                delta.create_write_transaction(
                    list(added), mode, kept, commit_properties=properties, post_commithook_properties=_AFTER_COMMIT
                )
        note_written(written)
        return written

    def _refuse_taken(self, delta: DeltaTable, sequence: int) -> None:
        taken = delta.transaction_version(TRANSACTION)
        if taken is not None and taken >= sequence:
            raise CommitConflict(
                f"{self.name}: batch {sequence} is already committed", hint="another sync was faster; sync again to read what is new"
            )

    def _admitting(self, delta: DeltaTable, schema: pa.Schema) -> pa.Schema:
        """Let the table hold moments without a zone where the new rows have some: a feature, and a commit of its own."""
        features = delta.protocol().reader_features or []
        if _NO_ZONE not in features and any(_without_zone(field.type) for field in schema):
            delta.alter.add_feature(
                TableFeatures.TimestampWithoutTimezone, allow_protocol_versions_increase=True, commit_properties=_NO_RETRY
            )
        return schema

    def _grown(self, delta: DeltaTable, schema: pa.Schema) -> pa.Schema:
        """Add the columns that the table lacks, by a commit of its own; returns the schema for the rows' files. A crash after it
        leaves columns without values, which the retry then fills."""
        there = pa.schema(delta.schema().to_arrow())
        for field in schema:
            if field.name in there.names and not field.type.equals(there.field(field.name).type):
                raise LakeError(
                    f"{self.name}: column {field.name} holds {there.field(field.name).type}, and {field.type} came",
                    hint="a column keeps its type while its table grows: retype the table, or convert the values",
                )
        lacking = [field.name for field in there if not field.nullable and field.name not in schema.names]
        if lacking:
            raise LakeError(f"{self.name}: column {lacking[0]} must have a value and did not come", hint="bring it, or replace the table")
        new = [field.with_nullable(nullable=True) for field in schema if field.name not in there.names]
        if new:
            delta.alter.add_columns(Schema.from_arrow(pa.schema(new)).fields, commit_properties=_NO_RETRY)
        # The table's own description of a column stays, whatever the source says of it today; that stands in the commit's contract.
        return pa.schema([field if field.name not in there.names else there.field(field.name) for field in schema])

    def _measured(self, version: int | None = None, columns: list[str] | None = None) -> Digest:
        there = self.opened(version)
        note_read(there.pinned)
        scan, digest = pl.scan_delta(there.delta), Digest.of(there.schema)
        for frame in scan.select(columns or scan.collect_schema().names()).collect_batches(chunk_size=200_000):
            digest.add(frame)
        return digest


def _without_zone(kind: pa.DataType) -> bool:
    if pa.types.is_timestamp(kind):
        return kind.tz is None
    return any(_without_zone(kind.field(number).type) for number in range(kind.num_fields))


def _nullable(schema: pa.Schema) -> pa.Schema:
    return pa.schema([field.with_nullable(nullable=True) for field in schema])
