"""One small company in raw tables, and its models, built once: each file of tests has a copy, which it changes and builds again."""

from __future__ import annotations

import shutil
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
from tests.once import made_once
from tests.raw_company import RawCompany

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SEED, SCALE = 11, 0.02


@pytest.fixture(scope="session")
def built_company(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A company with its lake and what dbt keeps, as they stand after a first build."""

    def make(folder: Path) -> None:
        company = Company.open(folder / "home", seed=SEED, scale=SCALE, now=NOW)
        raw = RawCompany(company, Lake(str(folder / "home" / "lake")))
        raw.sync()
        company.close()
        Corrections(raw.lake).ensure()
        project = Project.load(FOLDER, folder / "work")
        failed = [made.reason for made in Builder(raw.lake, project, folder / "work", TableSettings()).build() if made.reason]
        assert not failed

    return made_once("built_company", tmp_path_factory, make)


@pytest.fixture(scope="session")
def work(built_company: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(built_company / "work", tmp_path_factory.mktemp("work"), dirs_exist_ok=True))


@pytest.fixture(scope="session")
def project(work: Path) -> Project:
    return Project.load(FOLDER, work)


@pytest.fixture(scope="module")
def raw(built_company: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RawCompany]:
    home = Path(shutil.copytree(built_company / "home", tmp_path_factory.mktemp("company"), dirs_exist_ok=True))
    company = Company.open(home, seed=SEED, scale=SCALE, now=NOW)
    yield RawCompany.resumed(company, Lake(str(home / "lake")))
    company.close()


@pytest.fixture(scope="module")
def builder(raw: RawCompany, project: Project, work: Path) -> Builder:
    return Builder(raw.lake, project, work, TableSettings())
