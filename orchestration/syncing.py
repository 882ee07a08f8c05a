"""Syncs and builds started by a person: true Dagster runs, executed in this process so that the terminal can show them live."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from assets.loading import Load
from assets.progress import LOADS, TABLES, Listener
from assets.tables import NAME as TABLES_OP
from assets.tables import asset_key
from orchestration.by_hand import execute, reasons, refuse_failed
from orchestration.models import TRAIN as TRAIN_JOB
from orchestration.tables import JOB as BUILD_JOB
from pilothouse.kernel.errors import DataRejected, ModelError
from pilothouse.tables.building import Made


@dataclass(frozen=True)
class Failed:
    """A stream that could not be synced, and why."""

    stream: str
    reason: str


@dataclass(frozen=True)
class Outcome:
    """What a sync did: the streams that were brought up to date, and those that were not."""

    loads: tuple[Load, ...]
    failed: tuple[Failed, ...]


def sync(dagster_home: Path, source: str, streams: Sequence[str], listener: Listener[Load | None]) -> Outcome:
    """Sync some streams of one source (all where none is named) as one run of its job."""
    selection = [dg.AssetKey(["raw", source, stream]) for stream in streams] or None
    loads: list[Load] = []

    def hear(stream: str, load: Load | None) -> None:
        if load is not None:
            loads.append(load)
        listener(stream, load)

    with LOADS.heard_by(hear):
        result = execute(dagster_home, f"sync_{source}", selection=selection)
    return Outcome(tuple(loads), tuple(_failures(result, source)))


def build(dagster_home: Path, tables: Sequence[str], listener: Listener[Made], *, full: bool = False, learn: bool = False) -> list[Made]:
    """Make some tables (all where none is named) as one run of their job."""
    done: list[Made] = []

    def hear(table: str, made: Made) -> None:
        done.append(made)
        listener(table, made)

    with TABLES.heard_by(hear):
        selection = [asset_key(table) for table in tables] or None
        result = execute(dagster_home, BUILD_JOB, selection=selection, ops={TABLES_OP: {"full": full, "learn": learn}})
    if not result.success and not any(made.reason for made in done):
        raise DataRejected("\n".join(reasons(result)), hint="the run in the Dagster UI shows more")
    return done


def train(dagster_home: Path, models: Sequence[str], at: Mapping[str, int]) -> None:
    """Train these models and score by what is used then, as one run of their job; ModelError says what failed."""
    selection = [asset_key(table) for name in models for table in (f"model/{name}", f"scores/{name}")]
    ops = {f"model__{name}": {"at": dict(at)} for name in models}
    refuse_failed(execute(dagster_home, TRAIN_JOB, selection=selection, ops=ops), ModelError)


def _failures(result: dg.ExecuteInProcessResult, source: str) -> list[Failed]:
    steps = [str(event.step_key) for event in result.all_events if event.is_step_failure]
    streams = (step.removeprefix("raw__").replace(f"{source}__", f"{source}/", 1) for step in steps)
    return [Failed(stream, reason) for stream, reason in zip(streams, reasons(result), strict=True)]
