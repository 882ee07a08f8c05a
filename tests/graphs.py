"""Real graph servers for tests: one a session and engine (under pytest-xdist one a worker), emptied for each test that asks."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from graph.store import Graph
from pilothouse.local.arcadedb import arcadedb
from pilothouse.local.graph_server import GraphServer
from pilothouse.local.neo4j import neo4j
from pilothouse.local.process import choose_port

# A server that lives for a minute: half the time would go into compiling it well, a quarter into verifying jars whose checksums are known.
QUICK = {"JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote"}
ENGINES = ("arcadedb", "neo4j")


@contextmanager
def running(server: GraphServer) -> Iterator[GraphServer]:
    """The server, up inside and stopped after."""
    try:
        server.program.start()
        server.program.await_ready()
        yield server
    finally:
        server.program.stop()


@contextmanager
def folder() -> Iterator[Path]:
    """A folder that goes away. Not in pytest's own temporary one: that is kept for three sessions."""
    path = Path(tempfile.mkdtemp(prefix="pilothouse-graph-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def open_graph(server: GraphServer, patience: float = 30.0) -> Graph:
    """The graph of a server, through its own user."""
    return Graph.open(server.url, server.user, server.password, server.database, engine=server.engine, patience=patience)


@pytest.fixture(scope="session")
def arcadedb_server() -> Iterator[GraphServer]:
    """An ArcadeDB for the session."""
    with folder() as home, running(arcadedb(home / "server", choose_port(0), choose_port(0), home / "server.log")) as server:
        yield server


@pytest.fixture(scope="session")
def neo4j_server() -> Iterator[GraphServer]:
    """A Neo4j for the session; its jars are fetched the first time, which takes Maven."""
    if shutil.which("mvn") is None or shutil.which("java") is None:
        pytest.skip("fetching and running the real Neo4j takes mvn and java")
    with folder() as home:
        server = neo4j(home / "server", choose_port(0), home / "server.log", "512m")
        server.program.environment = QUICK
        with running(server):
            yield server


@pytest.fixture(params=ENGINES)
def graph_server(request: pytest.FixtureRequest) -> GraphServer:
    """Each engine's server in turn: a test that asks for it runs once an engine."""
    server: GraphServer = request.getfixturevalue(f"{request.param}_server")
    return server


@pytest.fixture
def graph(graph_server: GraphServer) -> Iterator[Graph]:
    """An empty graph of each engine in turn. For tests of what the engines might do differently."""
    with open_graph(graph_server) as graph:
        graph.clear()
        yield graph


@pytest.fixture
def arcadedb_graph(arcadedb_server: GraphServer) -> Iterator[Graph]:
    """An empty graph of the default engine. For tests whose subject is not the engine."""
    with open_graph(arcadedb_server) as graph:
        graph.clear()
        yield graph
