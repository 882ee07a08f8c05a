"""What an action brings: signs, extremes, and that chances are the mean of what happens."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.hindsight.intervals import Draws
from pilothouse.hindsight.money import SHARES, Became, Money
from pilothouse.kernel.settings import MoneySettings

MONEY = Money(MoneySettings())
amounts = st.floats(1, 1_000_000)
shares = st.sampled_from(SHARES)


def one(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)


def fate(late: float = 0.0, lost: float = 0.0, days: float = 0.0) -> Became:
    return Became(one(late), one(lost), one(days))


@given(amounts)
def test_of_an_order_that_is_paid_in_time_release_brings_most(amount: float) -> None:
    action, _, worth = MONEY.best(one(amount), fate())
    assert action[0] == "release"
    assert worth[0] == pytest.approx(0.2 * amount)


@given(st.floats(200, 1_000_000))
def test_of_an_order_that_is_never_paid_release_brings_least(amount: float) -> None:
    action, share, _ = MONEY.best(one(amount), fate(late=1, lost=1))
    assert (action[0], share[0]) == ("prepayment", 1.0)
    released = MONEY.released(one(amount), fate(late=1, lost=1))[0]
    assert released == pytest.approx(-0.8 * amount - 250)
    assert released < MONEY.held(one(amount), fate(late=1, lost=1))[0]


@given(amounts, shares)
def test_what_is_prepaid_in_full_cannot_be_lost(amount: float, share: float) -> None:
    assert MONEY.prepaid(one(amount), 1.0, fate(late=1, lost=1)) == MONEY.prepaid(one(amount), 1.0, fate())
    loses = MONEY.prepaid(one(amount), share, fate(late=1, lost=1)) - MONEY.prepaid(one(amount), share, fate())
    assert share == 1.0 or loses < 0


@given(amounts, st.floats(0, 1), st.floats(0, 1), shares)
def test_what_is_expected_is_the_mean_of_what_happens(amount: float, late: float, of_late: float, share: float) -> None:
    """Two fates of late orders, and one of punctual ones, each as often as its chance says. Rounding grows with the amount."""
    happens = [(1 - late, fate()), (late * (1 - of_late), fate(late=1, days=50)), (late * of_late, fate(late=1, lost=1))]
    chance = Became.expected(one(late), lost_of_late=of_late, days_of_late=50)
    for worth in (MONEY.released, lambda *known: MONEY.prepaid(known[0], share, known[1])):
        mean = sum(weight * worth(one(amount), each)[0] for weight, each in happens)
        assert worth(one(amount), chance)[0] == pytest.approx(mean, rel=1e-6, abs=1e-6 * amount + 1e-6)


@given(amounts, st.floats(0, 1), st.sampled_from(["release", "prepayment", "hold"]), shares)
def test_nothing_brings_more_than_the_best(amount: float, late: float, action: str, share: float) -> None:
    chance = Became.expected(one(late), lost_of_late=0.12, days_of_late=55)
    brought = MONEY.of(np.array([action]), one(share), one(amount), chance)
    assert brought[0] <= MONEY.best(one(amount), chance)[2][0]


def test_columns_are_counted_as_single_orders_are() -> None:
    chance = np.random.default_rng(1)
    amount, late = chance.uniform(10, 1e5, 200), chance.uniform(0, 1, 200)
    together = MONEY.held(amount, Became.expected(late, lost_of_late=0.1, days_of_late=40))
    alone = [
        MONEY.held(one(each), Became.expected(one(risk), lost_of_late=0.1, days_of_late=40))[0]
        for each, risk in zip(amount, late, strict=True)
    ]
    assert together.tolist() == pytest.approx(alone)


def test_figures_of_a_company_change_what_is_best_and_how_it_is_called() -> None:
    patient = Money(MoneySettings(prepayment_leaves=0.9, lost_after=timedelta(days=90)))
    risky = Became.expected(one(0.5), lost_of_late=0.12, days_of_late=55)
    assert MONEY.best(one(5_000), risky)[0] == "prepayment"
    assert patient.best(one(5_000), risky, shares=(1.0,))[0] != "prepayment"
    assert patient.version != MONEY.version


def test_an_interval_holds_the_truth_as_often_as_it_says() -> None:
    """300 samples of 80 firms, each with some orders that share its fate: 95 of 100 intervals hold the true mean. Drawn order by
    order, fewer than 80 would."""
    chance = np.random.default_rng(3)
    held = 0
    for _ in range(300):
        firms = np.repeat(np.arange(80), 5)
        values = np.repeat(chance.normal(0, 1, 80), 5) + chance.normal(0, 0.3, 400)
        mean = Draws(firms.astype(object), draws=300).ratio(values, np.ones(400))
        held += mean.low <= 0 <= mean.high
    assert 270 <= held <= 297


def test_both_sides_of_a_difference_are_of_the_same_draw() -> None:
    """Firms differ by far more than the two sides do: drawn apart, nothing could be told."""
    worth = np.random.default_rng(4).normal(0, 1_000, 60)
    draws = Draws(np.arange(60).astype(object), draws=500)
    assert draws.total(worth + 1 - worth).is_sure
    assert not draws.total(worth).is_sure or abs(worth.sum()) > 15_000
