"""What an action brings, given what becomes of the order: the one place where decisions and money meet.

The figures are a company's own (`[money]` in pilothouse.toml). An order that is delivered on account brings its margin, less what
lateness and loss cost of what is exposed. One that is prepaid exposes the rest alone, but some customers order elsewhere, and take
later orders with them. One that is held costs somebody's time; what he finds is prepaid, the others are delivered on account.

The same arithmetic takes what happened (late or not, so much of it lost) and what may happen (chances), one order or a column of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pilothouse.kernel.settings import MoneySettings

Floats = NDArray[np.float64]
ACTIONS: Final = ("release", "prepayment", "hold")
SHARES: Final = tuple(round(0.1 * tenth, 1) for tenth in range(1, 11))  # of an order that may be asked for ahead
_YEAR: Final = 365.0


@dataclass(frozen=True)
class Became:
    """What becomes of orders that are delivered on account. Of the past `late` and `lost` are facts, of the future they are chances."""

    late: Floats  # paid more than 30 days late, or never: 0 or 1, or the chance of it
    lost: Floats  # of what is owed, the part that is never paid, or the chance of it; what is lost is late, too
    days: Floats  # between due and paid, of what is paid after it was due

    @classmethod
    def expected(cls, late: Floats, *, lost_of_late: float, days_of_late: float) -> Became:
        """What is to be expected where only the chance of lateness is known."""
        late = np.asarray(late, dtype=np.float64)
        paid_late = late * (1 - lost_of_late)
        return cls(late, late * lost_of_late, days_of_late * paid_late / np.maximum(1 - late * lost_of_late, 1e-9))


def decided(output: Mapping[str, Any]) -> tuple[str, float] | None:
    """The action that an agent's output names, and the share that a prepayment asks for; None where money cannot judge it."""
    action = output.get("action")
    if action not in ACTIONS:
        return None
    return action, float((output.get("terms") or {}).get("share", 1.0)) if action == "prepayment" else 0.0


class Money:
    """A company's figures, as arithmetic."""

    def __init__(self, settings: MoneySettings) -> None:
        self.settings = settings

    @cached_property
    def version(self) -> str:
        """A hash of the figures: which ones something was counted by."""
        return hashlib.sha256(self.settings.model_dump_json().encode()).hexdigest()[:12]

    @property
    def lost_after(self) -> timedelta:
        """After its due date, an invoice that is open for longer counts as never paid."""
        return self.settings.lost_after

    def released(self, amount: Floats, became: Became) -> Floats:
        """Delivered on account."""
        return self.settings.margin * amount - self._risk(amount, became)

    def prepaid(self, amount: Floats, share: Floats | float, became: Became) -> Floats:
        """Delivered when a share of it has been paid. Where all is paid ahead, nothing can be late."""
        leave = self.settings.prepayment_leaves * np.square(share)
        risk = np.where(np.asarray(share) < 1, self._risk(amount * (1 - np.asarray(share)), became), 0.0)
        return self._kept(self.settings.margin * amount - risk, amount, leave) - self.settings.prepayment_costs

    def held(self, amount: Floats, became: Became) -> Floats:
        """Kept back until somebody has looked: what he finds is prepaid in full, the others are delivered on account."""
        finds = self.settings.hold_finds
        found = finds * became.late
        looked = found * self.prepaid(amount, 1.0, became) + (1 - found) * self.settings.margin * amount
        kept = self._kept(looked - (1 - finds) * self._risk(amount, became), amount, self.settings.hold_leaves)
        return kept - self.settings.hold_costs

    def of(self, action: NDArray[np.str_], share: Floats, amount: Floats, became: Became) -> Floats:
        """What these actions bring, order by order; `share` is what a prepayment asks for."""
        found: Floats = np.select(
            [action == "release", action == "prepayment"],
            [self.released(amount, became), self.prepaid(amount, share, became)],
            self.held(amount, became),
        )
        return found

    def best(self, amount: Floats, became: Became, shares: tuple[float, ...] = SHARES) -> tuple[NDArray[np.str_], Floats, Floats]:
        """The action that brings most, its share, and what it brings; of actions that bring the same, the mildest."""
        ways = [
            ("release", 0.0, self.released(amount, became)),
            *(("prepayment", share, self.prepaid(amount, share, became)) for share in shares),
            ("hold", 0.0, self.held(amount, became)),
        ]
        worth = np.stack([each for _, _, each in ways])
        place = worth.argmax(axis=0)
        names, parts = np.array([name for name, _, _ in ways]), np.array([share for _, share, _ in ways])
        return names[place], parts[place], worth.max(axis=0)

    def _risk(self, exposed: Floats, became: Became) -> Floats:
        """What lateness and loss cost where so much is owed."""
        given = self.settings
        waiting = (1 - became.lost) * exposed * given.money_costs * np.maximum(became.days, 0) / _YEAR
        chasing = np.maximum(became.late - became.lost, 0) * given.late_costs
        return waiting + chasing + became.lost * (exposed + given.lost_costs)

    def _kept(self, worth: Floats, amount: Floats, leave: Floats | float) -> Floats:
        """What is left of an order's worth where a share of customers leaves."""
        return (1 - leave) * worth - leave * self.settings.leaving_takes * self.settings.margin * amount
