"""Figures about a column that can be taken chunk by chunk and merged.

Each measure says what it wants to know of a chunk, as Polars expressions of one value each, and merges the answers.
What it keeps is the smallest state from which the figure of the whole is exact:

| measure | keeps |
|---|---|
| `Presence` | one count |
| `Extremes` | the smallest and the greatest value |
| `Moments` | count, sums and squared deviations, merged by Chan's formula |
| `Distinct` | every distinct value |
| `Kept` | every value: a median, or which values repeat, is known from nothing less; 8 bytes a row for a number |

So a rule on a column's median or uniqueness costs memory that grows with the load, and no other rule does.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import polars as pl

from quality.bounds import Unjudgeable, column

_COMPACT_AFTER = 16  # chunks: distinct values of many chunks are mostly the same


class Measure(ABC):
    """A figure in the making, about one column or several together."""

    def __init__(self, names: Sequence[str], schema: pl.Schema) -> None:
        absent = [name for name in names if name not in schema]
        if absent:
            raise Unjudgeable(f"there is no column {', '.join(map(repr, absent))}")
        self.names = tuple(names)
        self.dtype = schema[names[0]] if len(names) == 1 else pl.Struct({name: schema[name] for name in names})
        self.value = (
            column(names[0], schema[names[0]]) if len(names) == 1 else pl.struct(column(name, schema[name]).alias(name) for name in names)
        )

    @abstractmethod
    def asks(self) -> Sequence[pl.Expr]:
        """What it wants to know of a chunk: one value each."""

    @abstractmethod
    def merge(self, *answers: Any) -> None:
        """Take in the answers of one more chunk."""


class Presence(Measure):
    """How many values are there."""

    def __init__(self, names: Sequence[str], schema: pl.Schema) -> None:
        super().__init__(names, schema)
        self.count = 0

    def asks(self) -> Sequence[pl.Expr]:
        """The number of values."""
        return [self.value.count()]

    def merge(self, *answers: Any) -> None:
        """Add them up."""
        self.count += answers[0]


class Extremes(Measure):
    """The smallest and the greatest value."""

    def __init__(self, names: Sequence[str], schema: pl.Schema) -> None:
        super().__init__(names, schema)
        self.smallest: Any = None
        self.greatest: Any = None

    def asks(self) -> Sequence[pl.Expr]:
        """Both ends."""
        return [self.value.min(), self.value.max()]

    def merge(self, *answers: Any) -> None:
        """Keep the outer ones."""
        low, high = answers
        if low is not None:
            self.smallest = low if self.smallest is None else min(self.smallest, low)
            self.greatest = high if self.greatest is None else max(self.greatest, high)


class Moments(Measure):
    """Sum, mean and standard deviation of numbers."""

    def __init__(self, names: Sequence[str], schema: pl.Schema) -> None:
        super().__init__(names, schema)
        if not self.dtype.is_numeric():
            raise Unjudgeable(f"column {names[0]!r} is {self.dtype}, not a number")
        if self.dtype.is_decimal():
            self.value = self.value.cast(pl.Float64)
        self.count = 0
        self._sums: list[float] = []
        self._mean = 0.0
        self._squares = 0.0

    def asks(self) -> Sequence[pl.Expr]:
        """Count, sum, mean and variance of the chunk."""
        return [self.value.count(), self.value.sum(), self.value.mean(), self.value.var(ddof=0)]

    def merge(self, *answers: Any) -> None:
        """Chan's formula: no difference of large sums, so nothing cancels."""
        count, total, mean, variance = answers
        if not count:
            return
        both = self.count + count
        apart = mean - self._mean
        self._squares += variance * count + apart * apart * self.count * count / both
        self._mean += apart * count / both
        self.count = both
        self._sums.append(total)

    @property
    def sum(self) -> float:
        """The sum; 0 of no values."""
        return sum(self._sums) if self.dtype.is_integer() else math.fsum(self._sums)

    @property
    def mean(self) -> float | None:
        """The mean."""
        return self.sum / self.count if self.count else None

    @property
    def deviation(self) -> float | None:
        """The standard deviation of a sample: unknown for fewer than two values."""
        return math.sqrt(self._squares / (self.count - 1)) if self.count > 1 else None


class Distinct(Measure):
    """The distinct values, and how many values they are."""

    def __init__(self, names: Sequence[str], schema: pl.Schema) -> None:
        super().__init__(names, schema)
        self.count = 0
        self._chunks: list[pl.Series] = []

    def asks(self) -> Sequence[pl.Expr]:
        """The number of values, and the distinct ones."""
        return [self.value.count(), self.value.drop_nulls().unique().implode()]

    def merge(self, *answers: Any) -> None:
        """Collect, and now and then compact."""
        self.count += answers[0]
        self._chunks.append(answers[1])
        if len(self._chunks) >= _COMPACT_AFTER:
            self._chunks = [self.values]

    @property
    def values(self) -> pl.Series:
        """All distinct values."""
        return pl.concat(self._chunks).unique() if self._chunks else pl.Series(dtype=self.dtype)


class Kept(Measure):
    """All values, for what is known from nothing less."""

    def __init__(self, names: Sequence[str], schema: pl.Schema, rows: pl.Expr | None = None) -> None:
        super().__init__(names, schema)
        self._chunks: list[pl.Series] = []
        self._known: dict[str, Any] = {}  # figures of all values are dear, and asked for again and again
        if rows is not None:
            self.value = self.value.filter(rows)

    def asks(self) -> Sequence[pl.Expr]:
        """The values that are there."""
        return [self.value.drop_nulls().implode()]

    def merge(self, *answers: Any) -> None:
        """Collect them."""
        self._chunks.append(answers[0])
        self._known.clear()

    @property
    def values(self) -> pl.Series:
        """Every value, in the order of arrival."""
        self._chunks = [pl.concat(self._chunks)] if self._chunks else [pl.Series(dtype=self.dtype)]
        return self._chunks[0]

    @property
    def median(self) -> float | None:
        """The median of numbers."""
        if not self.dtype.is_numeric():
            raise Unjudgeable(f"column {self.names[0]!r} is {self.dtype}, not a number")
        if "median" not in self._known:
            self._known["median"] = self.values.cast(pl.Float64).median()
        middle: float | None = self._known["median"]
        return middle

    def repeated(self) -> pl.Series:
        """The values that occur more than once, as often as they occur."""
        if "repeated" not in self._known:
            self._known["repeated"] = self._repeated()
        found: pl.Series = self._known["repeated"]
        return found

    def _repeated(self) -> pl.Series:
        values = self.values
        # Where all hashes differ all values do: a quarter of the time that comparing text takes.
        if values.hash().n_unique() == len(values):
            return values.clear()
        return values.filter(values.is_duplicated())
