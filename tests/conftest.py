"""Real parts for every test: a PostgreSQL with a fresh database each, and an S3 that checks signatures."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import psycopg
import pytest

from pilothouse.kernel.database import Database
from pilothouse.local.postgres import EmbeddedPostgres
from pilothouse.local.privileges import tethered
from tests.covered import pytest_sessionfinish, pytest_terminal_summary
from tests.graphs import arcadedb_graph, arcadedb_server, graph, graph_server, neo4j_server

__all__ = [
    "arcadedb_graph",
    "arcadedb_server",
    "graph",
    "graph_server",
    "neo4j_server",
    "pytest_sessionfinish",
    "pytest_terminal_summary",
]  # fixtures and hooks

# The same examples in every run, each with the time that it takes, so that only a change can fail a test.
# HYPOTHESIS_PROFILE=searching looks for new ones.
hypothesis.settings.register_profile("repeating", derandomize=True, deadline=None)
hypothesis.settings.register_profile("searching", max_examples=1_000, print_blob=True, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeating"))


def pytest_sessionstart() -> None:
    """A shell ignores Ctrl-C for what it runs in its background, and Dagster puts what is done about Ctrl-C in place of what is done
    about SIGTERM: processes that tests start would outlive it."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def cut_off(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Refuses every socket from when it is called to the end of the test."""

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("somebody asked the network")

    def cut() -> None:
        for name in ("connect", "connect_ex", "sendto"):
            monkeypatch.setattr(socket.socket, name, refused)
        monkeypatch.setattr(socket, "create_connection", refused)

    return cut


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """One server a session (under pytest-xdist one a worker), not durable against power failure."""
    # Not in pytest's own temporary folder: that is kept for three sessions, and a cluster is 40 MB.
    folder = Path(tempfile.mkdtemp(prefix="pilothouse-postgres-"))
    try:
        with EmbeddedPostgres(folder / "server", durable=False) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """An empty database of its own."""
    yield from _fresh_database(postgres_server, template="template0")


@pytest.fixture(scope="session")
def _migrated_template(postgres_server: EmbeddedPostgres) -> str:
    template = Database(Database(postgres_server.url()).ensure_database("migrated"))
    template.upgrade()
    template.close()
    return "migrated"


@pytest.fixture
def database(postgres_server: EmbeddedPostgres, _migrated_template: str) -> Iterator[Database]:
    """A database of its own that carries the current schema."""
    for url in _fresh_database(postgres_server, _migrated_template):
        database = Database(url)
        yield database
        database.close()


def _fresh_database(server: EmbeddedPostgres, template: str) -> Iterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    yield server.url(name)
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@dataclass(frozen=True)
class ObjectStore:
    """A bucket, and the options that delta-rs, Polars and `Lake` want for it."""

    url: str
    options: dict[str, str]

    def under(self, folder: str) -> str:
        """The URL of a folder in the bucket."""
        return f"{self.url}/{folder}"


@pytest.fixture(scope="session")
def s3_server() -> Iterator[ObjectStore]:
    """A moto server whose first three calls make a user; every later one must be signed with that user's key."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        env={**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": "3"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=tethered(),
    )
    endpoint = f"http://127.0.0.1:{port}"
    try:
        _await_moto(endpoint, process)
        key, secret = _s3_user(endpoint)
        options = {
            "aws_access_key_id": key,
            "aws_secret_access_key": secret,
            "aws_region": "us-east-1",
            "aws_endpoint_url": endpoint,
            "aws_allow_http": "true",
        }
        yield ObjectStore("s3://pilothouse", options)
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def s3(s3_server: ObjectStore) -> ObjectStore:
    """A folder of its own in the bucket."""
    return ObjectStore(s3_server.under(secrets.token_hex(6)), s3_server.options)


def _await_moto(endpoint: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{endpoint}/moto-api/", timeout=5):
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"moto did not start (exit code {process.poll()})")


def _s3_user(endpoint: str) -> tuple[str, str]:
    """A user who may do anything with S3, made by the three calls that need no signature; and the bucket."""
    import boto3

    words = {"endpoint_url": endpoint, "region_name": "us-east-1"}
    iam = boto3.client("iam", aws_access_key_id="nobody", aws_secret_access_key="nothing", **words)
    iam.create_user(UserName="lake")
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    iam.put_user_policy(UserName="lake", PolicyName="lake", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName="lake")["AccessKey"]
    access, secret = str(key["AccessKeyId"]), str(key["SecretAccessKey"])
    boto3.client("s3", aws_access_key_id=access, aws_secret_access_key=secret, **words).create_bucket(Bucket="pilothouse")
    return access, secret
