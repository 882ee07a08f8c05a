"""`kill -9` of a build of tables at random moments, then one clean build: every table says what a full rebuild would.

A trial lets the company live, starts a build in a process of its own, and kills it. What the next build then makes is measured row by
row (not by the digests that commits tell) against the same tables made anew as a whole.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from bench.figure import Figure, figure
from graph.resolution.corrections import Corrections
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.settings import TableSettings
from pilothouse.sandbox.company.company import Company
from pilothouse.tables.building import Builder
from pilothouse.tables.project import FOLDER, Project
from tests.raw_company import RawCompany

NOW: Final = datetime(2026, 6, 1, 12, tzinfo=UTC)
TRIALS = 50


@dataclass(frozen=True)
class Trial:
    """What one trial did, and what was wrong afterwards."""

    moment: float  # seconds after the build began
    hit: bool  # whether it was still under way
    repaired: int  # tables that the next build had to make
    faults: tuple[str, ...]


def figures(trials: int = TRIALS, seed: int = 1) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="pilothouse-builds-") as folder:
        done = list(killed(Path(folder), trials, seed))
    for trial in done:
        if trial.faults:
            print(trial)
    return [
        figure("kill -9 of a build: trials", len(done), "trials"),
        figure("of these, in the middle of the build", sum(trial.hit for trial in done), "trials"),
        figure("tables that the next build made", sum(trial.repaired for trial in done), "tables"),
        figure("trials after which a table was wrong", sum(bool(trial.faults) for trial in done), "trials", better="lower", bar=0),
    ]


def killed(folder: Path, trials: int, seed: int, names: Sequence[str] | None = None, scale: float = 0.02) -> Iterator[Trial]:
    """Trials, one after the other, of builds of all tables or of these."""
    chance = random.Random(seed)
    company = Company.open(folder, seed=seed, scale=scale, now=NOW)
    raw = RawCompany(company, Lake(str(folder / "lake")))
    raw.sync()
    Corrections(raw.lake).ensure()
    builder = Builder(raw.lake, Project.load(FOLDER, folder / "work"), folder / "work", TableSettings())
    usual = 3.0
    for _ in range(trials):
        with _Victim(folder, names or ()) as victim:
            moment = chance.uniform(0, usual)
            took = victim.run_until(moment)
        if took is not None:
            usual = took  # aim better next time
        made = list(builder.build(names))
        faults = [each.reason for each in made if each.reason] + _different(builder, names)
        yield Trial(round(moment, 3), took is None, sum(each.how in {"in full", "in part"} for each in made), tuple(faults))
        for _ in range(chance.randint(5, 40)):
            company.clock.step(NOW + timedelta(hours=3 * (company.clock.beats + 1)))
        raw.sync()
    company.close()


def _different(builder: Builder, names: Sequence[str] | None) -> list[str]:
    """The tables that say something else than their commits tell, or than they say made anew as a whole."""
    anew = list(builder.build(names, full=True))
    found = [f"{each.model.table}: made anew, it is another one" for each in anew if each.changed or each.reason]
    tables = (builder.lake.table(each.model.table) for each in anew)
    lost = [f"{table.name}: its rows are not those that its commit tells" for table in tables if table.digest() != table.told_digest()]
    return found + lost


class _Victim:
    """A process that is ready to build."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        command = [sys.executable, "-m", __name__, str(folder), *names]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def __enter__(self) -> _Victim:
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            self.__exit__()
            raise RuntimeError("the victim does not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def run_until(self, moment: float) -> float | None:
        """Let it build; the seconds after which it was done, None where it was not at that moment."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        began = time.monotonic()
        while (passed := time.monotonic() - began) < moment:
            if self._process.poll() is not None:
                return passed
            time.sleep(0.005)
        return None if self._process.poll() is None else moment


def _build(folder: str, names: Sequence[str]) -> None:
    """What the victim does."""
    work = Path(folder) / "work"
    builder = Builder(Lake(f"{folder}/lake"), Project.load(FOLDER, work), work, TableSettings())
    builder.prepare()
    print("ready", flush=True)
    sys.stdin.readline()
    list(builder.build(names or None))


if __name__ == "__main__":
    _build(sys.argv[1], sys.argv[2:])
