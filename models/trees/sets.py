"""Sets of values, exact: what a condition says of one input, what is left of it, and whether anything is.

An input is a number, a day, a text or a truth, or it is missing. What is known is a set of intervals or a set of choices; whether
the missing value belongs to it stands beside. Sets can be met and taken from each other without loss, so that a tree can be
proved to answer every input, and each of its branches to be open to some.

A bound is a cut of the number line: `(5, 0)` lies just before five and `(5, 1)` just after it, so open and closed ends need no
cases of their own. In whole numbers every cut is moved to lie just before one: above 3 and below 4 is then empty, as it should be.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Known: TypeAlias = float | int | str | bool
Cut: TypeAlias = tuple[float, Literal[0, 1]]
LOWEST: Final[Cut] = (-math.inf, 0)
HIGHEST: Final[Cut] = (math.inf, 1)


@dataclass(frozen=True)
class Spans:
    """Intervals: every odd cut begins one, every even cut ends it."""

    cuts: tuple[Cut, ...]
    whole: bool = False  # only whole numbers

    @classmethod
    def between(cls, low: Cut = LOWEST, high: Cut = HIGHEST, *, whole: bool = False) -> Spans:
        """One interval; empty where its end is not behind its beginning."""
        if whole:
            low, high = _whole(low), _whole(high)
        return cls((low, high) if low < high else (), whole)

    @classmethod
    def points(cls, values: Iterable[float], *, whole: bool = False) -> Spans:
        """Single values."""
        cuts = [cut for value in sorted(set(values)) if not whole or float(value).is_integer() for cut in _point(value, whole=whole)]
        return cls(tuple(_joined(cuts)), whole)

    def __and__(self, other: Spans) -> Spans:
        return self._swept(other, lambda here, there: here and there)

    def __sub__(self, other: Spans) -> Spans:
        return self._swept(other, lambda here, there: here and not there)

    def __or__(self, other: Spans) -> Spans:
        return self._swept(other, lambda here, there: here or there)

    def __bool__(self) -> bool:
        return bool(self.cuts)

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and bisect_right(self.cuts, (value, 0)) % 2 == 1

    def pairs(self) -> list[tuple[Cut, Cut]]:
        """The intervals, one by one."""
        return list(zip(self.cuts[::2], self.cuts[1::2], strict=True))

    def single(self, pair: tuple[Cut, Cut]) -> float | None:
        """The value of an interval that has only one."""
        (low, low_side), (high, high_side) = pair
        if self.whole:
            return low if high == low + 1 else None
        return low if low == high and (low_side, high_side) == (0, 1) else None

    def example(self) -> float:
        """Some value in it, a plain one where there is one."""
        low, high = self.pairs()[0]
        for value in (0.0, 1.0):
            if value in self:
                return value
        if low == LOWEST:
            return high[0] - 1
        inside = low[0] if low[1] == 0 else low[0] + 1
        return inside if (inside, 0) < high else (low[0] + high[0]) / 2

    def _swept(self, other: Spans, keep: object) -> Spans:
        cuts: list[Cut] = []
        inside = False
        for cut in sorted({*self.cuts, *other.cuts}):
            now = keep(bisect_right(self.cuts, cut) % 2 == 1, bisect_right(other.cuts, cut) % 2 == 1)  # type: ignore[operator]
            if now != inside:
                cuts.append(cut)
                inside = now
        return Spans(tuple(cuts), self.whole or other.whole)


@dataclass(frozen=True)
class Choices:
    """Texts or truths: these, or all but these where there are `others`."""

    names: frozenset[Known]
    others: bool = False

    def __and__(self, other: Choices) -> Choices:
        if self.others and other.others:
            return Choices(self.names | other.names, others=True)
        if self.others or other.others:
            few, without = (other, self) if self.others else (self, other)
            return Choices(few.names - without.names)
        return Choices(self.names & other.names)

    def __sub__(self, other: Choices) -> Choices:
        return self & Choices(other.names, not other.others)

    def __bool__(self) -> bool:
        return self.others or bool(self.names)

    def __contains__(self, value: object) -> bool:
        return (value in self.names) != self.others

    def example(self) -> Known:
        """Some value in it."""
        if not self.others:
            return min(self.names)
        word = "another"
        while word in self.names:
            word += " one"
        return word


@dataclass(frozen=True)
class Values:
    """What one input may be: known values, and whether it may be missing."""

    known: Spans | Choices
    missing: bool = False

    def __and__(self, other: Values) -> Values:
        return Values(self.known & other.known, self.missing and other.missing)  # type: ignore[operator]

    def __sub__(self, other: Values) -> Values:
        return Values(self.known - other.known, self.missing and not other.missing)  # type: ignore[operator]

    def __bool__(self) -> bool:
        return self.missing or bool(self.known)

    def __contains__(self, value: Known | None) -> bool:
        return self.missing if value is None else value in self.known

    def example(self) -> Known | None:
        """Some value in it; the missing one where there is no other."""
        return self.known.example() if self.known else None


def _whole(cut: Cut) -> Cut:
    value, side = cut
    if math.isinf(value):
        return cut
    return (math.floor(value) + 1 if side else math.ceil(value), 0)


def _point(value: float, *, whole: bool) -> tuple[Cut, Cut]:
    return ((value, 0), (value + 1, 0)) if whole else ((value, 0), (value, 1))


def _joined(cuts: list[Cut]) -> list[Cut]:
    """Without the ends of intervals at which the next one begins."""
    joined: list[Cut] = []
    for cut in cuts:
        if joined and joined[-1] == cut:
            joined.pop()
        else:
            joined.append(cut)
    return joined
