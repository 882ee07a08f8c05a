"""The embedded PostgreSQL: safe from strangers, gone with its parent, and able to rise from whatever was left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from pilothouse.kernel.errors import ConfigError, DatabaseError, DatabaseUnavailable
from pilothouse.local.postgres import EmbeddedPostgres

PARENT = """
import sys, time
from pathlib import Path
from pilothouse.local.postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
time.sleep(600)
"""


def eventually(condition: Callable[[], bool], within: float = 30.0) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return condition()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def ask(server: EmbeddedPostgres, query: str) -> object:
    with psycopg.connect(server.url()) as connection:
        row = connection.execute(query).fetchone()
        assert row is not None
        return row[0]


def write(server: EmbeddedPostgres, *statements: str) -> None:
    with psycopg.connect(server.url()) as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "postgres"


@pytest.fixture
def server(data: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(data, durable=False) as server:
        yield server


def test_a_stranger_without_the_password_is_refused(server: EmbeddedPostgres) -> None:
    guess = server.url().replace(server.url().split(":")[2].split("@")[0], "guess")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(guess)


def test_the_password_is_readable_by_its_owner_alone(server: EmbeddedPostgres, data: Path) -> None:
    assert (data / "password").stat().st_mode & 0o777 == 0o600
    assert data.stat().st_mode & 0o777 == 0o700
    assert (data / "password").read_text() not in (data / "server.log").read_text()


def test_it_listens_on_loopback_alone(server: EmbeddedPostgres) -> None:
    assert ask(server, "SHOW listen_addresses") == "127.0.0.1"
    assert ask(server, "SHOW unix_socket_directories") == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root lends an account")
def test_under_root_it_runs_as_somebody_else_even_inside_a_closed_folder(server: EmbeddedPostgres, tmp_path: Path) -> None:
    status = Path(f"/proc/{server.pid}/status").read_text()
    uid = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1:]
    assert "0" not in uid
    assert any(not folder.stat().st_mode & 0o001 for folder in tmp_path.parents), "pytest closes its folder to others"


def test_rows_survive_a_clean_stop(data: Path) -> None:
    with EmbeddedPostgres(data, durable=False) as server:
        write(server, "CREATE TABLE t AS SELECT 1 AS a")
    with EmbeddedPostgres(data, durable=False) as server:
        assert ask(server, "SELECT a FROM t") == 1
    assert not server.running


def test_a_killed_server_starts_again_with_every_committed_row_at_the_same_address(server: EmbeddedPostgres) -> None:
    write(server, "CREATE TABLE t AS SELECT 1 AS a")
    address, pid = server.url(), server.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: not server.running)
    server.start()
    assert server.url() == address
    assert ask(server, "SELECT a FROM t") == 1


def test_the_server_of_a_killed_parent_ends_and_the_next_start_finds_every_committed_row(data: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(data)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    orphan = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    with EmbeddedPostgres(data, durable=False) as server:  # at once: the old one may still be shutting down
        assert ask(server, "SELECT 1") == 1
    assert not alive(orphan)


def test_a_parent_killed_during_the_very_first_start_leaves_nothing_half_made(data: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(data)], stdout=subprocess.DEVNULL)
    assert eventually(lambda: any(data.glob("cluster.*/base")))
    parent.kill()
    parent.wait()
    with EmbeddedPostgres(data, durable=False) as server:
        assert ask(server, "SELECT 1") == 1
    assert (data / "cluster" / "PG_VERSION").is_file()


def test_a_server_started_by_a_thread_outlives_the_thread(data: Path) -> None:
    server = EmbeddedPostgres(data, durable=False)
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    assert ask(server, "SELECT pg_sleep(0.2) IS NULL") is False
    assert server.running
    server.stop()


def test_a_pid_file_of_a_process_that_is_no_postgres_is_ignored(data: Path) -> None:
    with EmbeddedPostgres(data, durable=False) as server:
        pid_file = (data / "cluster" / "postmaster.pid").read_text()
    stale = pid_file.replace(pid_file.splitlines()[0], str(os.getpid()), 1)
    (data / "cluster" / "postmaster.pid").write_text(stale)
    with server:
        assert ask(server, "SELECT 1") == 1


def test_a_lost_password_is_replaced_and_no_row_is_lost(data: Path) -> None:
    with EmbeddedPostgres(data, durable=False) as server:
        write(server, "CREATE TABLE t AS SELECT 1 AS a")
    (data / "password").unlink()
    with EmbeddedPostgres(data, durable=False) as server:
        assert ask(server, "SELECT a FROM t") == 1


def test_a_second_server_on_the_same_folder_is_refused_and_told_who_has_it(server: EmbeddedPostgres, data: Path) -> None:
    with pytest.raises(ConfigError, match=f"in use by process {os.getpid()}"):
        EmbeddedPostgres(data).start()
    assert ask(server, "SELECT 1") == 1


def test_a_taken_port_is_refused_with_the_name_of_the_setting(data: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(ConfigError, match=f"database.port = {port}: the port is taken") as refusal:
            EmbeddedPostgres(data, port=port, durable=False).start()
    assert "PILOTHOUSE_DATABASE__PORT" in refusal.value.hint


def test_a_free_port_that_was_taken_between_two_starts_is_replaced(data: Path) -> None:
    with EmbeddedPostgres(data, durable=False) as server:
        first = server.port
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", first))
        listener.listen()
        with server:
            assert server.port != first
            assert ask(server, "SELECT 1") == 1


def test_a_folder_of_another_major_version_is_refused(data: Path) -> None:
    (data / "cluster").mkdir(parents=True)
    (data / "cluster" / "PG_VERSION").write_text("15\n")
    with pytest.raises(ConfigError, match="made by PostgreSQL 15"):
        EmbeddedPostgres(data).start()


def test_a_file_in_the_place_of_the_folder_is_refused(data: Path) -> None:
    data.write_text("not a folder")
    with pytest.raises(ConfigError, match="is not a folder"):
        EmbeddedPostgres(data).start()


def test_a_damaged_configuration_shows_what_the_server_said(data: Path) -> None:
    with EmbeddedPostgres(data, durable=False) as server:
        pass
    with (data / "cluster" / "postgresql.conf").open("a") as file:
        file.write("no_such_setting = 1\n")
    with pytest.raises(DatabaseError, match="no_such_setting"):
        server.start()


def test_there_is_no_address_before_the_first_start(data: Path) -> None:
    with pytest.raises(DatabaseUnavailable, match="was not started"):
        EmbeddedPostgres(data).url()


@pytest.fixture
def small_disk() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp())
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], capture_output=True, check=False).returncode:
        folder.rmdir()
        pytest.skip("a small file system needs the right to mount one")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
    folder.rmdir()


def test_a_full_disk_is_named_and_the_next_start_works_once_there_is_room(small_disk: Path) -> None:
    server = EmbeddedPostgres(small_disk / "postgres", durable=False)
    with pytest.raises(DatabaseUnavailable, match="the disk is full"):
        server.start()
    subprocess.run(["mount", "-o", "remount,size=256m", str(small_disk)], check=True)
    with server:
        assert ask(server, "SELECT 1") == 1
