"""The server: on loopback, with a generated password, gone with its parent.

    python -m pilothouse.local.neo4j HOME PORT JARS MEMORY

prepares the folder and then becomes Java. The lock on `<home>/lock` and the kernel's promise to end the process with its parent
(Linux) pass through that change, so the process that is watched is the server itself.

Community Edition knows no roles: whoever may log in may write. So there is no reader here, and we do not pretend one.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import socket
from pathlib import Path

from pilothouse.kernel.errors import ConfigError
from pilothouse.local.graph_server import GraphServer
from pilothouse.local.neo4j.jars import INSTEAD, jars
from pilothouse.local.passwords import kept_password, write_private
from pilothouse.local.privileges import tether
from pilothouse.local.process import Program, python

USER = DATABASE = "neo4j"  # the only ones that Community Edition has

_HOST = "127.0.0.1"
_HANDSHAKE, _SPOKEN = bytes.fromhex("6060b017") + bytes.fromhex("00000405") + bytes(12), bytes.fromhex("00000405")
_ITERATIONS = 1_024  # the server's own; it accepts no other
_OPENED = ("java.nio", "java.io", "sun.nio.ch")
# The quiet period: when everything is on disk and no connection is left, the server would still listen twice for five seconds.
_CONFIGURATION = """\
server.default_listen_address={host}
server.bolt.enabled=true
server.bolt.listen_address={host}:{port}
server.http.enabled=false
server.https.enabled=false
dbms.security.auth_enabled=true
dbms.usage_report.enabled=false
server.memory.pagecache.size=256m
server.directories.data={home}/data
server.directories.logs={home}/logs
server.directories.run={home}/run
server.directories.import={home}/import
server.directories.plugins={home}/plugins
server.directories.transaction.logs.root={home}/data/transactions
db.tx_log.rotation.retention_policy=keep_none
internal.dbms.bolt.netty_server_shutdown_quiet_period=0
"""


def neo4j(home: Path, port: int, log: Path, memory: str = "1g", cache: Path | None = None) -> GraphServer:
    """A server over a folder, not started yet. Fetches Neo4j where this user never did; ConfigError where that cannot be."""
    _java()
    home = home.absolute()
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o700)
    program = Program(
        name="graph",
        command=python("-m", "pilothouse.local.neo4j", str(home), str(port), str(jars(cache)), memory),
        log=log,
        answers=lambda: _speaks_bolt(port),
        patience=300,  # recovery after a kill replays the log of what was not yet in place
        address=f"bolt://{_HOST}:{port} (Neo4j)",
    )
    return GraphServer(
        engine="neo4j",
        home=home,
        program=program,
        url=f"bolt://{_HOST}:{port}",
        user=USER,
        password=kept_password(home / "password"),
        database=DATABASE,
    )


def become_server(home: Path, port: int, folder: Path, memory: str) -> None:
    """Turn this process into the server."""
    tether(os.getppid())
    lock = (home / "lock").open("a")
    fcntl.flock(lock, fcntl.LOCK_EX)  # the server of a parent that just died holds it until it has stopped
    os.set_inheritable(lock.fileno(), True)  # noqa: FBT003 - as Python has it
    for name in ("data/dbms", "logs", "run", "import", "plugins", "conf"):
        (home / name).mkdir(parents=True, exist_ok=True)
    write_private(home / "conf" / "neo4j.conf", _CONFIGURATION.format(home=home, host=_HOST, port=port))
    if not (home / "data" / "databases").exists():
        _say_the_first_password(home)
    os.environ.update(NEO4J_HOME=str(home), NEO4J_CONF=str(home / "conf"))
    os.chdir(home)
    options = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED]
    options += ["-XX:+UseSerialGC", "-Dlog4j2.disable.jmx=true", f"-Xmx{memory}", "-cp", f"{folder}/*"]
    words = ["org.neo4j.server.CommunityEntryPoint", f"--home-dir={home}", f"--config-dir={home}/conf"]
    os.execv(_java(), ["java", *options, *words])  # noqa: S606 - an argument list, no shell


def _java() -> str:
    found = shutil.which("java")
    if found is None:
        raise ConfigError("graph.engine = neo4j: Neo4j runs on Java 17, and there is no `java`", hint=f"install Java 17, {INSTEAD}")
    return found


def _say_the_first_password(home: Path) -> None:
    """Write the file that `neo4j-admin dbms set-initial-password` would, which starts a JVM and shows the password to `ps`."""
    salt = secrets.token_bytes(32)
    digest = hashlib.sha256(salt + kept_password(home / "password").encode()).digest()
    for _ in range(_ITERATIONS - 1):
        digest = hashlib.sha256(digest).digest()
    write_private(home / "data" / "dbms" / "auth.ini", f"{USER}:SHA-256,{digest.hex()},{salt.hex()},{_ITERATIONS}:\n")


def _speaks_bolt(port: int) -> bool:
    """Whether a Bolt server answers there: an open port alone says little, Neo4j opens it before it can answer."""
    try:
        with socket.create_connection((_HOST, port), timeout=2) as line:
            line.sendall(_HANDSHAKE)
            return line.recv(4) == _SPOKEN
    except OSError:
        return False
