"""What the credit desk's decisions are worth, beside an oracle that knows each firm's latent risk, and beside simpler rules.

The desk decides on every order that its model has not seen, with what was known on the order's day (a backtest of the shipped tree,
whose thresholds were chosen on earlier orders). The oracle knows the probability that the sandbox drew each order's lateness from, and
takes the action that earns most on average, of all shares that a prepayment may ask for. Both are counted by the shipped figures of
`[money]`, on average over all draws of who is late: a drawn outcome would add its own chance to the difference. Intervals come from
drawing firms, as everywhere. What the draws that were made would have brought is told beside it.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import polars as pl

from bench import tables
from bench.figure import Figure, figure
from models.declared.late_payment_risk import LATE_PAYMENT_RISK
from pilothouse.agents.agent import Request
from pilothouse.agents.desks.credit_desk import CREDIT_DESK
from pilothouse.agents.running import run
from pilothouse.agents.snapshot import Snapshot
from pilothouse.hindsight.backtest.candidate import candidate
from pilothouse.hindsight.backtest.events import occasions, since_unseen
from pilothouse.hindsight.backtest.running import Backtest
from pilothouse.hindsight.intervals import Draws
from pilothouse.hindsight.money import Became, Floats, Money
from pilothouse.hindsight.value import ALWAYS, BASELINES, baseline
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.settings import MoneySettings, TableSettings
from pilothouse.sandbox.company.receivables import LOSS_SHARE
from pilothouse.sandbox.company.truth import Truth
from pilothouse.tables.building import Builder
from pilothouse.tables.project import FOLDER, Project
from tests.champion import crown

DAYS_LATE: Final = 55.0  # between due and paid, of what is paid late: 31 and 24 more on average (sandbox/company/receivables.py)
TIMED: Final = 300
WARM: Final = 30


def figures(scale: float = 1.0) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="pilothouse-bench-") as folder:
        lake = made(folder, scale)
        truth = Truth(next(Path(folder).rglob("truth.sqlite")))
        return [*quality(lake, truth), took(lake)]


def made(folder: str, scale: float) -> Lake:
    """A company with its tables, and a model in force."""
    tables.raw(folder, scale)
    lake, work = Lake(f"{folder}/lake"), Path(folder) / "work"
    failed = [each.reason for each in Builder(lake, Project.load(FOLDER, work), work, TableSettings()).build() if each.reason]
    if failed:
        raise RuntimeError("\n".join(failed))
    crown(lake)
    return lake


def quality(lake: Lake, truth: Truth) -> list[Figure]:
    """The desk, the oracle and the rules on the same orders."""
    rows, money = decided(lake, truth), Money(MoneySettings())
    amount, exposure = rows["placed_eur"].cast(pl.Float64).to_numpy(), rows["open_eur"].cast(pl.Float64).to_numpy()
    expected = Became.expected(rows["chance"].to_numpy(), lost_of_late=LOSS_SHARE, days_of_late=DAYS_LATE)
    drawn = rows.filter(pl.col("late").is_not_null())
    ours = money.of(rows["action"].to_numpy().astype(str), rows["share"].to_numpy(), amount, expected)
    oracle = money.best(amount, expected)[2]
    theirs = {name: baseline(name, money, amount, exposure, expected) for name in BASELINES}
    draws = Draws(rows["firm_id"].to_numpy())
    share = draws.ratio(ours, oracle)
    found = [
        figure(f"earned of what the oracle earns, {rows.height:,} orders that the model has not seen", 100 * share.value, "%", bar=90),
        figure("the same, lower end of the interval", 100 * share.low, "%", bar=90),
    ]
    for name, each in theirs.items():
        more = draws.total(ours - each)
        found += [
            figure(f"earned more than {name}", more.value, "EUR", peer=f"{name} earns", peer_value=float(each.sum())),
            figure("the same, lower end of the interval", more.low, "EUR", bar=1),
        ]
    gained = draws.ratio(ours - theirs[ALWAYS], oracle - theirs[ALWAYS])
    found.append(figure(f"of what the oracle earns more than {ALWAYS}", 100 * gained.value, "%"))
    found.append(figure("the same, by the outcomes that were drawn", 100 * by_draw(drawn, money), "%"))
    return found


def decided(lake: Lake, truth: Truth) -> pl.DataFrame:
    """What the desk decides on each order that its model has not seen, beside the truth about it."""
    models = {LATE_PAYMENT_RISK.name: LATE_PAYMENT_RISK}
    events = occasions(lake, None, CREDIT_DESK, since_unseen(lake, models.values(), CREDIT_DESK), None)
    tried = Backtest(lake, models, candidate(CREDIT_DESK)).over(events)
    said = pl.DataFrame(
        [(each.event.order, each.action, each.share) for each in tried if each.action is not None],
        schema={"order_id": pl.String, "action": pl.String, "share": pl.Float64},
        orient="row",
    )
    features = lake.table("features/feat_order_risk").scan().select("order_id", "firm_id", "placed_eur", "open_eur").collect()
    chances = table(truth, "SELECT sales_order, probability FROM sales_order", {"order_id": pl.String, "chance": pl.Float64})
    fates: dict[str, Any] = {"order_id": pl.String, "late": pl.Float64, "lost": pl.Float64, "days": pl.Float64}
    fate = table(truth, "SELECT sales_order, late, loss, coalesce(julianday(paid_on) - julianday(due_on), 0) FROM invoice", fates)
    joined = said.join(features, on="order_id").join(chances, on="order_id").join(fate, on="order_id", how="left")
    return joined.drop_nulls("placed_eur")


def table(truth: Truth, sql: str, schema: Mapping[str, Any]) -> pl.DataFrame:
    """Rows of the ground truth."""
    return pl.DataFrame(truth.rows(sql), schema=list(schema), orient="row", infer_schema_length=None).cast(dict(schema))  # type: ignore[arg-type]  # names to types


def by_draw(rows: pl.DataFrame, money: Money) -> float:
    """The share of the oracle's earnings, where what happened is counted and not what was to be expected."""
    amount, chance = rows["placed_eur"].cast(pl.Float64).to_numpy(), rows["chance"].to_numpy()
    happened = Became(rows["late"].to_numpy(), rows["lost"].to_numpy(), rows["days"].to_numpy())
    ours: Floats = money.of(rows["action"].to_numpy().astype(str), rows["share"].to_numpy(), amount, happened)
    action, share, _ = money.best(amount, Became.expected(chance, lost_of_late=LOSS_SHARE, days_of_late=DAYS_LATE))
    return float(ours.sum() / money.of(action, share, amount, happened).sum())


def took(lake: Lake) -> Figure:
    """A decision of the policy, warm, without Dagster around it."""
    snapshot, times = Snapshot.take(lake, CREDIT_DESK.tables), []
    orders = lake.table("features/feat_order_risk").scan().sort("ordered_on").tail(TIMED + WARM).collect()["order_id"].to_list()
    for order in orders:
        began = time.perf_counter()
        run(CREDIT_DESK, Request(subject=f"{CREDIT_DESK.subject}/{order}", at=tables.NOW, event={}), snapshot)
        times.append((time.perf_counter() - began) * 1_000)
    snapshot.close()
    return figure(
        "policy decision, warm, without Dagster around it, p95", statistics.quantiles(times[WARM:], n=20)[-1], "ms", better="lower", bar=20
    )
