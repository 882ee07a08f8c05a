"""Cash that comes in: what is open, what is ordered and not yet billed, and what will still be ordered, day by day ahead.

Three parts, each by what is known of it on that day. Open invoices are paid by the habits of their firms (`models/paying.py`); orders
are billed after the usual days and then paid like any invoice of their terms; and orders still come as they came in the last weeks.
The spread of a sum follows from its parts: each invoice comes or does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

import numpy as np
import polars as pl

from models.additive.card import AdditiveCard, Floats
from models.paying import LATE, Habits, chances, days_at_risk, learned

WEEK: Final = 7
TOTAL: Final = "total"
_RECENT: Final = 56  # days whose orders tell of those to come
_SLOWEST: Final = 45  # days from order to invoice, after which none is expected


@dataclass(frozen=True)
class Books:
    """Invoices, orders and payments, each with the series it counts for beside the total."""

    invoices: pl.DataFrame  # invoice_id, firm_id, invoiced_on, due_on, paid_on, days_late, owed_eur, series
    orders: pl.DataFrame  # order_id, firm_id, ordered_on, invoiced_on, owed_eur, terms, series
    payments: pl.DataFrame  # paid_on, amount_eur, series
    series: tuple[str, ...]

    @property
    def last_day(self) -> date:
        """The newest day that they tell of in full."""
        last = self.orders["ordered_on"].max()
        assert isinstance(last, date)
        return last - timedelta(days=1)

    @property
    def first_day(self) -> date:
        """The first day."""
        first = self.orders["ordered_on"].min()
        assert isinstance(first, date)
        return first


@dataclass(frozen=True)
class Rates:
    """What is learned: how invoices are paid, and how soon orders are billed."""

    hazard: AdditiveCard
    billed: tuple[float, ...]  # the chance that an order is billed so many days after it was placed

    def as_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {"hazard": self.hazard.as_json(), "billed": list(self.billed)}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Rates:
        """The inverse of `as_json`."""
        return cls(AdditiveCard.from_json(plain["hazard"]), tuple(float(each) for each in plain["billed"]))


@dataclass(frozen=True)
class Outlook:
    """Expected cash of one series in the weeks ahead, by where it comes from, and the variance of their sum."""

    series: str
    of_open: Floats
    of_ordered: Floats
    of_new: Floats
    variance: Floats

    @property
    def expected(self) -> Floats:
        """The sum."""
        found: Floats = self.of_open + self.of_ordered + self.of_new
        return found

    def times(self, level: float) -> Outlook:
        """The same where so much of it comes."""
        return Outlook(self.series, self.of_open * level, self.of_ordered * level, self.of_new * level, self.variance * level**2)


def rates(books: Books, until: date) -> tuple[Rates, Any, Any]:
    """What was to be learned by a day; and the pipeline for MLflow, with rows as it takes them."""
    card, fitted, rows = learned(days_at_risk(books.invoices, until))
    placed = books.orders.filter(
        (pl.col("ordered_on") <= until - timedelta(days=_SLOWEST)) & (pl.col("ordered_on") > until - timedelta(days=200))
    )
    lag = (placed["invoiced_on"] - placed["ordered_on"]).dt.total_days().drop_nulls().to_numpy()
    counts = np.bincount(np.clip(lag, 0, _SLOWEST), minlength=_SLOWEST + 1) / max(placed.height, 1)
    return Rates(card, tuple(counts.tolist())), fitted, rows


def outlooks(books: Books, learnt: Rates, today: date, weeks: int) -> list[Outlook]:
    """The weeks after a day, by what was known at its end. One outlook a series, the total first."""
    days = weeks * WEEK
    habits = Habits.of(books.invoices.with_columns(pl.when(pl.col("paid_on") <= today).then("paid_on").alias("paid_on")))
    tomorrow = today + timedelta(days=1)
    still_open = books.invoices.filter((pl.col("invoiced_on") <= today) & (pl.col("paid_on").is_null() | (pl.col("paid_on") > today)))
    still_open = habits.on(still_open.with_columns(pl.lit(tomorrow).alias("_today")), "_today")
    age = -(still_open["due_on"] - today).dt.total_days().to_numpy().astype(np.float64)
    open_chance = _weekly(chances(learnt.hazard, age, still_open["usual"].to_numpy(), still_open[LATE].to_numpy(), days))

    recent = books.orders.filter((pl.col("ordered_on") <= today) & (pl.col("ordered_on") > today - timedelta(days=_RECENT)))
    waiting = recent.filter(pl.col("invoiced_on").is_null() | (pl.col("invoiced_on") > today))
    waited = -(waiting["ordered_on"] - today).dt.total_days().to_numpy()
    curves = _curves(learnt, sorted(set(recent["terms"].to_list())), days)
    waiting_chance = _weekly(_after_waiting(learnt, waiting["terms"].to_list(), waited, days))

    found = []
    for series in books.series:
        mine = [
            frame["series"].to_numpy() == series if series != TOTAL else np.ones(frame.height, bool)
            for frame in (still_open, waiting, recent)
        ]
        open_owed, waiting_owed = still_open["owed_eur"].to_numpy()[mine[0]], waiting["owed_eur"].to_numpy()[mine[1]]
        coming, spread = _still_to_come(recent.filter(pl.Series(mine[2])), curves, days)
        open_mine, waiting_mine = open_chance[mine[0]], waiting_chance[mine[1]]
        variance = (open_owed**2) @ (open_mine * (1 - open_mine)) + (waiting_owed**2) @ (waiting_mine * (1 - waiting_mine)) + spread
        found.append(Outlook(series, open_owed @ open_mine, waiting_owed @ waiting_mine, coming, variance))
    return found


def actual(books: Books, today: date, weeks: int) -> dict[str, Floats]:
    """What came in each of the weeks after a day (before it, where the number is negative), oldest first; by series."""
    start = today + timedelta(days=1 + min(weeks, 0) * WEEK)
    count = abs(weeks)
    rows = books.payments.with_columns(((pl.col("paid_on") - start).dt.total_days() // WEEK).alias("_week")).filter(
        pl.col("_week").is_between(0, count - 1)
    )
    found: dict[str, Floats] = {}
    for series in books.series:
        mine = rows if series == TOTAL else rows.filter(pl.col("series") == series)
        found[series] = np.bincount(mine["_week"].to_numpy(), weights=mine["amount_eur"].to_numpy(), minlength=count).astype(np.float64)
    return found


def _weekly(daily: Floats) -> Floats:
    found: Floats = daily.reshape(len(daily), -1, WEEK).sum(axis=2)
    return found


def _curves(learnt: Rates, terms: list[int], days: int) -> dict[int, Floats]:
    """For an order of each terms placed today, the chance that it is paid on each day from today on; of a usual firm."""
    found = {}
    for term in terms:
        paid = chances(learnt.hazard, np.array([-float(term)]), np.array([1.0]), np.array([0.05]), days + _SLOWEST)[0]
        # billed on day i, paid j days after
        curve = np.zeros(days + _SLOWEST + 1)
        for lag, share in enumerate(learnt.billed):
            curve[lag + 1 : days + _SLOWEST + 1] += share * paid[: days + _SLOWEST - lag]
        found[term] = curve
    return found


def _after_waiting(learnt: Rates, terms: list[int], waited: Any, days: int) -> Floats:
    """For orders that have not been billed for some days, the chance that each is paid on each of the next days."""
    found = np.zeros((len(terms), days))
    cached: dict[tuple[int, int], Floats] = {}
    for place, key in enumerate(zip(terms, waited.tolist(), strict=True)):
        if key not in cached:
            cached[key] = _one_waiting(learnt, key, days)
        found[place] = cached[key]
    return found


def _one_waiting(learnt: Rates, key: tuple[int, int], days: int) -> Floats:
    term, waited = key
    lags = np.array(learnt.billed)
    left = lags[waited + 1 :] if waited + 1 < len(lags) else np.zeros(0)
    never = max(1.0 - lags.sum(), 0.0)
    open_still = left.sum() + never
    found = np.zeros(days)
    if open_still <= 0 or not len(left):
        return found
    paid = chances(learnt.hazard, np.array([-float(term)]), np.array([1.0]), np.array([0.05]), days)[0]
    for lag, share in enumerate(left / open_still):  # billed on day lag + 1 from today
        found[lag + 1 :] += share * paid[: max(days - lag - 1, 0)]
    return found


def _still_to_come(recent: pl.DataFrame, curves: Mapping[int, Floats], days: int) -> tuple[Floats, Floats]:
    """Expected cash by week of orders that come as they did, and the variance of their sum."""
    daily, squares = np.zeros(days), np.zeros(days)
    for term, amount, square in (
        recent.group_by("terms").agg(pl.col("owed_eur").sum(), (pl.col("owed_eur") ** 2).sum().alias("_square")).iter_rows()
    ):
        paid = curves[term]
        reach = np.cumsum(paid[:days])  # on a day ahead, those placed on each day before it
        daily += amount / _RECENT * reach
        squares += square / _RECENT * reach
    return daily.reshape(-1, WEEK).sum(axis=1), squares.reshape(-1, WEEK).sum(axis=1)
