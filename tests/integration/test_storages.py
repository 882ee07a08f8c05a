"""Dagster's storages keep their connections, and outlive a database that does not."""

from __future__ import annotations

import multiprocessing
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


def count(home: Path) -> int:
    with dg.DagsterInstance.from_config(str(home)) as instance:
        return instance.get_runs_count()


def test_instances_of_a_process_share_connections_and_a_fork_opens_its_own(
    instance: dg.DagsterInstance, postgres_url: str, tmp_path: Path
) -> None:
    """Every tick of a sensor makes an instance. What a fork inherits is its parent's connection: two who speak over one hear each other."""
    assert dg.materialize([one], instance=instance).success
    before = opened(postgres_url)
    assert [count(tmp_path) for _ in range(5)] == [1] * 5
    assert opened(postgres_url) - before == 1  # the one that looks
    with multiprocessing.get_context("fork").Pool(1) as fork:
        assert fork.apply(count, [tmp_path]) == 1
    assert opened(postgres_url) - before > 2
    assert count(tmp_path) == 1
