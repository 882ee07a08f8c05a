"""A project over a real sandbox, PostgreSQL and lake, in this process: what `pilothouse up` would run, without Dagster's servers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from assets.platform import Platform
from pilothouse.kernel.database import Database
from pilothouse.kernel.settings import load
from pilothouse.local.postgres import EmbeddedPostgres
from pilothouse.local.stack import running_settings
from tests.contract.sandbox_process import Sandbox

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Project:
    """The project's file, its living enterprise, and its platform."""

    file: Path
    sandbox: Sandbox
    platform: Platform

    def definitions(self) -> dg.Definitions:
        from orchestration.definitions import build

        return build(self.platform)

    def run(self, job: str, *streams: str, instance: dg.DagsterInstance | None = None) -> dg.ExecuteInProcessResult:
        """One run of a job, of some assets or of all."""
        selection = [dg.AssetKey(stream.split("/")) for stream in streams] or None
        dagster_job = self.definitions().resolve_job_def(job)
        return dagster_job.execute_in_process(asset_selection=selection, instance=instance, raise_on_error=False)


@pytest.fixture(scope="module")
def living_project(postgres_server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("project")
    url = Database(postgres_server.url()).ensure_database("integration")
    database = Database(url)
    database.upgrade()
    database.close()
    text = re.sub(r"every = 60", "every = 3600", (ROOT / "pilothouse.toml").read_text())
    file = folder / "pilothouse.toml"
    file.write_text(text)
    with Sandbox.started(folder / "sandbox", url) as sandbox:
        local: dict[str, Any] = {
            "database": {"url": url},
            "sources": running_settings(load(file, running=False), sandbox.endpoints, sandbox.credentials, url),
        }
        run = folder / ".pilothouse" / "run"
        run.mkdir(parents=True)
        lines = [f"[{section}]\n" + "\n".join(f"{k} = {json.dumps(v)}" for k, v in values.items()) for section, values in _flat(local)]
        (run / "local.toml").write_text("\n".join(lines))
        platform = Platform(load(file))
        yield Project(file, sandbox, platform)
        platform.close()
    with postgres_connection(postgres_server) as connection:
        connection.execute("DROP DATABASE integration WITH (FORCE)")


@pytest.fixture
def project(living_project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("PILOTHOUSE_CONFIG", str(living_project.file))
    # what runs in this process shares one platform, so that its connections are closed once
    monkeypatch.setattr("assets.resource._platform", lambda _file: living_project.platform)
    return living_project


def postgres_connection(server: EmbeddedPostgres) -> Any:
    import psycopg

    return psycopg.connect(server.url(), autocommit=True)


def _flat(local: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "database", local["database"]
    for name, values in local["sources"].items():
        yield f"sources.{name}", values
