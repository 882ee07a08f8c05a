"""`kill -9` of a build at random moments. `bench/builds.py` runs fifty such trials over all tables; these are a few over some."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from deltalake import CommitProperties, write_deltalake

from bench import builds
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.lake.digest import KEY
from pilothouse.kernel.settings import TableSettings
from pilothouse.tables.building import Builder
from pilothouse.tables.project import Project

SOME = ["stg_s4__sales_order", "stg_s4__sales_order_item", "stg_s4__product", "dim_product", "fct_order_item"]


@pytest.mark.timeout(900)
def test_after_a_kill_and_one_clean_build_every_table_is_what_a_full_rebuild_makes(tmp_path: Path, project: Project) -> None:
    trials = list(builds.killed(tmp_path, 3, seed=5, names=SOME))
    assert [fault for trial in trials for fault in trial.faults] == []
    assert any(trial.hit for trial in trials)


def test_the_judge_sees_rows_that_are_not_those_that_their_commit_tells(tmp_path: Path, project: Project) -> None:
    assert list(builds.killed(tmp_path, 0, seed=5, names=SOME)) == []
    builder = Builder(Lake(str(tmp_path / "lake")), project, tmp_path / "work", TableSettings())
    list(builder.build(["stg_s4__product"]))
    assert builds._different(builder, ["stg_s4__product"]) == []
    delta = builder.lake.table("staging/stg_s4__product").delta()
    told = {KEY: next(entry[KEY] for entry in delta.history() if KEY in entry)}
    write_deltalake(delta, pl.scan_delta(delta).collect().to_arrow()[1:], mode="overwrite", commit_properties=CommitProperties(told))
    assert builds._different(builder, ["stg_s4__product"]) == ["staging/stg_s4__product: its rows are not those that its commit tells"]
