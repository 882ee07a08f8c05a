"""The Parquet files of a table: written here, and made part of the table by the commit that names them.

delta-rs could write them too, but takes every batch through a query plan of its own: 1.5 core-seconds for a million rows
of 23 columns, where Arrow's writer takes 0.7 and makes smaller files. It also cuts the greatest value of a moment down to
the millisecond, below the value itself. What a broken write leaves behind is named by no commit; `upkeep` removes it.
"""

from __future__ import annotations

import json
import math
import time
import uuid
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from deltalake import Schema
from deltalake.fs import DeltaStorageHandler
from deltalake.transaction import AddAction

FILE_BYTES: Final = 128 << 20  # of a file once it is full: few enough for a listing, small enough to read in parallel
_GROUP_ROWS: Final = 20_000  # or a few more: whoever looks for one row reads no less than a group
_GROUP_BYTES: Final = 64 << 20
_PAGE_ROWS: Final = (
    4_096  # whoever looks for one row unpacks no more of its other columns; nobody looks for one of raw tables, which have hashes
)
_DICTIONARY_BYTES: Final = 1 << 16  # a dictionary that outgrows it belongs to a column of ever new values: giving up early is cheap
_COLUMNS_WITH_STATISTICS: Final = 32  # in the log, as Delta has it
_LONGEST: Final = 64  # characters of a text in the log's statistics
_HIGHEST: Final = "\U0010ffff"  # after a cut, so that the greatest value stays at least as great
_SAMPLE: Final = 1_000  # values that tell whether a text repeats
_NEW: Final = 0.9  # the share of values that came for the first time, from which on no dictionary helps
_HASHES: Final = frozenset({"_row_id", "_row_hash"})  # a range of hashes prunes nothing

_SIGNED: Final = {pa.uint8(): pa.int16(), pa.uint16(): pa.int32(), pa.uint32(): pa.int64(), pa.uint64(): pa.decimal128(20, 0)}


def delta_schema(schema: pa.Schema) -> pa.Schema:
    """The same columns in the types that Delta keeps them in: microseconds in UTC or without a zone, signed numbers, one kind of
    text; a time of day, a length of time and what has no type yet become text."""
    return pa.schema(Schema.from_arrow(pa.schema([field.with_type(_kept_as(field.type)) for field in schema])).to_arrow())


def _kept_as(kind: pa.DataType) -> pa.DataType:
    def inner(field: pa.Field) -> pa.Field:
        return field.with_type(_kept_as(field.type))

    if pa.types.is_time(kind) or pa.types.is_duration(kind) or pa.types.is_null(kind):
        return pa.string()
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", None if kind.tz is None else "UTC")
    if pa.types.is_struct(kind):
        return pa.struct([inner(field) for field in kind])
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(inner(kind.value_field))
    if pa.types.is_map(kind):
        return pa.map_(_kept_as(kind.key_type), inner(kind.item_field))
    return _SIGNED.get(kind, kind)


@dataclass(frozen=True)
class Files:
    """Where the files of one table go."""

    uri: str
    options: dict[str, str]

    def write(self, rows: Iterator[pa.RecordBatch], schema: pa.Schema) -> list[AddAction]:
        """Write the rows under this schema (of `delta_schema`); all files are complete when it returns, and gone when it raises."""
        if "://" not in self.uri:
            Path(self.uri).mkdir(parents=True, exist_ok=True)
        filesystem = self._filesystem()
        names: list[str] = []
        added: list[AddAction] = []
        groups = _row_groups(rows, schema)
        try:
            for first in groups:
                names.append(f"part-{len(names):05d}-{uuid.uuid4()}.zstd.parquet")
                size, metadata, nulls = _write_file(filesystem, names[-1], schema, first, groups)
                statistics = _statistics(metadata, schema, nulls)
                added.append(AddAction(names[-1], size, {}, int(time.time() * 1000), data_change=True, stats=statistics))
        except BaseException:
            self._delete(names)
            raise
        finally:
            groups.close()  # or the rows' producer would go on for as long as somebody looks at the error
        return added

    def discard(self, added: Iterable[AddAction]) -> None:
        """Remove files that no commit is going to name."""
        self._delete([action.path for action in added])

    def _filesystem(self) -> pafs.FileSystem:
        return pafs.PyFileSystem(DeltaStorageHandler(self.uri, self.options or None))

    def _delete(self, names: Iterable[str]) -> None:
        filesystem = self._filesystem()
        with suppress(OSError):  # a store that is away is not asked once more for every file
            for name in names:
                filesystem.delete_file(name)


def discard_unfinished(uri: str, before: datetime) -> None:
    """Remove what writes that were killed have left half written on a local disk. Nothing else lists such files: a name with
    `#` is how the store marks a file that is not there yet. An object store drops unfinished uploads by a rule of the bucket."""
    for path in Path(uri).glob("*.parquet#*") if "://" not in uri else ():
        with suppress(FileNotFoundError):  # it was finished meanwhile
            if path.stat().st_mtime < before.timestamp():
                path.unlink()


def row_count(added: Iterable[AddAction]) -> int:
    """How many rows these files hold."""
    return sum(json.loads(action.stats)["numRecords"] for action in added)


