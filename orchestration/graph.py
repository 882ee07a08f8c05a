"""When the graph is loaded: whenever its marts say something else than it does. And a load that a person starts."""

from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from assets.graph import OP
from assets.progress import GRAPH, Listener
from assets.resource import PlatformResource
from orchestration.by_hand import execute, refuse_failed
from orchestration.lanes import BACKGROUND
from orchestration.states import busy, key_of
from orchestration.tables import JOB as BUILD_JOB
from pilothouse.kernel.errors import GraphError

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition  # exported nowhere else

    from assets.platform import Platform
    from graph.loading import Loaded

JOB = "load_graph"
_STATE_TAG = "pilothouse/graph_state"


def graph_job(graph: dg.AssetsDefinition) -> "UnresolvedAssetJobDefinition":
    """All types in one run: what has not changed costs nothing."""
    return dg.define_asset_job(
        JOB, selection=dg.AssetSelection.assets(graph), description="Bring the graph up to its marts.", tags=BACKGROUND
    )


def graph_sensor(platform: "Platform", job: "UnresolvedAssetJobDefinition") -> dg.SensorDefinition:
    """Looks at the versions of the marts, and asks for a load where the graph shows others. A state is tried once, unless a crash
    ended the try: an error that was told comes again until something changes."""

    @dg.sensor(
        name="graph_outdated",
        job=job,
        minimum_interval_seconds=int(platform.settings.tables.every.total_seconds()),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for a load of the graph when its marts have changed.",
    )
    def graph_outdated(context: dg.SensorEvaluationContext, platform: PlatformResource) -> dg.RunRequest | dg.SkipReason:
        from graph.loading import Loader

        if skipped := busy(context, {JOB: "the graph is being loaded", BUILD_JOB: "its marts are being made"}):
            return skipped
        here = platform.platform
        try:
            state = Loader(here.graph, here.lake, here.ontology).outdated()
        except GraphError as error:
            return dg.SkipReason(str(error))
        if not state:
            return dg.SkipReason("the graph says what its marts say")
        key = key_of(state)
        for run in context.instance.get_runs(dg.RunsFilter(job_name=JOB, tags={_STATE_TAG: key}), limit=1):
            if run.status == dg.DagsterRunStatus.SUCCESS or "pilothouse/error" in run.tags:
                return dg.SkipReason("this state of the marts was tried; the last run tells what came of it")
        return dg.RunRequest(tags={_STATE_TAG: key})

    return graph_outdated


def load(dagster_home: Path, listener: "Listener[Loaded]", *, rebuild: bool = False) -> "list[Loaded]":
    """Bring the graph up to its marts as one run of the job; GraphError tells why it could not."""
    done: list[Loaded] = []

    def hear(name: str, loaded: "Loaded") -> None:
        done.append(loaded)
        listener(name, loaded)

    with GRAPH.heard_by(hear):
        refuse_failed(execute(dagster_home, JOB, ops={OP: {"rebuild": rebuild}}), GraphError)
    return done
