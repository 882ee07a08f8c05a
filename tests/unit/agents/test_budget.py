"""Budgets hold: whatever calls ask for and whatever they report, a run never takes more than it was given."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from pilothouse.agents.budget import Account, Budget, Cost
from pilothouse.kernel.errors import BudgetExceeded


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def some_cost(dice: random.Random) -> Cost:
    return Cost(
        money=Decimal(dice.randrange(400)) / 1000, tokens=dice.randrange(900), seconds=dice.random() * 4, calls=dice.choice([0, 1, 1, 3])
    )


def test_no_run_overruns() -> None:
    """Ten thousand runs of calls that reserve, use less or all, take time, lie and fail at will."""
    dice, budget, refused = random.Random(3), Budget(money=Decimal(1), tokens=2_000, seconds=10, calls=10), 0
    for _ in range(10_000):
        clock = Clock()
        account = Account(budget, clock)
        for _ in range(dice.randrange(12)):
            worst, wish = some_cost(dice), some_cost(dice)
            used = Cost(**{name: min(getattr(wish, name), getattr(worst, name)) for name in vars(worst)})
            try:
                with account.reserved(worst, "call") as reservation:
                    clock.now += min(wish.seconds, worst.seconds)  # a call is broken off when its time is up
                    reservation.used = dice.choice([None, used])
                    _ = 1 // dice.choice([0, 1, 1, 1, 1])  # a call that fails
            except BudgetExceeded:
                refused += 1
            except ZeroDivisionError:
                pass
            assert account.spent.beyond(budget) is None
    assert refused > 1_000


def test_a_call_that_does_not_fit_is_not_made() -> None:
    account = Account(Budget(tokens=100))
    with pytest.raises(BudgetExceeded, match="may take 101 tokens, and 100 of 100 are left"), account.reserved(Cost(tokens=101), "ask"):
        pytest.fail("it was made")
    assert account.spent.tokens == 0


def test_what_was_reserved_and_not_used_is_given_back() -> None:
    account = Account(Budget(tokens=100))
    for _ in range(10):
        with account.reserved(Cost(tokens=50), "ask") as reservation:
            reservation.used = Cost(tokens=5)
    assert account.spent.tokens == 50


def test_a_call_that_reports_more_than_its_worst_case_is_the_last() -> None:
    account = Account(Budget(tokens=1_000))
    with account.reserved(Cost(tokens=10), "ask") as reservation:
        reservation.used = Cost(tokens=500)
    assert account.spent.tokens == 500
    with pytest.raises(BudgetExceeded, match="used 500 tokens, more than the 10"), account.reserved(Cost(), "ask again"):
        pytest.fail("it was made")


def test_time_is_the_clocks_and_ends_the_run() -> None:
    clock = Clock()
    account = Account(Budget(seconds=10), clock)
    clock.now = 9.5
    with pytest.raises(BudgetExceeded, match="seconds"), account.reserved(Cost(seconds=1), "slow"):
        pytest.fail("it was made")
    with account.reserved(Cost(seconds=0.5), "fast"):
        pass


def test_threads_do_not_reserve_the_same_room() -> None:
    account = Account(Budget(calls=50))

    def one(_: int) -> bool:
        try:
            with account.reserved(Cost(calls=1), "call"):
                return True
        except BudgetExceeded:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(one, range(200))) == 50
