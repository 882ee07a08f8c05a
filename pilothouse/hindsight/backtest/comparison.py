"""A candidate beside what was decided: who decided otherwise, what came of these orders, and what either would have earned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pilothouse.hindsight.backtest.candidate import Candidate
from pilothouse.hindsight.backtest.running import Tried
from pilothouse.hindsight.intervals import Draws, Estimate
from pilothouse.hindsight.money import ACTIONS, Floats, Money
from pilothouse.hindsight.orders import Fates, became, is_judged
from pilothouse.hindsight.value import BASELINES, baseline

DECIDED: Final = "what was decided"
CANDIDATE: Final = "the candidate"
BEST: Final = "the best in hindsight"
_SHOWN: Final = 5  # decisions that make most of a difference
_SCHEMA: Final[dict[str, Any]] = {
    "order_id": pl.String,
    "decision": pl.String,
    "decided_action": pl.String,
    "decided_share": pl.Float64,
    "action": pl.String,
    "share": pl.Float64,
    "probability": pl.Float64,
    "synthetic": pl.Boolean,
    "why_not": pl.String,
}


@dataclass(frozen=True)
class Outcome:
    """What came of the orders on which somebody took an action."""

    action: str
    decisions: int
    late: Estimate  # the share of them
    lost: Estimate  # the share that is never paid, as far as that is known and otherwise to be expected


@dataclass(frozen=True)
class Comparison:
    """Both over the same occasions. Money and outcomes are of the orders by which they can be judged."""

    candidate: Candidate
    occasions: int
    of_ledger: int
    undecided: tuple[tuple[str, int], ...]  # why the candidate said nothing, and how often
    since: date | None
    until: date | None
    same: Estimate  # share of occasions on which both take the same action
    moves: pl.DataFrame  # decided, candidate, decisions
    judged: int  # occasions by which both can be judged: orders that would be late by now
    earned: tuple[tuple[str, Estimate], ...]  # by whom
    beside: tuple[tuple[str, Estimate], ...]  # by whom, less what was decided
    outcomes: tuple[tuple[str, tuple[Outcome, ...]], ...]  # by whom
    most: pl.DataFrame  # the orders that make most of the difference
    curve: pl.DataFrame  # day, difference, low, high
    synthetic: bool
    money: str

    @property
    def difference(self) -> Estimate:
        """What the candidate would have earned more than what was decided."""
        return dict(self.beside)[CANDIDATE]

    def as_json(self) -> dict[str, Any]:
        """Plain."""
        return {
            "candidate": {"agent": self.candidate.agent.name, "differs": list(self.candidate.differs)},
            "synthetic": self.synthetic,
            "occasions": self.occasions,
            "of_ledger": self.of_ledger,
            "undecided": dict(self.undecided),
            "since": self.since,
            "until": self.until,
            "same": {name: round(share, 4) for name, share in vars(self.same).items()},
            "moves": self.moves.to_dicts(),
            "judged": self.judged,
            "money": self.money,
            "earned": {name: estimate.as_json() for name, estimate in self.earned},
            "more_than_decided": {name: estimate.as_json() for name, estimate in self.beside},
            "outcomes": {name: [_plain(each) for each in several] for name, several in self.outcomes},
            "most": self.most.to_dicts(),
        }


def compared(candidate: Candidate, tried: Iterable[Tried], fates: Fates, money: Money) -> Comparison:
    """Everything that the candidate said, beside what was decided and what came of it."""
    rows = pl.DataFrame([_row(each) for each in tried], schema=_SCHEMA, orient="row")
    why_not = Counter(rows.filter(pl.col("action").is_null())["why_not"].to_list())
    said = rows.filter(pl.col("action").is_not_null()).join(fates.frame, on="order_id", how="left", maintain_order="left")
    known = said.filter(is_judged(fates.today) & pl.col("placed_eur").is_not_null())
    every = Draws(said["firm_id"].fill_null("").to_numpy())
    worth = _worth(known, money)
    draws = Draws(known["firm_id"].to_numpy())
    difference = worth[CANDIDATE] - worth[DECIDED]
    days = said["ordered_on"].drop_nulls()
    first, last = days.min(), days.max()
    alike = (said["action"] == said["decided_action"]) & (said["share"] == said["decided_share"])
    return Comparison(
        candidate=candidate,
        occasions=said.height,
        of_ledger=said["decision"].count(),
        undecided=tuple(why_not.most_common()),
        since=first if isinstance(first, date) else None,
        until=last if isinstance(last, date) else None,
        same=every.ratio(alike.cast(pl.Float64).to_numpy(), np.ones(said.height)),
        moves=_moves(said),
        judged=known.height,
        earned=tuple((name, draws.total(each)) for name, each in worth.items()),
        beside=tuple((name, draws.total(each - worth[DECIDED])) for name, each in worth.items()),
        outcomes=tuple((name, _outcomes(known, column)) for name, column in ((DECIDED, "decided_action"), (CANDIDATE, "action"))),
        most=_most(known, worth, difference),
        curve=_curve(known, draws, difference),
        synthetic=bool(said["synthetic"].any() or said["_synthetic"].any()),
        money=money.version,
    )


def _row(each: Tried) -> list[Any]:
    event = each.event
    decision = None if event.capsule is None else event.capsule.digest
    return [event.order, decision, *event.decided, each.action, each.share, each.probability, each.synthetic, each.why_not]


def _worth(known: pl.DataFrame, money: Money) -> dict[str, Floats]:
    """What each would have earned on each order."""
    amount, outcomes = known["placed_eur"].cast(pl.Float64).to_numpy(), became(known)
    exposure = known["open_eur"].cast(pl.Float64).fill_null(0.0).to_numpy()
    return {
        DECIDED: money.of(_words(known["decided_action"]), known["decided_share"].to_numpy(), amount, outcomes),
        CANDIDATE: money.of(_words(known["action"]), known["share"].to_numpy(), amount, outcomes),
        **{name: baseline(name, money, amount, exposure, outcomes) for name in BASELINES},
        BEST: money.best(amount, outcomes)[2],
    }


def _moves(said: pl.DataFrame) -> pl.DataFrame:
    counted = said.group_by(decided="decided_action", candidate="action").agg(decisions=pl.len())
    return counted.sort("decided", "candidate")


def _outcomes(known: pl.DataFrame, column: str) -> tuple[Outcome, ...]:
    found = []
    for action in ACTIONS:
        mine = known.filter(pl.col(column) == action)
        if mine.height:
            draws, ones = Draws(mine["firm_id"].to_numpy()), np.ones(mine.height)
            fate = became(mine)
            found.append(Outcome(action, mine.height, draws.ratio(fate.late, ones), draws.ratio(fate.lost, ones)))
    return tuple(found)


def _most(known: pl.DataFrame, worth: dict[str, Floats], difference: Floats) -> pl.DataFrame:
    """The orders on which the candidate wins most, and those on which it loses most."""
    names = [
        "order_id",
        "decision",
        "ordered_on",
        "decided_action",
        "decided_share",
        "action",
        "share",
        "placed_eur",
        "outcome",
        "days_late",
    ]
    rows = known.select(names).with_columns(
        pl.Series("decided_eur", worth[DECIDED]).round(2),
        pl.Series("candidate_eur", worth[CANDIDATE]).round(2),
        pl.Series("difference_eur", difference).round(2),
    )
    ranked = rows.filter(pl.col("difference_eur") != 0).sort("difference_eur", "order_id", descending=[True, False])
    return ranked if ranked.height <= 2 * _SHOWN else pl.concat([ranked.head(_SHOWN), ranked.tail(_SHOWN)])


def _curve(known: pl.DataFrame, draws: Draws, difference: Floats) -> pl.DataFrame:
    """The difference as it adds up, week by week."""
    if known.is_empty():
        return pl.DataFrame(schema={"day": pl.Date, "difference": pl.Float64, "low": pl.Float64, "high": pl.Float64})
    weeks = known["ordered_on"].dt.truncate("1w")
    names = weeks.unique().sort().to_frame("day").upsample("day", every="1w")["day"]
    place = np.searchsorted(names.to_numpy(), weeks.to_numpy())
    total, low, high = draws.path(difference, place, len(names))
    return pl.DataFrame({"day": names, "difference": total, "low": low, "high": high})


def _words(column: pl.Series) -> NDArray[np.str_]:
    return column.to_numpy().astype(str)


def _plain(each: Outcome) -> dict[str, Any]:
    shares = {name: {part: round(share, 4) for part, share in vars(getattr(each, name)).items()} for name in ("late", "lost")}
    return {"action": each.action, "decisions": each.decisions, **shares}
