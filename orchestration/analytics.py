"""When graph analytics are computed: whenever the marts they are made of say something else. And a run that a person starts."""

from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from assets.analytics import OP
from assets.progress import MEASURES, Listener
from assets.resource import PlatformResource
from orchestration.by_hand import execute, refuse_failed
from orchestration.lanes import BACKGROUND
from orchestration.states import busy, key_of
from orchestration.tables import JOB as BUILD_JOB
from pilothouse.kernel.errors import GraphError

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition  # exported nowhere else

    from assets.measuring import Measured
    from assets.platform import Platform

JOB = "measure_graph"


def analytics_job(analytics: dg.AssetsDefinition) -> "UnresolvedAssetJobDefinition":
    """All tables of graph analytics in one run."""
    return dg.define_asset_job(
        JOB, selection=dg.AssetSelection.assets(analytics), description="Bring graph analytics up to their marts.", tags=BACKGROUND
    )


def analytics_sensor(platform: "Platform", job: "UnresolvedAssetJobDefinition") -> dg.SensorDefinition:
    """Looks at the versions of the marts, and asks for a run where the measures are of others. A state is tried once."""

    @dg.sensor(
        name="measures_outdated",
        job=job,
        minimum_interval_seconds=int(platform.settings.tables.every.total_seconds()),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for a run of graph analytics when their marts have changed.",
    )
    def measures_outdated(context: dg.SensorEvaluationContext, platform: PlatformResource) -> dg.RunRequest | dg.SkipReason:
        from assets.measuring import Measuring

        if skipped := busy(context, {JOB: "graph analytics are being computed", BUILD_JOB: "their marts are being made"}):
            return skipped
        state = Measuring(platform.platform.lake).outdated()
        if state is None:
            return dg.SkipReason("graph analytics are up to date")
        return dg.RunRequest(run_key=key_of(state))

    return measures_outdated


def measure(dagster_home: Path, listener: "Listener[Measured]", *, anew: bool = False) -> "list[Measured]":
    """Compute graph analytics as one run of the job; GraphError tells why it could not."""
    done: list[Measured] = []

    def hear(name: str, measured: "Measured") -> None:
        done.append(measured)
        listener(name, measured)

    with MEASURES.heard_by(hear):
        refuse_failed(execute(dagster_home, JOB, ops={OP: {"anew": anew}}), GraphError)
    return done
