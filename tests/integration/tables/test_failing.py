"""What a broken model leaves behind: one clear reason, every table as it was, and all others made."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from pilothouse.kernel.errors import ConfigError
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.settings import TableSettings
from pilothouse.kernel.versions import Pinned
from pilothouse.tables.building import Builder, Made
from pilothouse.tables.project import FOLDER, Project

SOURCES = """
sources:
  - name: shop
    tables: [{name: sale}]
models:
  - name: dim_good
    config: {meta: {key: [id]}}
    columns: [{name: id, data_type: bigint}]
"""
SALE = """
  - name: fct_%(name)s
    config: {meta: {key: [id]}}
    columns:
      - {name: id, data_type: bigint, constraints: [{type: not_null}]}
      - {name: amount, data_type: double%(of_amount)s}
  - name: fct_after_%(name)s
    config: {meta: {key: [id]}}
    columns: [{name: id, data_type: bigint}]
"""
RIGHT = "select id, amount from {{ source('shop', 'sale') }}"


@dataclass(frozen=True)
class Broken:
    """How a model is wrong: its text, or what is asked of its column of amounts; and what is told of it."""

    told: str
    text: str = RIGHT
    of_amount: str = ""


BROKEN = {
    "a column more": Broken(r"contract[\s\S]*more", "select id, amount, 1 as more from {{ source('shop', 'sale') }}"),
    "another type": Broken(
        r"amount\s*\|\s*INTEGER\s*\|\s*DOUBLE", "select id, cast(amount as integer) as amount from {{ source('shop', 'sale') }}"
    ),
    "a key twice": Broken(
        r"2 rows have the key id=2[\s\S]*multiplies rows",
        "select id, amount from {{ source('shop', 'sale') }} union all select 2, 5.0::double",
    ),
    "a null key": Broken(r"NOT NULL constraint[\s\S]*id", "select nullif(id, 3) as id, amount from {{ source('shop', 'sale') }}"),
    "a null key that no engine looks for": Broken(
        r"id is null in 1 rows, and its contract says that it is not",
        "{{ config(contract={'enforced': false}) }} select nullif(id, 3) as id, amount from {{ source('shop', 'sale') }}",
    ),
    "an unknown column": Broken(r"amuont", "select id, amount from {{ source('shop', 'sale') }} where amuont > 1"),
    "half a text": Broken(r"(?i)syntax|parser", "select id, amount from"),
    "a failing test": Broken(r"test not_null_fct_a_failing_test_amount found 1", of_amount=", data_tests: [not_null]"),
}
Make = Callable[..., Builder]
State = dict[str, Pinned]


@dataclass(frozen=True)
class Story:
    """Models that were right, then broken, then mended: what became of each build, and the tables after it."""

    right: dict[str, Made]
    broken: dict[str, Made]
    mended: dict[str, Made]
    tables: tuple[State, State, State]


def called(name: str) -> str:
    return name.replace(" ", "_")


def shop(folder: Path) -> Lake:
    """A lake of one raw table."""
    lake = Lake(str(folder / "lake"))
    sales = pl.DataFrame({"id": [1, 2, 3], "amount": [10.0, 20.0, None], "at": [datetime(2026, 1, 1, tzinfo=UTC)] * 3})
    lake.raw("shop", "sale").replace(sales.to_arrow().to_reader())
    return lake


def builder_of(folder: Path, lake: Lake, sales: Mapping[str, Broken]) -> Builder:
    """A project over that table: a good model, and for each name a model as told, with one that reads it."""
    project, work = folder / "project", folder / "work"
    if not project.exists():
        shutil.copytree(FOLDER / "macros", project / "macros")
        for name in ("dbt_project.yml", "profiles.yml"):
            shutil.copy(FOLDER / name, project / name)
    models = project / "models" / "marts"
    models.mkdir(parents=True, exist_ok=True)
    (models / "dim_good.sql").write_text("select id from {{ source('shop', 'sale') }}")
    for name, sale in sales.items():
        (models / f"fct_{name}.sql").write_text(sale.text)
        (models / f"fct_after_{name}.sql").write_text(f"select id from {{{{ ref('fct_{name}') }}}}")
    told = (SALE % {"name": name, "of_amount": sale.of_amount} for name, sale in sales.items())
    (models / "_marts.yml").write_text(SOURCES + "".join(told))
    return Builder(lake, Project.load(project, work), work, TableSettings())


def made(builder: Builder) -> dict[str, Made]:
    return {each.model.name: each for each in builder.build()}


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Every broken model beside the others: none knows of another one."""
    folder = tmp_path_factory.mktemp("broken")
    lake = shop(folder)
    right = {called(name): Broken("") for name in BROKEN}
    broken = {called(name): each for name, each in BROKEN.items()}
    builds, states = [], []
    for models in (right, broken, right):
        builder = builder_of(folder, lake, models)
        builds.append(made(builder))
        states.append({name: lake.table(f"marts/{name}").pinned() for name in builder.project.published})
    return Story(builds[0], builds[1], builds[2], (states[0], states[1], states[2]))


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_model_says_why_and_its_table_stays(story: Story, name: str) -> None:
    sale, after = f"fct_{called(name)}", f"fct_after_{called(name)}"
    assert {story.right[each].how for each in (sale, after)} == {"in full"}
    assert story.broken[sale].how == "failed"
    assert re.search(BROKEN[name].told, story.broken[sale].reason), story.broken[sale].reason
    assert "hint: " in story.broken[sale].reason
    assert story.broken[after].how == "not reached"
    assert f"marts/{sale}, which failed" in story.broken[after].reason
    assert not any(story.mended[each].reason for each in (sale, after))
    for each in (sale, after):
        assert len({state[each] for state in story.tables}) == 1


def test_what_does_not_need_a_broken_model_is_made(story: Story) -> None:
    assert [build["dim_good"].reason for build in (story.right, story.broken, story.mended)] == ["", "", ""]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return shop(tmp_path)


@pytest.fixture
def make(tmp_path: Path, lake: Lake) -> Make:
    """A project of three models that are right."""
    return lambda: builder_of(tmp_path, lake, {"sale": Broken("")})


def test_a_raw_table_that_was_never_read_is_named(make: Make, lake: Lake) -> None:
    shutil.rmtree(lake.raw("shop", "sale").uri)
    builder = make()
    assert builder.outdated() == {}
    reasons = {each.reason for each in builder.build()}
    assert any("raw/shop/sale: there is no such table" in reason for reason in reasons)


def test_a_model_without_a_key_is_refused(make: Make, tmp_path: Path) -> None:
    make()
    told = tmp_path / "project" / "models" / "marts" / "_marts.yml"
    told.write_text(told.read_text().replace("config: {meta: {key: [id]}}", "config: {meta: {}}", 1))
    with pytest.raises(ConfigError, match=r"dim_good.sql: the model has no key[\s\S]*hint: "):
        Project.load(tmp_path / "project", tmp_path / "work")


def test_a_project_that_cannot_be_parsed_says_where(make: Make, tmp_path: Path) -> None:
    make()
    (tmp_path / "project" / "models" / "marts" / "fct_sale.sql").write_text("select {{ ref('nobody') }}")
    with pytest.raises(ConfigError, match="nobody"):
        Project.load(tmp_path / "project", tmp_path / "work")


def test_an_unknown_table_is_told_with_those_there_are(make: Make) -> None:
    with pytest.raises(ConfigError, match=r"no model 'fct_sales'[\s\S]*fct_sale"):
        make().project.model("fct_sales")
