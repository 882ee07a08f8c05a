"""Syncs and builds started by a person: true Dagster runs, executed in this process so that the terminal can show them live."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from assets.loading import Load
from assets.progress import LOADS, TABLES, Listener
from assets.resource import CORRELATION_TAG
from assets.tables import NAME as TABLES_OP
from assets.tables import asset_key
from orchestration.models import TRAIN as TRAIN_JOB
from orchestration.tables import JOB as BUILD_JOB
from pilothouse.kernel.errors import ConfigError, DataRejected, ModelError
from pilothouse.kernel.log import correlated
from pilothouse.tables.building import Made

SILENTLY = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}  # the terminal shows a board, not events


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
    from orchestration.definitions import defs

    job = defs.resolve_job_def(f"sync_{source}")
    selection = [dg.AssetKey(["raw", source, stream]) for stream in streams] or None
    loads: list[Load] = []

    def hear(stream: str, load: Load | None) -> None:
        if load is not None:
            loads.append(load)
        listener(stream, load)

    with correlated() as correlation, LOADS.heard_by(hear), instance(dagster_home) as where:
        result = job.execute_in_process(
            instance=where,
            asset_selection=selection,
            raise_on_error=False,
            tags={CORRELATION_TAG: correlation, "pilothouse/started_by": "cli"},
            run_config=SILENTLY,
        )
    return Outcome(tuple(loads), tuple(_failures(result, source)))


def build(dagster_home: Path, tables: Sequence[str], listener: Listener[Made], *, full: bool = False, learn: bool = False) -> list[Made]:
    """Make some tables (all where none is named) as one run of their job."""
    from orchestration.definitions import defs

    done: list[Made] = []

    def hear(table: str, made: Made) -> None:
        done.append(made)
        listener(table, made)

    with correlated() as correlation, TABLES.heard_by(hear), instance(dagster_home) as where:
        result = defs.resolve_job_def(BUILD_JOB).execute_in_process(
            instance=where,
            asset_selection=[asset_key(table) for table in tables] or None,
            raise_on_error=False,
            tags={CORRELATION_TAG: correlation, "pilothouse/started_by": "cli"},
            run_config={**SILENTLY, "ops": {TABLES_OP: {"config": {"full": full, "learn": learn}}}},
        )
    if not result.success and not any(made.reason for made in done):
        raise DataRejected("\n".join(reasons(result)), hint="the run in the Dagster UI shows more")
    return done


def train(dagster_home: Path, models: Sequence[str], at: Mapping[str, int]) -> None:
    """Train these models and score by what is used then, as one run of their job; ModelError says what failed."""
    from orchestration.definitions import defs

    with correlated() as correlation, instance(dagster_home) as where:
        result = defs.resolve_job_def(TRAIN_JOB).execute_in_process(
            instance=where,
            asset_selection=[asset_key(table) for name in models for table in (f"model/{name}", f"scores/{name}")],
            raise_on_error=False,
            tags={CORRELATION_TAG: correlation, "pilothouse/started_by": "cli"},
            run_config={**_SILENTLY, "ops": {f"model__{name}": {"config": {"at": dict(at)}} for name in models}},
        )
    if not result.success:
        reason, _, hint = "\n".join(_reasons(result)).partition("\n  hint: ")
        raise ModelError(reason, hint=hint or "the run in the Dagster UI shows more")


def instance(home: Path) -> dg.DagsterInstance:
    """The Dagster instance of the running platform; ConfigError where none runs."""
    if not (home / "dagster.yaml").exists():
        raise ConfigError("nothing runs here", hint="start it with `pilothouse up`; it shows its syncs in the Dagster UI")
    os.environ["DAGSTER_HOME"] = str(home)  # Dagster's own way to find its compute logs
    return dg.DagsterInstance.from_config(str(home))


def _failures(result: dg.ExecuteInProcessResult, source: str) -> list[Failed]:
    steps = [str(event.step_key) for event in result.all_events if event.is_step_failure]
    streams = (step.removeprefix("raw__").replace(f"{source}__", f"{source}/", 1) for step in steps)
    return [Failed(stream, reason) for stream, reason in zip(streams, reasons(result), strict=True)]


def reasons(result: dg.ExecuteInProcessResult) -> list[str]:
    """Why each failed step failed."""
    reasons = []
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            told = data.user_failure_data.description if data.user_failure_data else None
            reasons.append(told or (data.error.message.strip() if data.error else "no reason given"))
    return reasons
