"""The models' texts for Databricks, of which no server runs here: read by its grammar, and run by Spark, whose SQL it speaks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pytest
import sqlglot
from sqlglot import exp

from pilothouse.kernel.errors import ConfigError
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.settings import DatabricksSettings, TableSettings
from pilothouse.tables.building import Builder
from pilothouse.tables.dbt import Dbt
from pilothouse.tables.engines.databricks import Databricks
from pilothouse.tables.engines.spark import SparkEngine
from pilothouse.tables.project import Project, relation
from tests.raw_company import RawCompany

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(1_200)]  # of dbt-databricks itself

WORDS = {"host": "127.0.0.1", "http_path": "/sql/1.0/warehouses/none", "token": "not-in-any-file-7f3b", "catalog": "one_catalog"}


@pytest.fixture(scope="module")
def texts(project: Project, work: Path) -> Mapping[str, str]:
    """What dbt would send."""
    from dbt.adapters.databricks.impl import DatabricksAdapter

    profile = Databricks(Lake("s3://bucket/lake"), DatabricksSettings.model_validate(WORDS), threads=1).profile()
    with pytest.MonkeyPatch.context() as patch:
        # The one thing that it asks a server for while it compiles: whether it is older than four years.
        patch.setattr(DatabricksAdapter, "compare_dbr_version", lambda *_: 1)
        return Dbt(project.folder, work / "databricks", "databricks", {}, profile).compile(variables={}, alone=_written(project))


def test_every_text_is_databricks_sql(texts: Mapping[str, str], project: Project) -> None:
    assert texts.keys() == set(_written(project))
    for name, text in texts.items():
        assert isinstance(sqlglot.parse_one(text, read="databricks"), exp.Query), name


def test_every_text_runs_on_spark_to_the_rows_that_are_published(
    texts: Mapping[str, str], by_spark: Builder, raw: RawCompany, project: Project
) -> None:
    engine = by_spark._engine
    assert isinstance(engine, SparkEngine)
    session = engine._session
    models = [model for model in project.models.values() if not model.python]
    tables = sorted({name for model in models for name in project.inputs(model)} | {model.table for model in models if model.published})
    for name in tables:
        schema, called = relation(name)
        pinned = raw.lake.table(name).pinned()
        session.sql(f"CREATE DATABASE IF NOT EXISTS `{schema}`")
        session.sql(f"CREATE OR REPLACE VIEW `{schema}`.`{called}` AS SELECT * FROM delta.`{raw.lake.table(name).uri}@v{pinned.version}`")
    customer = _spark(texts["int_customer_firm"])
    session.sql(f"CREATE OR REPLACE VIEW intermediate.int_customer_firm AS {customer}")
    for model in models:
        found = session.sql(_spark(texts[model.name]))
        assert sorted(found.columns) == sorted(column.name for column in model.columns), model.name
        if model.published and "timestamp" in texts[model.name]:
            # Those that reckon with days have another text than on Spark; the others Spark has run already.
            made = pl.DataFrame(found.toArrow()).sort(model.key)
            published = raw.lake.table(model.table).scan().select(made.columns).sort(model.key).collect()
            assert made.equals(published), model.name
    for database in {relation(name)[0] for name in tables} | {"intermediate"}:
        session.sql(f"DROP DATABASE `{database}` CASCADE")


def _written(project: Project) -> list[str]:
    return [name for name, model in project.models.items() if not model.python]


def _spark(text: str) -> str:
    """Without the catalog, which a session of Spark alone has not."""
    return text.replace(f"`{WORDS['catalog']}`.", "")


def test_a_lake_that_no_warehouse_can_reach_is_refused(raw: RawCompany, project: Project, work: Path) -> None:
    settings = TableSettings(engine="databricks", databricks=DatabricksSettings.model_validate(WORDS))
    with pytest.raises(ConfigError, match=r"the lake is a folder[\s\S]*set lake.url to an object store"):
        Builder(raw.lake, project, work, settings)
