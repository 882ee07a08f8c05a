"""Every table of the dbt project from raw tables: as a whole, again without a change, and after a while of the company's life.

The company is the sandbox's, put into raw tables without the wire between (`tests/raw_company.py`); what is measured begins there
and ends with the last table published. A build is measured in a process that has built something before, as the platform's are;
memory is the peak of that process, with everything in it.
"""

from __future__ import annotations

import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.apart import ours
from bench.figure import Figure, figure
from graph.resolution.corrections import Corrections
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.settings import TableSettings
from pilothouse.sandbox.company.company import Company
from pilothouse.tables.building import Builder
from pilothouse.tables.project import FOLDER, Project
from tests.raw_company import RawCompany

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
BEATS = 50


def figures(large: float = 25.0) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="pilothouse-bench-") as folder:
        usual, big = str(Path(folder) / "usual"), str(Path(folder) / "large")
        raw(usual, 1.0)
        first = ours("bench.tables:build", usual)
        again = ours("bench.tables:build_again", usual)
        part = ours("bench.tables:build_part", usual)
        orders = raw(big, large)
        whole = ours("bench.tables:build", big)
    return [
        figure("all tables, 40,000 orders", first.rows / 1_000, "s", better="lower", bar=10),
        figure("the same again, nothing changed", again.rows / 1_000, "s", better="lower", bar=3),
        figure(f"the same after {BEATS} beats of life", part.rows / 1_000, "s", better="lower"),
        figure(f"all tables, {orders:,} orders", whole.rows / 1_000, "s", better="lower", bar=90),
        figure("peak memory of that", whole.peak_mb, "MB", better="lower", bar=6_000),
    ]


def raw(folder: str, scale: float) -> int:
    """A company of this size in raw tables; returns how many orders it has."""
    company = Company.open(Path(folder), seed=7, scale=scale, now=NOW)
    lake = Lake(f"{folder}/lake")
    RawCompany(company, lake).fill()
    Corrections(lake).ensure()
    company.close()
    return lake.raw("s4", "sales_order").rows()


def build(folder: str) -> int:
    """Milliseconds of a full build, in a process that knows dbt and the project."""
    builder = _warm(folder)
    return _milliseconds(builder)


def build_again(folder: str) -> int:
    """Milliseconds of a build that finds nothing to do."""
    builder = _warm(folder)
    _milliseconds(builder)
    return _milliseconds(builder)


def build_part(folder: str) -> int:
    """Milliseconds of a build after some of the company's life."""
    company = Company.open(Path(folder), seed=7, scale=1.0, now=NOW)
    lake = Lake(f"{folder}/living")
    living = RawCompany(company, lake)
    living.sync()
    Corrections(lake).ensure()
    builder = Builder(lake, Project.load(FOLDER, Path(folder) / "work"), Path(folder) / "work", TableSettings())
    _milliseconds(builder)
    for beat in range(BEATS):
        company.clock.step(NOW + timedelta(minutes=20 * (beat + 1)))
    living.sync()
    return _milliseconds(builder)


def _warm(folder: str) -> Builder:
    work = Path(folder) / "work"
    builder = Builder(Lake(f"{folder}/lake"), Project.load(FOLDER, work), work, TableSettings())
    list(builder.build(["stg_bureau__industry_index"], full=True))
    return builder


def _milliseconds(builder: Builder) -> int:
    began = time.perf_counter()
    failed = [made.reason for made in builder.build() if made.reason]
    if failed:
        raise RuntimeError("\n".join(failed))
    return round((time.perf_counter() - began) * 1_000)
