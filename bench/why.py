"""Why a row says what it says: how long the answer takes at a million orders, and what provenance costs when nobody asks.

Rows are drawn from every table but staging, as many of each, and each is explained whole, in a process that has explained one
before; the first answer of a new process, in which nothing is open yet, is a figure of its own. Whether answers are right is no
matter of time: `bench/exact.py` and `tests/integration/tables/test_why.py` hold them against brute force.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections import defaultdict
from itertools import chain
from pathlib import Path

from bench import tables
from bench.apart import ours
from bench.figure import Figure, figure
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.settings import TableSettings
from pilothouse.tables.building import Builder
from pilothouse.tables.project import FOLDER, Project
from pilothouse.tables.record import KEY
from pilothouse.tables.why.explain import Explainer
from pilothouse.tables.why.impact import Impact

ROWS = 12  # of each table
TOOK = "why.json"  # how long each of them took


def figures(scale: float = 25.0) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="pilothouse-bench-") as folder:
        orders = tables.raw(folder, scale)
        asked = ours("bench.why:ask", folder)
        first = ours("bench.why:ask_first", folder)
        forward = ours("bench.why:ask_forward", folder)
        told, held = stored(folder)
        tables_took: dict[str, list[float]] = json.loads((Path(folder) / TOOK).read_text())
    return [
        figure(f"why of a mart row, {orders:,} orders, p95", asked.rows / 1_000, "ms", better="lower", bar=500),
        figure("why of a row of any table, p95", percentile([*chain(*tables_took.values())], 0.95), "ms", better="lower"),
        *(
            figure(f"  {name}, {called}", percentile(took, share), "ms", better="lower")
            for name, took in tables_took.items()
            for called, share in (("p50", 0.5), ("p95", 0.95))
        ),
        figure("why of a feature row, the first answer of a new process", first.rows / 1_000, "ms", better="lower"),
        figure(f"impact of a source row, {orders:,} orders, p95", forward.rows / 1_000, "ms", better="lower", bar=2_000),
        figure("what provenance adds to storage", 100 * told / held, "%", better="lower", bar=5),
    ]


def percentile(values: list[float], share: float) -> float:
    """What this share of values does not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def ask(folder: str) -> int:
    """Microseconds that nineteen of twenty answers about marts take at most."""
    work = Path(folder) / "work"
    lake, project = Lake(f"{folder}/lake"), Project.load(FOLDER, work)
    failed = [made.reason for made in Builder(lake, project, work, TableSettings()).build() if made.reason]
    if failed:
        raise RuntimeError("\n".join(failed))
    explainer, dice, took = Explainer(lake, project, work), random.Random(3), defaultdict(list)
    for model in project.published.values():
        if model.layer == "staging":
            continue
        keys = lake.table(model.table).scan().select(model.key).collect()
        explainer.why(model.table, keys.row(0, named=True))  # its text is compiled once
        for _ in range(ROWS):
            key = keys.row(dice.randrange(keys.height), named=True)
            began = time.perf_counter()
            explainer.why(model.table, key)
            took[model.table].append((time.perf_counter() - began) * 1_000)
    (Path(folder) / TOOK).write_text(json.dumps(took))
    return round(percentile([*chain(*(several for table, several in took.items() if table.startswith("marts/")))], 0.95) * 1_000)


def ask_first(folder: str) -> int:
    """Microseconds of the first answer in a process that has opened nothing, of texts that another one has annotated."""
    work = Path(folder) / "work"
    began = time.perf_counter()
    lake, project = Lake(f"{folder}/lake"), Project.load(FOLDER, work)
    key = lake.table("features/feat_order_risk").scan().select("order_id").head(1).collect().row(0, named=True)
    Explainer(lake, project, work).why("features/feat_order_risk", key)
    return round((time.perf_counter() - began) * 1_000_000)


def ask_forward(folder: str) -> int:
    """Microseconds that nineteen of twenty answers take at most, of raw rows drawn as often as there are any of their table."""
    work = Path(folder) / "work"
    lake, project = Lake(f"{folder}/lake"), Project.load(FOLDER, work)
    impact, dice, took = Impact(Explainer(lake, project, work), project.published.values()), random.Random(3), []
    tables_read = sorted({name for model in project.models.values() for name in model.raw} - {"raw/pilothouse/firm_correction"})
    counts = [lake.table(name).rows() for name in tables_read]
    for number, table in enumerate(dice.choices(tables_read, counts, k=ROWS * 3 + 1)):
        row = lake.table(table).scan().select("_row_id").slice(dice.randrange(lake.table(table).rows()), 1).collect().item()
        began = time.perf_counter()
        list(impact.of(table, row.hex().upper()))
        took.extend([time.perf_counter() - began] if number else [])
    took.sort()
    return round(took[int(len(took) * 0.95)] * 1_000_000)


def stored(folder: str) -> tuple[int, int]:
    """The bytes that tell what tables were made of, and those of the tables."""
    lake = Lake(f"{folder}/lake")
    made = [table for table in lake.tables() if not table.name.startswith("raw/")]
    told = sum(len(entry.get(KEY, "")) for table in made for entry in table.history())
    notes = sum(path.stat().st_size for path in Path(f"{folder}/lake").rglob("_made.json"))
    held = sum(path.stat().st_size for table in made for path in Path(table.uri).rglob("*.parquet"))
    return told + notes, held
