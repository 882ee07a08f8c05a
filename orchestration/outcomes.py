"""When decisions are settled: as soon as payments tell the outcome of one. And a run that a person starts."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from assets.outcomes import KEY
from assets.resource import PlatformResource
from orchestration.by_hand import execute, refuse_failed
from orchestration.lanes import BACKGROUND
from pilothouse.kernel.errors import AgentError

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition  # exported nowhere else

    from assets.platform import Platform

JOB = "settle_decisions"
_RUNNING = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]


def outcomes_job() -> "UnresolvedAssetJobDefinition":
    """Settle what payments tell, and make the table of it."""
    return dg.define_asset_job(
        JOB, selection=dg.AssetSelection.assets(KEY), description="Settle decisions whose outcome is known.", tags=BACKGROUND
    )


def outcomes_sensor(platform: "Platform", job: "UnresolvedAssetJobDefinition") -> dg.SensorDefinition:
    """Asks the ledger and the marts, and starts a run only where there is something to settle. The same decisions are tried once."""

    @dg.sensor(
        name="decisions_settled",
        job=job,
        minimum_interval_seconds=int(platform.settings.outcomes.every.total_seconds()),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for a run where payments tell what became of decisions.",
    )
    def decisions_settled(context: dg.SensorEvaluationContext, platform: PlatformResource) -> dg.RunRequest | dg.SkipReason:
        if context.instance.get_runs_count(dg.RunsFilter(job_name=JOB, statuses=_RUNNING)):
            return dg.SkipReason("decisions are being settled")
        ready = platform.platform.settling.ready()
        if not ready.fates:
            return dg.SkipReason(f"{ready.open} decisions wait for their outcome" if ready.open else "there is no decision to settle")
        return dg.RunRequest(run_key=hashlib.sha256("".join(sorted(ready.fates)).encode()).hexdigest()[:32])

    return decisions_settled


def settle(dagster_home: Path) -> None:
    """Settle now, as one run of the job; AgentError tells why it could not."""
    refuse_failed(execute(dagster_home, JOB), AgentError)
