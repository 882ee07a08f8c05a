"""The sandbox as one process: SAP, Salesforce and admin servers in one event loop, and the clock that lets the company live.

Ports are bound before anything else happens, so a port that is taken costs no generated company. `endpoints.json` is
written once every server answers and removed at the end: whoever finds it may connect.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import signal
import socket
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import uvicorn

from pilothouse.kernel.errors import ConfigError
from pilothouse.sandbox.credentials import Credentials
from pilothouse.sandbox.faults import App, ConnectionCut, Faults
from pilothouse.sandbox.marking import Marked
from pilothouse.sandbox.pulse import Pulse

if TYPE_CHECKING:
    from pilothouse.sandbox.company.company import Company
    from pilothouse.sandbox.company.warehouse_mirror import WarehouseMirror

HOST = "127.0.0.1"
ENDPOINTS = "endpoints.json"
_SQLITE = (3, 38)  # builds JSON and reads times by itself, on which the SAP server's speed rests


@dataclass(frozen=True, kw_only=True)
class Options:
    """How the sandbox is started. A port of 0 is any free one; a pace of 0 leaves the clock to the admin server."""

    home: Path
    seed: int = 1
    scale: float = 1.0
    pace: float = 20.0
    sap_port: int = 0
    salesforce_port: int = 0
    admin_port: int = 0
    warehouse_url: str = ""


class Quiet(logging.Filter):
    """Keeps connections that a fault cut on purpose out of the log."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is worth a line."""
        return not (record.exc_info and isinstance(record.exc_info[1], ConnectionCut))


class Listener(uvicorn.Server):
    """A uvicorn server that says when it answers and leaves signals to the process that runs several of them."""

    def __init__(self, app: App, bound: socket.socket, **options: Any) -> None:
        options = {"log_config": None, "access_log": False, "lifespan": "off", "timeout_graceful_shutdown": 1, **options}
        super().__init__(uvicorn.Config(Marked(app), **options))
        self.bound = bound
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        self.ready.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def run(options: Options) -> None:
    """Serve until SIGTERM or SIGINT."""
    if sqlite3.sqlite_version_info < _SQLITE:
        needed = ".".join(map(str, _SQLITE))
        raise ConfigError(f"the sandbox needs SQLite {needed}, this Python has {sqlite3.sqlite_version}", hint="use a newer Python")
    logging.getLogger("uvicorn.error").addFilter(Quiet())
    with _alone(options.home):
        sockets = [
            bound("SAP", options.sap_port),
            bound("Salesforce", options.salesforce_port),
            bound("admin", options.admin_port),
        ]
        asyncio.run(_serve(options, sockets))


async def _serve(options: Options, sockets: Sequence[socket.socket]) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    orphaned = asyncio.create_task(_orphaned(os.getppid()))
    orphaned.add_done_callback(lambda _: stopping.set())
    opening = asyncio.create_task(asyncio.to_thread(_open, options))
    await _first(opening, stopping)
    if stopping.is_set():
        # The generator's thread cannot be interrupted; the next start finds its unfinished work and begins again.
        os._exit(0)
    company, mirror = opening.result()
    faults, credentials = Faults(options.seed), Credentials.open(options.home)
    pulse = Pulse(_beat(company, mirror), options.pace)
    listeners = _listeners(options, sockets, company, credentials, faults, pulse)
    async with _running(listeners, stopping):
        endpoints = options.home / ENDPOINTS
        _announce(endpoints, listeners, options.home)
        pulse.start()
        try:
            await stopping.wait()
        finally:
            orphaned.cancel()
            endpoints.unlink(missing_ok=True)
            await asyncio.to_thread(pulse.stop)


async def _orphaned(parent: int) -> None:
    """Return when the process that started us has ended, however it ended.

    Asked twice a second and not left to Linux's parent-death signal: that one also fires when the *thread* that
    started us ends, which would stop a sandbox started from a short-lived thread.
    """
    while os.getppid() == parent:
        await asyncio.sleep(0.5)


