"""The enterprise in a box as tests meet it: a real process, its sources' options, its clock and its faults."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pilothouse.local.privileges import tethered
from pilothouse.sandbox.company.company import ENTITIES
from pilothouse.sandbox.company.store import Store


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox whose clock the test steps."""

    home: Path
    warehouse_url: str
    endpoints: dict[str, str]
    credentials: dict[str, Any]

    @classmethod
    @contextmanager
    def started(cls, home: Path, warehouse_url: str, *, scale: float = 0.01) -> Iterator[Sandbox]:
        """One sandbox process, stopped at the end."""
        command = [sys.executable, "-m", "pilothouse.sandbox", "--home", str(home), "--scale", str(scale), "--pace", "0"]
        process = subprocess.Popen(command, env={**os.environ, "WAREHOUSE_URL": warehouse_url}, preexec_fn=tethered())
        try:
            deadline = time.monotonic() + 120
            while not (home / "endpoints.json").exists():
                assert process.poll() is None, "the sandbox ended while starting"
                assert time.monotonic() < deadline, "the sandbox does not start"
                time.sleep(0.1)
            told, credentials = (json.loads((home / name).read_text()) for name in ("endpoints.json", "credentials.json"))
            yield cls(home, warehouse_url, told, credentials)
        finally:
            process.terminate()
            process.wait(30)

    def options(self, kind: str) -> dict[str, Any]:
        """What `[sources.<name>]` says to reach one of its sources."""
        if kind == "sap":
            return {"url": self.endpoints["sap"], "user": self.credentials["sap"]["user"], "password": self.credentials["sap"]["password"]}
        if kind == "salesforce":
            login = {name: self.credentials["salesforce"][name] for name in ("client_id", "client_secret")}
            return {"url": self.endpoints["salesforce"], "verify": self.endpoints["certificate_authority"], **login}
        return {"url": self.warehouse_url}

    def beat(self, times: int) -> None:
        """Let the company live on."""
        self._admin("POST", "/clock/step", {"beats": times})

    @contextmanager
    def fault(self, kind: str, **more: Any) -> Iterator[None]:
        """A fault, switched on for a while."""
        self._admin("POST", "/faults", {"kind": kind, **more})
        try:
            yield
        finally:
            self._admin("DELETE", "/faults")

    def store(self) -> Store:
        """The company's own memory: the judge."""
        return Store(self.home / "company" / "company.sqlite", ENTITIES)

    def _admin(self, method: str, path: str, body: dict[str, Any] | None = None) -> None:
        headers = {"Authorization": f"Bearer {self.credentials['admin']['token']}", "Content-Type": "application/json"}
        data = json.dumps(body).encode() if body is not None else None
        with urllib.request.urlopen(
            urllib.request.Request(self.endpoints["admin"] + path, data, headers, method=method), timeout=120
        ) as answer:
            assert answer.status < 300
