"""The dbt project's models as assets: one operation makes those of them that a run selects, wave by wave, in this process.

dagster-dbt would start dbt's command for it, six seconds each time, and adds more than a second to loading the definitions
(docs/decisions/0007). No `from __future__ import annotations` here: Dagster reads the annotation of `context` itself, not its text.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.failures import translated_errors
from assets.ingest import owners
from assets.resource import PlatformResource
from pilothouse.kernel.errors import ConfigError, DataRejected

if TYPE_CHECKING:
    from assets.platform import Platform
    from pilothouse.tables.building import Made
    from pilothouse.tables.project import Model, Project

PUBLISHED = "contract_and_key"  # what every table is held to, whatever tests it has beside
NAME = "tables"
_NOTED = {
    "firm_correction": "What people said about two records: one firm, or two (`pilothouse firm confirm|split|merge`).",
    "stream_rule": "What rules take since people said so, other than they declare.",
    "held_rule": "The rules by which rows were held back, as they were then.",
    "stream_drift": "Changed schemas of sources that a sync refused, and what became of them (`pilothouse drift show|accept`).",
}
_PATIENCE = 1_800.0  # seconds that a build waits for another one, and then makes what that one was not asked for


class BuildOptions(dg.Config):
    """How a run makes its tables."""

    full: bool = False
    learn: bool = False


def asset_key(table: str) -> dg.AssetKey:
    """A table of the lake as an asset."""
    return dg.AssetKey(table.split("/"))


def view_specs(project: "Project") -> list[dg.AssetSpec]:
    """Views, which nobody makes: they are worked out by the models that read them, and stand here for the lineage."""
    return [_spec(project, model) for model in project.models.values() if not model.published]


def noted_specs() -> list[dg.AssetSpec]:
    """The tables of what Pilothouse takes down itself: what people say by commands, and what a load has to tell them."""
    return [
        dg.AssetSpec(
            key=["raw", "pilothouse", name],
            description=description,
            group_name="pilothouse",
            kinds={"delta"},
            owners=["team:data-engineering"],
        )
        for name, description in _NOTED.items()
    ]


def table_assets(project: "Project") -> dg.AssetsDefinition:
    """Every published model, as the outputs of one operation."""
    models = project.published.values()
    by_key = {asset_key(model.table): model for model in models}

    @dg.multi_asset(
        name=NAME, specs=[_spec(project, model) for model in models], check_specs=[c for m in models for c in _checks(m)], can_subset=True
    )
    def tables(
        context: dg.AssetExecutionContext,
        config: BuildOptions,
        platform: PlatformResource,
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:  # type: ignore[type-arg]  # Dagster knows only the bare class
        from assets.progress import TABLES
        from pilothouse.kernel.database.locks import exclusively

        wanted = [by_key[key].name for key in context.selected_asset_keys]
        failed = []
        turn = exclusively(platform.platform.database, "tables", what="a build of tables", patience=_PATIENCE)
        with translated_errors(context), platform.recording(context), turn:
            platform.platform.explainer.prepare()
            for made in platform.platform.builder.build(wanted, full=config.full, learn=config.learn):
                TABLES.tell(made.model.table, made)
                context.log.info(f"{made.model.table}: {made.reason or made.how}")
                if made.reason:
                    failed.append(made.reason)
                    yield from _results(made)
                else:
                    yield _materialized(context, platform.platform, made)
            if failed:
                raise DataRejected("\n".join(failed), hint="the tables named stay as they were; all others are made")

    return tables


def _spec(project: "Project", model: "Model") -> dg.AssetSpec:
    return dg.AssetSpec(
        key=asset_key(model.table),
        deps=[asset_key(name) for name in (*model.raw, *(project.models[parent].table for parent in model.models))],
        description=model.description,
        group_name=model.layer,
        kinds={"dbt", "delta"} if model.published else {"dbt", "view"},
        owners=owners(model.owner),
        code_version=project.code(model)[:16] if model.published else None,
        metadata={
            "dagster/table_name": model.table,
            "dagster/column_schema": _columns(model),
            "key": ", ".join(model.key),
            "made": "in part, of what changed" if model.incremental else "as a whole",
            "model": model.path,
        },
        tags={"pilothouse/stage": model.layer},
    )


def _columns(model: "Model") -> dg.TableSchema:
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                column.kind,
                description=column.description,
                constraints=dg.TableColumnConstraints(nullable=not column.required, other=["key"] if column.name in model.key else []),
            )
            for column in model.columns
        ]
    )


def _checks(model: "Model") -> Iterator[dg.AssetCheckSpec]:
    key = asset_key(model.table)
    held = f"The columns are those of the contract, in its types; {', '.join(model.key)} names one row."
    yield dg.AssetCheckSpec(PUBLISHED, asset=key, description=held, blocking=True)
    for test in model.tests:
        yield dg.AssetCheckSpec(test.name, asset=key, description=test.description or None, blocking=test.blocking)


def _results(made: "Made") -> Iterator[dg.AssetCheckResult]:
    """What was found; of a table that was left alone, what was found when it was made holds on. Nothing is said of a test that a
    failure kept from running."""
    key = asset_key(made.model.table)
    found = {test.name: test for test in made.tests}
    for test in made.model.tests:
        ran = found.get(test.name)
        if made.reason and (ran is None or ran.status == "skipped"):
            continue
        yield dg.AssetCheckResult(
            passed=made.how == "unchanged" or (ran is not None and ran.ok),
            asset_key=key,
            check_name=test.name,
            severity=dg.AssetCheckSeverity.ERROR if test.blocking else dg.AssetCheckSeverity.WARN,
            metadata={"failures": ran.failures, "seconds": ran.seconds} if ran else {},
            description=ran.message if ran and not ran.ok else None,
        )
    yield dg.AssetCheckResult(passed=not made.reason, asset_key=key, check_name=PUBLISHED, description=made.reason or None)


def _materialized(context: dg.AssetExecutionContext, platform: "Platform", made: "Made") -> dg.MaterializeResult:  # type: ignore[type-arg]
    return dg.MaterializeResult(
        asset_key=asset_key(made.model.table),
        metadata=_metadata(platform, made) | _lineage(context, platform, made.model),
        check_results=list(_results(made)),
        data_version=dg.DataVersion(f"{made.table.identity}@{made.table.version}") if made.table else None,
    )


def _lineage(context: dg.AssetExecutionContext, platform: "Platform", model: "Model") -> dict[str, Any]:
    """The columns of other tables that each column is computed from. The table is published by now: a text that cannot be read for
    this fails nothing, and is told."""
    try:
        sources = platform.explainer.lineage(model)
    except ConfigError as error:
        context.log.warning(f"{model.table} shows no column lineage: {error}")
        return {}
    deps = {column: [dg.TableColumnDep(asset_key(table), name) for table, name in found] for column, found in sources.items() if found}
    return {"dagster/column_lineage": dg.TableColumnLineage(deps)} if deps else {}


def _metadata(platform: "Platform", made: "Made") -> dict[str, Any]:
    from assets.display import preview, version_vector
    from pilothouse.kernel.versions import Pinned, Versions

    read = tuple(sorted(Pinned("table", name, str(each.version), each.identity) for name, each in made.inputs.items()))
    written = (made.table,) if made.table and made.changed else ()
    return {
        "dagster/row_count": made.rows,
        "table_version": int(made.table.version) if made.table else 0,
        "made": made.how,
        "new_version": made.changed,
        "seconds": round(made.seconds, 2),
        "versions": version_vector(Versions(read, written)),
        "sample": dg.MetadataValue.md(preview(platform.lake.table(made.model.table))),
    }
