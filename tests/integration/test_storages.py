"""Dagster's storages keep their connections, and outlive a database that does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from pilothouse.local import dagster_home


@dg.asset
def one() -> int:
    return 1


@pytest.fixture
def instance(postgres_url: str, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    dagster_home.write(tmp_path, database_url=postgres_url, code_port=1)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        yield instance


def opened(postgres_url: str) -> int:
    """How many connections that database has ever had."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
        row = connection.execute("SELECT sessions FROM pg_stat_database WHERE datname = current_database()").fetchone()
    assert row is not None
    return int(row[0])


def test_a_run_opens_no_more_connections_than_it_needs_at_once(instance: dg.DagsterInstance, postgres_url: str) -> None:
    assert dg.materialize([one], instance=instance).success
    before = opened(postgres_url)
    for _ in range(3):
        assert dg.materialize([one], instance=instance).success
    assert opened(postgres_url) - before < 10


def test_connections_that_the_server_closed_are_opened_again(instance: dg.DagsterInstance, postgres_url: str) -> None:
    assert dg.materialize([one], instance=instance).success
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchall()
    assert ended
    assert dg.materialize([one], instance=instance).success
