"""Decision trees: what one decision costs, what a frame of them costs, and what the nearest other decision costs."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, Final

import polars as pl

from bench.figure import Figure, figure
from models.trees import Tree, declared_facts, find_tree, tree_from
from models.trees.declared import find_file

ROWS: Final = 1_000_000
DECISIONS: Final = 20_000


def figures() -> list[Figure]:
    tree = find_tree("credit_release")
    chance = random.Random(3)
    rows = [_order(chance) for _ in range(DECISIONS)]
    one = _each(tree.decide, rows)
    told = _each(lambda row: tree.decide(row).steps, rows[:2_000])
    other = _each(tree.nearest, rows[:2_000])
    frame = pl.DataFrame([_order(chance) for _ in range(10_000)], infer_schema_length=None)
    frame = pl.concat([frame] * (ROWS // frame.height))
    began = time.perf_counter()
    decided = tree.decide_frame(frame)
    took = time.perf_counter() - began
    assert decided.height == ROWS
    return [
        figure("one decision, p95", one, "µs", better="lower", bar=1_000),
        figure("with its whole path told, p95", told, "µs", better="lower", bar=1_000),
        figure("the nearest other decision, p95", other, "µs", better="lower"),
        figure("a frame of 1M orders", ROWS / took, "decisions/s", peer="one by one", peer_value=1e6 / one),
        figure("read, proved and compiled from its file", _read(), "ms", better="lower"),
    ]


def _each(work: Callable[[dict[str, Any]], object], rows: list[dict[str, Any]]) -> float:
    """The 95th percentile in microseconds."""
    times = []
    for row in rows:
        began = time.perf_counter_ns()
        work(row)
        times.append(time.perf_counter_ns() - began)
    return sorted(times)[int(len(times) * 0.95)] / 1_000


def _read() -> float:
    facts, text = declared_facts(), find_file("credit_release").read_text(encoding="utf-8")
    facts["order"].all  # noqa: B018 - read before the clock runs
    began = time.perf_counter()
    made: Tree = tree_from(text, facts)
    assert made.version
    return (time.perf_counter() - began) * 1_000


def _order(chance: random.Random) -> dict[str, Any]:
    return {
        "invoices_late_and_open": chance.choice([0, 0, 0, 0, 1, 2, 3]),
        "overdue_eur": chance.choice([0.0, 0.0, 800.0, 9_000.0]),
        "rating_grade": chance.choice([None, "A", "B", "C", "D", "E"]),
        "placed_eur": chance.choice([None, chance.uniform(100, 90_000)]),
        "graph.group_exposure": chance.choice([None, chance.uniform(0, 3e6)]),
        "graph.group_overdue": chance.choice([None, chance.uniform(0, 3e5)]),
        "risk.probability": chance.choice([None, *(chance.random() for _ in range(9))]),
        "orders_before": chance.randrange(0, 60),
        "mean_days_late": chance.choice([None, chance.uniform(-10, 40)]),
    }
