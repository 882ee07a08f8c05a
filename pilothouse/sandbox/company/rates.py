"""Exchange rates of the history and of today: a seeded random walk a currency, in units for one euro."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pilothouse.sandbox.company.columns import Array
from pilothouse.sandbox.company.places import CURRENCIES

CODES = tuple(CURRENCIES)
STEP = 0.004  # how far a rate moves in a day


@dataclass(frozen=True)
class Rates:
    """Units for one euro: a row a day since `first_day`, a column for each of `CODES`."""

    first_day: int
    table: Array

    def at(self, currency: Array, day: Array) -> Array:
        """The rates of these currencies (places in `CODES`) on these days; the nearest day known stands in for others."""
        rows = np.clip(day - self.first_day, 0, len(self.table) - 1)
        found: Array = self.table[rows, currency]
        return found


def draw_rates(seed: int, first_day: int, days: int) -> Rates:
    """A walk of so many days that ends near where each currency usually stands."""
    steps = np.random.default_rng([seed, 2]).standard_normal((days, len(CODES))) * STEP
    steps[:, CODES.index("EUR")] = 0.0
    walk = np.exp(np.cumsum(steps, axis=0)) * np.array(list(CURRENCIES.values()))
    return Rates(first_day, np.round(walk, 6))
