"""What the Dagster UI shows of every asset, schedule and sensor, and what they are called."""

from __future__ import annotations

import re
from pathlib import Path

import dagster as dg
import pytest
import yaml

from assets.platform import Platform
from orchestration.agents import EXECUTE
from orchestration.definitions import build
from orchestration.lanes import BACKGROUND
from pilothouse.kernel.settings import load
from pilothouse.local import dagster_home

ROOT = Path(__file__).parents[2]
STAGES = {
    *("raw", "staging", "intermediate", "marts", "features", "scores"),
    *("graph", "model", "agent", "agents", "approvals", "outcomes", "quality", "platform"),
}
MODEL_NAMES = {
    "staging": r"stg_[a-z0-9]+__\w+",
    "intermediate": r"int_\w+",
    "marts": r"(dim|fct)_\w+",
    "features": r"feat_\w+",
}


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return build(Platform(load(ROOT / "pilothouse.toml", running=False)))


def test_every_asset_says_what_it_is_where_it_belongs_and_who_owns_it(definitions: dg.Definitions) -> None:
    specs = definitions.resolve_all_asset_specs()
    assert len(specs) > 80
    lacking = [
        (spec.key.to_user_string(), what)
        for spec in specs
        for what, said in {"description": spec.description, "group": spec.group_name, "owners": spec.owners, "kinds": spec.kinds}.items()
        if not said
    ]
    assert lacking == []


def test_every_stream_is_an_asset_with_checks_and_a_time_by_which_it_is_stale(definitions: dg.Definitions) -> None:
    raw = [
        spec for spec in definitions.resolve_all_asset_specs() if spec.key.path[0] == "raw" and spec.group_name in {"s4", "crm", "bureau"}
    ]
    assert len(raw) == 18
    graph = definitions.resolve_asset_graph()
    for spec in raw:
        assert isinstance(spec.freshness_policy, dg.FreshnessPolicy), spec.key
        assert len(spec.key.path) == 3
        assert graph.get_check_keys_for_assets({spec.key}), spec.key


def test_names_tell_the_stage(definitions: dg.Definitions) -> None:
    keys = [spec.key for spec in definitions.resolve_all_asset_specs()]
    assert {key.path[0] for key in keys} <= STAGES
    assert [key for key in keys if key.path[0] in MODEL_NAMES and not re.fullmatch(MODEL_NAMES[key.path[0]], key.path[-1])] == []


def test_every_derived_table_is_a_model_of_the_dbt_project(definitions: dg.Definitions) -> None:
    """Law 4."""
    models = {path.stem for pattern in ("*.sql", "*.py") for path in (ROOT / "dbt_project" / "models").rglob(pattern)}
    keys = [spec.key for spec in definitions.resolve_all_asset_specs()]
    derived = {key.path[-1] for key in keys if key.path[0] in MODEL_NAMES}
    assert len(derived) > 30
    assert derived - models == set()


def test_schedules_and_sensors_are_on_from_the_start(definitions: dg.Definitions) -> None:
    repository = definitions.get_repository_def()
    off = [each.name for each in repository.schedule_defs if each.default_status is not dg.DefaultScheduleStatus.RUNNING]
    off += [each.name for each in repository.sensor_defs if each.default_status is not dg.DefaultSensorStatus.RUNNING]
    assert off == []
    assert {f"sync_{source}_schedule" for source in ("s4", "crm", "bureau")} <= {each.name for each in repository.schedule_defs}


def test_no_asset_has_a_partition_a_request(definitions: dg.Definitions) -> None:
    """The UI freezes at tens of thousands of them."""
    assert [spec.key for spec in definitions.resolve_all_asset_specs() if spec.partitions_def is not None] == []


def test_what_people_wait_for_never_queues_behind_work_that_nobody_waits_for(definitions: dg.Definitions, tmp_path: Path) -> None:
    jobs = {job.name: job.tags for job in definitions.get_repository_def().get_all_jobs() if not job.name.startswith("__")}
    awaited = {name for name in jobs if name.startswith("decide_") or name == EXECUTE}
    assert EXECUTE in awaited
    assert {name for name, tags in jobs.items() if tags.items() >= BACKGROUND.items()} == jobs.keys() - awaited
    dagster_home.write(tmp_path, database_url="postgresql://nobody@127.0.0.1/none", code_port=1)
    runs = yaml.safe_load((tmp_path / "dagster.yaml").read_text())["concurrency"]["runs"]
    ((key, value),) = BACKGROUND.items()
    (limit,) = [each["limit"] for each in runs["tag_concurrency_limits"] if (each["key"], each["value"]) == (key, value)]
    assert limit < runs["max_concurrent_runs"]
