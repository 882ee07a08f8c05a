"""Record batches as ADBC delivers them, turned into the declared types; what cannot be turned is named per row.

Numerics come as text, and the driver writes dates without looking: `infinity` and years that 64 bits of
microseconds since 1970 cannot hold arrive as numbers that wrapped around. So each batch is checked in bulk (a
minimum and a maximum a column), and only a batch with a bad value is looked at row by row.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pilothouse.kernel.streams import DEFECT

_EPOCH_DAYS: Final = 10_957  # PostgreSQL counts from 2000-01-01
_EPOCH_MICROSECONDS: Final = _EPOCH_DAYS * 86_400_000_000
_FIRST_DAY: Final = int(np.datetime64("0001-01-01", "D").astype(np.int64))
_LAST_DAY: Final = int(np.datetime64("9999-12-31", "D").astype(np.int64))
_BOUNDS: Final = {
    32: (_FIRST_DAY, _LAST_DAY),
    64: (_FIRST_DAY * 86_400_000_000, (_LAST_DAY + 1) * 86_400_000_000 - 1),
}


def decoded(batch: pa.RecordBatch, schema: pa.Schema, *, trusted_text: bool = True) -> pa.RecordBatch:
    """The batch in the types of `schema`; where that has a `_defect` column, unreadable values are null and named there.

    `trusted_text` is false for a database that stores bytes without an encoding (SQL_ASCII): its text is checked.
    """
    defects: dict[int, list[str]] = {}
    columns: list[pa.Array] = []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        plain = column.storage if isinstance(column, pa.ExtensionArray) else column
        columns.append(_column(plain, schema.field(name), defects, trusted_text=trusted_text))
    if DEFECT in schema.names:
        columns.append(_described(defects, batch.num_rows))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def has_defects(schema: pa.Schema, *, trusted_text: bool = True) -> bool:
    """Whether a row of this schema could be unreadable."""
    return any(
        pa.types.is_decimal(t) or pa.types.is_temporal(t) or (pa.types.is_string(t) and not trusted_text)
        for t in (field.type for field in schema)
    )


def _column(column: pa.Array, field: pa.Field, defects: dict[int, list[str]], *, trusted_text: bool) -> pa.Array:
    if pa.types.is_decimal(field.type):
        return _decimals(column, field, defects)
    if pa.types.is_temporal(field.type):
        return _moments(column, field, defects)
    if pa.types.is_string(field.type) and not trusted_text:
        return _texts(column, field, defects)
    return column if column.type == field.type else column.cast(field.type)


def _decimals(column: pa.Array, field: pa.Field, defects: dict[int, list[str]]) -> pa.Array:
    try:
        return column.cast(field.type)
    except pa.ArrowInvalid:
        unreal = pc.equal(column, "NaN")  # the one value of numeric(p,s) that is no number
    for row in pc.indices_nonzero(unreal).to_pylist():
        _note(defects, row, f"{field.name}: 'NaN' is no {field.type}")
    return pc.if_else(unreal, pa.scalar(None, column.type), column).cast(field.type)


def _moments(column: pa.Array, field: pa.Field, defects: dict[int, list[str]]) -> pa.Array:
    width = field.type.bit_width
    numbers = column.cast(pa.int32() if width == 32 else pa.int64())
    first, last = _BOUNDS[width]
    extremes = pc.min_max(numbers).as_py()
    if extremes["min"] is None or (extremes["min"] >= first and extremes["max"] <= last):
        return column if column.type == field.type else column.cast(field.type)
    inside = pc.and_(pc.greater_equal(numbers, first), pc.less_equal(numbers, last))
    for row in pc.indices_nonzero(pc.invert(inside)).to_pylist():
        _note(defects, row, f"{field.name}: {_moment(numbers[row].as_py(), width)} is outside of the years 1 to 9999")
    return pc.if_else(inside, numbers, pa.scalar(None, numbers.type)).cast(field.type)


def _moment(number: int, width: int) -> str:
    """A moment as PostgreSQL would write it, out of the number that wrapped around."""
    offset = _EPOCH_DAYS if width == 32 else _EPOCH_MICROSECONDS
    half, whole = 1 << (width - 1), 1 << width
    original = (number - offset + half) % whole - half
    if original in {half - 1, -half}:
        return "infinity" if original > 0 else "-infinity"
    days = _EPOCH_DAYS + (original if width == 32 else original // 86_400_000_000)
    year = int(np.datetime64(days, "D").astype("datetime64[Y]").astype(np.int64)) + 1970
    return f"a moment in the year {year}"


def _texts(column: pa.Array, field: pa.Field, defects: dict[int, list[str]]) -> pa.Array:
    raw = column.cast(pa.binary())
    try:
        return raw.cast(pa.string())  # checks that it is UTF-8
    except pa.ArrowInvalid:
        contents = raw.to_pylist()
    texts: list[str | None] = []
    for row, content in enumerate(contents):
        try:
            texts.append(None if content is None else content.decode())
        except UnicodeDecodeError:
            texts.append(None)
            _note(defects, row, f"{field.name}: {content[:200]!r} is no UTF-8")
    return pa.array(texts, field.type)


def _note(defects: dict[int, list[str]], row: int, what: str) -> None:
    defects.setdefault(row, []).append(what)


def _described(defects: dict[int, list[str]], rows: int) -> pa.Array:
    if not defects:
        return pa.nulls(rows, pa.string())
    return pa.array(["; ".join(defects[row]) if row in defects else None for row in range(rows)], pa.string())
