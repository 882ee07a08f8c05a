"""One stream as one asset: read since the watermark, check, append, announce, and say what was read.

No `from __future__ import annotations` here: Dagster reads the annotation of `context` itself, not its text.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.failures import translated_errors
from assets.resource import PlatformResource
from pilothouse.kernel.streams import Stream
from quality.rule import Rule, written

if TYPE_CHECKING:
    from assets.loading import Load
    from assets.platform import Platform, Source
    from quality.report import Report

SEVERITY = {"block": dg.AssetCheckSeverity.ERROR, "quarantine": dg.AssetCheckSeverity.WARN, "warn": dg.AssetCheckSeverity.WARN}


def ingest_asset(source: "Source", stream: Stream) -> dg.AssetsDefinition:
    """The asset of one stream. It knows nothing of the source's kind."""
    key = dg.AssetKey(["raw", source.name, stream.name])
    rules = source.rules(stream.name)

    @dg.asset(
        key=key,
        group_name=source.name,
        kinds={source.kind.name, "delta"},
        owners=owners(stream.owner or source.settings.owner),
        description=stream.description or f"{stream.name} as {source.name} has it: every version of every row.",
        metadata={"key": ", ".join(stream.key), "deletes": stream.deletes, "cursor": stream.cursor.field if stream.cursor else "none"},
        tags={"pilothouse/stage": "raw", **({"pilothouse/sandbox": "true"} if source.settings.sandbox else {})},
        freshness_policy=dg.FreshnessPolicy.time_window(fail_window=source.settings.fresh_within),
        check_specs=[check_spec(key, rule) for rule in rules],
    )
    def ingest(context: dg.AssetExecutionContext, platform: PlatformResource) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster knows only the bare class
        from assets.syncing import sync_stream

        with translated_errors(context), platform.recording(context) as recorder:
            load = sync_stream(platform.platform, source.name, stream.name, load_id=context.run.run_id)
            metadata = _metadata(platform.platform, load) if load.table else {}
        from assets.display import version_vector

        results = _checks(key, rules, load.report)
        return dg.MaterializeResult(
            metadata={**metadata, "versions": version_vector(recorder.versions())},
            check_results=results,
            data_version=dg.DataVersion(f"{load.table.identity}@{load.table.version}") if load.table else None,
        )

    return ingest


def owners(named: str) -> list[str]:
    """Dagster wants an address or a team; a bare name is a team's."""
    if not named:
        return []
    return [named if "@" in named or named.startswith("team:") else f"team:{named}"]


def check_name(rule: Rule) -> str:
    """A rule's name as Dagster allows it."""
    return re.sub(r"\W+", "_", rule.name).strip("_").lower()


def check_spec(key: dg.AssetKey, rule: Rule) -> dg.AssetCheckSpec:
    """One rule as one check; a blocking one keeps everything downstream from running."""
    described = f"{rule.description or rule.name} ({rule.expectation}; on failure: {rule.on_failure})"
    return dg.AssetCheckSpec(check_name(rule), asset=key, description=described, blocking=rule.on_failure == "block")


def _checks(key: dg.AssetKey, rules: tuple[Rule, ...], report: "Report | None") -> list[dg.AssetCheckResult]:
    """What each rule found; a rule that had nothing to judge holds."""
    found = {result.rule.name: result for result in report.results} if report else {}
    checks = []
    for rule in rules:
        result = found.get(rule.name)
        metadata: Mapping[str, Any] = {"on_failure": rule.on_failure, "expectation": rule.expectation}
        if result is not None:
            metadata = {
                **metadata,
                "arguments": written(result.rule.kwargs),  # as they are in force: people may have changed what is declared
                "evaluated": result.evaluated,
                "unexpected": result.unexpected,
                "missing": result.missing,
                "examples": ", ".join(map(repr, result.examples[:5])) or "none",
            }
        checks.append(
            dg.AssetCheckResult(
                passed=result is None or result.success,
                asset_key=key,
                check_name=check_name(rule),
                severity=SEVERITY[rule.on_failure],
                metadata=metadata,
                description=None if result is None or result.success else result.describe(),
            )
        )
    return checks


def _metadata(platform: "Platform", load: "Load") -> dict[str, Any]:
    from assets.display import column_schema, sample

    table = platform.lake.raw(load.source, load.stream)
    return {
        "dagster/row_count": table.rows(),
        "dagster/column_schema": column_schema(table.schema()),
        "dagster/table_name": table.name,
        "table_version": int(load.table.version) if load.table else 0,
        "arrived": load.arrived,
        "new_or_changed": load.upserts,
        "deleted": load.deletes,
        "unchanged": load.unchanged,
        "quarantined": load.rejected,
        "events": load.events,
        "synthetic": load.synthetic,
        "drift": dg.MetadataValue.md("\n".join(f"- {line}" for line in load.drift) or "none"),
        "sample": dg.MetadataValue.md(sample(table)),
    }
