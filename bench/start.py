"""A newcomer's first minutes: clone, install, first sync and first decision; the next start; what it all weighs.

The clone is of the last commit, with empty package caches, in a folder that goes away afterwards. Everything is done by the
commands that the README names.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from bench.figure import Figure, figure

REPOSITORY = Path(__file__).parent.parent
ROUNDS = 7
SETTLE = 60.0
WATCHED = 60.0
PATIENCE = 900.0
SYNCED, DECIDED = " in full, ", "pilothouse replay "  # what `up` says when it makes its first table, and when it shows a decision


def figures() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="pilothouse-start-") as folder:
        Path(folder).chmod(0o755)  # as the folders are in which people keep their projects
        clone, environment = Path(folder) / "pilothouse", _bare_environment(Path(folder))
        cloned = _timed(["git", "clone", "--quiet", str(REPOSITORY), str(clone)], Path(folder), environment)
        installed = _timed(["make", "install"], clone, environment)
        with _up(clone, environment, "--once") as running:
            synced = running.seconds_until_said(SYNCED)
            decided = running.seconds_until_said(DECIDED)
            running.ended()
        with _up(clone, environment) as running:
            healthy = running.seconds_until("parts.json")
            ready = running.seconds_until_said("Pilothouse is up")
            time.sleep(SETTLE)
            weights = list(running.weights(WATCHED))
    alone, with_ours = _import_seconds("dagster"), _import_seconds("orchestration.definitions")
    return [
        figure("fresh clone, cold package cache, to the first full sync", cloned + installed + synced, "s", better="lower", bar=240),
        figure("the same, to the first explained decision", cloned + installed + decided, "s", better="lower", bar=360),
        figure("of that, installing", installed, "s", better="lower"),
        figure("of that, generating the enterprise, starting and syncing", synced, "s", better="lower"),
        figure("of that, making tables, graph and models, and deciding", decided - synced, "s", better="lower"),
        figure("second `up` to all healthy", healthy, "s", better="lower", bar=30),
        figure("second `up` to synced and decided again, schedules on", ready, "s", better="lower"),
        figure("`import orchestration.definitions` beyond `import dagster`", with_ours - alone, "s", better="lower", bar=0.5),
        figure("`import dagster`", alone, "s", better="lower"),
        figure("memory of everything, idle (median over a minute)", statistics.median(weights), "GB", better="lower", bar=2.5),
        figure("the same, at its highest, while a scheduled sync runs", max(weights), "GB", better="lower"),
    ]


class Running:
    """A `pilothouse up` under way."""

    def __init__(self, process: subprocess.Popen[bytes], home: Path, log: Path) -> None:
        self._process = process
        self._home = home
        self._log = log
        self._began = time.perf_counter()

    def seconds_until(self, file: str) -> float:
        """Seconds from its start until it wrote a file below `run/`."""
        return self._until((self._home / "run" / file).exists, file)

    def seconds_until_said(self, words: str) -> float:
        """Seconds from its start until it said these words."""
        return self._until(lambda: words in self._log.read_text(errors="replace"), words)

    def ended(self) -> None:
        """Wait until it has ended by itself; RuntimeError where it failed."""
        if self._process.wait(PATIENCE):
            raise RuntimeError(f"`pilothouse up` failed:\n{self._log.read_text(errors='replace')[-3000:]}")

    def weights(self, seconds: float) -> Iterator[float]:
        """Gigabytes of it and of all it started, once a second. Pages that processes share count once (PSS)."""
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            yield sum(map(_proportional_bytes, self._family())) / 1e9
            time.sleep(1)

    def _family(self) -> list[psutil.Process]:
        mother = psutil.Process(self._process.pid)
        return [mother, *mother.children(recursive=True)]

    def _until(self, reached: Callable[[], bool], what: str) -> float:
        while not reached():
            if self._process.poll() is not None or time.perf_counter() - self._began > PATIENCE:
                raise RuntimeError(f"`pilothouse up` did not get to {what}:\n{self._log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.02)
        return time.perf_counter() - self._began


@contextmanager
def _up(clone: Path, environment: Mapping[str, str], *arguments: str) -> Iterator[Running]:
    log, command = clone / "up.log", [".venv/bin/pilothouse", "up", *arguments]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=clone, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            yield Running(process, clone / ".pilothouse", log)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                process.wait(60)


def _bare_environment(folder: Path) -> dict[str, str]:
    """The environment of somebody who never saw us: no caches, no settings of ours, no virtual environment."""
    ours = ("PILOTHOUSE_", "DAGSTER_", "VIRTUAL_ENV", "PYTHONPATH", "MAKE", "MFLAGS")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    caches = {name: str(folder / name.lower()) for name in ("UV_CACHE_DIR", "PIP_CACHE_DIR")}
    return kept | caches


def _timed(command: list[str], folder: Path, environment: Mapping[str, str]) -> float:
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return time.perf_counter() - started


def _import_seconds(module: str) -> float:
    """The median over fresh processes; the first only warms the file cache."""
    script = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    environment = {**os.environ, "PILOTHOUSE_CONFIG": str(REPOSITORY / "pilothouse.toml")}
    times = [
        float(
            subprocess.run(
                [sys.executable, "-c", script], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True
            ).stdout
        )
        for _ in range(ROUNDS + 1)
    ]
    return statistics.median(times[1:])


def _proportional_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.NoSuchProcess:
        return 0
