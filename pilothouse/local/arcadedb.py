"""ArcadeDB as the graph of one machine: a native image from a wheel, without a JVM, in a process of its own.

    python -m pilothouse.local.arcadedb HOME BOLT_PORT HTTP_PORT MEMORY

On loopback, with generated passwords (`<home>/password` and `<home>/reader-password`, readable by their owner alone). Two users:
`root` may do everything, `reader` may read and nothing else; the server itself refuses what a reader wants to write.

A commit returns once its log has reached the disk (`txWalFlush=1`). The server's own default leaves that to the operating system:
a killed process loses nothing either way, but after a power failure the graph could hold less than the lake believes it holds.

The server of a parent that died stops by itself, and a new one waits for it: both are bound to `<home>/lock`.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import secrets
import signal
import sys
import threading
import time
from pathlib import Path
from typing import IO

from pilothouse.local.graph_server import GraphServer
from pilothouse.local.passwords import kept_password, write_private
from pilothouse.local.process import Program, python

DATABASE = "pilothouse"
USER, READER = "root", "reader"

_HOST = "127.0.0.1"
_PREDECESSOR_PATIENCE = 60.0
_EVENT_LOGS_KEPT = 5  # the server writes a new one at each start, and never removes any
_ITERATIONS = 4_096  # the passwords are 192 random bits: stretching them would only slow each connection down by 0.4 s
_EVERYTHING = ("createRecord", "readRecord", "updateRecord", "deleteRecord")
_LOGGING = """\
handlers = java.util.logging.FileHandler
.level = WARNING
com.arcadedb.level = INFO
java.util.logging.FileHandler.pattern = {folder}/arcadedb.log
java.util.logging.FileHandler.formatter = com.arcadedb.log.LogFormatter
java.util.logging.FileHandler.limit = 8000000
java.util.logging.FileHandler.count = 2
java.util.logging.FileHandler.append = true
"""


def arcadedb(home: Path, port: int, http_port: int, log: Path, memory: str = "1g") -> GraphServer:
    """A server over a folder, not started yet."""
    home = home.absolute()
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o700)
    program = Program(
        name="graph",
        command=python("-m", "pilothouse.local.arcadedb", str(home), str(port), str(http_port), memory),
        log=log,
        answers=lambda: program.pid is not None and _ready(home).is_file() and _ready(home).read_text() == str(program.pid),
        patience=300,  # recovery after a kill reads the log of what was not yet in place
        address=f"bolt://{_HOST}:{port} (ArcadeDB)",
    )
    return GraphServer(
        engine="arcadedb",
        home=home,
        program=program,
        url=f"bolt://{_HOST}:{port}",
        user=USER,
        password=kept_password(home / "password"),
        database=DATABASE,
        reader=READER,
        reader_password=kept_password(home / "reader-password"),
    )


def serve(home: Path, port: int, http_port: int, memory: str) -> None:
    """Run the server in this process until it is told to stop, or its parent is gone."""
    parent = os.getppid()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    with _alone(home):
        _declare_users(home)
        _prepare_logs(home, memory)
        import arcadedb as vendor

        server = vendor.create_server(
            str(home),
            config={
                "mode": "development",  # "production" keeps every reason to itself, the place of a syntax error too
                "host": _HOST,
                "http_port": http_port,
                "bolt_port": port,
                "server_plugins": "Bolt:com.arcadedb.bolt.BoltProtocolPlugin",
                "bolt.defaultDatabase": DATABASE,
                "txWalFlush": 1,
                "opencypher.loadCsv.allowFileUrls": False,
                "serverMetrics": False,
            },
        )
        try:
            server.start()
            server.create_database(DATABASE)
        except vendor.ArcadeDBError as error:
            sys.exit(str(error))
        write_private(_ready(home), str(os.getpid()))
        while not stopping.wait(0.5) and os.getppid() == parent:
            pass
        _ready(home).unlink(missing_ok=True)
        server.stop()


def _ready(home: Path) -> Path:
    """Where the server notes that it answers."""
    return home / "ready"


def _alone(home: Path) -> IO[str]:
    """The lock of the folder, which the server of a parent that just died holds until it has stopped."""
    lock = (home / "lock").open("a")
    deadline = time.monotonic() + _PREDECESSOR_PATIENCE
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return lock


def _declare_users(home: Path) -> None:
    """Say who may do what, in the server's own files. Written at each start, so that a lost password is a new one."""
    config = home / "config"
    config.mkdir(exist_ok=True)
    groups = {
        "admin": _group(["updateSecurity", "updateSchema", "updateDatabaseSettings"], _EVERYTHING),
        "reader": _group([], ["readRecord"]),
        "*": _group([], []),
    }
    write_private(config / "server-groups.json", json.dumps({"databases": {"*": {"groups": groups}}, "version": 2}))
    users = [
        {"name": USER, "password": _hashed(kept_password(home / "password")), "databases": {"*": ["admin"]}},
        {"name": READER, "password": _hashed(kept_password(home / "reader-password")), "databases": {DATABASE: ["reader"]}},
    ]
    write_private(config / "server-users.jsonl", "\n".join(map(json.dumps, users)) + "\n")


def _group(access: list[str], records: list[str] | tuple[str, ...]) -> dict[str, object]:
    return {"resultSetLimit": -1, "readTimeout": -1, "access": access, "types": {"*": {"access": list(records)}}}


def _hashed(password: str) -> str:
    """A password as the server keeps it; the salt is its own text, not what that text encodes."""
    salt = base64.b64encode(secrets.token_bytes(32))
    digest = base64.b64encode(hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ITERATIONS))
    return f"PBKDF2WithHmacSHA256${_ITERATIONS}${salt.decode()}${digest.decode()}"


def _prepare_logs(home: Path, memory: str) -> None:
    """Bounded logs in the home, and the size of the heap; the library reads both when it is loaded."""
    folder = home / "log"
    folder.mkdir(exist_ok=True)
    for old in sorted(folder.glob("server-event-log-*.jsonl"))[:-_EVENT_LOGS_KEPT]:
        old.unlink()
    properties = folder / "ours.properties"
    write_private(properties, _LOGGING.format(folder=folder))
    arguments = (f"-Xmx{memory}", f"-Darcadedb.server.logsDirectory={folder}", f"-Djava.util.logging.config.file={properties}")
    os.environ["ARCADEDB_NATIVE_ISOLATE_ARGS"] = " ".join(arguments)
    os.environ["ARCADEDB_LOG_DIR"] = str(folder)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
