"""What a run may cost, reserved before each call and settled after it.

Frameworks that check their limits after a call overrun them: the call that breaks the limit has been made and paid. So nothing is
called unless its worst case fits into what is left, and what it did not use is given back. What a call says that it used cannot make
room: a provider that reports less than we counted is charged what we counted, one that reports more is charged that, and the
account closes where it passes the reservation.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from decimal import Decimal

from pilothouse.kernel.errors import BudgetExceeded


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Money, tokens, seconds and calls: what something takes, or may take."""

    money: Decimal = Decimal(0)  # in the currency that model prices are declared in
    tokens: int = 0
    seconds: float = 0.0
    calls: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            money=self.money + other.money,
            tokens=self.tokens + other.tokens,
            seconds=self.seconds + other.seconds,
            calls=self.calls + other.calls,
        )

    def __sub__(self, other: Cost) -> Cost:
        return Cost(
            money=self.money - other.money,
            tokens=self.tokens - other.tokens,
            seconds=self.seconds - other.seconds,
            calls=self.calls - other.calls,
        )

    def most(self, other: Cost) -> Cost:
        """The greater of both in each respect."""
        return Cost(**{each.name: max(getattr(self, each.name), getattr(other, each.name)) for each in fields(self)})

    def beyond(self, limit: Cost) -> str | None:
        """The first respect in which this is more than a limit."""
        return next((each.name for each in fields(self) if getattr(self, each.name) > getattr(limit, each.name)), None)


@dataclass(frozen=True, kw_only=True)
class Budget(Cost):
    """What one run of an agent may cost. Every respect is limited: a budget without an end is none."""

    money: Decimal = Decimal("0.10")
    tokens: int = 50_000
    seconds: float = 60.0
    calls: int = 40


@dataclass
class Reservation:
    """Room that was taken for one call. `used` is set to what it used; unset, all of it counts as used."""

    worst: Cost
    used: Cost | None = None


class Account:
    """The budget of one run as it is used up. Safe to use from several threads."""

    def __init__(self, budget: Cost, clock: Callable[[], float] = time.monotonic) -> None:
        self.budget = budget
        self._clock = clock
        self._began = clock()
        self._spent = Cost()
        self._held = Cost()
        self._closed = ""
        self._lock = threading.Lock()

    @property
    def spent(self) -> Cost:
        """What was used so far. Seconds are those of the clock, whether or not a call ran."""
        with self._lock:
            return self._spent_now()

    @property
    def left(self) -> Cost:
        """What a call may still take."""
        with self._lock:
            return self.budget - self._spent_now() - self._held

    @contextmanager
    def reserved(self, worst: Cost, what: str) -> Iterator[Reservation]:
        """Room for one call, or BudgetExceeded before it is made. A call that fails has used what it reserved, unless it says less."""
        reservation = Reservation(worst)
        with self._lock:
            self._refuse(worst, what)
            self._held += _without_time(worst)
        try:
            yield reservation
        finally:
            self._settle(reservation, what)

    def _refuse(self, worst: Cost, what: str) -> None:
        if self._closed:
            raise BudgetExceeded(f"{what}: {self._closed}", hint="look at what the last call reported")
        left = self.budget - self._spent_now() - self._held
        lacking = worst.beyond(left)
        if lacking is not None:
            raise BudgetExceeded(
                f"{what} may take {getattr(worst, lacking)} {lacking}, and {max(getattr(left, lacking), 0)}"
                f" of {getattr(self.budget, lacking)} are left",
                hint="raise the agent's budget, or give it less to do",
            )

    def _settle(self, reservation: Reservation, what: str) -> None:
        used = _without_time(reservation.used if reservation.used is not None else reservation.worst)
        with self._lock:
            self._held -= _without_time(reservation.worst)
            self._spent += used
            over = used.beyond(_without_time(reservation.worst))
            if over is not None:
                self._closed = (
                    f"{what} used {getattr(used, over)} {over}, more than the {getattr(reservation.worst, over)} that were its worst case"
                )

    def _spent_now(self) -> Cost:
        return self._spent + Cost(seconds=self._clock() - self._began)


def _without_time(cost: Cost) -> Cost:
    """Time passes by itself: it is read from the clock, not added up."""
    return Cost(money=cost.money, tokens=cost.tokens, calls=cost.calls)