def _write_file(
    filesystem: pafs.FileSystem, name: str, schema: pa.Schema, first: pa.Table, more: Iterator[pa.Table]
) -> tuple[int, pq.FileMetaData, dict[str, int]]:
    """One file of the first rows and as many more as it takes to fill it: its size, what Parquet tells of its columns, and
    the nulls of those of which it must tell nothing. Bounds leave NaN out, and DuckDB takes a column whose two bounds are one
    value for a column of that value alone."""
    encodings = _encodings(first)
    nulls = {field.name: 0 for field in schema if pa.types.is_floating(field.type)}
    # Which does not compress. Codecs by column know no nested ones.
    random = _HASHES.intersection(schema.names) if not any(pa.types.is_nested(field.type) for field in schema) else frozenset()
    codecs = {field.name: "NONE" if field.name in random else "ZSTD" for field in schema}
    found: list[pq.FileMetaData] = []
    with (
        filesystem.open_output_stream(name) as sink,
        pq.ParquetWriter(
            sink,
            schema,
            compression=codecs if random else "ZSTD",
            compression_level={name: 1 for name, codec in codecs.items() if codec == "ZSTD"} if random else 1,
            use_dictionary=[field.name for field in schema if field.name not in encodings],
            column_encoding=encodings or None,
            dictionary_pagesize_limit=_DICTIONARY_BYTES,
            write_statistics=[field.name for field in schema if field.name not in _HASHES and field.name not in nulls],
            store_decimal_as_integer=True,
            max_rows_per_page=None if random else _PAGE_ROWS,
            store_schema=False,  # the table's own schema is what readers go by
            metadata_collector=found,
        ) as writer,
    ):
        group: pa.Table | None = first
        while group is not None:
            in_how_many = max(group.num_rows // _GROUP_ROWS, 1)
            writer.write_table(group, row_group_size=-(-group.num_rows // in_how_many))
            for floating in nulls:
                nulls[floating] += group.column(floating).null_count
            group = next(more, None) if sink.tell() < FILE_BYTES else None
        writer.close()
        size = sink.tell()
    return size, found[0], nulls


def _encodings(sample: pa.Table) -> dict[str, str]:
    """The encodings of columns whose values hardly repeat; all others make a dictionary. Moments and long integers lie close
    together and take the least space and time as differences, texts behind a list of their lengths."""
    found = {}
    for field in sample.schema:
        if pa.types.is_timestamp(field.type) or pa.types.is_int64(field.type):
            found[field.name] = "DELTA_BINARY_PACKED"
        elif pa.types.is_string(field.type) or pa.types.is_binary(field.type):
            values = sample.column(field.name)[:_SAMPLE].drop_null()
            # Values of which not even one fits into a dictionary need no comparing: a few of 100 MB take seconds.
            if len(values) and (values.nbytes > _DICTIONARY_BYTES * len(values) or len(values.unique()) > _NEW * len(values)):
                found[field.name] = "DELTA_LENGTH_BYTE_ARRAY"
    return found


def _row_groups(rows: Iterator[pa.RecordBatch], schema: pa.Schema) -> Generator[pa.Table]:
    waiting: list[pa.Table] = []
    count = size = 0
    with _closed(rows):
        for batch in rows:
            if not batch.num_rows:
                continue
            waiting.append(_cast(pa.Table.from_batches([batch]), schema))
            count += batch.num_rows
            size += batch.nbytes
            if count >= _GROUP_ROWS or size >= _GROUP_BYTES:
                yield pa.concat_tables(waiting)
                waiting, count, size = [], 0, 0
        if waiting:
            yield pa.concat_tables(waiting)


@contextmanager
def _closed(rows: Iterator[pa.RecordBatch]) -> Iterator[None]:
    """Whatever happens, the rows' producer has ended after it."""
    try:
        yield
    finally:
        close = getattr(rows, "close", None)
        if close is not None:
            close()


def _cast(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    if rows.schema.equals(schema):
        return rows
    columns = [rows.column(field.name).cast(options=pc.CastOptions(target_type=field.type, allow_time_truncate=True)) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _statistics(metadata: pq.FileMetaData, schema: pa.Schema, counted: Mapping[str, int]) -> str:
    """Delta's statistics of one file, out of Parquet's of its row groups and the nulls that were counted."""
    lowest: dict[str, Any] = {}
    highest: dict[str, Any] = {}
    told = {field.name for field in list(schema)[:_COLUMNS_WITH_STATISTICS] if not pa.types.is_nested(field.type)}
    nulls = {name: count for name, count in counted.items() if name in told}
    paths = Counter(metadata.schema.column(index).path for index in range(metadata.num_columns))
    for index in range(metadata.num_columns):
        chunks = [metadata.row_group(group).column(index) for group in range(metadata.num_row_groups)]
        name, found = chunks[0].path_in_schema, [chunk.statistics for chunk in chunks]
        if (
            name not in told or paths[name] > 1 or any(each is None for each in found)
        ):  # by identity: Arrow's statistics crash when compared with None
            continue
        nulls[name] = sum(each.null_count for each in found)
        filled = [each for each, chunk in zip(found, chunks, strict=True) if each.null_count < chunk.num_values]
        if filled and all(each.has_min_max for each in filled):
            with suppress(OverflowError, ValueError):  # a moment that Python has no word for
                low, high = min(each.min for each in filled), max(each.max for each in filled)
                if _tellable(low) and _tellable(high):
                    lowest[name], highest[name] = _told(low[:_LONGEST] if isinstance(low, str) else low), _told(_above(high))
    statistics = {"numRecords": metadata.num_rows, "minValues": lowest, "maxValues": highest, "nullCount": nulls}
    return msgspec.json.encode(statistics).decode()


def _above(value: Any) -> Any:
    """The value, or of a long text something short that is greater."""
    return value[:_LONGEST] + _HIGHEST if isinstance(value, str) and len(value) > _LONGEST else value


def _told(value: Any) -> Any:
    return msgspec.Raw(format(value, "f").encode()) if isinstance(value, Decimal) else value  # readers know no 0E-18


def _tellable(value: Any) -> bool:
    if isinstance(value, str):
        return not value[_LONGEST:].startswith(_HIGHEST)  # nothing short is greater
    return math.isfinite(value) if isinstance(value, float) else isinstance(value, bool | int | Decimal | datetime | date)
