"""How good the models are: against the truth that the company's generator keeps, and against who repeats the past.

Three ceilings stand beside the risk model. The truth's own probability is drawn from what no source shows: a firm's habit, its trouble,
how an order was meant. So nobody reaches it. What can be reached is what an ideal observer says (`bench/observer.py`), who knows the
company's equations and sees what the sources show before the order's day; the bar is against it. The third one is what could be learned
from earlier orders by somebody who saw the planted signals themselves, without noise: some of them begin in the very weeks that are
held out. All AUCs are expected ones, by the true probabilities of the orders held out: a drawn outcome would add its own chance to
the difference. The interval comes from drawing firms.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from bench import tables
from bench.figure import Figure, figure
from bench.observer import Observer
from models.declared.cash_in import CASH_IN
from models.declared.late_payment_risk import LATE_PAYMENT_RISK as RISK
from models.model import Fitted
from models.scoring import Scorer
from models.splitting import Parts, divided, labelled
from models.training import read_tables
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.settings import TableSettings
from pilothouse.sandbox.company.risk import log_odds
from pilothouse.sandbox.company.sales import signals
from pilothouse.sandbox.company.truth import Truth
from pilothouse.tables.building import Builder
from pilothouse.tables.project import FOLDER, Project

SINGLE_SCORES = 2_000
DRAWS = 400


def figures(scale: float = 1.0) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="pilothouse-bench-") as folder:
        tables.raw(folder, scale)
        lake, work = Lake(f"{folder}/lake"), Path(folder) / "work"
        failed = [made.reason for made in Builder(lake, Project.load(FOLDER, work), work, TableSettings()).build() if made.reason]
        if failed:
            raise RuntimeError("\n".join(failed))
        truth = Truth(next(Path(folder).rglob("truth.sqlite")))
        return [*risk(lake, truth), *cash(lake)]


def risk(lake: Lake, truth: Truth) -> list[Figure]:
    """The risk model on the orders it has not seen."""
    read, _ = read_tables(lake, RISK)
    began = time.perf_counter()
    fitted = RISK.kind.fit(RISK, read)
    seconds = time.perf_counter() - began
    parts = divided(RISK, labelled(RISK, read))
    true, learnable = ceilings(parts, truth)
    scores = RISK.kind.score(RISK, {RISK.features.table: parts.hold_out}, fitted.card)["score"].to_numpy()
    ours = expected_auc(true, scores)
    ideal = Observer(lake, truth, last_day()).chances(parts.hold_out["order_id"].to_list())
    low, high = between(true, ideal, scores, parts.hold_out["firm_id"])
    best = expected_auc(true, true)
    took = single_scores(fitted, parts)
    return [
        figure(
            "late payment: AUC missing to an ideal observer of what the sources show",
            expected_auc(true, ideal) - ours,
            "",
            better="lower",
            bar=0.02,
        ),
        figure("the same, lower end of the interval", low, "", better="lower"),
        figure("the same, upper end", high, "", better="lower"),
        figure("AUC missing to the planted signals, learned from them", expected_auc(true, learnable) - ours, "", better="lower"),
        figure("AUC missing to the truth's own probability, which nobody can see", best - ours, "", better="lower"),
        figure("AUC of the ideal observer", expected_auc(true, ideal), "", peer="the truth's probability", peer_value=best),
        figure("AUC on the hold-out, drawn outcomes", fitted.metrics["auc"], "", peer="the truth's probability", peer_value=best),
        figure("expected calibration error on the hold-out", fitted.metrics["ece"], "", better="lower", bar=0.03),
        figure("a single score with its reasons, p95", took, "ms", better="lower", bar=10),
        figure(f"fit of {fitted.metrics['rows_trained']:,.0f} orders, calibrated and judged", seconds, "s", better="lower"),
    ]


def ceilings(parts: Parts, truth: Truth) -> tuple[np.ndarray, np.ndarray]:
    """For the orders held out: their true probabilities, and what could be learned of the planted signals from the earlier ones."""
    from sklearn.linear_model import LogisticRegression

    learned = LogisticRegression(C=1.0, max_iter=2_000).fit(planted(parts.known, truth), parts.known["_outcome"].to_numpy())
    drawn = pl.DataFrame(truth.rows("SELECT sales_order, probability FROM sales_order"), schema=["order_id", "chance"], orient="row")
    true = parts.hold_out.join(drawn, on="order_id", how="left", maintain_order="left")["chance"].to_numpy()
    return true, learned.decision_function(planted(parts.hold_out, truth))


def planted(rows: pl.DataFrame, truth: Truth) -> np.ndarray:
    """The signals of orders as they were planted, one column each."""
    drawn = pl.DataFrame(
        truth.rows("SELECT sales_order, firm, log_odds FROM sales_order"), schema=["order_id", "firm", "score"], orient="row"
    )
    mine = rows.join(drawn, on="order_id", how="left", maintain_order="left")
    firm, score = mine["firm"].to_numpy(), mine["score"].to_numpy()
    day = mine["ordered_on"].to_physical().to_numpy()
    values = signals(truth.world().firms, firm, day, np.zeros(len(firm)), last_day())
    of_size = score - log_odds(values)  # what the others leave is the size's part
    return np.column_stack([*(np.asarray(values[name], dtype=float) for name in sorted(values) if name != "order_size"), of_size])


def last_day() -> int:
    """The last day of the company's history, in days since 1970."""
    return int(np.datetime64(tables.NOW.date(), "D").astype(np.int64))


