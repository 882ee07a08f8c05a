"""Graph analytics as assets: one operation computes all tables, for they are made of one reading of the marts.

No `from __future__ import annotations` here: Dagster reads the annotation of `context` itself, not its text.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg

from assets.failures import translated_errors
from assets.resource import PlatformResource
from assets.tables import asset_key
from graph.analytics.tables import ANALYSED, INPUTS, Analysed

if TYPE_CHECKING:
    from assets.measuring import Measured
    from assets.platform import Platform

OP = "graph_analytics"
UNIQUE = "one_row_a_key"


class MeasureOptions(dg.Config):
    """How a run measures."""

    anew: bool = False


def analytics_assets() -> dg.AssetsDefinition:
    """The tables of graph analytics, as the outputs of one operation. Tables that are up to date are left alone."""

    @dg.multi_asset(name=OP, specs=[_spec(each) for each in ANALYSED.values()], check_specs=[_check(each) for each in ANALYSED.values()])
    def graph_analytics(
        context: dg.AssetExecutionContext,
        config: MeasureOptions,
        platform: PlatformResource,
    ) -> Iterator[dg.MaterializeResult]:  # type: ignore[type-arg]  # Dagster knows only the bare class
        from assets.measuring import Measuring
        from assets.progress import MEASURES
        from pilothouse.kernel.database.locks import exclusively

        here = platform.platform
        with (
            translated_errors(context),
            platform.recording(context),
            exclusively(here.database, "graph analytics", what="a run of graph analytics"),
        ):
            for measured in Measuring(here.lake).measure(anew=config.anew):
                MEASURES.tell(measured.table.name, measured)
                context.log.info(f"{measured.table.name}: {measured.rows} rows, {'a new version' if measured.changed else 'unchanged'}")
                yield _materialized(here, measured)

    return graph_analytics


def _spec(each: Analysed) -> dg.AssetSpec:
    return dg.AssetSpec(
        key=asset_key(each.name),
        deps=[asset_key(name) for name in INPUTS],
        description=each.description,
        group_name="graph",
        kinds={"igraph", "delta"},
        owners=["team:data-engineering"],
        metadata={
            "dagster/table_name": each.name,
            "dagster/column_schema": dg.TableSchema([dg.TableColumn(name, description=told) for name, told in each.columns.items()]),
            "key": ", ".join(each.key),
        },
        tags={"pilothouse/stage": "graph"},
    )


def _check(each: Analysed) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(UNIQUE, asset=asset_key(each.name), description=f"{', '.join(each.key)} names one row.")


def _materialized(platform: "Platform", measured: "Measured") -> dg.MaterializeResult:  # type: ignore[type-arg]
    import polars as pl

    from assets.display import preview, version_vector

    table, key = platform.lake.table(measured.table.name), asset_key(measured.table.name)
    twice = table.scan().group_by(measured.table.key).len().filter(pl.col("len") > 1).select(pl.len()).collect().item()
    kinds = {field.name: str(field.type) for field in table.schema()}
    columns = [dg.TableColumn(name, kinds[name], description=told) for name, told in measured.table.columns.items()]
    return dg.MaterializeResult(
        asset_key=key,
        metadata={
            "dagster/row_count": measured.rows,
            "dagster/column_schema": dg.TableSchema(columns),
            "table_version": int(measured.pinned.version),
            "new_version": measured.changed,
            "seconds": round(measured.seconds, 2),
            "versions": version_vector(measured.versions),
            "sample": dg.MetadataValue.md(preview(table)),
        },
        check_results=[dg.AssetCheckResult(passed=twice == 0, asset_key=key, check_name=UNIQUE, metadata={"twice": twice})],
        data_version=dg.DataVersion(f"{measured.pinned.identity}@{measured.pinned.version}"),
    )
