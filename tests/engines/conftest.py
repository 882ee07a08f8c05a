"""One small company, its tables made by DuckDB, and one session of Spark for everything that is tried on it.

These tests run in an environment of their own (`engines.lock`), which `make test-engines` installs: Great Expectations imports
PySpark where it finds it, and dbt's adapters of warehouses hold other packages back.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from graph.resolution.corrections import Corrections
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.maven import fetched
from pilothouse.kernel.settings import TableSettings
from pilothouse.sandbox.company.company import Company
from pilothouse.tables.building import Builder
from pilothouse.tables.engines.spark import JARS
from pilothouse.tables.project import FOLDER, Project
from tests.raw_company import RawCompany

collect_ignore_glob = ["test_*.py"] if importlib.util.find_spec("pyspark") is None else []

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
# What a small company does not need: compiling queries, plans that change while they run, and more than one task.
SMALL = {
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.shuffle.partitions": "1",
    "spark.databricks.delta.snapshotPartitions": "1",
}


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="session")
def project(work: Path) -> Project:
    return Project.load(FOLDER, work)


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RawCompany]:
    home = tmp_path_factory.mktemp("company")
    company = Company.open(home, seed=11, scale=0.005, now=NOW)
    raw = RawCompany(company, Lake(str(home / "lake")))
    raw.sync()
    Corrections(raw.lake).ensure()
    yield raw
    company.close()


@pytest.fixture(scope="session")
def by_duckdb(raw: RawCompany, project: Project, work: Path) -> Builder:
    """What has made every table once."""
    builder = Builder(raw.lake, project, work, TableSettings())
    assert [made.reason for made in builder.build() if made.reason] == []
    return builder


@pytest.fixture(scope="session")
def spark() -> dict[str, str]:
    """Spark's settings for a small company."""
    return {**SMALL, "spark.jars": ",".join(map(str, fetched(JARS, Path(sys.prefix) / "jars")))}


@pytest.fixture(scope="session")
def by_spark(raw: RawCompany, by_duckdb: Builder, project: Project, work: Path, spark: dict[str, str]) -> Iterator[Builder]:
    builder = Builder(raw.lake, project, work, TableSettings(engine="spark", spark=spark))
    yield builder
    builder.close()
