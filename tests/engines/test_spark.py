"""Spark makes the tables that DuckDB makes, of the same Delta tables, by the same texts."""

from __future__ import annotations

import re
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from pilothouse.kernel.lake import Lake
from pilothouse.kernel.settings import TableSettings
from pilothouse.tables.building import Builder
from pilothouse.tables.project import FOLDER, Project
from tests.engines.conftest import NOW
from tests.raw_company import RawCompany

# Sockets of a session that ends with its process are left behind by pyspark.
pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(1_200)]

PART = ["stg_s4__sales_order", "stg_s4__sales_order_item", "fct_order"]


def test_every_table_that_spark_makes_is_the_one_that_duckdb_made(by_spark: Builder, raw: RawCompany) -> None:
    before = {model.table: raw.lake.table(model.table).pinned() for model in by_spark.project.published.values()}
    made = list(by_spark.build(full=True))
    assert [each.reason for each in made if each.reason] == []
    assert {each.model.table for each in made} == before.keys()
    assert {each.model.name for each in made if each.how != "in full"} == {"int_firm_weights"}  # kept as they were learned
    assert {each.model.table: each.table for each in made} == before  # equal content is no new version
    assert not any(path.is_dir() for path in Path(by_spark._engine._work).glob("*/warehouse/*.db"))  # type: ignore[attr-defined]


def test_what_spark_makes_in_part_is_what_duckdb_makes_as_a_whole(by_spark: Builder, by_duckdb: Builder, raw: RawCompany) -> None:
    clock = raw.company.clock
    for _ in range(40):
        clock.step(NOW + timedelta(hours=3 * (clock.beats + 1)))
    assert raw.sync() > 0
    partly = {each.model.name: each for each in by_spark.build(PART)}
    assert [each.reason for each in partly.values() if each.reason] == []
    assert {name: each.how for name, each in partly.items()} == dict.fromkeys(PART, "in part")
    assert all(each.changed for each in partly.values())
    anew = list(by_duckdb.build(PART, full=True))
    assert [each.model.name for each in anew if each.changed] == []


MODELS = {
    "dim_good": "select id from {{ source('shop', 'sale') }}",
    "fct_more": "select id, 1 as more from {{ source('shop', 'sale') }}",
    "fct_twice": "select id from {{ source('shop', 'sale') }} union all select cast(2 as bigint) as id",
    "fct_null": "select nullif(id, 3) as id from {{ source('shop', 'sale') }}",
    "fct_typo": "select id from {{ source('shop', 'sale') }} where amuont > 1",
    "fct_tested": "select id from {{ source('shop', 'sale') }}",
}
TOLD = {
    "fct_more": r"contract[\s\S]*more",
    "fct_twice": r"2 rows have the key id=2",
    "fct_null": r"id is null in 1 rows, and its contract says that it is not",
    "fct_typo": r"amuont",
    "fct_tested": r"test accepted_values_fct_tested_id__False__1__2 found 1, such as 3",
}


def test_a_broken_model_says_why_as_it_does_on_duckdb(by_spark: Builder, spark: dict[str, str], tmp_path: Path) -> None:
    import polars as pl

    lake = Lake(str(tmp_path / "lake"))
    lake.raw("shop", "sale").replace(pl.DataFrame({"id": [1, 2, 3], "amount": [1.0, 2.0, None]}).to_arrow().to_reader())
    folder = tmp_path / "project"
    shutil.copytree(FOLDER / "macros", folder / "macros")
    for name in ("dbt_project.yml", "profiles.yml"):
        shutil.copy(FOLDER / name, folder / name)
    marts = folder / "models" / "marts"
    marts.mkdir(parents=True)
    lines = ["sources: [{name: shop, quoting: {identifier: true}, tables: [{name: sale}]}]", "models:"]
    for name, text in MODELS.items():
        (marts / f"{name}.sql").write_text(text)
        tests = ", data_tests: [{accepted_values: {arguments: {values: [1, 2], quote: false}}}]" if name == "fct_tested" else ""
        lines.append(f"  - name: {name}\n    config: {{meta: {{key: [id]}}}}")
        lines.append(f"    columns: [{{name: id, data_type: bigint, constraints: [{{type: not_null}}]{tests}}}]")
    (marts / "_marts.yml").write_text("\n".join(lines))
    work = tmp_path / "work"
    builder = Builder(lake, Project.load(folder, work), work, TableSettings(engine="spark", spark=spark))
    reasons = {each.model.name: each.reason for each in builder.build()}
    assert reasons.pop("dim_good") == ""
    assert reasons.keys() == TOLD.keys()
    for name, told in TOLD.items():
        assert re.search(told, reasons[name]), reasons[name]
        assert "hint: mend" in reasons[name] or "hint: a join" in reasons[name]
    assert not lake.table("marts/fct_twice").exists()
