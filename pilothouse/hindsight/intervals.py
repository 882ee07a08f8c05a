"""Intervals of sums and shares, by drawing firms again and again.

Orders of one firm share its fate: drawn one by one they would look like many witnesses where there is one. So whole firms are drawn,
and of what is compared both sides from the same draw.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
DRAWS: Final = 2_000
_SEED: Final = 20_260_601  # the same rows have the same interval
_BETWEEN: Final = (2.5, 97.5)
_AT_ONCE: Final = 200
_PATHS: Final = 500  # draws of a curve, which is only looked at


@dataclass(frozen=True)
class Estimate:
    """A figure, and the interval in which it lies in nineteen of twenty such samples."""

    value: float
    low: float
    high: float

    def as_json(self) -> dict[str, float]:
        """Plain, to the cent."""
        return {"value": round(self.value, 2), "low": round(self.low, 2), "high": round(self.high, 2)}

    @property
    def is_sure(self) -> bool:
        """Whether all of it lies on one side of nothing."""
        return self.low > 0 or self.high < 0


class Draws:
    """The same firms drawn for every figure of one sample."""

    def __init__(self, firms: NDArray[np.object_], draws: int = DRAWS) -> None:
        _, self._place = np.unique(firms.astype(str), return_inverse=True)
        self._firms = int(self._place.max()) + 1 if len(self._place) else 0
        self._draws = draws

    def total(self, values: Floats) -> Estimate:
        """A sum."""
        return Estimate(float(values.sum()), *self._between(self._sums(values)[0]))

    def ratio(self, over: Floats, under: Floats) -> Estimate:
        """A sum as a part of another, such as a mean: under ones."""
        above, below = self._sums(over, under)
        whole = float(under.sum())
        with np.errstate(divide="ignore", invalid="ignore"):
            drawn = above / below
        return Estimate(float(over.sum()) / whole if whole else 0.0, *self._between(drawn[np.isfinite(drawn)]))

    def path(self, values: Floats, bins: NDArray[np.int64], count: int) -> tuple[Floats, Floats, Floats]:
        """A running sum over bins of time, and between which two such sums of other samples lie."""
        per_firm = np.zeros((self._firms, count))
        np.add.at(per_firm, (self._place, bins), values)
        running, chance = per_firm.cumsum(axis=1), np.random.default_rng(_SEED)
        drawn = np.stack(
            [chance.multinomial(self._firms, np.full(self._firms, 1 / self._firms)) @ running for _ in range(min(self._draws, _PATHS))]
        )
        low, high = np.percentile(drawn, _BETWEEN, axis=0)
        return running.sum(axis=0), low, high

    def _sums(self, *columns: Floats) -> list[Floats]:
        """The sums of each column in each draw."""
        per_firm = [np.bincount(self._place, weights=values, minlength=self._firms) for values in columns]
        chance = np.random.default_rng(_SEED)
        found = [np.zeros(self._draws) for _ in columns]
        for start in range(0, self._draws if self._firms else 0, _AT_ONCE):
            stop = min(start + _AT_ONCE, self._draws)
            drawn = chance.integers(0, self._firms, (stop - start, self._firms))
            for place, sums in enumerate(per_firm):
                found[place][start:stop] = sums[drawn].sum(axis=1)
        return found

    @staticmethod
    def _between(drawn: Floats) -> tuple[float, float]:
        if not len(drawn):
            return 0.0, 0.0
        low, high = np.percentile(drawn, _BETWEEN)
        return float(low), float(high)
