"""What became of orders, as the marts tell it: paid in time, late by so many days, never, or withdrawn before anything was owed.

`today` is the newest day of which payments tell, and not the clock's: where a source has been silent for a month, nobody has been late.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
import polars as pl

from pilothouse.hindsight.money import Became, Money
from pilothouse.kernel.errors import ConfigError
from pilothouse.kernel.lake import Lake

OUTCOMES: Final = "features/feat_order_outcome"
FEATURES: Final = "features/feat_order_risk"
ORDERS: Final = "marts/fct_order"
PAYMENTS: Final = "marts/fct_payment"
TABLES: Final = (ORDERS, FEATURES, OUTCOMES, PAYMENTS)
LATE_DAYS: Final = 30
_KEPT: Final = ("order_id", "firm_id", "ordered_on", "placed_eur", "open_eur")


@dataclass(frozen=True)
class Fates:
    """What became of orders by a day. A row an order: what it was worth, what the firm owed when it came, and its outcome; an order
    whose outcome is not known yet has none."""

    frame: pl.DataFrame
    today: date

    @property
    def settled(self) -> pl.DataFrame:
        """Those whose outcome is known."""
        return self.frame.filter(pl.col("outcome").is_not_null())


def fates(lake: Lake, money: Money, orders: Collection[str] | None = None, tables: Collection[str] = TABLES) -> Fates:
    """What became of these orders, or of all; ConfigError where the marts are not there yet."""
    missing = next((name for name in tables if not lake.table(name).exists()), None)
    if missing is not None:
        raise ConfigError(f"{missing} has not been built yet", hint="`pilothouse build` makes it from what sources brought")
    last = lake.table(PAYMENTS).scan().select(pl.col("paid_on").max()).collect().item()
    today = last if isinstance(last, date) else date.min
    rows, known, placed = (lake.table(name).scan() for name in (FEATURES, OUTCOMES, ORDERS))
    if orders is not None:
        wanted = pl.LazyFrame({"order_id": sorted(orders)}, schema={"order_id": pl.String})
        rows, known, placed = (each.join(wanted, on="order_id", how="semi") for each in (rows, known, placed))
    outcome = known.select("order_id", "invoices", "due_on", "settled_on", "days_late", "is_settled", "owed_eur", "paid_eur")
    stands = placed.select("order_id", "is_rejected", "is_complete", changed_on=pl.col("changed_at").dt.date())
    joined = rows.select(*_KEPT, "_synthetic").join(outcome, on="order_id", how="left").join(stands, on="order_id", how="left")
    return Fates(_told(joined, money, today).collect().sort("ordered_on", "order_id"), today)


def _told(rows: pl.LazyFrame, money: Money, today: date) -> pl.LazyFrame:
    """The outcome of each row, where it is known."""
    days = pl.col("days_late").cast(pl.Float64)
    owed, paid = (pl.col(name).cast(pl.Float64) for name in ("owed_eur", "paid_eur"))
    # An invoice without a day on which it was due left the books before anybody looked: of it nothing can be said.
    gone = ~pl.col("is_settled") & (pl.col("due_on") + money.lost_after < today)
    withdrawn = pl.col("invoices").is_null() & pl.col("is_rejected")
    outcome = (
        pl.when(gone)
        .then(pl.lit("lost"))
        .when(pl.col("is_settled") & pl.col("is_complete") & (days > LATE_DAYS))
        .then(pl.lit("late"))
        .when(pl.col("is_settled") & pl.col("is_complete"))
        .then(pl.lit("paid"))
        .when(withdrawn)
        .then(pl.lit("withdrawn"))
    )
    lost = pl.when(gone & (owed > 0)).then((1 - paid / owed).clip(0, 1)).when(gone).then(1.0).otherwise(0.0)
    since = pl.when(gone).then(pl.col("due_on") + money.lost_after).when(withdrawn).then(pl.col("changed_on"))
    return rows.with_columns(
        outcome=outcome,
        lost_share=lost,
        settled_on=pl.coalesce(since, pl.col("settled_on")),
        days_late=pl.when(gone).then(None).otherwise(pl.col("days_late")),
    ).select(*_KEPT, "outcome", "days_late", "lost_share", "owed_eur", "paid_eur", "due_on", "settled_on", "_synthetic")


def became(frame: pl.DataFrame) -> Became:
    """The outcomes of settled orders, as money is counted by them."""
    outcome = frame["outcome"].to_numpy()
    days = frame["days_late"].cast(pl.Float64).fill_null(0.0).to_numpy()
    return Became(np.isin(outcome, ["late", "lost"]).astype(np.float64), frame["lost_share"].to_numpy(), days)
