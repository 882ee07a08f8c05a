"""When tables are made: whenever what they are made of says something else than it did."""

from typing import TYPE_CHECKING

import dagster as dg

from assets.resource import PlatformResource
from assets.tables import asset_key
from orchestration.lanes import BACKGROUND
from orchestration.states import busy, key_of

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition  # exported nowhere else

    from assets.platform import Platform

JOB = "build_tables"


def build_job(tables: dg.AssetsDefinition) -> "UnresolvedAssetJobDefinition":
    """All tables in one run; those that are up to date cost nothing."""
    return dg.define_asset_job(
        JOB, selection=dg.AssetSelection.assets(tables), description="Bring every table up to what it is made of.", tags=BACKGROUND
    )


def build_sensor(platform: "Platform", job: "UnresolvedAssetJobDefinition") -> dg.SensorDefinition:
    """Looks at the versions of what tables are made of, and asks for a run of those that are out of date. A state of the lake is
    tried once: a model that fails is tried again when it, or something that it reads, has changed."""

    @dg.sensor(
        name="tables_outdated",
        job=job,
        minimum_interval_seconds=int(platform.settings.tables.every.total_seconds()),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for a run of the tables whose models or inputs have changed.",
    )
    def tables_outdated(context: dg.SensorEvaluationContext, platform: PlatformResource) -> dg.RunRequest | dg.SkipReason:
        if skipped := busy(context, {JOB: "tables are being made"}):
            return skipped
        state = platform.platform.builder.outdated()
        if not state:
            return dg.SkipReason("every table is up to date")
        return dg.RunRequest(run_key=key_of(state), asset_selection=[asset_key(table) for table in state])

    return tables_outdated
