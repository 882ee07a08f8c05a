"""Values written in a rule, as the type of the column they are compared with.

GX compares in Python, value by value, and a rule is written by hand: bounds of time are ISO text, sets mix whole and
broken numbers. Here the value is brought to the column's type once, and a value that cannot be (a number against a text
column) makes the rule unjudgeable, which is reported, never taken for success.

Two readings are ours, where GX has none: an amount of a decimal column is compared with the number as it is written (in
Python `Decimal("0.1") >= 0.1` is false), and a bound without a time zone against timestamps that have one means UTC.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl


class Unjudgeable(Exception):
    """The rule makes no sense for the column it names."""


def column(name: str, dtype: pl.DataType) -> pl.Expr:
    """The column with NaN as null: a NaN is no value, for GX on pandas neither."""
    return pl.col(name).fill_nan(None) if dtype.is_float() else pl.col(name)


def text(name: str, dtype: pl.DataType) -> pl.Expr:
    """The column as text, where its text is the same in every engine."""
    if dtype == pl.String:
        return pl.col(name)
    if dtype.is_integer() or isinstance(dtype, pl.Categorical | pl.Enum):
        return pl.col(name).cast(pl.String)
    raise Unjudgeable(f"column {name!r} is {dtype}, and only text and whole numbers have characters")


def comparable(name: str, dtype: pl.DataType, *bounds: Any) -> pl.Expr:
    """The column as it is compared with these bounds: a date is a midnight where a bound has a time."""
    if dtype == pl.Date and any(_moment(bound) != _moment(bound).replace(hour=0, minute=0, second=0, microsecond=0) for bound in bounds):
        return pl.col(name).cast(pl.Datetime("us"))
    return column(name, dtype)


def literal(value: Any, dtype: pl.DataType) -> pl.Expr:
    """A rule's value as it is compared with a column of that type."""
    if dtype.is_numeric() and isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return pl.lit(Decimal(str(value))) if dtype.is_decimal() else pl.lit(float(value) if isinstance(value, Decimal) else value)
    if dtype == pl.Date and isinstance(value, str | date):
        moment = _moment(value)
        return pl.lit(moment if moment.time() != datetime.min.time() else moment.date())
    if isinstance(dtype, pl.Datetime) and isinstance(value, str | date):
        return _timestamp(_moment(value), dtype)
    raise Unjudgeable(f"{value!r} cannot be compared with {dtype}")


def members(values: Iterable[Any], dtype: pl.DataType) -> pl.Series:
    """Those of a rule's values that a column of that type can hold; the others can never be met."""
    held = {held for value in values if (held := _member(value, dtype)) is not None}
    return pl.Series(sorted(held), dtype=pl.String if isinstance(dtype, pl.Categorical | pl.Enum) else dtype, strict=False)


def _member(value: Any, dtype: pl.DataType) -> Any:
    if dtype == pl.Boolean:
        return bool(value) if value in (True, False) else None
    if dtype == pl.String or isinstance(dtype, pl.Categorical | pl.Enum):
        return value if isinstance(value, str) else None
    if dtype.is_numeric():
        return _number(value, dtype)
    if dtype == pl.Date and isinstance(value, str | date):
        moment = _moment(value)
        return moment.date() if moment.time() == datetime.min.time() else None
    if isinstance(dtype, pl.Datetime) and isinstance(value, str | date):
        moment = _moment(value)
        return _aware(moment) if dtype.time_zone else moment
    if value is None or dtype.is_temporal():
        return None
    raise Unjudgeable(f"a set of values cannot be looked up in a column of {dtype}")


def _number(value: Any, dtype: pl.DataType) -> Any:
    if not isinstance(value, int | float | Decimal):
        return None
    if dtype.is_integer():
        return int(value) if value == value and abs(value) != float("inf") and value == int(value) else None  # noqa: PLR0124 - NaN
    return Decimal(str(value)) if dtype.is_decimal() else float(value)


def _moment(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)  # noqa: DTZ001 - a date has no zone
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise Unjudgeable(f"{value!r} is no date or timestamp in ISO form") from error


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _timestamp(moment: datetime, dtype: pl.Datetime) -> pl.Expr:
    if dtype.time_zone:
        return pl.lit(_aware(moment)).dt.convert_time_zone(dtype.time_zone)
    if moment.tzinfo is not None:
        raise Unjudgeable(f"{moment.isoformat()} has a time zone, but the column has none")
    return pl.lit(moment)
