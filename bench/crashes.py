"""`kill -9` at random moments, then one clean sync: the lake equals the source, and every event was told once.

A trial lets the enterprise live, starts a sync of one source, and while both go on kills the sync, or PostgreSQL under it, or
the Dagster run that it is. Then whatever died is started again and the source is synced once more. Every few trials a new life
begins with an empty lake, so that first loads are broken off too.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from assets.platform import Platform
from assets.syncing import sync_stream
from bench.enterprise import Enterprise, Life, enterprise
from bench.figure import Figure, figure
from bench.lake_truth import faults
from pilothouse.kernel.errors import CommitConflict

Kind = Literal["sync", "PostgreSQL", "run"]
KINDS: Final[tuple[Kind, ...]] = ("sync", "PostgreSQL", "run")
SOURCES: Final = ("s4", "crm", "bureau")
TRIALS = 200
TRIALS_A_LIFE = 12
PATIENCE = 120.0


@dataclass(frozen=True)
class Trial:
    """What one trial did, and what was wrong afterwards."""

    kind: Kind
    source: str
    moment: float  # seconds after the sync began
    hit: bool  # whether the sync was still under way
    faults: tuple[str, ...]


def figures(trials: int = TRIALS, seed: int = 1) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="pilothouse-crashes-") as folder, enterprise(Path(folder), scale=0.05) as company:
        done = list(crash(company, trials, seed))
    wrong = [trial for trial in done if trial.faults]
    for trial in wrong:
        print(trial)
    rows = [figure(f"kill -9 of the {kind}: trials", sum(trial.kind == kind for trial in done), "trials") for kind in KINDS]
    return [
        figure("trials", len(done), "trials"),
        *rows,
        figure("of these, in the middle of the sync", sum(trial.hit for trial in done), "trials"),
        figure("trials after which a row or an event was wrong", len(wrong), "trials", better="lower", bar=0),
    ]


def crash(
    company: Enterprise, trials: int, seed: int, *, kinds: Sequence[Kind] = KINDS, trials_a_life: int = TRIALS_A_LIFE
) -> Iterator[Trial]:
    """Trials, one after the other."""
    chance = random.Random(seed)
    usual: dict[tuple[Kind, str, bool], float] = {}
    life = company.new_life("life_0")
    for turn in range(trials):
        if turn and turn % trials_a_life == 0:
            life = company.new_life(f"life_{turn}")
        kind, source = kinds[turn % len(kinds)], chance.choice(SOURCES)
        course = (kind, source, life.has_read(source))
        company.beat(chance.randint(1, 12))
        with _Victim(life, "run" if kind == "run" else "sync", source) as victim:
            moment = chance.uniform(0, usual.get(course, 3.0))
            took = victim.run_until(moment, company)
            if took is not None:
                usual[course] = took  # aim better next time: the sync was over before it could be killed
            problems = _kill(kind, victim, company)
        company.beat(1)  # the warehouse follows again
        problems += _clean_sync(life, source)
        yield Trial(kind, source, round(moment, 3), took is None, tuple(problems))


def _kill(kind: Kind, victim: _Victim, company: Enterprise) -> list[str]:
    if kind != "PostgreSQL":
        victim.kill()
        return []
    pid = company.postgres.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    ended = victim.ended_by_itself()
    while company.postgres.running:  # a signal is not yet a death
        time.sleep(0.01)
    company.postgres.start()
    return [] if ended else [f"the sync hung for {PATIENCE:.0f} s after PostgreSQL was killed"]


def _clean_sync(life: Life, source: str) -> list[str]:
    with life.platform() as platform:
        for stream in platform.source(source).streams:
            _patiently(platform, source, stream)
        return [fault for stream in platform.source(source).streams for fault in faults(platform, source, stream)]


def _patiently(platform: Platform, source: str, stream: str) -> None:
    """Sync one stream; PostgreSQL may need a moment to see that the last holder of its lock is dead."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            sync_stream(platform, source, stream)
        except CommitConflict:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


class _Victim:
    """A process that is ready to sync."""

    def __init__(self, life: Life, kind: Literal["sync", "run"], source: str) -> None:
        command = [sys.executable, "-m", "bench.victim", kind, source]
        environment = {**os.environ, "PILOTHOUSE_CONFIG": str(life.project)}
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def __enter__(self) -> _Victim:
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            raise RuntimeError("the victim does not start")
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def run_until(self, moment: float, company: Enterprise) -> float | None:
        """Let it sync while the company lives; the seconds after which it was done, None where it was not at that moment."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        began = time.monotonic()
        while (passed := time.monotonic() - began) < moment:
            if self._process.poll() is not None:
                return passed
            company.beat(1)
        return None if self._process.poll() is None else moment

    def ended_by_itself(self) -> bool:
        """Whether it ends, however, without being killed."""
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """`kill -9`."""
        self._process.kill()
        self._process.wait()
