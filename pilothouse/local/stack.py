"""Everything one machine runs: PostgreSQL, the graph, the sandbox and Dagster, on loopback, in order, watched.

What listens where is written to `<home>/run/local.toml`, a layer of the settings: any other command of this project finds
the running parts there. The file goes away when `up` ends.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import structlog

from pilothouse.kernel.database import Database
from pilothouse.kernel.errors import ConfigError, PilothouseError
from pilothouse.kernel.settings import Settings
from pilothouse.local import dagster_home
from pilothouse.local.arcadedb import arcadedb
from pilothouse.local.graph_server import GraphServer
from pilothouse.local.neo4j import neo4j
from pilothouse.local.postgres import EmbeddedPostgres
from pilothouse.local.process import Program, choose_port, listening, python

DATABASE = "pilothouse"
DAGSTER_DATABASE = "dagster"
MLFLOW_DATABASE = "mlflow"

log = structlog.get_logger()
Told = Callable[[str], None]


@dataclass(frozen=True)
class Part:
    """One running part, for the summary and for doctor."""

    name: str
    address: str
    pid: int | None


class Stack:
    """The parts of one project on this machine. `start` brings them up, `watch` keeps them up, `stop` takes them down."""

    def __init__(self, settings: Settings, project: Path) -> None:
        self._settings = settings
        self._project = project
        self._run = settings.home / "run"
        self._postgres: EmbeddedPostgres | None = None
        self._programs: list[Program] = []
        self._lock: IO[str] | None = None
        self._ports = self._remembered_ports()
        self.moved: dict[str, tuple[int, int]] = {}  # wanted port -> the free one taken instead

    @property
    def dagster_home(self) -> Path:
        """Dagster's home folder."""
        return self._settings.home / "dagster"

    @property
    def parts(self) -> list[Part]:
        """What runs, and where."""
        database = [Part("PostgreSQL", f"127.0.0.1:{self._postgres.port}", self._postgres.pid)] if self._postgres else []
        return [*database, *(Part(program.name, program.address, program.pid) for program in self._programs if program.address)]

    def claim(self) -> None:
        """Make this project ours, before anything is written into it: ConfigError where it cannot be, or another `up` runs here."""
        if self._lock is None:
            self._lock = self._alone()

    def start(self, told: Told = lambda _: None) -> None:
        """Bring up what a sync needs, and the UI beside it, or raise with what one of them said. `told` hears what happens."""
        self.claim()
        local: dict[str, Any] = {}
        if self._settings.graph.url is None:
            told("the graph")
            local["graph"] = self._graph().settings()  # it gets ready beside the others
        told("PostgreSQL")
        url = self._database()
        told("operational schema")
        database = Database(url)
        database.upgrade()
        dagster_url = database.ensure_database(DAGSTER_DATABASE)
        mlflow_url = database.ensure_database(MLFLOW_DATABASE)
        database.close()
        local["database"] = {"url": url}
        self._write_local(local)
        told("Dagster")
        self._dagster(dagster_url)
        if self._settings.mlflow.url is None:
            told("MLflow")
            local["mlflow"] = {"url": self._mlflow(mlflow_url)}
            self._write_local(local)
        if self._settings.sandbox.enabled:
            told("the enterprise in a box")
            local["sources"] = self._sandbox(url)
            self._write_local(local)
        for program in self._programs:
            program.await_ready()
        self._remember()

    def start_daemon(self) -> None:
        """Let schedules and sensors run. Apart from `start`, because a first sync that a person watches needs no rival."""
        daemon = self._program("Dagster daemon", ["dagster-daemon", "run", *self._workspace], lambda: daemon.alive)
        daemon.start()

    def watch(self, stopping: threading.Event, told: Told = lambda _: None) -> None:
        """Restart what dies, until told to stop."""
        while not stopping.wait(1.0):
            if self._postgres is not None and not self._postgres.running:
                try:
                    self._postgres.start()
                    told("PostgreSQL had died and was started again")
                except PilothouseError as error:
                    log.warning("PostgreSQL cannot be started", error=error)
                    continue
            for program in self._programs:
                if program.revive():
                    told(f"{program.name} had died and was started again")

    def stop(self) -> None:
        """Stop every part, the last started first. Nothing that was committed is lost, however this ends."""
        if self._lock is None:
            return  # another `up` holds this project: what runs, and the notes about it, are that one's
        for program in reversed(self._programs):
            program.stop()
        if self._postgres is not None:
            self._postgres.stop()
        for name in ("local.toml", "parts.json"):
            (self._run / name).unlink(missing_ok=True)
        self._lock.close()
        self._lock = None

    def _alone(self) -> IO[str]:
        try:
            self._run.mkdir(parents=True, exist_ok=True)
            lock = (self._run / "up.lock").open("a+")
        except OSError as error:
            raise ConfigError(
                f"{self._settings.home}: cannot be written ({error.strerror})", hint="set PILOTHOUSE_HOME to a folder of yours"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise ConfigError(
                f"`pilothouse up` already runs here (process {lock.read().strip() or 'unknown'})", hint="use it, or stop it with Ctrl-C"
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        return lock

    def _port(self, name: str, wanted: int) -> int:
        """The port of a part: as set, or the one it had last time, or a free one."""
        port = choose_port(wanted or self._ports.get(name, 0))
        if wanted and port != wanted:
            self.moved[name] = (wanted, port)
        self._ports[name] = port
        return port

    def _database(self) -> str:
        given = self._settings.database.url
        if given is not None:
            return given.get_secret_value()
        self._postgres = EmbeddedPostgres(self._settings.home / "postgres", self._port("postgres", self._settings.database.port))
        self._postgres.start()
        return Database(self._postgres.url()).ensure_database(DATABASE)

    def _graph(self) -> GraphServer:
        """The graph's server, started and not yet waited for."""
        graph, log_file = self._settings.graph, self._settings.home / "logs" / "graph.log"
        home, port = self._settings.home / "graph" / graph.engine, self._port("graph", graph.port)
        if graph.engine == "neo4j":
            server = neo4j(home, port, log_file, graph.memory)
        else:
            server = arcadedb(home, port, self._port("graph http", 0), log_file, graph.memory)
        self._programs.append(server.program)
        server.program.start()
        return server

    def _sandbox(self, database_url: str) -> dict[str, dict[str, str]]:
        home = self._settings.home / "sandbox"
        endpoints = home / "endpoints.json"
        endpoints.unlink(missing_ok=True)
        sandbox = self._settings.sandbox
        options = {"home": home, "seed": sandbox.seed, "scale": sandbox.scale, "pace": sandbox.pace}
        ports = {
            f"{name}-port": self._port(f"sandbox {name}", getattr(self._settings.ports, name)) for name in ("sap", "salesforce", "admin")
        }
        arguments = [part for name, value in {**options, **ports}.items() for part in (f"--{name}", str(value))]
        program = Program(
            name="sandbox",
            command=python("-m", "pilothouse.sandbox", *arguments),
            log=self._settings.home / "logs" / "sandbox.log",
            answers=endpoints.exists,
            environment={"WAREHOUSE_URL": database_url},
            patience=900,
        )
        self._programs.append(program)
        program.start()
        program.await_ready()
        told = json.loads(endpoints.read_text())
        program.address = f"{told['sap']} (SAP), {told['salesforce']} (Salesforce), {told['admin']} (faults and clock)"
        return running_settings(self._settings, told, json.loads((home / "credentials.json").read_text()), database_url)

    def _mlflow(self, database_url: str) -> str:
        """MLflow's server as one process: its command line would be a second one that holds as much memory and only watches."""
        port = self._port("mlflow", self._settings.ports.mlflow)
        address = f"http://127.0.0.1:{port}"
        artifacts = self._settings.mlflow.artifacts or str((self._settings.home / "mlflow" / "artifacts").absolute())
        program = Program(
            name="MLflow",
            command=python("-m", "uvicorn", "mlflow.server.fastapi_app:app", "--host", "127.0.0.1", "--port", str(port), "--no-access-log"),
            log=self._settings.home / "logs" / "mlflow.log",
            answers=lambda: listening(port),
            environment={
                "_MLFLOW_SERVER_FILE_STORE": database_url,
                "_MLFLOW_SERVER_REGISTRY_STORE": database_url,
                "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
                "_MLFLOW_SERVER_ARTIFACT_DESTINATION": artifacts,
                "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                "MLFLOW_DISABLE_TELEMETRY": "true",
            },
            folder=self._project.parent,
            address=address,
        )
        self._programs.append(program)
        program.start()
        return address

    def _dagster(self, database_url: str) -> None:
        code, web = self._port("code location", 0), self._port("dagster", self._settings.ports.dagster)
        dagster_home.write(self.dagster_home, database_url=database_url, code_port=code)
        serve = [
            "dagster",
            "api",
            "grpc",
            "-h",
            "127.0.0.1",
            "-p",
            str(code),
            "-m",
            "orchestration.definitions",
            "--location-name",
            "pilothouse",
        ]
        location = self._program("code location", serve, lambda: listening(code))
        location.start()
        location.await_ready()  # a webserver that finds no location shows an error until somebody reloads it
        ui = ["dagster-webserver", "-h", "127.0.0.1", "-p", str(web), *self._workspace]
        self._program("Dagster UI", ui, lambda: listening(web), f"http://127.0.0.1:{web}").start()

    @property
    def _workspace(self) -> list[str]:
        return ["-w", str(self.dagster_home / "workspace.yaml")]

    def _program(self, name: str, command: Sequence[str], answers: Callable[[], bool], address: str = "") -> Program:
        """A program of Dagster's, kept alive from now on."""
        program = Program(
            name=name,
            command=_installed(command),
            log=self._settings.home / "logs" / f"{name.replace(' ', '-').lower()}.log",
            answers=answers,
            environment={
                "DAGSTER_HOME": str(self.dagster_home),
                "PILOTHOUSE_CONFIG": str(self._project),
                "DAGSTER_GRPC_TIMEOUT_SECONDS": "120",
            },
            folder=self._project.parent,
            address=address,
        )
        self._programs.append(program)
        return program

    def _write_local(self, local: Mapping[str, Any]) -> None:
        path = self._run / "local.toml"
        draft = path.with_suffix(".new")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write("# What `pilothouse up` runs right now. Written by it, removed by it.\n" + "\n".join(_toml(local)) + "\n")
        draft.replace(path)

    def _remembered_ports(self) -> dict[str, int]:
        path = self._run / "ports.json"
        remembered: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
        return remembered

    def _remember(self) -> None:
        (self._run / "ports.json").write_text(json.dumps(self._ports))
        (self._run / "parts.json").write_text(json.dumps([vars(part) for part in self.parts]))


@contextmanager
def running(stack: Stack, told: Told) -> Iterator[Stack]:
    """The stack, up inside and stopped after, however the inside ends."""
    try:
        stack.start(told)
        yield stack
    finally:
        stack.stop()


def running_settings(
    settings: Settings, endpoints: Mapping[str, str], credentials: Mapping[str, Any], database_url: str
) -> dict[str, dict[str, str]]:
    """What each source that is served by the sandbox must know to reach it."""
    sap, salesforce = credentials["sap"], credentials["salesforce"]
    by_connector = {
        "sap": {"url": endpoints["sap"], "user": sap["user"], "password": sap["password"]},
        "salesforce": {
            "url": endpoints["salesforce"],
            "client_id": salesforce["client_id"],
            "client_secret": salesforce["client_secret"],
            "verify": endpoints["certificate_authority"],
        },
        "sql": {"url": database_url},
    }
    return {name: by_connector[source.connector] for name, source in settings.sources.items() if source.sandbox}


def _installed(command: Sequence[str]) -> list[str]:
    """A console script beside this interpreter."""
    return [str(Path(python()[0]).parent / command[0]), *command[1:]]


def _toml(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[str]:
    """Nested tables of texts as TOML; JSON's strings are TOML's."""
    if path:
        yield f"\n[{'.'.join(path)}]"
    yield from (f"{key} = {json.dumps(value)}" for key, value in tree.items() if not isinstance(value, Mapping))
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _toml(value, (*path, key))
