"""When sources are synced: one job and one schedule a source, from its settings."""

from datetime import timedelta
from typing import TYPE_CHECKING

import dagster as dg

from assets.platform import Source
from orchestration.lanes import BACKGROUND
from orchestration.states import busy
from pilothouse.kernel.errors import ConfigError

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition  # exported nowhere else

_ALLOWED_MINUTES = (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30)
_ALLOWED_HOURS = (1, 2, 3, 4, 6, 8, 12)


def sync_job(source: Source) -> "UnresolvedAssetJobDefinition":
    """Every stream of the source in one run. A second run of the same source waits: its tables have one writer at a time."""
    return dg.define_asset_job(
        f"sync_{source.name}",
        selection=dg.AssetSelection.groups(source.name),
        description=f"Bring every stream of {source.name} into the lake.",
        tags={"pilothouse/source": source.name, **BACKGROUND},
    )


def sync_schedule(source: Source, job: "UnresolvedAssetJobDefinition") -> dg.ScheduleDefinition:
    """On from the start: a platform that waits to be switched on is out of date."""

    @dg.schedule(
        name=f"sync_{source.name}_schedule",
        job=job,
        cron_schedule=cron(source.settings.every, f"sources.{source.name}.every"),
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Every {source.settings.every}.",
    )
    def every(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        # Runs that pile up behind a slow source would read the same rows again and again.
        return busy(context, {f"sync_{source.name}": f"the last sync of {source.name} is still running"}) or dg.RunRequest()

    return every


data_docs_schedule = dg.ScheduleDefinition(
    name="data_docs_schedule",
    target=dg.AssetSelection.assets(["quality", "data_docs"]),
    cron_schedule="*/30 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every rule over every table as a whole, with Data Docs.",
)


def cron(every: timedelta, setting: str) -> str:
    """An interval as a cron line; ConfigError where cron cannot say it evenly."""
    minutes, rest = divmod(int(every.total_seconds()), 60)
    hours, minute_rest = divmod(minutes, 60)
    if not rest and minutes in _ALLOWED_MINUTES:
        return "* * * * *" if minutes == 1 else f"*/{minutes} * * * *"
    if not rest and not minute_rest and hours in _ALLOWED_HOURS:
        return f"0 */{hours} * * *"
    if not rest and not minute_rest and hours == 24:
        return "0 0 * * *"
    allowed = ", ".join(f"{m} min" for m in _ALLOWED_MINUTES) + ", " + ", ".join(f"{h} h" for h in (*_ALLOWED_HOURS, 24))
    raise ConfigError(f"setting '{setting}' is {every}: not an even part of an hour or a day", hint=f"choose one of {allowed}")
