"""A PostgreSQL and an enterprise in a box on their own, without the rest that `pilothouse up` starts: what is killed and mended
here must not be mended by anybody else meanwhile.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from assets.platform import Platform
from pilothouse.kernel.database import Database
from pilothouse.kernel.settings import FILE, load
from pilothouse.local import dagster_home
from pilothouse.local.postgres import EmbeddedPostgres

PATIENCE = 120.0


@dataclass(frozen=True)
class Life:
    """One project that reads the enterprise: an empty lake and empty databases at its beginning."""

    project: Path

    @property
    def dagster_home(self) -> Path:
        """Dagster's home folder."""
        return self._home / "dagster"

    @property
    def _home(self) -> Path:
        return self.project.parent / ".pilothouse"

    def has_read(self, source: str) -> bool:
        """Whether the lake holds anything of a source."""
        return (self._home / "lake" / "raw" / source).exists()

    @contextmanager
    def platform(self) -> Iterator[Platform]:
        """Its parts, with connections of their own: those of an earlier moment may lead to a server that was killed."""
        platform = Platform(load(self.project))
        with closing(platform.database):
            yield platform


@dataclass(frozen=True)
class Enterprise:
    """What is read from, and the database beside it."""

    folder: Path
    postgres: EmbeddedPostgres
    endpoints: Mapping[str, str]
    credentials: Mapping[str, Any]

    def beat(self, times: int) -> None:
        """Let the company live on."""
        headers = {"Authorization": f"Bearer {self.credentials['admin']['token']}"}
        address = f"{self.endpoints['admin']}/clock/step"
        # Plain http: without `verify=False` each beat would load all certificate authorities.
        httpx.post(address, json={"beats": times}, headers=headers, timeout=PATIENCE, verify=False).raise_for_status()

    def new_life(self, name: str) -> Life:
        """A project that has read nothing yet."""
        place = self.folder / name
        place.mkdir()
        urls = [Database(self.postgres.url()).ensure_database(f"{part}_{name}") for part in ("pilothouse", "dagster")]
        database = Database(urls[0])
        database.upgrade()
        database.close()
        (place / FILE).write_text(_toml({"database": {"url": urls[0]}, "sandbox": {"enabled": False}, **self._sources()}))
        life = Life(place / FILE)
        dagster_home.write(life.dagster_home, database_url=urls[1], code_port=1)
        return life

    def _sources(self) -> dict[str, dict[str, str]]:
        sap, salesforce = self.credentials["sap"], self.credentials["salesforce"]
        return {
            "sources.s4": {"connector": "sap", "url": self.endpoints["sap"], "user": sap["user"], "password": sap["password"]},
            "sources.crm": {
                "connector": "salesforce",
                "url": self.endpoints["salesforce"],
                "verify": self.endpoints["certificate_authority"],
                **{name: salesforce[name] for name in ("client_id", "client_secret")},
            },
            "sources.bureau": {"connector": "sql", "url": self.postgres.url("warehouse")},
        }


@contextmanager
def enterprise(folder: Path, *, scale: float) -> Iterator[Enterprise]:
    """An enterprise whose clock stands still unless it is told to beat."""
    home = folder / "sandbox"
    with EmbeddedPostgres(folder / "postgres") as postgres:
        warehouse = Database(postgres.url()).ensure_database("warehouse")
        command = [sys.executable, "-m", "pilothouse.sandbox", "--home", str(home), "--scale", str(scale), "--pace", "0"]
        process = subprocess.Popen(command, env={**os.environ, "WAREHOUSE_URL": warehouse})
        try:
            _await(home / "endpoints.json", process)
            told, credentials = (json.loads((home / name).read_text()) for name in ("endpoints.json", "credentials.json"))
            yield Enterprise(folder, postgres, told, credentials)
        finally:
            process.terminate()
            process.wait(30)


def _await(file: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not file.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the sandbox does not start")
        time.sleep(0.05)


def _toml(sections: Mapping[str, Mapping[str, Any]]) -> str:
    """Flat sections as TOML; JSON's texts and truth values are TOML's."""
    lines = [f"[{name}]\n" + "\n".join(f"{key} = {json.dumps(value)}" for key, value in keys.items()) for name, keys in sections.items()]
    return "\n\n".join(lines) + "\n"
