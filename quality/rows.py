"""Rows as JSON text and back: the form in which quarantine keeps whatever a source sent, of any schema.

The JSON is written by Polars, a column at a time; a quarantined day may hold hundreds of thousands of rows. Dates and
timestamps are ISO text, decimals text with all their digits, bytes base64.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

import polars as pl


def as_json(rows: pl.DataFrame) -> pl.Series:
    """Each row as one JSON object."""
    writable = rows.select(_writable(rows[name]) for name in rows.columns)
    return writable.select(pl.struct(pl.all()).struct.json_encode()).to_series()


def as_text(rows: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    """The values a rule judged, as text: the value itself of one column, a JSON object of several."""
    if len(columns) > 1:
        return as_json(rows.select(columns))
    values = _writable(rows[columns[0]])
    if values.dtype.is_nested():
        return as_json(values.to_frame())
    return values.cast(pl.String)


def from_json(texts: Sequence[str], schema: pl.Schema) -> pl.DataFrame:
    """Rows of that schema from their JSON. A column that a row does not have is null in it."""
    read = [json.loads(text) for text in texts]
    return pl.DataFrame([_column(name, dtype, [row.get(name) for row in read]) for name, dtype in schema.items()], schema=schema)


def _column(name: str, dtype: pl.DataType, values: list[Any]) -> pl.Series:
    if dtype == pl.Binary:
        return pl.Series(name, [None if value is None else base64.b64decode(value) for value in values], dtype=dtype)
    if isinstance(dtype, pl.Datetime):
        return _timestamps(name, dtype, values)
    if dtype.is_decimal():
        return pl.Series(name, values, dtype=pl.String).cast(dtype)
    if dtype == pl.Date:
        return pl.Series(name, values, dtype=pl.String).str.to_date("%Y-%m-%d")
    if dtype == pl.Time:
        return pl.Series(name, values, dtype=pl.String).str.to_time("%H:%M:%S%.f")
    return pl.Series(name, values, dtype=dtype)


def _timestamps(name: str, dtype: pl.Datetime, values: list[Any]) -> pl.Series:
    text = pl.Series(name, values, dtype=pl.String)
    if dtype.time_zone is None:
        return text.str.to_datetime(time_unit=dtype.time_unit, strict=True, format="%Y-%m-%dT%H:%M:%S%.f")
    return text.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%z", time_unit=dtype.time_unit, time_zone="UTC").dt.convert_time_zone(dtype.time_zone)


def _writable(values: pl.Series) -> pl.Series:
    """The column in a form that Polars can write as JSON; its writer panics at bytes."""
    if values.dtype == pl.Binary:
        return values.bin.encode("base64")
    if isinstance(values.dtype, pl.Datetime):
        return values.dt.to_string("iso:strict")
    if values.dtype == pl.Duration:
        return values.dt.to_string("iso")
    if values.dtype.is_nested() and not _plain(values.dtype):
        return pl.Series(
            values.name, [None if value is None else json.dumps(value, default=str) for value in values.to_list()], dtype=pl.String
        )
    return values


def _plain(dtype: Any) -> bool:
    if isinstance(dtype, pl.Struct):
        return all(_plain(field.dtype) for field in dtype.fields)
    if isinstance(dtype, pl.List | pl.Array):
        return _plain(dtype.inner)
    return dtype not in (pl.Binary, pl.Duration, pl.Object)
