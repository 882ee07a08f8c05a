"""Syncs started by a person: true Dagster runs, executed in this process so that the terminal can show them live."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from assets.loading import Load
from assets.progress import Listener, listening
from assets.resource import CORRELATION_TAG
from pilothouse.kernel.errors import ConfigError
from pilothouse.kernel.log import correlated


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


def sync(dagster_home: Path, source: str, streams: Sequence[str], listener: Listener) -> Outcome:
    """Sync some streams of one source (all where none is named) as one run of its job."""
    from orchestration.definitions import defs

    job = defs.resolve_job_def(f"sync_{source}")
    selection = [dg.AssetKey(["raw", source, stream]) for stream in streams] or None
    loads: list[Load] = []

    def hear(stream: str, load: Load | None) -> None:
        if load is not None:
            loads.append(load)
        listener(stream, load)

    with correlated() as correlation, listening(hear), instance(dagster_home) as where:
        result = job.execute_in_process(
            instance=where,
            asset_selection=selection,
            raise_on_error=False,
            tags={CORRELATION_TAG: correlation, "pilothouse/started_by": "cli"},
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},  # the terminal shows a board, not events
        )
    return Outcome(tuple(loads), tuple(_failures(result, source)))


def instance(home: Path) -> dg.DagsterInstance:
    """The Dagster instance of the running platform; ConfigError where none runs."""
    if not (home / "dagster.yaml").exists():
        raise ConfigError("nothing runs here", hint="start it with `pilothouse up`; it shows its syncs in the Dagster UI")
    os.environ["DAGSTER_HOME"] = str(home)  # Dagster's own way to find its compute logs
    return dg.DagsterInstance.from_config(str(home))


def _failures(result: dg.ExecuteInProcessResult, source: str) -> list[Failed]:
    failed = []
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            told = data.user_failure_data.description if data.user_failure_data else None
            stream = str(event.step_key).removeprefix("raw__").replace(f"{source}__", f"{source}/", 1)
            failed.append(Failed(stream, told or (data.error.message.strip() if data.error else "no reason given")))
    return failed
