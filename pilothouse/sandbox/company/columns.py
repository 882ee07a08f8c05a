"""Rows held column by column, and the store's spelling of numbers, dates and moments for whole columns.

A year of the company is 700,000 rows of 25 fields. As columns they are drawn by numpy, spelled once and handed to
SQLite without a dictionary a row; the clock uses the same builders with columns of length one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import compress, islice, repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pilothouse.sandbox.company.store import Row, Value

Array = NDArray[Any]
Column = Sequence[Value] | Value

_HUNDREDTHS = [f"{part:02d}" for part in range(100)]


class Columns:
    """`count` rows; a column is a list of that length, or one value that all rows share."""

    def __init__(self, count: int, values: Mapping[str, Column]) -> None:
        self.count = count
        self.values: dict[str, Column] = dict(values)

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Columns:
        """Columns of rows read from the store."""
        names = rows[0] if rows else ()
        return cls(len(rows), {name: [row[name] for row in rows] for name in names})

    def __getitem__(self, name: str) -> Sequence[Value]:
        column = self.values[name]
        return [column] * self.count if column is None or isinstance(column, (str, int, float)) else column

    def __setitem__(self, name: str, column: Column) -> None:
        self.values[name] = column

    def texts(self, name: str) -> list[str]:
        """A column that holds text without a gap."""
        return [str(value) for value in self[name]]

    def where(self, mask: Array) -> Columns:
        """The rows for which the mask is true."""
        chosen = mask.tolist()
        return Columns(
            int(mask.sum()), {name: _each(column, lambda values: list(compress(values, chosen))) for name, column in self.values.items()}
        )

    def at(self, places: Array) -> Columns:
        """The rows at these places, repeated where a place repeats."""
        wanted = places.tolist()
        return Columns(
            len(wanted), {name: _each(column, lambda values: [values[place] for place in wanted]) for name, column in self.values.items()}
        )

    def rows(self) -> Iterator[Row]:
        """One dictionary a row."""
        names = list(self.values)
        return (dict(zip(names, values, strict=True)) for values in self.tuples(names))

    def tuples(self, names: Sequence[str]) -> Iterator[tuple[Value, ...]]:
        """One tuple a row, of the named columns; a column that was not given is null."""
        columns = (self.values.get(name) for name in names)
        spread = (repeat(column) if column is None or isinstance(column, (str, int, float)) else column for column in columns)
        return islice(zip(*spread, strict=False), self.count)


def _each(column: Column, change: Any) -> Column:
    if column is None or isinstance(column, (str, int, float)):
        return column
    changed: Sequence[Value] = change(column)
    return changed


def texts(numbers: Array, prefix: str = "") -> list[str]:
    """Whole numbers as text."""
    return [f"{prefix}{number}" for number in numbers.tolist()]


def decimals(cents: Array, scale: int = 3) -> list[str]:
    """Hundredths as decimals in plain notation, `scale` digits after the point."""
    sizes = np.abs(cents)
    spelled = [f"{whole}.{_HUNDREDTHS[part]}" for whole, part in zip((sizes // 100).tolist(), (sizes % 100).tolist(), strict=True)]
    zeros = "0" * (scale - 2)
    if cents.size and cents.min() < 0:
        return [f"{'-' if below else ''}{text}{zeros}" for text, below in zip(spelled, (cents < 0).tolist(), strict=True)]
    return [text + zeros for text in spelled] if zeros else spelled


def wholes(numbers: Array, scale: int = 3) -> list[str]:
    """Whole numbers as decimals."""
    tail = "." + "0" * scale if scale else ""
    return [f"{number}{tail}" for number in numbers.tolist()]


def hundredths(decimals: Sequence[Value]) -> Array:
    """Decimals with three digits after the point as hundredths."""
    return np.array([int(str(decimal).replace(".", "")) for decimal in decimals], dtype=np.int64) // 10


def moments(at: Array) -> list[str]:
    """Seconds since 1970 as the store writes a moment."""
    spelled: list[str] = np.datetime_as_string(at.astype("datetime64[s]").astype("datetime64[us]"), timezone="UTC").tolist()
    return spelled


def days(at: Array) -> list[str]:
    """Seconds since 1970 as the store writes a day."""
    return dates(at // 86_400)


def dates(day: Array) -> list[str]:
    """Days since 1970 as the store writes a day."""
    spelled: list[str] = np.datetime_as_string(day.astype("datetime64[D]")).tolist()
    return spelled
