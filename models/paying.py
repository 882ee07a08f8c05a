"""How firms pay: their habit as it was known on a day, and how likely an open invoice is paid on each of the next days.

An invoice that is due is worth more to a forecast than last month's total, and a firm that pays two weeks late pays the next one two
weeks late. So what is learned is the chance that an invoice still open is paid today, by its age against the due date, against the
day on which that firm usually pays, and by how often the firm was late at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.additive.card import AdditiveCard, Floats, Line, probability
from models.model import Number

USUAL: Final = "days_after_usual"
DUE: Final = "days_after_due"
LATE: Final = "late_share"
HAZARD: Final = (
    Number(USUAL, "days after the day it usually pays", at=(-40, -25, -18, -12, -8, -4, 0, 4, 8, 12, 18, 25, 40)),
    Number(DUE, "days after the due date", at=(-40, -20, -8, 0, 8, 20, 29, 30, 31, 32, 40, 60, 100)),
    Number(LATE, "share of late ones among its earlier invoices", at=(0.0, 0.04, 0.08, 0.15, 0.3, 0.6)),
)
OLDEST: Final = 100  # days after the due date, from which on an invoice is no more likely to be paid than it was
_WEIGHT: Final = 3  # invoices that what is usual of all firms counts as
_LATE_AFTER: Final = 30
_LATE_OF_ALL: Final = 0.07
_RARELY: Final = 20  # a share is rounded to this part of one, so that days can be counted together


def habit(days_late: Sequence[int]) -> tuple[float, float]:
    """The habit of one firm by the invoices that it settled: days it usually pays after the due date, and the share of late ones. The
    same as `Habits` tells of many firms at once, without the cost of frames."""
    in_time = [days for days in days_late if days <= _LATE_AFTER]
    usual = round((sum(in_time) + _WEIGHT) / (len(in_time) + _WEIGHT))
    share = (len(days_late) - len(in_time) + _LATE_OF_ALL * 2 * _WEIGHT) / (len(days_late) + 2 * _WEIGHT)
    return float(min(max(usual, -15), 20)), round(share * _RARELY) / _RARELY


@dataclass(frozen=True)
class Habits:
    """What was known of firms' habits on any day: running sums over the invoices that each settled."""

    settled: pl.DataFrame

    @classmethod
    def of(cls, invoices: pl.DataFrame) -> Habits:
        """The habits that invoices tell of."""
        in_time = pl.col("days_late") <= _LATE_AFTER
        paid = invoices.drop_nulls("paid_on").select("firm_id", "paid_on", "days_late").sort("paid_on")
        running = paid.with_columns(
            pl.when(in_time).then("days_late").otherwise(0).cum_sum().over("firm_id").alias("_days"),
            in_time.cast(pl.Int64).cum_sum().over("firm_id").alias("_in_time"),
            pl.col("days_late").cum_count().cast(pl.Int64).over("firm_id").alias("_paid"),
        )
        return cls(running.select("firm_id", "paid_on", "_days", "_in_time", "_paid"))

    def on(self, rows: pl.DataFrame, day: str) -> pl.DataFrame:
        """Rows of firms with `usual` (days it pays after the due date) and `late_share`, as known before each row's day."""
        before = rows.with_columns(pl.col(day).dt.offset_by("-1d").alias("_before")).sort("_before")
        known = before.join_asof(self.settled, left_on="_before", right_on="paid_on", by="firm_id", check_sortedness=False)
        days, in_time, paid = (pl.col(name).fill_null(0) for name in ("_days", "_in_time", "_paid"))
        share = (paid - in_time + _LATE_OF_ALL * 2 * _WEIGHT) / (paid + 2 * _WEIGHT)
        return known.with_columns(
            ((days + _WEIGHT) / (in_time + _WEIGHT)).round().clip(-15, 20).alias("usual"),
            ((share * _RARELY).round() / _RARELY).alias(LATE),
        ).drop("_before", "_days", "_in_time", "_paid")


def days_at_risk(invoices: pl.DataFrame, until: date) -> pl.DataFrame:
    """Every day on which an invoice could have been paid, counted together where nothing tells them apart: `days`, and on how many it
    was paid."""
    last = pl.min_horizontal(pl.col("paid_on").fill_null(until), pl.lit(until), pl.col("due_on").dt.offset_by(f"{OLDEST}d"))
    known = Habits.of(invoices.with_columns(pl.when(pl.col("paid_on") <= until).then("paid_on").alias("paid_on")))
    open_days = (
        known.on(invoices.filter(pl.col("invoiced_on") < until), "invoiced_on")
        .with_columns(last.alias("_last"))
        .filter(pl.col("_last") > pl.col("invoiced_on"))
        .with_columns(
            (pl.col("invoiced_on") - pl.col("due_on")).dt.total_days().alias("_from"),
            (pl.col("_last") - pl.col("due_on")).dt.total_days().alias("_to"),
        )
        .with_columns((pl.col("paid_on").is_not_null() & (pl.col("paid_on") <= pl.col("_last"))).alias("_paid"))
    )
    return (
        open_days.select("usual", LATE, "_to", "_paid", pl.int_ranges(pl.col("_from") + 1, pl.col("_to") + 1).alias(DUE))
        .explode(DUE)
        .group_by("usual", LATE, DUE)
        .agg(pl.len().alias("days"), (pl.col("_paid") & (pl.col(DUE) == pl.col("_to"))).sum().alias("paid"))
        .with_columns((pl.col(DUE) - pl.col("usual")).alias(USUAL))
        .sort(DUE, "usual", LATE)
    )


def learned(days: pl.DataFrame) -> tuple[AdditiveCard, Any, Any]:
    """The chance that an open invoice is paid on a day, as a card and as a scikit-learn pipeline; and rows as that one takes them."""
    from models.additive.fitting import as_pandas, card_of, pipeline

    rows = as_pandas(HAZARD, days)
    paid, open_still = days["paid"].to_numpy(), (days["days"] - days["paid"]).to_numpy()
    both = rows.loc[np.tile(np.arange(len(rows)), 2)].reset_index(drop=True)
    outcome = np.repeat([1, 0], len(rows))
    fitted = pipeline(HAZARD, rows, strength=10.0).fit(both, outcome, weights__sample_weight=np.concatenate([paid, open_still]))
    return card_of(fitted, HAZARD, rows), fitted, rows


def chances(card: AdditiveCard, age: Floats, usual: Floats, late: Floats, days: int) -> Floats:
    """For invoices open today, the chance that each is paid on each of the next days; what is left of one is later, or never."""
    ahead = np.arange(1, days + 1)
    after_due = np.minimum(age[:, None] + ahead, OLDEST)
    lines = {each.name: each for each in card.features if isinstance(each, Line)}
    log_odds = np.full(after_due.shape, card.base)
    log_odds += lines[USUAL].parts(after_due - usual[:, None])
    log_odds += lines[DUE].parts(after_due)
    log_odds += lines[LATE].parts(np.broadcast_to(late[:, None], after_due.shape))
    paid_today = probability(log_odds)
    open_before = np.cumprod(np.hstack([np.ones((len(age), 1)), 1.0 - paid_today[:, :-1]]), axis=1)
    found: NDArray[np.float64] = open_before * paid_today
    return found