def _open(options: Options) -> tuple[Company, WarehouseMirror | None]:
    from pilothouse.sandbox.company.company import Company
    from pilothouse.sandbox.company.warehouse_mirror import WarehouseMirror

    (options.home / ENDPOINTS).unlink(missing_ok=True)
    company = Company.open(options.home, seed=options.seed, scale=options.scale, now=datetime.now(UTC))
    mirror = WarehouseMirror(company.store, options.warehouse_url) if options.warehouse_url else None
    if mirror is not None:
        mirror.follow()
    return company, mirror


def _beat(company: Company, mirror: WarehouseMirror | None) -> Callable[[datetime], Sequence[str]]:
    """One beat of the company, which its warehouse follows. A warehouse that is away catches up at a later beat."""

    def beat(now: datetime) -> Sequence[str]:
        happened = company.clock.step(now)
        if mirror is not None:
            mirror.follow()
        return happened

    return beat


def _listeners(
    options: Options, sockets: Sequence[socket.socket], company: Company, credentials: Credentials, faults: Faults, pulse: Pulse
) -> list[Listener]:
    from pilothouse.sandbox.admin import admin_app
    from pilothouse.sandbox.certificates import issue
    from pilothouse.sandbox.salesforce.app import salesforce_app
    from pilothouse.sandbox.sap.app import sap_app

    _, certificate, key = issue(options.home / "tls")
    return [
        Listener(sap_app(company.store, credentials.sap, faults), sockets[0]),
        Listener(
            salesforce_app(company.store, credentials.salesforce, faults), sockets[1], ssl_certfile=str(certificate), ssl_keyfile=str(key)
        ),
        Listener(admin_app(company.store, faults, pulse, credentials.admin), sockets[2]),
    ]


@asynccontextmanager
async def _running(listeners: Sequence[Listener], stopping: asyncio.Event) -> AsyncIterator[None]:
    """The servers answer inside; they end with it. One that ends by itself ends all."""
    tasks = [asyncio.create_task(listener.serve([listener.bound])) for listener in listeners]
    for task in tasks:
        task.add_done_callback(lambda _: stopping.set())
    try:
        await asyncio.gather(*(_first(asyncio.create_task(listener.ready.wait()), stopping) for listener in listeners))
        yield
    finally:
        for listener in listeners:
            listener.should_exit = True
        await asyncio.gather(*tasks)


async def _first(task: asyncio.Task[Any], stopping: asyncio.Event) -> None:
    """Wait for the task, unless the process is told to stop before it is done. A failed task raises."""
    stop = asyncio.create_task(stopping.wait())
    await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if task.done():
        task.result()


def _announce(path: Path, listeners: Sequence[Listener], home: Path) -> None:
    sap, salesforce, admin = (listener.bound.getsockname()[1] for listener in listeners)
    content = {
        "sap": f"http://{HOST}:{sap}",
        "salesforce": f"https://{HOST}:{salesforce}",
        "admin": f"http://{HOST}:{admin}",
        "certificate_authority": str(home / "tls" / "ca.pem"),
        "pid": os.getpid(),
    }
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(content, indent=2))
    draft.replace(path)


def bound(name: str, port: int) -> socket.socket:
    """A socket that listens on loopback; ConfigError names the server whose port is taken."""
    try:
        return socket.create_server((HOST, port))
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"the sandbox's {name} server cannot listen on {HOST}:{port} ({error})", hint="choose another port, or 0 for any free one"
        ) from error


@contextmanager
def _alone(home: Path) -> Iterator[IO[str]]:
    """Refuse to start where another sandbox lives: two processes would write one company."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = (home / "sandbox.lock").open("a")
    except OSError as error:
        raise ConfigError(f"{home}: the sandbox cannot write there ({error.strerror})", hint="choose another --home") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"{home}: another sandbox runs there", hint="stop it, or choose another --home") from None
        yield lock
