"""Why a firm pays late: the planted signals, the probability they add up to, and the best that any model can reach.

An invoice is late when it is paid more than thirty days after it was due, or never. Its log-odds are fixed on the day of
its order: a weighted sum of signals, each of which leaves its mark somewhere in the data that is served. The outcome is
drawn from the probability, so no model can rank orders better than the probability itself does: its AUC is the ceiling.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LATE_DAYS = 30
INTERCEPT = -3.6


@dataclass(frozen=True)
class Signal:
    """One cause of late payment: its weight in the log-odds, and where it shows."""

    name: str
    weight: float
    seen_in: str


SIGNALS: tuple[Signal, ...] = (
    Signal("weakness", 1.0, "warehouse.credit_rating.score and rating_grade, read with noise each quarter"),
    Signal("habit", 0.9, "the firm's earlier payments: share of journal items cleared after their net due date"),
    Signal("group_distress", 2.2, "warehouse.ownership: the owners' grades fall to E and the whole group pays late from then on"),
    Signal("order_burst", 1.8, "sap SalesOrder: the customer suddenly orders four times as often"),
    Signal("industry_slump", 0.7, "warehouse.industry_index: output falls and insolvencies rise in the customer's industry"),
    Signal("trouble", 0.6, "salesforce Case: more and more often escalated cases on the customer's account"),
    Signal("country", 0.5, "sap BusinessPartnerAddress.Country"),
    Signal("new_customer", 0.8, "sap BusinessPartner.CreationDate less than 120 days before the order"),
    Signal("order_size", 0.45, "sap SalesOrder.TotalNetAmount against the customer's usual order"),
)


def log_odds(values: Mapping[str, Floats]) -> Floats:
    """The weighted sum of the signals, one number an order."""
    total = np.full(len(next(iter(values.values()))), INTERCEPT)
    for signal in SIGNALS:
        total += signal.weight * values[signal.name]
    return total


def probability(score: Floats) -> Floats:
    """The chance that belongs to log-odds."""
    chance: Floats = 1.0 / (1.0 + np.exp(-score))
    return chance


@dataclass(frozen=True)
class Worth:
    """What one signal is worth: the AUC it reaches alone, and what the best AUC loses without it."""

    signal: Signal
    alone: float
    lost_without: float


class Ceiling:
    """The best reachable AUC, in memory that does not grow with the number of orders.

    The expected AUC of a score follows from the true probabilities alone: each order is late with its probability and
    punctual with the rest, so sums of both over narrow bins of the score say how often a late one ranks above a punctual one.
    """

    BINS = 4_000
    REACH = 12.0  # log-odds beyond this count as this

    def __init__(self) -> None:
        names = ["", *(f"alone {signal.name}" for signal in SIGNALS), *(f"without {signal.name}" for signal in SIGNALS)]
        self._late = {name: np.zeros(self.BINS) for name in names}
        self._punctual = {name: np.zeros(self.BINS) for name in names}
        self.orders = 0

    def add(self, values: Mapping[str, Floats], score: Floats) -> None:
        """Count orders with these signals and log-odds."""
        chance = probability(score)
        self.orders += len(chance)
        self._count("", score, chance)
        for signal in SIGNALS:
            part = signal.weight * values[signal.name]
            self._count(f"alone {signal.name}", part, chance)
            self._count(f"without {signal.name}", score - part, chance)

    def _count(self, name: str, score: Floats, chance: Floats) -> None:
        places = np.clip((score / self.REACH + 1.0) * (self.BINS / 2), 0, self.BINS - 1).astype(np.int64)
        self._late[name] += np.bincount(places, weights=chance, minlength=self.BINS)
        self._punctual[name] += np.bincount(places, weights=1.0 - chance, minlength=self.BINS)

    def auc(self, name: str = "") -> float:
        """The expected AUC of one score; without a name, of the true probability."""
        late, punctual = self._late[name], self._punctual[name]
        pairs = late.sum() * punctual.sum()
        below = np.cumsum(punctual) - punctual
        return float((late * (below + punctual / 2)).sum() / pairs) if pairs else 0.5

    @property
    def late_share(self) -> float:
        """The expected share of late orders."""
        return float(self._late[""].sum() / max(self.orders, 1))

    def worths(self) -> list[Worth]:
        """What each signal is worth."""
        best = self.auc()
        return [Worth(signal, self.auc(f"alone {signal.name}"), best - self.auc(f"without {signal.name}")) for signal in SIGNALS]
