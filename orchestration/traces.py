"""When decisions of language models are shown in MLflow: soon after they are made, and never while somebody waits for one."""

from typing import TYPE_CHECKING

import dagster as dg

from assets.resource import PlatformResource
from assets.traces import TRACES
from orchestration.lanes import BACKGROUND
from orchestration.states import busy, key_of

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition  # exported nowhere else

JOB = "show_traces"


def traces_job() -> "UnresolvedAssetJobDefinition":
    """The traces by themselves."""
    return dg.define_asset_job(
        JOB, dg.AssetSelection.assets(TRACES), description="Show what language models decided in MLflow.", tags=BACKGROUND
    )


def traces_sensor(job: "UnresolvedAssetJobDefinition") -> dg.SensorDefinition:
    """Turns decisions that MLflow does not show into a run."""

    @dg.sensor(
        name="traces_missing",
        job=job,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for a run when language models have decided something that MLflow does not show yet.",
    )
    def traces_missing(context: dg.SensorEvaluationContext, platform: PlatformResource) -> dg.RunRequest | dg.SkipReason:
        if skipped := busy(context, {JOB: "traces are being written"}):
            return skipped
        waiting = platform.platform.records.waiting()
        return dg.RunRequest(run_key=key_of(waiting)) if waiting else dg.SkipReason("MLflow shows every decision")

    return traces_missing
