"""The value ledger: what settled decisions earned, and what they saved or lost against a rule that needs no agent.

Decisions are judged by orders that would be late by now, paid or not (`orders.py` says why). Each order counts once, by the last decision
about it. Real decisions and those of the enterprise in a box are never added up: the
latter are counted only where somebody asks for them by name, and are called what they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pilothouse.hindsight.intervals import Draws, Estimate
from pilothouse.hindsight.money import Became, Floats, Money
from pilothouse.hindsight.orders import LOST_OR_LATE, OPEN, became, is_judged
from pilothouse.hindsight.settling import Judgeable
from pilothouse.kernel.errors import AgentError

ALWAYS: Final = "always release"
LIMIT: Final = "fixed limit"
BASELINES: Final = (ALWAYS, LIMIT)
_COLUMNS: Final = [
    *("decision", "subject", "firm_id", "agent", "decided_at", "action", "share", "outcome", "lost_share", "expected_days", "due_on"),
    *("amount_eur", "exposure_eur", "_synthetic"),
]


@dataclass(frozen=True)
class Against:
    """What decisions brought beside a baseline: in all, and apart what they saved and what they lost."""

    baseline: str
    earned: Estimate
    difference: Estimate
    saved: Estimate
    lost: Estimate

    def as_json(self) -> dict[str, Any]:
        """Plain."""
        figures = {name: getattr(self, name).as_json() for name in ("earned", "difference", "saved", "lost")}
        return {"baseline": self.baseline, **figures}


@dataclass(frozen=True)
class Value:
    """What decisions of a time were worth."""

    decisions: int
    firms: int
    since: date | None
    until: date | None
    earned: Estimate
    best: Estimate
    regret: Estimate
    against: tuple[Against, ...]
    by_action: pl.DataFrame
    synthetic: bool

    def as_json(self) -> dict[str, Any]:
        """Plain."""
        return {
            "synthetic": self.synthetic,
            "decisions": self.decisions,
            "firms": self.firms,
            "since": self.since,
            "until": self.until,
            **{name: getattr(self, name).as_json() for name in ("earned", "best", "regret")},
            "against": [each.as_json() for each in self.against],
            "by_action": self.by_action.to_dicts(),
        }


def judged(settled: pl.DataFrame, late: Judgeable) -> pl.DataFrame:
    """The decisions that can be judged: settled ones whose orders would be late by now, and those whose orders are late and open."""
    known = settled.with_columns(expected_days=pl.col("days_late").cast(pl.Float64).fill_null(0.0)).select(_COLUMNS)
    waiting = pl.DataFrame(late.rows, schema={name: known.schema[name] for name in _COLUMNS})
    return pl.concat([known, waiting]).filter(is_judged(late.today))


def chosen(
    rows: pl.DataFrame, *, synthetic: bool, agent: str | None = None, since: date | None = None, until: date | None = None
) -> pl.DataFrame:
    """The decisions to count: of one kind alone, one an order. AgentError where there are none, with what there is instead."""
    if agent is not None:
        rows = rows.filter(pl.col("agent") == agent)
    if since is not None:
        rows = rows.filter(pl.col("decided_at").dt.date() >= since)
    if until is not None:
        rows = rows.filter(pl.col("decided_at").dt.date() < until)
    wanted = rows.filter(pl.col("_synthetic") == synthetic)
    if wanted.is_empty() and not rows.is_empty() and not synthetic:
        raise AgentError(
            f"all {rows.height:,} decisions that can be judged come from the enterprise in a box, and value counts real ones alone",
            hint="say --synthetic to see what they would be worth if it were real",
        )
    if wanted.is_empty():
        raise AgentError(
            "no decision can be judged yet: of none would the order be late by now",
            hint="`pilothouse outcomes` tells how many wait; `pilothouse backtest` judges the agent by orders of the past",
        )
    return wanted.sort("decided_at", "decision").unique(["agent", "subject"], keep="last", maintain_order=True)


def value(rows: pl.DataFrame, money: Money, *, synthetic: bool) -> Value:
    """What chosen decisions were worth, counted by these figures, whatever they were counted by when they were settled."""
    amount, outcomes = rows["amount_eur"].cast(pl.Float64).fill_null(0.0).to_numpy(), became(rows)
    brought = money.of(rows["action"].to_numpy().astype(str), rows["share"].to_numpy(), amount, outcomes)
    _, _, most = money.best(amount, outcomes)
    exposure = rows["exposure_eur"].cast(pl.Float64).fill_null(0.0).to_numpy()
    draws = Draws(rows["firm_id"].to_numpy())
    days = rows["decided_at"].dt.date()
    first, last = days.min(), days.max()
    return Value(
        decisions=rows.height,
        firms=rows["firm_id"].n_unique(),
        since=first if isinstance(first, date) else None,
        until=last if isinstance(last, date) else None,
        earned=draws.total(brought),
        best=draws.total(most),
        regret=draws.total(most - brought),
        against=tuple(against(draws, brought, name, baseline(name, money, amount, exposure, outcomes)) for name in BASELINES),
        by_action=_by_action(rows, brought, most - brought),
        synthetic=synthetic,
    )


def baseline(name: str, money: Money, amount: Floats, exposure: Floats, outcomes: Became) -> Floats:
    """What a rule would have brought: everything on account, or on account while the firm owes less than a limit, else held."""
    released = money.released(amount, outcomes)
    if name == ALWAYS:
        return released
    over: NDArray[np.bool_] = exposure + amount > money.settings.fixed_limit
    found: Floats = np.where(over, money.held(amount, outcomes), released)
    return found


def against(draws: Draws, brought: Floats, name: str, theirs: Floats) -> Against:
    """Decisions beside a rule, on the same orders."""
    difference = brought - theirs
    return Against(
        name,
        draws.total(theirs),
        draws.total(difference),
        draws.total(np.maximum(difference, 0)),
        draws.total(np.minimum(difference, 0)),
    )


def _by_action(rows: pl.DataFrame, brought: Floats, regret: Floats) -> pl.DataFrame:
    late = pl.col("outcome").is_in(LOST_OR_LATE)
    return (
        rows.with_columns(pl.Series("_brought", brought), pl.Series("_regret", regret))
        .group_by("action")
        .agg(
            pl.len().alias("decisions"),
            paid=(pl.col("outcome") == "paid").sum(),
            late=(pl.col("outcome") == "late").sum(),
            open=(pl.col("outcome") == OPEN).sum(),
            lost=(pl.col("outcome") == "lost").sum(),
            late_share=late.mean().round(4),
            earned_eur=pl.col("_brought").sum().round(2),
            regret_eur=pl.col("_regret").sum().round(2),
        )
        .sort("action")
    )
