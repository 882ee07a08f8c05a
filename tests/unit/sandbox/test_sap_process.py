"""The sandbox as a process: ready file, life, death, and what it says when it cannot start."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from pilothouse.kernel.errors import ConfigError
from pilothouse.sandbox.credentials import FILE, Credentials
from tests.unit.sandbox.sap_scene import ORDERS_V2, page_of

DEADLINE = 90.0


def start(home: Path, *options: str, through: list[str] | None = None) -> subprocess.Popen[str]:
    command = [*(through or []), sys.executable, "-m", "pilothouse.sandbox", "--home", str(home), "--scale", "0.01", *options]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def endpoints(home: Path, process: subprocess.Popen[str]) -> dict[str, Any]:
    until = time.monotonic() + DEADLINE
    while time.monotonic() < until and process.poll() is None:
        if (home / "endpoints.json").exists():
            found: dict[str, Any] = json.loads((home / "endpoints.json").read_text())
            return found
        time.sleep(0.05)
    raise AssertionError(f"the sandbox did not start: {process.poll()}")


def gone(pid: int) -> bool:
    until = time.monotonic() + DEADLINE
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A company that the tests of this module share: generating it is most of a start."""
    return tmp_path_factory.mktemp("sandbox")


@pytest.fixture(scope="module")
def running(home: Path) -> Iterator[dict[str, Any]]:
    process = start(home, "--pace", "0")
    try:
        yield endpoints(home, process)
    finally:
        process.terminate()
        process.communicate(timeout=DEADLINE)


def test_all_three_servers_answer_once_it_is_ready(home: Path, running: dict[str, Any]) -> None:
    known = Credentials.open(home)
    sap = httpx.get(f"{running['sap']}{ORDERS_V2}/A_SalesOrder?$top=5", auth=(known.sap.user, known.sap.password))
    assert len(page_of(sap)[0]) == 5
    trust = ssl.create_default_context(cafile=running["certificate_authority"])
    assert httpx.get(f"{running['salesforce']}/services/data", verify=trust).headers["x-pilothouse-synthetic"] == "true"
    admin = httpx.Client(base_url=running["admin"], headers={"authorization": f"Bearer {known.admin.token}"}, timeout=30)
    with admin:
        assert admin.get("/status").json()["rows"]["sap_SalesOrder"] > 100
        assert admin.post("/clock/step", json={"beats": 2}).json()["last_change"] > 0
        # The same faults strike both servers.
        admin.post("/faults", json={"kind": "unavailable", "count": 2})
        assert httpx.get(running["sap"]).status_code == 503
        assert httpx.get(f"{running['salesforce']}/services/data", verify=trust).status_code == 503


def test_a_second_sandbox_in_the_same_home_is_refused(home: Path, running: dict[str, Any]) -> None:
    process = start(home)
    _, said = process.communicate(timeout=DEADLINE)
    assert process.returncode == 1
    assert "another sandbox runs there" in said
    assert httpx.get(running["sap"]).status_code == 401  # the first one lives on


def test_it_stops_within_three_seconds_and_takes_its_ready_file_along(tmp_path: Path) -> None:
    process = start(tmp_path, "--pace", "0.2")
    addresses = endpoints(tmp_path, process)
    with socket.create_connection(("127.0.0.1", int(addresses["sap"].rpartition(":")[2]))) as idle:
        idle.sendall(b"GET / HTTP/1.1\r\n")  # a client that never ends its request must not keep it
        asked = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0
    assert time.monotonic() - asked < 3
    assert not (tmp_path / "endpoints.json").exists()
    assert "Traceback" not in said


def test_it_stops_at_once_while_the_company_is_still_being_made(tmp_path: Path) -> None:
    process = start(tmp_path, "--scale", "20")
    unfinished = tmp_path / "company.unfinished"
    until = time.monotonic() + DEADLINE
    while not unfinished.exists() and time.monotonic() < until:
        time.sleep(0.02)
    asked = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=DEADLINE)
    assert time.monotonic() - asked < 3
    assert process.returncode == 0
    assert not (tmp_path / "company").exists()


def test_the_warehouse_follows_the_clock(tmp_path: Path, postgres_url: str) -> None:
    process = start(tmp_path, "--pace", "0", "--warehouse-url", postgres_url)
    addresses = endpoints(tmp_path, process)
    headers = {"authorization": f"Bearer {Credentials.open(tmp_path).admin.token}"}
    with psycopg.connect(postgres_url, autocommit=True) as warehouse:
        assert warehouse.execute("SELECT obj_description('warehouse'::regnamespace)").fetchone() == ("pilothouse:synthetic",)
        newest = "SELECT max(updated_at)::text FROM warehouse.credit_rating"
        ((before,),) = warehouse.execute(newest).fetchall()
        for _ in range(50):
            stepped = httpx.post(f"{addresses['admin']}/clock/step", json={"beats": 20}, headers=headers, timeout=60).json()
            if any("bureau rates" in event for event in stepped["happened"]):
                break
        ((after,),) = warehouse.execute(newest).fetchall()
    assert after > before
    process.terminate()
    process.communicate(timeout=DEADLINE)


def test_it_dies_with_its_parent(tmp_path: Path) -> None:
    # The parent in between waits for the sandbox and is killed without a chance to stop it.
    waiting = "import subprocess, sys; subprocess.run(sys.argv[1:])"
    process = start(tmp_path, "--pace", "0", through=[sys.executable, "-c", waiting])
    pid = endpoints(tmp_path, process)["pid"]
    assert pid != process.pid
    process.kill()
    process.communicate(timeout=DEADLINE)
    assert gone(pid)


@pytest.mark.parametrize("server", ["sap", "salesforce", "admin"])
def test_a_port_that_is_taken_is_named(tmp_path: Path, server: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start(tmp_path, f"--{server}-port", str(port))
        _, said = process.communicate(timeout=DEADLINE)
    assert process.returncode == 1
    assert said.startswith("ConfigError: the sandbox's ")
    assert f"127.0.0.1:{port}" in said
    assert not (tmp_path / "company").exists()


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    process = start(tmp_path / "file" / "home")
    _, said = process.communicate(timeout=DEADLINE)
    assert process.returncode == 1
    assert "cannot write there" in said


def test_credentials_are_made_once_for_their_owner_only(tmp_path: Path) -> None:
    made = Credentials.open(tmp_path)
    assert Credentials.open(tmp_path) == made
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    (tmp_path / "other").mkdir()
    assert Credentials.open(tmp_path / "other").sap.password != made.sap.password


@pytest.mark.parametrize("content", [None, "{", "[]", '{"sap": {}}'])
def test_credentials_that_cannot_be_read_say_what_to_do(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / FILE).write_text(content)
    with pytest.raises(ConfigError) as refused:
        Credentials.read(tmp_path / FILE)
    assert str(tmp_path / FILE) in refused.value.message
    assert refused.value.hint
