"""Rows as Salesforce sends them, in the declared types; what cannot be turned is named per row.

Bulk results are CSV and parsed in one go by Arrow. A page that holds a bad value is parsed again as text and turned
column by column, as REST pages are; there the bad cell becomes null and its row says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv as pc

from pilothouse.kernel.errors import SourceUnavailable
from pilothouse.kernel.streams import DEFECT

_PARSE: Final = pc.ParseOptions(newlines_in_values=True)
_SHOWN: Final = 200  # characters of a bad value


def from_records(records: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.RecordBatch:
    """Records of a REST answer (decoded without floats) in the types of `schema`, which ends in `_defect`."""
    names = [name for name in schema.names if name != DEFECT]
    return _typed({name: pa.array([_text(record.get(name)) for record in records], pa.string()) for name in names}, len(records), schema)


def from_csv(body: bytes, schema: pa.Schema, expected: int | None, where: str) -> pa.RecordBatch:
    """A page of a bulk result in the types of `schema`. SourceUnavailable where it holds fewer rows than it says."""
    names = [name for name in schema.names if name != DEFECT]
    try:
        table = _parsed(body, {name: schema.field(name).type for name in names})
    except pa.ArrowException:
        table = None
    if table is None:
        try:
            texts = _parsed(body, dict.fromkeys(names, pa.binary()))
        except pa.ArrowException as error:
            raise SourceUnavailable(f"{where}: a page of the bulk result is broken: {error}", hint="it was cut on its way") from error
        batch = _typed({name: _single(texts[name]) for name in names}, texts.num_rows, schema)
    else:
        columns = [_single(table[name]) for name in names]
        batch = pa.RecordBatch.from_arrays([*columns, pa.nulls(table.num_rows, pa.string())], schema=schema)
    if expected is not None and batch.num_rows != expected:
        raise SourceUnavailable(
            f"{where}: a page of the bulk result has {batch.num_rows} rows and says it has {expected}", hint="it was cut on its way"
        )
    return batch


def _parsed(body: bytes, types: Mapping[str, pa.DataType]) -> pa.Table:
    return pc.read_csv(
        pa.BufferReader(body),
        # Pages are parsed side by side; blocks of one page need not be.
        read_options=pc.ReadOptions(use_threads=False, block_size=max(len(body), 1)),
        parse_options=_PARSE,
        convert_options=pc.ConvertOptions(
            column_types=types,
            include_columns=list(types),
            # Salesforce knows no empty text: an empty cell is null, quoted or not.
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
            timestamp_parsers=[pc.ISO8601],
            true_values=["true"],
            false_values=["false"],
        ),
    )


def _single(column: pa.ChunkedArray) -> pa.Array:
    combined = column.combine_chunks()
    return combined.chunk(0) if isinstance(combined, pa.ChunkedArray) else combined


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value or None
    return str(value).lower() if isinstance(value, bool) else str(value)


def _typed(texts: Mapping[str, pa.Array], rows: int, schema: pa.Schema) -> pa.RecordBatch:
    defects: dict[int, list[str]] = {}
    columns = [_column(column, schema.field(name), defects) for name, column in texts.items()]
    described = [("; ".join(defects[row]) if row in defects else None) for row in range(rows)] if defects else [None] * rows
    return pa.RecordBatch.from_arrays([*columns, pa.array(described, pa.string())], schema=schema)


def _column(texts: pa.Array, field: pa.Field, defects: dict[int, list[str]]) -> pa.Array:
    try:
        return _cast(texts, field.type)
    except pa.ArrowInvalid:
        values = texts.to_pylist()
    good: list[pa.Array] = []
    for row, value in enumerate(values):
        try:
            good.append(_cast(pa.array([value], texts.type), field.type))
        except pa.ArrowInvalid:
            good.append(pa.nulls(1, field.type))
            defects.setdefault(row, []).append(f"{field.name}: {_shown(value)!r} is no {_kind(field.type)}")
    return pa.concat_arrays(good)


def _cast(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    # From bytes to text first: that is where Arrow checks that they are UTF-8.
    return texts.cast(pa.string()).cast(kind)


def _shown(value: str | bytes) -> str:
    beginning = value[:_SHOWN]
    return beginning if isinstance(beginning, str) else beginning.decode(errors="backslashreplace")


def _kind(kind: pa.DataType) -> str:
    return "UTF-8" if pa.types.is_string(kind) else str(kind)
