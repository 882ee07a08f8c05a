"""Runs that a person starts: true Dagster runs, executed in this process so that the terminal can show them live."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from assets.resource import CORRELATION_TAG
from pilothouse.kernel.errors import ConfigError, PilothouseError
from pilothouse.kernel.log import correlated

_INTERRUPTED = dg.DagsterExecutionInterruptedError.__name__
_SILENTLY = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}  # the terminal shows a board, not events


def execute(
    dagster_home: Path, job: str, *, selection: Sequence[dg.AssetKey] | None = None, ops: Mapping[str, Mapping[str, Any]] | None = None
) -> dg.ExecuteInProcessResult:
    """Run a job, or a part of it; what fails is in the result, and a Ctrl-C is one here too. `ops` are their configs by name."""
    from orchestration.definitions import defs

    with correlated() as correlation, _instance(dagster_home) as instance:
        result = defs.resolve_job_def(job).execute_in_process(
            instance=instance,
            asset_selection=selection,
            raise_on_error=False,
            tags={CORRELATION_TAG: correlation, "pilothouse/started_by": "cli"},
            run_config={**_SILENTLY, "ops": {name: {"config": dict(config)} for name, config in (ops or {}).items()}},
        )
    if broken_off(result):
        raise KeyboardInterrupt
    return result


def reasons(result: dg.ExecuteInProcessResult) -> list[str]:
    """Why each failed step failed."""
    reasons = []
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            told = data.user_failure_data.description if data.user_failure_data else None
            cause = data.error.cause or data.error if data.error else None  # Dagster wraps what was raised
            reasons.append(told or (cause.message.strip() if cause else "no reason given"))
    return reasons


def refuse_failed(result: dg.ExecuteInProcessResult, kind: type[PilothouseError]) -> None:
    """An error of this kind where the run failed, with the reasons that its steps told."""
    if not result.success:
        message, _, hint = "\n".join(reasons(result)).partition("\n  hint: ")
        raise kind(message, hint=hint or "the run in the Dagster UI shows more")


def broken_off(result: dg.ExecuteInProcessResult) -> bool:
    """Whether a person ended the run: Dagster takes a Ctrl-C for the failure of the step that it runs, and tells nobody else."""
    failures = (event.step_failure_data.error for event in result.all_events if event.is_step_failure)
    return any(error is not None and _INTERRUPTED in (error.cls_name, error.cause and error.cause.cls_name) for error in failures)


def _instance(home: Path) -> dg.DagsterInstance:
    """The Dagster instance of the running platform; ConfigError where none runs."""
    if not (home / "dagster.yaml").exists():
        raise ConfigError("nothing runs here", hint="start it with `pilothouse up`; it shows its runs in the Dagster UI")
    os.environ["DAGSTER_HOME"] = str(home)  # Dagster's own way to find its compute logs
    return dg.DagsterInstance.from_config(str(home))