def between(chance: np.ndarray, one: np.ndarray, other: np.ndarray, firms: pl.Series) -> tuple[float, float]:
    """Where the difference of two scores' AUCs lies in nineteen of twenty draws of the firms."""
    rng, places = np.random.default_rng(1), firms.rank("dense").to_numpy() - 1
    rows = np.split(np.argsort(places, kind="stable"), np.cumsum(np.bincount(places))[:-1])
    found = []
    for _ in range(DRAWS):
        drawn = np.concatenate([rows[place] for place in rng.integers(0, len(rows), len(rows))])
        found.append(expected_auc(chance[drawn], one[drawn]) - expected_auc(chance[drawn], other[drawn]))
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def expected_auc(chance: np.ndarray, score: np.ndarray) -> float:
    """How often a late order ranks above a punctual one, over all draws of who is late."""
    late = chance[np.argsort(score, kind="stable")]
    punctual = 1 - late
    return float((late * (np.cumsum(punctual) - punctual / 2)).sum() / (late.sum() * punctual.sum()))


def single_scores(fitted: Fitted, parts: Parts) -> float:
    """Milliseconds that nineteen of twenty single scores take at most."""
    scorer, took = Scorer(RISK, 1, fitted.card), []
    for row in parts.hold_out.head(SINGLE_SCORES).iter_rows(named=True):
        began = time.perf_counter()
        scorer.score(row)
        took.append(time.perf_counter() - began)
    return statistics.quantiles(took, n=20)[-1] * 1_000


def cash(lake: Lake) -> list[Figure]:
    """The forecast from a day on that nothing was learned after, against what came."""
    read, _ = read_tables(lake, CASH_IN)
    metrics = CASH_IN.kind.fit(CASH_IN, read).metrics
    ratios = {name.removeprefix("scaled_error_"): value for name, value in metrics.items() if name.startswith("scaled_error_")}
    others = {name.removeprefix("against_last_week_"): value for name, value in metrics.items() if name.startswith("against_last_week_")}
    worst, worst_other = max(ratios, key=lambda name: ratios[name]), max(others, key=lambda name: others[name])
    return [
        figure(
            f"cash in: error of the worst of {len(ratios)} series ({worst}), repeating the last four weeks is 1",
            ratios[worst],
            "",
            better="lower",
            bar=0.999,
        ),
        figure("the same of all series, on average", metrics["scaled_error"], "", better="lower"),
        figure(f"the same of the worst ({worst_other}), repeating the last week is 1", others[worst_other], "", better="lower", bar=0.999),
        figure("weeks within the interval of four in five", 100 * metrics["coverage"], "%", bar=75),
        figure("the same, at most", 100 * metrics["coverage"], "%", better="lower", bar=85),
        *(figure(f"cash in: {name}", ratio, "of the error of repetition", better="lower") for name, ratio in sorted(ratios.items())),
    ]
