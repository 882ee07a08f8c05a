"""Habits are those that were known on the day, and chances are those of a simulated company whose habits are known."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from models.paying import LATE, Habits, chances, days_at_risk, learned

START = date(2025, 1, 1)


def invoices(count: int = 4_000) -> pl.DataFrame:
    """Two firms: one pays on the day, one ten days late; both with some days of chance."""
    dice = np.random.default_rng(8)
    slow = dice.random(count) < 0.5
    billed = dice.integers(0, 300, count)
    late = np.rint(dice.normal(0, 4, count) + np.where(slow, 10, 0)).astype(int)
    due = billed + 30
    paid = np.maximum(due + late, billed + 1)
    day = [START + timedelta(days=int(each)) for each in billed]
    return pl.DataFrame(
        {
            "firm_id": np.where(slow, "slow", "prompt"),
            "invoiced_on": day,
            "due_on": [START + timedelta(days=int(each)) for each in due],
            "paid_on": [START + timedelta(days=int(each)) for each in paid],
            "days_late": paid - due,
        }
    )


def test_a_habit_is_what_was_known_before_the_day() -> None:
    books = invoices()
    asked = pl.DataFrame({"firm_id": ["slow", "slow", "slow", "new"], "day": [START, START + timedelta(days=60), date(2026, 1, 1), START]})
    found = Habits.of(books).on(asked, "day").sort("day", "firm_id")
    assert found.filter(firm_id="slow", day=START)["usual"].item() == 1.0  # nothing settled yet: what is usual of all
    assert found.filter(firm_id="new")["usual"].item() == 1.0
    assert found.filter(firm_id="slow", day=date(2026, 1, 1))["usual"].item() == 10.0
    today = START + timedelta(days=60)
    blind = books.with_columns(pl.when(pl.col("paid_on") < today).then("paid_on").alias("paid_on"))  # what came later is not there
    assert Habits.of(blind).on(asked, "day").filter(firm_id="slow", day=today).equals(found.filter(firm_id="slow", day=today))


def test_chances_are_those_of_the_company() -> None:
    books, today = invoices(), START + timedelta(days=250)
    card, _, _ = learned(days_at_risk(books, today))
    due_today = np.zeros(2)
    found = chances(card, due_today, np.array([0.0, 10.0]), np.array([0.0, 0.0]), 40)
    prompt, slow = found
    assert prompt[:7].sum() == pytest.approx(0.9, abs=0.1)  # open on its due date, half of its days of chance are behind it
    assert slow[:7].sum() == pytest.approx(0.2, abs=0.12)
    assert (found.sum(axis=1) <= 1 + 1e-9).all()
    assert float((np.arange(40) * slow).sum() / slow.sum()) == pytest.approx(9.5, abs=1.5)


def test_days_at_risk_count_every_open_day_once() -> None:
    books, today = invoices(300), START + timedelta(days=200)
    days = days_at_risk(books, today)
    mine = books.filter(pl.col("invoiced_on") < today)
    expected = sum((min(paid, today) - billed).days for billed, paid in mine.select("invoiced_on", "paid_on").iter_rows())
    assert days["days"].sum() == expected
    assert days["paid"].sum() == mine.filter(pl.col("paid_on") <= today).height
    assert days[LATE].is_between(0, 1).all()
