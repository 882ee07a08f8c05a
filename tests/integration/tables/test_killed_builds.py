"""`kill -9` of a build at random moments. `bench/builds.py` runs fifty such trials over all tables; these are a few over some."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from bench import builds
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.settings import TableSettings
from pilothouse.tables.building import Builder
from pilothouse.tables.project import Project

SOME = ["stg_s4__sales_order", "stg_s4__sales_order_item", "stg_s4__product", "dim_product", "fct_order_item"]


@pytest.mark.timeout(900)
def test_after_a_kill_and_one_clean_build_every_table_is_what_a_full_rebuild_makes(tmp_path: Path, project: Project) -> None:
    trials = list(builds.killed(tmp_path, 3, seed=5, names=SOME))
    assert [fault for trial in trials for fault in trial.faults] == []
    assert any(trial.hit for trial in trials)
    # And the judge sees rows that nobody committed by the rules.
    builder = Builder(Lake(str(tmp_path / "lake")), project, tmp_path / "work", TableSettings())
    list(builder.build(SOME))
    table = builder.lake.table("marts/dim_product").delta()
    table.delete(f"product_id = '{pl.scan_delta(table).collect()['product_id'][0]}'")
    table.alter.set_table_properties({"delta.logRetentionDuration": "interval 30 days"})
    assert builds._different(builder, SOME)
