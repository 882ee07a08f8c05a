"""One small company with its tables, and an MLflow over a database of the test server: a real one, without its server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from graph.resolution.corrections import Corrections
from models.declared.cash_in import CASH_IN
from models.declared.late_payment_risk import LATE_PAYMENT_RISK
from models.tracking import Tracking
from models.training import Trainer
from pilothouse.kernel.database import Database
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.settings import TableSettings
from pilothouse.local.postgres import EmbeddedPostgres
from pilothouse.sandbox.company.company import Company
from pilothouse.tables.building import Builder
from pilothouse.tables.project import FOLDER, Project
from tests.integration.conftest import postgres_connection
from tests.raw_company import RawCompany

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="package")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """The tables that models read, of 4,000 orders."""
    home = tmp_path_factory.mktemp("company")
    company = Company.open(home, seed=11, scale=0.1, now=NOW)
    lake = Lake(str(home / "lake"))
    RawCompany(company, lake).fill()
    Corrections(lake).ensure()
    company.close()
    work = tmp_path_factory.mktemp("work")
    project = Project.parsed(FOLDER, work)  # here, and not by `load` in a process of its own: this one will build, and parses anyway
    read = [project.model(table) for model in (LATE_PAYMENT_RISK, CASH_IN) for table in model.tables]
    names = {made.name for table in read for made in (table, *project.ancestors(table))}
    assert 10 < len(names) < len(project.published)
    failed = [made.reason for made in Builder(lake, project, work, TableSettings()).build(names) if made.reason]
    assert not failed
    return lake


@pytest.fixture(scope="package")
def mlflow_url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    yield Database(postgres_server.url()).ensure_database("mlflow_test")
    with postgres_connection(postgres_server) as connection:
        connection.execute("DROP DATABASE mlflow_test WITH (FORCE)")


@pytest.fixture(scope="package")
def tracking(mlflow_url: str, tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    return Tracking(mlflow_url, str(tmp_path_factory.mktemp("artifacts")))


@pytest.fixture(scope="package")
def trainer(lake: Lake, tracking: Tracking) -> Trainer:
    return Trainer(lake, tracking)
