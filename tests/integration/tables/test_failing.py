"""What a broken model leaves behind: one clear reason, every table as it was, and all others made."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from pilothouse.kernel.errors import ConfigError
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.settings import TableSettings
from pilothouse.tables.building import Builder, Made
from pilothouse.tables.project import FOLDER, Project

SOURCES = """
sources:
  - name: shop
    tables: [{name: sale}]
"""
GOOD = """
  - name: dim_good
    config: {meta: {key: [id]}}
    columns: [{name: id, data_type: bigint}]
"""
SALE = """
  - name: fct_sale
    config: {meta: {key: [id]}}
    columns:
      - {name: id, data_type: bigint, constraints: [{type: not_null}]}
      - {name: amount, data_type: double%s}
  - name: fct_after
    config: {meta: {key: [id]}}
    columns: [{name: id, data_type: bigint}]
"""
Make = Callable[..., Builder]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(str(tmp_path / "lake"))
    sales = pl.DataFrame({"id": [1, 2, 3], "amount": [10.0, 20.0, None], "at": [datetime(2026, 1, 1, tzinfo=UTC)] * 3})
    lake.raw("shop", "sale").replace(sales.to_arrow().to_reader())
    return lake


@pytest.fixture
def make(tmp_path: Path, lake: Lake) -> Make:
    """A project of three models over one raw table, with the text of one of them as given."""
    folder = tmp_path / "project"
    shutil.copytree(FOLDER / "macros", folder / "macros")
    for name in ("dbt_project.yml", "profiles.yml"):
        shutil.copy(FOLDER / name, folder / name)
    models = folder / "models" / "marts"
    models.mkdir(parents=True)

    def make(text: str, of_amount: str = "") -> Builder:
        (models / "dim_good.sql").write_text("select id from {{ source('shop', 'sale') }}")
        (models / "fct_sale.sql").write_text(text)
        (models / "fct_after.sql").write_text("select id from {{ ref('fct_sale') }}")
        (models / "_marts.yml").write_text(SOURCES + "models:" + GOOD + SALE % of_amount)
        work = tmp_path / "work"
        return Builder(lake, Project.load(folder, work), work, TableSettings())

    return make


RIGHT = "select id, amount from {{ source('shop', 'sale') }}"


def made(builder: Builder) -> dict[str, Made]:
    return {each.model.name: each for each in builder.build()}


@pytest.mark.parametrize(
    ("text", "of_amount", "told"),
    [
        ("select id, amount, 1 as more from {{ source('shop', 'sale') }}", "", r"contract[\s\S]*more"),
        ("select id, cast(amount as integer) as amount from {{ source('shop', 'sale') }}", "", r"amount\s*\|\s*INTEGER\s*\|\s*DOUBLE"),
        (
            "select id, amount from {{ source('shop', 'sale') }} union all select 2, 5.0::double",
            "",
            r"2 rows have the key id=2[\s\S]*multiplies rows",
        ),
        ("select nullif(id, 3) as id, amount from {{ source('shop', 'sale') }}", "", r"NOT NULL constraint[\s\S]*id"),
        (
            "{{ config(contract={'enforced': false}) }} select nullif(id, 3) as id, amount from {{ source('shop', 'sale') }}",
            "",
            r"id is null in 1 rows, and its contract says that it is not",
        ),
        ("select id, amount from {{ source('shop', 'sale') }} where amuont > 1", "", r"amuont"),
        ("select id, amount from", "", r"(?i)syntax|parser"),
        (RIGHT, ", data_tests: [not_null]", r"test not_null_fct_sale_amount found 1"),
    ],
    ids=[
        "a column more",
        "another type",
        "a key twice",
        "a null key",
        "a null key that no engine looks for",
        "an unknown column",
        "half a text",
        "a failing test",
    ],
)
def test_a_broken_model_says_why_and_its_table_stays(make: Make, lake: Lake, text: str, of_amount: str, told: str) -> None:
    assert {each.how for each in made(make(RIGHT)).values()} == {"in full"}
    before = {name: lake.table(f"marts/{name}").pinned() for name in ("fct_sale", "fct_after")}
    broken = made(make(text, of_amount))
    assert broken["fct_sale"].how == "failed"
    assert re.search(told, broken["fct_sale"].reason), broken["fct_sale"].reason
    assert "hint: " in broken["fct_sale"].reason
    assert broken["fct_after"].how == "not reached"
    assert "marts/fct_sale, which failed" in broken["fct_after"].reason
    assert not broken["dim_good"].reason
    assert {name: lake.table(f"marts/{name}").pinned() for name in before} == before
    mended = made(make(RIGHT))
    assert not any(each.reason for each in mended.values())
    assert {name: lake.table(f"marts/{name}").pinned() for name in before} == before


def test_a_raw_table_that_was_never_read_is_named(make: Make, lake: Lake) -> None:
    shutil.rmtree(lake.raw("shop", "sale").uri)
    builder = make(RIGHT)
    assert builder.outdated() == {}
    reasons = {each.reason for each in builder.build()}
    assert any("raw/shop/sale: there is no such table" in reason for reason in reasons)


def test_a_model_without_a_key_is_refused(make: Make, tmp_path: Path) -> None:
    make(RIGHT)
    told = tmp_path / "project" / "models" / "marts" / "_marts.yml"
    told.write_text(told.read_text().replace("config: {meta: {key: [id]}}", "config: {meta: {}}", 1))
    with pytest.raises(ConfigError, match=r"dim_good.sql: the model has no key[\s\S]*hint: "):
        Project.load(tmp_path / "project", tmp_path / "work")


def test_a_project_that_cannot_be_parsed_says_where(make: Make, tmp_path: Path) -> None:
    make(RIGHT)
    (tmp_path / "project" / "models" / "marts" / "fct_sale.sql").write_text("select {{ ref('nobody') }}")
    with pytest.raises(ConfigError, match="nobody"):
        Project.load(tmp_path / "project", tmp_path / "work")


def test_an_unknown_table_is_told_with_those_there_are(make: Make) -> None:
    with pytest.raises(ConfigError, match=r"no model 'fct_sales'[\s\S]*fct_sale"):
        make(RIGHT).project.model("fct_sales")
