"""How good the models are: against the truth that the company's generator keeps, and against who repeats the past.

Two ceilings stand beside the risk model. The truth's own probability is what nobody can rank better than. But some of what is planted
shows for the first time in the very weeks that are held out (sudden bursts of orders, the slump of an industry, groups in distress), and
who trains before cannot have learned its weight. So the bar is against the best that could be learned by then: a logistic regression on
the planted signals themselves, without their noise, from the same orders. Both AUCs are expected ones, by the true probabilities of
the orders held out: a drawn outcome would add its own chance to the difference.
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
    ours = expected_auc(true, RISK.kind.score(RISK, {RISK.features.table: parts.hold_out}, fitted.card)["score"].to_numpy())
    best = expected_auc(true, true)
    took = single_scores(fitted, parts)
    return [
        figure(
            "late payment: AUC missing to the best that could be learned by then",
            expected_auc(true, learnable) - ours,
            "",
            better="lower",
            bar=0.02,
        ),
        figure("the same to the truth's own probability, which nobody can reach", best - ours, "", better="lower"),
        figure("AUC on the hold-out, drawn outcomes", fitted.metrics["auc"], "", peer="the truth's probability", peer_value=best),
        figure("expected calibration error on the hold-out", fitted.metrics["ece"], "", better="lower", bar=0.03),
        figure("a single score with its reasons, p95", took, "ms", better="lower", bar=10),
        figure(f"fit of {fitted.metrics['rows_trained']:,.0f} orders, calibrated and judged", seconds, "s", better="lower"),
    ]


def ceilings(parts: Parts, truth: Truth) -> tuple[np.ndarray, np.ndarray]:
    """For the orders held out: their true probabilities, and what could be learned of the planted signals from the earlier ones."""
    from sklearn.linear_model import LogisticRegression

    known = pl.concat([parts.train, parts.calibrate])
    learned = LogisticRegression(C=1.0, max_iter=2_000).fit(planted(known, truth), known["_outcome"].to_numpy())
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
    end = int(np.datetime64(tables.NOW.date(), "D").astype(np.int64))
    values = signals(truth.world().firms, firm, day, np.zeros(len(firm)), end)
    of_size = score - log_odds(values)  # what the others leave is the size's part
    return np.column_stack([*(np.asarray(values[name], dtype=float) for name in sorted(values) if name != "order_size"), of_size])


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
