"""One program that `pilothouse up` keeps alive: started, asked whether it answers, restarted when it dies, stopped."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from pilothouse.kernel.errors import ConfigError

_PATIENCE = 120.0
_GRACE = 10.0
_STEADY = 60.0  # a program that lived this long died of something new, and is restarted at once
_LONGEST_PAUSE = 30.0
_LOG_LIMIT = 16 << 20

log = structlog.get_logger()


@dataclass
class Program:
    """What to run and how to know that it answers."""

    name: str
    command: Sequence[str]
    log: Path
    answers: Callable[[], bool]
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    patience: float = _PATIENCE
    address: str = ""

    _process: subprocess.Popen[bytes] | None = None
    _started_at: float = 0.0
    _died_at: float | None = None
    _failures: int = 0

    def start(self) -> None:
        """Start it; `await_ready` waits for it."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._cut_log()
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment},
                cwd=self.folder,
                start_new_session=True,  # Ctrl-C reaches us alone; we stop our programs in order
            )
        self._started_at = time.monotonic()

    @property
    def pid(self) -> int | None:
        """Its process id while it lives."""
        return self._process.pid if self._process is not None and self.alive else None

    @property
    def alive(self) -> bool:
        """Whether the process lives, whatever it answers."""
        return self._process is not None and self._process.poll() is None

    def await_ready(self) -> None:
        """Wait until it answers; ConfigError with the end of its log where it ends or stays mute."""
        deadline = time.monotonic() + self.patience
        while not self.answers():
            if not self.alive:
                raise ConfigError(f"{self.name} ended while starting:\n{self.last_words()}", hint=f"the whole log is {self.log}")
            if time.monotonic() > deadline:
                raise ConfigError(
                    f"{self.name} does not answer after {self.patience:.0f} s:\n{self.last_words()}", hint=f"the whole log is {self.log}"
                )
            time.sleep(0.1)

    def revive(self) -> bool:
        """Start it again if it died: at once the first time, later and later if it keeps dying. Whether it was started."""
        if self.alive:
            self._cut_log()
            return False
        now = time.monotonic()
        if self._died_at is None:
            self._died_at = now
            self._failures = 0 if now - self._started_at > _STEADY else self._failures + 1
        if now - self._died_at < min(2.0**self._failures - 1.0, _LONGEST_PAUSE):
            return False
        log.warning("restarting", program=self.name, lived_seconds=round(self._died_at - self._started_at), last_words=self.last_words(3))
        self._died_at = None
        self.start()
        return True

    def _cut_log(self) -> None:
        """Begin the log anew where it has grown long, and keep the one before. A program appends, so it goes on at the new beginning."""
        if self.log.exists() and self.log.stat().st_size > _LOG_LIMIT:
            shutil.copyfile(self.log, self.log.with_suffix(".old.log"))
            os.truncate(self.log, 0)

    def stop(self) -> None:
        """Ask it and its children to end; insist after a while."""
        if self._process is None:
            return
        for number, patience in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, 5.0)):
            try:
                os.killpg(self._process.pid, number)
            except ProcessLookupError:
                break
            try:
                self._process.wait(patience)
            except subprocess.TimeoutExpired:
                continue
            break
        self._process.wait()

    def last_words(self, lines: int = 15) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else "(no log)"


def listening(port: int) -> bool:
    """Whether something accepts connections on a port of this machine."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def choose_port(wanted: int) -> int:
    """The wanted port of loopback if it is free, any free one otherwise."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            chosen: int = probe.getsockname()[1]
            return chosen
    raise ConfigError("no port of loopback is free", hint="stop a program that opened thousands of them")


def python(*arguments: str) -> list[str]:
    """A command of this interpreter, wherever it is installed."""
    return [sys.executable, *arguments]
