"""Reading a PostgreSQL while it changes, breaks off, locks and carries what is large."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import polars as pl
import psycopg
import pytest

from assets.loading import Loader
from connectors.sql import readers
from pilothouse.kernel.errors import SourceError, SourceUnavailable
from pilothouse.kernel.lake import Lake
from tests.contract.bureau import SNAPSHOT, Connection, Source, read, stream_of


def big_table(warehouse: Connection, rows: int = 150_000) -> None:
    warehouse.execute(
        "CREATE TABLE warehouse.t AS SELECT i AS id, now() AS changed, repeat('x', 300) AS filler FROM generate_series(1, %s) i",  # 50 MB
        (rows,),
    )


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the big table takes many."""
    monkeypatch.setattr(readers, "BATCH_BYTES", 1 << 20)


@pytest.mark.usefixtures("small_batches")
def test_two_readers_see_each_row_once_while_others_write(warehouse: Connection, postgres_url: str, source: Source) -> None:
    big_table(warehouse)
    connector = source.connect(SNAPSHOT)
    batches = connector.read(stream_of(connector), None)
    reader = next(batches).reader()
    with psycopg.connect(postgres_url, autocommit=True) as writer:  # new versions of rows go to the end of the table
        writer.execute("UPDATE warehouse.t SET filler = 'changed' WHERE id % 10 = 0")
        writer.execute("INSERT INTO warehouse.t VALUES (0, now(), 'new')")
    table = reader.read_all()
    assert sorted(table["id"].to_pylist()) == list(range(1, 150_001))
    assert set(table["filler"].unique().to_pylist()) == {"x" * 300}
    assert list(batches) == []


def connections(warehouse: Connection) -> int:
    found = warehouse.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pilothouse'").fetchone()
    assert found is not None
    return int(found[0])


def held(warehouse: Connection, count: int) -> bool:
    """Whether so many are held in the end: a server's process ends a moment after its client has hung up."""
    deadline = time.monotonic() + 20
    while connections(warehouse) != count and time.monotonic() < deadline:
        time.sleep(0.02)
    return connections(warehouse) == count


@pytest.mark.usefixtures("small_batches")
def test_a_read_that_is_given_up_lets_go_of_its_connections(warehouse: Connection, source: Source) -> None:
    big_table(warehouse)
    connector = source.connect(SNAPSHOT)
    (batch,) = connector.read(stream_of(connector), None)
    assert batch.reader().read_next_batch().num_rows > 0
    assert held(warehouse, 2)
    connector.close()
    assert held(warehouse, 0)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("sql-")]


@pytest.mark.usefixtures("small_batches")
def test_a_connection_that_is_killed_in_mid_read_is_a_source_that_does_not_answer(warehouse: Connection, source: Source) -> None:
    big_table(warehouse)
    connector = source.connect(SNAPSHOT)
    (batch,) = connector.read(stream_of(connector), None)
    reader = batch.reader()
    reader.read_next_batch()
    warehouse.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pilothouse'")
    with pytest.raises(SourceUnavailable, match="bureau / t"):
        reader.read_all()
    assert held(warehouse, 0)


def test_a_server_that_goes_away_between_opening_and_reading_is_one_that_does_not_answer(warehouse: Connection, source: Source) -> None:
    big_table(warehouse)
    connector = source.connect(SNAPSHOT)
    (batch,) = connector.read(stream_of(connector), None)
    reader = batch.reader()
    warehouse.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pilothouse'")
    with pytest.raises(SourceUnavailable, match="bureau / t"):
        reader.read_all()
    assert held(warehouse, 0)


def test_a_server_that_is_away_is_transient(source: Source) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    source.url = f"postgresql://u:p@127.0.0.1:{port}/d"
    with pytest.raises(SourceUnavailable) as caught:
        source.connect(SNAPSHOT).check()
    assert caught.value.transient


def test_a_table_that_is_being_altered_is_waited_for_but_not_for_ever(warehouse: Connection, postgres_url: str, source: Source) -> None:
    warehouse.execute("CREATE TABLE warehouse.t (id int)")
    with psycopg.connect(postgres_url) as altering:
        altering.execute("LOCK TABLE warehouse.t IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(SourceUnavailable, match="lock timeout"):
            read(source.connect(SNAPSHOT, lock_timeout=1))


@pytest.mark.usefixtures("small_batches")
def test_a_view_that_fails_in_mid_read_is_not_retried_for_ever(warehouse: Connection, source: Source) -> None:
    big_table(warehouse)
    warehouse.execute("CREATE VIEW warehouse.v AS SELECT id, 1 / (id - 140000) AS n, filler FROM warehouse.t")
    with pytest.raises(SourceError, match="bureau / v: division by zero") as caught:
        read(source.connect({"v": {"key": ["id"]}}), name="v")
    assert not caught.value.transient


def test_a_value_of_300_mb_arrives_whole_and_is_recognised_again(warehouse: Connection, source: Source, tmp_path: Path) -> None:
    size = 300_000_000
    warehouse.execute("CREATE TABLE warehouse.thing (id int PRIMARY KEY, note text)")
    warehouse.execute("INSERT INTO warehouse.thing SELECT g, 'small' FROM generate_series(1, 100) g")
    warehouse.execute("INSERT INTO warehouse.thing VALUES (101, repeat('x', %s))", (size,))
    connector, lake = source.connect({"thing": {"key": ["id"]}}), Lake(str(tmp_path))
    loads = [Loader(lake, connector, connector.streams()[0]).run() for _ in range(2)]
    assert [(load.upserts, load.unchanged) for load in loads] == [(101, 0), (0, 101)]
    assert lake.raw("bureau", "thing").scan().select(pl.col("note").str.len_bytes().max()).collect().item() == size
