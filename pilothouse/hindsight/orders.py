"""What became of orders, as the marts tell it: paid in time, late by so many days, never, or withdrawn before anything was owed.

`today` is the newest day of which payments tell, and not the clock's: where a source has been silent for a month, nobody has been late.

Who judges by orders as soon as they are paid judges by good ones: bad ones take longest. So an order is judged from the day on which it
would be late, whether it has been paid or not. One that is open then is late for sure, and lost with the chance that orders which
were open for as long had in the past; it is settled only once it is paid, or open for so long that it counts as never paid.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pilothouse.hindsight.money import Became, Money
from pilothouse.kernel.errors import ConfigError
from pilothouse.kernel.lake import Lake

OUTCOMES: Final = "features/feat_order_outcome"
FEATURES: Final = "features/feat_order_risk"
ORDERS: Final = "marts/fct_order"
PAYMENTS: Final = "marts/fct_payment"
TABLES: Final = (ORDERS, FEATURES, OUTCOMES, PAYMENTS)
LATE_DAYS: Final = 30
SETTLED: Final = ("paid", "late", "lost", "withdrawn")
OPEN: Final = "open"  # late, and neither paid nor given up
LOST_OR_LATE: Final = ("late", "lost", OPEN)
_KEPT: Final = ("order_id", "firm_id", "ordered_on", "placed_eur", "open_eur")
_USUALLY: Final = 30.0  # days that a late payment takes beyond, where the past tells of none


@dataclass(frozen=True)
class Fates:
    """What became of orders by a day. A row an order: what it was worth, what the firm owed when it came, and its outcome; one that may
    still become anything has none."""

    frame: pl.DataFrame
    today: date

    @property
    def settled(self) -> pl.DataFrame:
        """Those whose outcome will not change any more."""
        return self.frame.filter(pl.col("outcome").is_in(SETTLED))

    @property
    def judged(self) -> pl.DataFrame:
        """Those by which decisions can be judged: all that would be late by now if they had not been paid."""
        return self.frame.filter(is_judged(self.today))


def is_judged(today: date) -> pl.Expr:
    """Whether a row stands for an order that would be late by a day, and something was owed for it."""
    return (pl.col("due_on") + timedelta(days=LATE_DAYS) < today) & pl.col("outcome").is_in(["paid", *LOST_OR_LATE])


def fates(lake: Lake, money: Money, orders: Collection[str] | None = None) -> Fates:
    """What became of these orders, or of all; ConfigError where the marts are not there yet."""
    missing = next((name for name in TABLES if not lake.table(name).exists()), None)
    if missing is not None:
        raise ConfigError(f"{missing} has not been built yet", hint="`pilothouse build` makes it from what sources brought")
    last = lake.table(PAYMENTS).scan().select(pl.col("paid_on").max()).collect().item()
    today = last if isinstance(last, date) else date.min
    rows, known, placed = (lake.table(name).scan() for name in (FEATURES, OUTCOMES, ORDERS))
    past = Past.of(known.collect(), money, today)
    if orders is not None:
        wanted = pl.LazyFrame({"order_id": sorted(orders)}, schema={"order_id": pl.String})
        rows, known, placed = (each.join(wanted, on="order_id", how="semi") for each in (rows, known, placed))
    outcome = known.select("order_id", "invoices", "due_on", "settled_on", "days_late", "is_settled", "owed_eur", "paid_eur")
    stands = placed.select("order_id", "is_rejected", "is_complete", changed_on=pl.col("changed_at").dt.date())
    joined = rows.select(*_KEPT, "_synthetic").join(outcome, on="order_id", how="left").join(stands, on="order_id", how="left")
    told = _told(joined, money, today).collect().sort("ordered_on", "order_id")
    return Fates(_expected(told, past, today), today)


@dataclass(frozen=True)
class Past:
    """How late orders ended of which that is known: after how many days they were paid, and how many never were."""

    paid_after: NDArray[np.int64]  # in order
    lost: int

    @classmethod
    def of(cls, known: pl.DataFrame, money: Money, today: date) -> Past:
        """Of orders that by now are paid or given up whatever they are."""
        old = known.filter((pl.col("due_on") + money.lost_after < today) & pl.col("is_late"))
        paid = old.filter("is_settled")["days_late"].sort()
        return cls(paid.to_numpy().astype(np.int64), old.filter(~pl.col("is_settled")).height)

    def from_now(self, days: int) -> tuple[float, float]:
        """Of an order that is open so many days after it was due: the chance that it is never paid, and the days that it takes if it is."""
        later = self.paid_after[np.searchsorted(self.paid_after, days, side="right") :]
        # One of each is added: what has never happened yet may happen.
        lost = (self.lost + 1) / (self.lost + len(later) + 2)
        return lost, float(later.mean()) if len(later) else days + _USUALLY


def _told(rows: pl.LazyFrame, money: Money, today: date) -> pl.LazyFrame:
    """The outcome of each row, where it is known."""
    days = pl.col("days_late").cast(pl.Float64)
    owed, paid = (pl.col(name).cast(pl.Float64) for name in ("owed_eur", "paid_eur"))
    # An invoice without a day on which it was due left the books before anybody looked: of it nothing can be said.
    gone = ~pl.col("is_settled") & (pl.col("due_on") + money.lost_after < today)
    late = ~pl.col("is_settled") & (pl.col("due_on") + timedelta(days=LATE_DAYS) < today)
    withdrawn = pl.col("invoices").is_null() & pl.col("is_rejected")
    whole = pl.col("is_settled") & pl.col("is_complete")
    outcome = (
        pl.when(gone)
        .then(pl.lit("lost"))
        .when(late)
        .then(pl.lit(OPEN))
        .when(whole & (days > LATE_DAYS))
        .then(pl.lit("late"))
        .when(whole)
        .then(pl.lit("paid"))
        .when(withdrawn)
        .then(pl.lit("withdrawn"))
    )
    unpaid = pl.when(owed > 0).then((1 - paid / owed).clip(0, 1)).otherwise(1.0)
    since = pl.when(gone).then(pl.col("due_on") + money.lost_after).when(withdrawn).then(pl.col("changed_on"))
    return rows.with_columns(
        outcome=outcome,
        lost_share=pl.when(late).then(unpaid).otherwise(0.0),
        settled_on=pl.coalesce(since, pl.col("settled_on")),
        days_late=pl.when(pl.col("is_settled")).then(pl.col("days_late")),
    ).select(*_KEPT, "outcome", "days_late", "lost_share", "owed_eur", "paid_eur", "due_on", "settled_on", "_synthetic")


def _expected(rows: pl.DataFrame, past: Past, today: date) -> pl.DataFrame:
    """The same, with what is to be expected of orders that are late and open."""
    waiting = rows.filter(pl.col("outcome") == OPEN).select("order_id", days=(pl.lit(today) - pl.col("due_on")).dt.total_days())
    ends = [past.from_now(days) for days in waiting["days"]]
    known = waiting.with_columns(
        pl.Series("_lost", [lost for lost, _ in ends], dtype=pl.Float64), pl.Series("_days", [days for _, days in ends], dtype=pl.Float64)
    )
    return (
        rows.join(known.drop("days"), on="order_id", how="left", maintain_order="left")
        .with_columns(
            lost_share=pl.col("lost_share") * pl.col("_lost").fill_null(1.0),
            expected_days=pl.coalesce(pl.col("_days"), pl.col("days_late").cast(pl.Float64), pl.lit(0.0)),
        )
        .drop("_lost", "_days")
    )


def became(frame: pl.DataFrame) -> Became:
    """The outcomes of orders that are judged, as money is counted by them."""
    late = frame["outcome"].is_in(LOST_OR_LATE).cast(pl.Float64).to_numpy()
    return Became(late, frame["lost_share"].to_numpy(), frame["expected_days"].to_numpy())
