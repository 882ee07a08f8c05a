"""The graph's servers: safe from strangers, gone with their parent, and able to rise from whatever was left behind."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from graph.store import Graph
from pilothouse.kernel.errors import ConfigError
from pilothouse.local.arcadedb import arcadedb
from pilothouse.local.graph_server import GraphServer
from pilothouse.local.neo4j import neo4j
from pilothouse.local.neo4j.jars import jars
from pilothouse.local.process import choose_port
from tests.graphs import open_graph, running

PARENT = """
import sys, time
from pathlib import Path
from pilothouse.local.arcadedb import arcadedb
server = arcadedb(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
server.program.start()
server.program.await_ready()
print(server.program.pid, flush=True)
time.sleep(600)
"""


def eventually(condition: Callable[[], bool], within: float = 30.0) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


def server_in(home: Path) -> GraphServer:
    return arcadedb(home / "graph", choose_port(0), choose_port(0), home / "graph.log")


def firms(server: GraphServer) -> int:
    with open_graph(server) as graph:
        return int(graph.read("MATCH (n:Firm) RETURN count(n) AS n")[0]["n"])


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def written(home: Path) -> Iterator[GraphServer]:
    """A server that holds one firm and was stopped in order."""
    server = server_in(home)
    with running(server), open_graph(server) as graph:
        graph.write("CREATE (:Firm)")
    yield server
    server.program.stop()


def test_the_passwords_are_readable_by_their_owner_alone_and_in_no_log_and_no_command_line(written: GraphServer) -> None:
    assert stat.S_IMODE(written.home.stat().st_mode) == 0o700
    for name, password in (("password", written.password), ("reader-password", written.reader_password)):
        assert stat.S_IMODE((written.home / name).stat().st_mode) == 0o600
        assert (written.home / name).read_text() == password
        logs = [file for file in written.home.rglob("*") if file.is_file() and file.name not in {"password", "reader-password"}]
        assert [file for file in (*logs, written.program.log) if password in file.read_text(errors="replace")] == []
        assert not any(password in word for word in written.program.command)


def test_nodes_survive_a_stop_and_a_kill(written: GraphServer) -> None:
    with running(written):
        assert firms(written) == 1
        assert written.program.pid is not None
        os.kill(written.program.pid, signal.SIGKILL)
        assert eventually(lambda: written.program.revive())
        written.program.await_ready()
        assert firms(written) == 1


def test_the_server_of_a_killed_parent_ends_and_the_next_one_waits_for_it(home: Path) -> None:
    arguments = [str(home / "graph"), str(choose_port(0)), str(choose_port(0)), str(home / "parent.log")]
    parent = subprocess.Popen([sys.executable, "-c", PARENT, *arguments], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    orphan = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    server = server_in(home)
    with running(server):  # at once: the old one is still there
        assert firms(server) == 0
    assert eventually(lambda: not psutil.pid_exists(orphan))


def test_a_lost_password_is_replaced_and_no_node_is_lost(written: GraphServer, home: Path) -> None:
    (written.home / "password").unlink()
    (written.home / "reader-password").unlink()
    server = server_in(home)
    assert server.password != written.password
    with running(server):
        assert firms(server) == 1


def test_what_the_server_says_before_it_gives_up_is_told(home: Path) -> None:
    server = server_in(home)
    (home / "graph" / "databases").write_text("not a folder")
    with (
        pytest.raises(
            ConfigError, match=r"graph ended while starting:\nFailed to start server: .*databases' is not a directory"
        ) as refusal,
        running(server),
    ):
        pass
    assert str(home / "graph.log") in refusal.value.hint


def test_a_taken_port_is_told(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = arcadedb(home / "graph", taken.getsockname()[1], choose_port(0), home / "graph.log")
        with pytest.raises(ConfigError, match="graph ended while starting"), running(server):
            pass


def test_a_graph_that_is_opened_by_a_thread_serves_the_others(written: GraphServer) -> None:
    with running(written), open_graph(written) as graph:
        found: list[object] = []
        threads = [threading.Thread(target=lambda: found.extend(graph.read("MATCH (n:Firm) RETURN 1 AS n"))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [{"n": 1}] * 4


# Neo4j, before it runs


def with_programs(folder: Path, **programs: str) -> str:
    """A PATH of these programs and nothing else."""
    folder.mkdir()
    for name, script in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return str(folder)


def test_neo4j_without_java_names_what_to_install(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", with_programs(home / "bin"))
    with pytest.raises(ConfigError, match="Neo4j runs on Java 17, and there is no `java`") as refusal:
        neo4j(home / "graph", 7687, home / "graph.log", cache=home / "cache")
    assert "install Java 17" in refusal.value.hint
    assert "PILOTHOUSE_GRAPH__URL" in refusal.value.hint


def test_neo4j_without_maven_names_what_to_install(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", with_programs(home / "bin", java="exit 0"))
    with pytest.raises(ConfigError, match="takes Maven, and there is no `mvn`") as refusal:
        neo4j(home / "graph", 7687, home / "graph.log", cache=home / "cache")
    assert "install Maven" in refusal.value.hint


def test_a_fetch_that_fails_tells_what_maven_said_and_leaves_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", with_programs(home / "bin", mvn="echo 'Could not transfer artifact'; exit 1"))
    with pytest.raises(ConfigError, match="Could not transfer artifact"):
        jars(home / "cache")
    assert [path.name for path in (home / "cache").iterdir()] == ["neo4j.lock"]


def test_a_jar_that_is_not_what_it_was_is_refused_and_not_kept(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    falsified = 'for word in "$@"; do case "$word" in -DoutputDirectory=*) echo evil > "${word#*=}/neo4j-5.26.30.jar";; esac; done'
    monkeypatch.setenv("PATH", with_programs(home / "bin", mvn=falsified))
    with pytest.raises(ConfigError, match=r"is not Neo4j as we know it: .* and 20\d more"):
        jars(home / "cache")
    assert [path.name for path in (home / "cache").iterdir()] == ["neo4j.lock"]


def test_a_stranger_on_the_port_of_neo4j_is_not_taken_for_it(home: Path) -> None:
    from pilothouse.local.neo4j.server import _speaks_bolt

    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        answering = threading.Thread(target=lambda: stranger.accept()[0].close())
        answering.start()
        assert not _speaks_bolt(port)
        answering.join()
    assert not _speaks_bolt(port)


def test_a_wrong_url_is_told_with_an_example() -> None:
    with pytest.raises(ConfigError, match=r"graph.url = http://127.0.0.1:7687") as refusal:
        Graph.open("http://127.0.0.1:7687", password="secret")
    assert "bolt://" in refusal.value.hint
