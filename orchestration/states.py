"""What sensors share: a state of the world is worth one run, and none is asked for while one is under way."""

import hashlib
import json
from typing import Any

import dagster as dg

UNFINISHED = (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED)


def busy(context: dg.SensorEvaluationContext | dg.ScheduleEvaluationContext, jobs: dict[str, str]) -> dg.SkipReason | None:
    """Why no run is asked for: one of these jobs is under way, of each of which is said what it does."""
    for job, doing in jobs.items():
        if context.instance.get_runs_count(dg.RunsFilter(job_name=job, statuses=list(UNFINISHED))):
            return dg.SkipReason(doing)
    return None


def key_of(state: Any) -> str:
    """A state as the key of its run: Dagster knows the key of a run that it has had, and starts no second one."""
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()[:32]
