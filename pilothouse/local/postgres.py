"""The operational PostgreSQL of a laptop: the binaries of a wheel, started and watched by us.

The wheel's own launcher listens on a unix socket only, opens every parent directory when root, hands out a dead server
after its postmaster was killed, and never stops the server of a parent that died. So the binaries are started here:

- on loopback, with a generated password (`<data>/password`, readable by its owner alone), never by trust;
- bound to the life of this process: the kernel tells the server to shut down when we are gone, however we went;
- from whatever an earlier life left behind: half an initdb, a stale pid file, a killed postmaster, a lost password.

`<data>/cluster` is PostgreSQL's own directory, `<data>/server.log` its log.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

from pilothouse.kernel.errors import ConfigError, DatabaseUnavailable
from pilothouse.local.postgres_programs import MAJOR, explained, is_postgres, program
from pilothouse.local.privileges import Account, tethered, unprivileged_account

USER = "postgres"  # not "pilothouse": a role finds the schema of its own name before `public`
_HOST = "127.0.0.1"
_LOG_LIMIT = 16 << 20
_START_PATIENCE = 300.0  # crash recovery of a large log takes minutes on a slow disk; a dead server is noticed at once
_STOP_PATIENCE = 30.0

# Small enough to share a laptop with everything else; the operational load is short transactions and COPY.
_SETTINGS: Mapping[str, str] = {
    "listen_addresses": _HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "96MB",
    "wal_buffers": "8MB",
    "min_wal_size": "128MB",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "15min",
    "autovacuum_naptime": "20s",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %a: ",
    "log_checkpoints": "off",
}
# A crash of the process loses nothing even so; a crash of the machine may. For tests alone.
_FLEETING: Mapping[str, str] = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "64MB"}


class EmbeddedPostgres:
    """One server over one directory: `start`, `url`, `stop`, or all three as a context manager.

    `port` 0 takes a free one, and keeps it when the same object starts again. `durable=False` trades safety against
    power failure for speed, which tests want.
    """

    def __init__(self, data: Path, port: int = 0, durable: bool = True) -> None:  # noqa: FBT001, FBT002 - reads well by name
        self.data = data.absolute()
        self.port = port
        self.durable = durable
        self._wanted_port = port
        self._cluster = self.data / "cluster"
        self._log = self.data / "server.log"
        self._password = ""
        self._account: Account | None = None
        self._lock: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"EmbeddedPostgres({self.data})"

    def __enter__(self) -> EmbeddedPostgres:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether the server process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The postmaster's process id, while it lives."""
        return self._process.pid if self._process is not None and self.running else None

    def url(self, database: str = "postgres") -> str:
        """How to reach a database of this server, password included."""
        if not self._password or not self.port:
            raise DatabaseUnavailable(f"{self.data}: PostgreSQL was not started", hint="call start() first")
        return f"postgresql://{USER}:{self._password}@{_HOST}:{self.port}/{database}"

    def start(self) -> None:
        """Make the server answer: create it if need be, recover it if it was killed. Does nothing while it runs."""
        if self.running:
            return
        try:
            self._prepare()
            self._await_predecessor()
            self._rotate_log()
            self._launch()
        except OSError as error:
            self._release()
            raise explained(f"{error.filename or self.data}: {error.strerror}", self.data, self.port) from error
        except BaseException:
            self._release()
            raise

    def stop(self) -> None:
        """Shut down cleanly; the next start needs no recovery."""
        process, self._process = self._process, None
        if process is not None:
            for how, patience in ((signal.SIGINT, _STOP_PATIENCE), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
                if process.poll() is not None:
                    break
                process.send_signal(how)
                try:
                    process.wait(patience)
                except subprocess.TimeoutExpired:
                    continue
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _prepare(self) -> None:
        """Everything that must be on disk before the server can start."""
        self.data.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        self._account = unprivileged_account(Path(program("postgres")), self.data)
        self._own(self.data, 0o700)
        version = self._cluster / "PG_VERSION"
        if not version.is_file():
            self._create()
        elif (found := version.read_text().strip()) != str(MAJOR):
            raise ConfigError(
                f"{self._cluster}: made by PostgreSQL {found}, but this is PostgreSQL {MAJOR}",
                hint=f"dump it with PostgreSQL {found} and restore it, or move {self.data} away to start afresh",
            )
        self._password = self._known_password() or self._renewed_password()

    def _take_lock(self) -> None:
        self._release()  # our own, if the server died under us
        lock = (self.data / "lock").open("a+b")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            holder = lock.read().decode() or "unknown"
            lock.close()
            raise ConfigError(
                f"{self.data}: in use by process {holder}", hint="stop that one (is another `pilothouse up` running?), or use another home"
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()).encode())
        lock.flush()
        self._lock = lock

    def _create(self) -> None:
        """Run initdb aside and move its result into place, so that an interrupted one leaves nothing half-made.

        Aside under a new name each time: the initdb of a parent that just died may still be tidying up its own.
        """
        for leftover in (*self.data.glob("cluster.*"), self._cluster):
            shutil.rmtree(leftover, ignore_errors=True)
        fresh = self.data / f"cluster.{secrets.token_hex(4)}"
        password = self._write_password()
        options = ["-U", USER, "--auth=scram-sha-256", f"--pwfile={password}", "--encoding=UTF8", "--locale=C"]
        options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"]
        self._run(["initdb", "-D", str(fresh), *options, *([] if self.durable else ["--no-sync"])])
        fresh.rename(self._cluster)

    def _renewed_password(self) -> str:
        """Set a new password through single-user mode, which needs the files but not the lost password."""
        password = self._write_password().read_text()
        statement = f"ALTER ROLE {USER} PASSWORD '{password}';\n"
        self._run(["postgres", "--single", "-D", str(self._cluster), "postgres"], statement)
        return password

    def _known_password(self) -> str:
        file = self.data / "password"
        return file.read_text().strip() if file.is_file() else ""

    def _write_password(self) -> Path:
        file, draft = self.data / "password", self.data / "password.new"
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
            handle.write(secrets.token_urlsafe(24))
        self._own(draft, 0o600)
        draft.rename(file)
        return file

    def _own(self, path: Path, mode: int) -> None:
        if self._account is not None:
            os.chown(path, self._account.uid, self._account.gid)
        path.chmod(mode)

    def _await_predecessor(self) -> None:
        """The server of a parent that just died is still shutting down; one that stays up belongs to somebody else."""
        deadline = time.monotonic() + _STOP_PATIENCE
        grace = time.monotonic() + 2.0
        while (found := self._pid_file()) and is_postgres(found[0]):
            pid, status = found
            now = time.monotonic()
            if now > deadline or (status == "ready" and now > grace):
                raise ConfigError(
                    f"{self._cluster}: another PostgreSQL (process {pid}) runs on it",
                    hint=f"stop it with `kill -INT {pid}`, or use another home",
                )
            time.sleep(0.02)

    def _pid_file(self) -> tuple[int, str] | None:
        """The process and its state as PostgreSQL notes them; None without such a note."""
        try:
            lines = (self._cluster / "postmaster.pid").read_text().splitlines()
            return int(lines[0]), lines[7].strip() if len(lines) > 7 else ""
        except (FileNotFoundError, ValueError, IndexError):
            return None

    def _rotate_log(self) -> None:
        if self._log.exists() and self._log.stat().st_size > _LOG_LIMIT:
            self._log.replace(self._log.with_suffix(".log.1"))

    def _launch(self) -> None:
        """Start the server and wait until it answers, on another port or a little later where that can help."""
        deadline = time.monotonic() + _START_PATIENCE
        while True:
            if not self.port:
                self.port = _free_port()
            position = self._log.stat().st_size if self._log.exists() else 0
            process = self._spawn()
            if self._became_ready(process, deadline):
                self._process = process
                return
            said = self._log.read_bytes()[position:].decode(errors="replace")
            if "Address already in use" in said and not self._wanted_port and time.monotonic() < deadline:
                self.port = 0  # somebody was quicker, or took the port of our last life
            elif "is still in use" in said and time.monotonic() < deadline:
                time.sleep(0.05)  # orphans of a killed postmaster hold its shared memory for a moment
            else:
                raise explained(said, self.data, self.port)

    def _spawn(self) -> subprocess.Popen[bytes]:
        """Start the server from a thread that outlives it.

        The kernel sends the parent-death signal when the *thread* that forked ends, and start() may be called from a
        short-lived one.
        """
        settings = {**_SETTINGS, **({} if self.durable else _FLEETING), "port": str(self.port)}
        command = [program("postgres"), "-D", str(self._cluster)]
        command += [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        started: list[subprocess.Popen[bytes] | BaseException] = []
        born = threading.Event()

        def live_with_it() -> None:
            try:
                with self._log.open("ab") as log:
                    self._log.chmod(0o600)
                    process = self._popen(command, stdin=subprocess.DEVNULL, stdout=log)
                started.append(process)
            except BaseException as error:
                started.append(error)
                return
            finally:
                born.set()
            process.wait()

        threading.Thread(target=live_with_it, name="postgres", daemon=True).start()
        born.wait()
        if isinstance(started[0], BaseException):
            raise started[0]
        return started[0]

    def _became_ready(self, process: subprocess.Popen[bytes], deadline: float) -> bool:
        while process.poll() is None:
            if self._pid_file() == (process.pid, "ready"):
                return True
            if time.monotonic() > deadline:
                process.kill()
                process.wait()
            time.sleep(0.01)
        return False

    def _run(self, command: Sequence[str], spoken: str = "") -> None:
        """Run one of PostgreSQL's programs to its end."""
        process = self._popen([program(command[0]), *command[1:]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        output, _ = process.communicate(spoken.encode())
        if process.returncode:
            raise explained(output.decode(errors="replace"), self.data, self.port)

    def _popen(self, command: Sequence[str], *, stdin: int, stdout: int | IO[bytes]) -> subprocess.Popen[bytes]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}
        return subprocess.Popen(
            command,
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=environment,
            start_new_session=True,  # Ctrl-C at our terminal is for us to answer
            preexec_fn=tethered(self._account.become if self._account is not None else None),  # noqa: PLW1509 - short, and calls no library
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])
