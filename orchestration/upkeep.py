"""Bounded growth: one daily run compacts tables and removes what nobody points to any more."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from assets.failures import translated_errors
from assets.resource import PlatformResource
from orchestration.lanes import BACKGROUND

if TYPE_CHECKING:
    from assets.platform import Platform

_LONGEST_WRITE = timedelta(days=1)


@dg.asset(
    key=["platform", "upkeep"],
    group_name="platform",
    description="Compacts small files, expires old table versions that nothing pins, prunes the event log and Dagster's own runs, and "
    "lets go of rejected rows that are older than their retention, and closes proposals whose time has passed.",
    kinds={"delta", "postgres"},
    owners=["team:platform"],
)
def upkeep_asset(context: dg.AssetExecutionContext, platform: PlatformResource) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster knows only the bare class
    """What was removed, by kind."""
    from pilothouse.agents import inbox
    from pilothouse.agents.brains.answers import Answers
    from pilothouse.approvals.proposals import expire
    from pilothouse.kernel.lake.upkeep import Kept, tend

    settings, now = platform.platform.settings, datetime.now(UTC)
    with translated_errors(context), platform.recording(context):
        rejections = _prune_quarantine(platform.platform, now - settings.retention.quarantine)
        pins = platform.platform.pins.all()
        tended = [
            tend(table, keep=settings.lake.keep, pinned=pins.get(table.name, frozenset())) for table in platform.platform.lake.tables()
        ]
        events = platform.platform.events.prune(settings.retention.events)
        answers = Answers(lambda: platform.platform.database).prune(settings.gateway.keep)
        settled = inbox.prune(platform.platform.database, settings.retention.events)
        expired = expire(platform.platform.database)
        drafts = platform.platform.objects.discard_unfinished(now - _LONGEST_WRITE)
    runs = _prune_runs(context.instance, now - settings.retention.runs)
    total = sum(tended, Kept())
    metadata = {
        "compacted_files": total.compacted,
        "removed_files": total.removed,
        "kept_for_pins": total.pinned,
        "pruned_events": events,
        "pruned_rejections": rejections,
        "pruned_occasions": settled,
        "pruned_answers": answers,
        "expired_proposals": expired,
        "pruned_runs": runs,
        "discarded_drafts": drafts,
    }
    return dg.MaterializeResult(metadata=metadata)


def _prune_quarantine(platform: "Platform", before: datetime) -> int:
    """Rejections older than `before`, of every stream that nobody syncs just now: the others' turn comes tomorrow."""
    from assets.holding import Holding
    from pilothouse.kernel.database.locks import exclusively
    from pilothouse.kernel.errors import CommitConflict

    gone = 0
    for table in list(platform.lake.tables()):
        stage, *name = table.name.split("/")
        if stage != "quarantine":
            continue
        source, stream = name
        with suppress(CommitConflict), exclusively(platform.database, f"sync {source}/{stream}", what=f"a sync of {source}/{stream}"):
            gone += Holding(platform.lake, source, stream).prune(before)
    return gone


def _prune_runs(instance: dg.DagsterInstance, before: datetime) -> int:
    """Finished runs older than `before`, with their logs. Materializations stay: assets keep their history."""
    finished = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    records = instance.get_run_records(dg.RunsFilter(statuses=finished, created_before=before), limit=5_000)
    for record in records:
        instance.delete_run(record.dagster_run.run_id)
        instance.compute_log_manager.delete_logs(prefix=[record.dagster_run.run_id])  # Dagster itself leaves these files for ever
    return len(records)


upkeep_job = dg.define_asset_job(
    "upkeep", selection=dg.AssetSelection.assets(upkeep_asset), description="Keep what grows within bounds.", tags=BACKGROUND
)
upkeep_schedule = dg.ScheduleDefinition(
    name="upkeep_schedule", job=upkeep_job, cron_schedule="17 3 * * *", default_status=dg.DefaultScheduleStatus.RUNNING
)
