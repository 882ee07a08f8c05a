"""Which rows of a load came before: exact, in 32 bytes a row, without a Python object a row.

Sources repeat themselves: pages overlap when rows move while they are paged. A plain set of five million keys takes
0.6 GB and seconds. Here each chunk stays as a sorted run of words, and one bit for the beginning of each id tells for
all but a few ids in a hundred that no run can hold them, so that only those few are searched for: a second or so for
five million rows in 190 MB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from pilothouse.kernel.lake.hashing import Hashes, Words

_FAN: Final = 16  # so many runs of one size become one
_BITS_A_ROW: Final = 32  # at least: of the ids that are new, one in so many is searched for in vain
_SMALLEST: Final = 20  # the binary logarithm of the fewest bits kept

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Repeats:
    """For each row offered: did its id come before (in an earlier chunk, or earlier in this one), and with equal content?"""

    again: Mask
    same: Mask

    @classmethod
    def none(cls, rows: int) -> Repeats:
        """Of rows that are known to be distinct."""
        return cls(np.zeros(rows, dtype=bool), np.zeros(rows, dtype=bool))


@dataclass(frozen=True)
class _Run:
    ids: Hashes  # sorted by the low word
    contents: Hashes

    def take(self, index: Mask | npt.NDArray[np.intp]) -> _Run:
        return _Run(self.ids.take(index), self.contents.take(index))


def _merged(runs: Sequence[_Run]) -> _Run:
    low = np.concatenate([run.ids.low for run in runs])
    order = np.argsort(low)

    def together(words: Sequence[Words]) -> Words:  # word by word: all at once would hold everything twice
        return np.concatenate(words)[order]

    ids = Hashes(together([run.ids.high for run in runs]), low[order])
    return _Run(ids, Hashes(together([run.contents.high for run in runs]), together([run.contents.low for run in runs])))


class _Marks:
    """A bit for every beginning of a low word that was seen. The words come sorted, so the bits are walked in order."""

    def __init__(self, size: int) -> None:
        self._shift = np.uint64(64 - size)
        self._bytes = np.zeros(1 << (size - 3), dtype=np.uint8)

    def add(self, low: Words) -> None:
        place, bit = self._find(low)
        np.bitwise_or.at(self._bytes, place, bit)

    def maybe(self, low: Words) -> npt.NDArray[np.intp]:
        """Which of these words may have been added; all others were not."""
        place, bit = self._find(low)
        return np.flatnonzero(self._bytes[place] & bit)

    def _find(self, low: Words) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.uint8]]:
        bits = low >> self._shift
        return (bits >> np.uint64(3)).astype(np.intp), np.left_shift(np.uint8(1), (bits & np.uint64(7)).astype(np.uint8))


class Distinct:
    """Remembers every row offered to it."""

    def __init__(self) -> None:
        self._runs: list[_Run] = []
        self._size = _SMALLEST
        self._marks = _Marks(self._size)

    def __len__(self) -> int:
        return sum(len(run.ids) for run in self._runs)

    def offer(self, ids: Hashes, contents: Hashes) -> Repeats:
        """Say which rows are repeats, and remember the rest. Of an id with several contents the first counts."""
        again, same = np.zeros(len(ids), dtype=bool), np.zeros(len(ids), dtype=bool)
        order = np.argsort(ids.low)
        offered = _Run(ids.take(order), contents.take(order))
        maybe = self._marks.maybe(offered.ids.low)
        asked = offered.take(maybe)
        for known in self._runs if len(maybe) else ():
            found = _search(known, asked.ids)
            met = np.flatnonzero(found >= 0)
            again[order[maybe[met]]] = True
            same[order[maybe[met]]] = _equal(asked.contents.take(met), known.contents.take(found[met]))
        if (offered.ids.low[1:] == offered.ids.low[:-1]).any():
            self._mark_within(ids, contents, again, same)
        if again.any():
            offered = offered.take(~again[order])
        if len(offered.ids):
            self._remember(offered)
        return Repeats(again, same)

    def missing_from(self, ids: Hashes) -> Mask:
        """Which of these ids were never offered."""
        if len(self._runs) > 1:
            self._runs = [_merged(self._runs)]
        order = np.argsort(ids.low)
        asked, missing = ids.take(order), np.ones(len(ids), dtype=bool)
        for run in self._runs:
            missing[order[_search(run, asked) >= 0]] = False
        return missing

    def _remember(self, run: _Run) -> None:
        self._runs.append(run)
        while len(self._runs) >= _FAN and len(self._runs[-_FAN].ids) < _FAN * len(self._runs[-1].ids):
            self._runs[-_FAN:] = [_merged(self._runs[-_FAN:])]
        if len(self) * _BITS_A_ROW <= 1 << self._size:
            self._marks.add(run.ids.low)
            return
        while len(self) * _BITS_A_ROW > 1 << self._size:
            self._size += 1
        self._marks = _Marks(self._size)
        for each in self._runs:
            self._marks.add(each.ids.low)

    @staticmethod
    def _mark_within(ids: Hashes, contents: Hashes, again: Mask, same: Mask) -> None:
        order = np.lexsort((ids.high, ids.low))  # stable: of equal ids the one offered first comes first
        low, high = ids.low[order], ids.high[order]
        starts = np.ones(len(order), dtype=bool)
        starts[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
        first = order[np.flatnonzero(starts)[np.cumsum(starts) - 1]]
        repeats = order[~starts]
        repeats, first = repeats[~again[repeats]], first[~starts][~again[repeats]]
        again[repeats] = True
        same[repeats] = _equal(contents.take(repeats), contents.take(first))


def _equal(left: Hashes, right: Hashes) -> Mask:
    equal: Mask = (left.high == right.high) & (left.low == right.low)
    return equal


def _search(run: _Run, ids: Hashes) -> npt.NDArray[np.intp]:
    """Where in the run each id stands, or -1. The ids come sorted by their low word: asked in that order, the binary searches
    walk through memory instead of jumping."""
    start = np.searchsorted(run.ids.low, ids.low, side="left")
    inside = start < len(run.ids)
    place = np.where(inside, start, 0)
    candidate = inside & (run.ids.low[place] == ids.low) if len(run.ids) else inside
    found = np.where(candidate & (run.ids.high[place] == ids.high), place, -1).astype(np.intp)
    for missed in np.flatnonzero(candidate & (found < 0)):  # two ids that share 64 bits: look at the neighbours
        probe = start[missed]
        while probe < len(run.ids) and run.ids.low[probe] == ids.low[missed]:
            if run.ids.high[probe] == ids.high[missed]:
                found[missed] = probe
                break
            probe += 1
    return found
