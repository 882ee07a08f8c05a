"""One small company in raw tables, and its models built once: tests change what they want and build again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from graph.resolution.corrections import Corrections
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.settings import TableSettings
from pilothouse.sandbox.company.company import Company
from pilothouse.tables.building import Builder
from pilothouse.tables.project import FOLDER, Project
from tests.raw_company import RawCompany

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="session")
def project(work: Path) -> Project:
    return Project.load(FOLDER, work)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RawCompany]:
    home = tmp_path_factory.mktemp("company")
    company = Company.open(home, seed=11, scale=0.02, now=NOW)
    raw = RawCompany(company, Lake(str(home / "lake")))
    raw.sync()
    Corrections(raw.lake).ensure()
    yield raw
    company.close()


@pytest.fixture(scope="module")
def builder(raw: RawCompany, project: Project, work: Path) -> Builder:
    builder = Builder(raw.lake, project, work, TableSettings())
    failed = [made.reason for made in builder.build() if made.reason]
    assert not failed
    return builder
