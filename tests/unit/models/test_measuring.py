"""Our own figures of probabilities are scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import measuring


@pytest.fixture(scope="module")
def foretold() -> tuple[np.ndarray, np.ndarray]:
    dice = np.random.default_rng(3)
    chance = np.round(dice.beta(1, 9, 4_000), 3)  # rounded, so that there are ties
    return dice.random(4_000) < chance, chance


def test_auc_loss_and_brier_are_those_of_scikit_learn(foretold: tuple[np.ndarray, np.ndarray]) -> None:
    from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

    truth, chance = foretold
    assert measuring.auc(truth, chance) == pytest.approx(roc_auc_score(truth, chance), abs=1e-12)
    assert measuring.log_loss(truth, chance) == pytest.approx(log_loss(truth, chance), abs=1e-12)
    assert measuring.brier(truth, chance) == pytest.approx(brier_score_loss(truth, chance), abs=1e-12)


def test_reliability_is_the_calibration_curve_of_scikit_learn() -> None:
    from sklearn.calibration import calibration_curve

    dice = np.random.default_rng(4)
    chance = dice.random(3_000)  # without ties, quantiles make the same groups on both sides
    truth = dice.random(3_000) < chance**2
    came, said = calibration_curve(truth, chance, n_bins=10, strategy="quantile")
    ours = measuring.reliability(truth, chance)
    np.testing.assert_allclose(ours.came, came, atol=0.004)  # a row at the edge of a group may fall on its other side
    np.testing.assert_allclose(ours.foretold, said, atol=0.004)
    assert ours.error == pytest.approx(np.average(np.abs(came - said)), abs=0.004)


def test_the_roc_curve_is_that_of_scikit_learn(foretold: tuple[np.ndarray, np.ndarray]) -> None:
    from sklearn.metrics import roc_curve

    truth, chance = foretold
    false, true = measuring.roc(truth, chance)
    theirs_false, theirs_true, _ = roc_curve(truth, chance, drop_intermediate=False)
    np.testing.assert_allclose(false, theirs_false)
    np.testing.assert_allclose(true, theirs_true)


def test_lift_ends_at_one_and_starts_high_where_ranking_is_right() -> None:
    truth = np.array([True] * 10 + [False] * 90)
    share, times = measuring.lift(truth, truth.astype(float))
    assert times[9] == pytest.approx(10.0)
    assert (share[-1], times[-1]) == (1.0, pytest.approx(1.0))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.integers(0, 5))
def test_shares_add_up_to_one_whatever_is_missing(values: list[float], missing: int) -> None:
    found = measuring.shares(np.array([*values, *[np.nan] * missing]), np.array([-10.0, 0.0, 10.0]))
    assert found.sum() == pytest.approx(1.0)
    assert found[-1] == pytest.approx(missing / (len(values) + missing))


def test_stability_is_nothing_for_the_same_and_large_for_another() -> None:
    dice = np.random.default_rng(5)
    before, same, other = dice.normal(0, 1, 20_000), dice.normal(0, 1, 20_000), dice.normal(1, 1, 20_000)
    edges = np.quantile(before, np.linspace(0, 1, 11)[1:-1])
    told = measuring.shares(before, edges)
    assert measuring.stability(told, measuring.shares(same, edges)) < 0.01
    assert measuring.stability(told, measuring.shares(other, edges)) > 0.5
