"""Models as assets: `model/<name>` is its training, `scores/<name>` what it says; one factory makes both of any declared model.

The checks of a training ask whether the newest rows still look like those that were learned from. No `from __future__ import
annotations` here: Dagster reads the annotation of `context` itself, not its text.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.failures import translated_errors
from assets.ingest import owners
from assets.resource import PlatformResource
from assets.tables import asset_key
from models.model import Model

if TYPE_CHECKING:
    from assets.platform import Platform
    from models.training import Trained
    from pilothouse.kernel.versions import Recorder

GROUP = "models"


class TrainingOptions(dg.Config):
    """What a training reads: of tables that are named, these versions, and of all others the newest."""

    at: dict[str, int] = {}  # noqa: RUF012 - Dagster's config is a pydantic model, which copies it


FEATURES_ALIKE = "features_are_like_those_of_the_training"
SCORES_ALIKE = "scores_are_like_those_of_the_training"


def model_assets(model: Model) -> list[dg.AssetsDefinition]:
    """The training of a model and its scores."""
    return [_training(model), _scores(model)]


def _training(model: Model) -> dg.AssetsDefinition:
    key = asset_key(model.versions)

    @dg.asset(
        key=key,
        deps=[asset_key(table) for table in model.tables],
        description=f"{model.description} Trained at pinned versions, kept in MLflow, used only where it is better than what is used.",
        group_name=GROUP,
        kinds={"mlflow", "scikitlearn", "delta"},
        owners=owners(model.owner),
        metadata={
            "dagster/table_name": model.versions,
            "kind": model.kind.called,
            "beats": f"{model.beats.measure} by {model.beats.by:.1%}",
        },
        tags={"pilothouse/stage": "model"},
    )
    def training(context: dg.AssetExecutionContext, config: TrainingOptions, platform: PlatformResource) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster knows only the bare class
        with translated_errors(context), platform.recording(context) as recorder:
            trained = platform.platform.trainer.train(model, {name: at for name, at in config.at.items() if name in model.tables})
            context.log.info(f"{model.name} version {trained.version.version}: {trained.version.verdict}")
            return dg.MaterializeResult(metadata=_trained(trained, recorder))

    return training


def _scores(model: Model) -> dg.AssetsDefinition:
    key, checked = asset_key(model.scores), model.kind.called == "classifier"

    @dg.asset(
        key=key,
        deps=[asset_key(model.versions), *(asset_key(table) for table in model.tables)],
        description=f"What {model.name} says, by the version that is used, with its reasons.",
        group_name=GROUP,
        kinds={"delta", "polars"},
        owners=owners(model.owner),
        check_specs=list(_check_specs(key)) if checked else None,
        metadata={"dagster/table_name": model.scores, "key": ", ".join(model.key)},
        tags={"pilothouse/stage": "scores"},
    )
    def scores(context: dg.AssetExecutionContext, platform: PlatformResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
        from assets.display import preview, version_vector
        from models.scoring import score_table

        with translated_errors(context), platform.recording(context) as recorder:
            scored = score_table(platform.platform.lake, model)
            results = list(_checked(platform.platform, model)) if checked else []
        metadata: dict[str, Any] = {
            "dagster/row_count": scored.rows,
            "table_version": int(scored.table.version),
            "model_version": scored.version.version,
            "versions": version_vector(recorder.versions()),
            "sample": dg.MetadataValue.md(preview(platform.platform.lake.table(model.scores))),
        }
        return dg.MaterializeResult(
            metadata=metadata, check_results=results, data_version=dg.DataVersion(f"{scored.table.identity}@{scored.table.version}")
        )

    return scores


def _check_specs(key: dg.AssetKey) -> Iterator[dg.AssetCheckSpec]:
    told = "A stability index under 0.1 is alike, above 0.25 has drifted."
    yield dg.AssetCheckSpec(FEATURES_ALIKE, asset=key, description=f"The newest rows against those of the training, by feature. {told}")
    yield dg.AssetCheckSpec(SCORES_ALIKE, asset=key, description=f"The scores of the newest rows against those of the training. {told}")


def _checked(platform: "Platform", model: Model) -> Iterator[dg.AssetCheckResult]:
    from models.drift import DRIFTED, drift
    from models.training import read_tables
    from models.versions import VersionTable

    tables, _ = read_tables(platform.lake, model)
    found = drift(model, VersionTable(platform.lake, model).champion(), tables)
    furthest = sorted(found.features.items(), key=lambda entry: -entry[1])
    rows = "\n".join(f"| {name} | {index:.3f} |" for name, index in furthest)
    yield dg.AssetCheckResult(
        passed=not found.drifted,
        check_name=FEATURES_ALIKE,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"drifted: {', '.join(found.drifted)}" if found.drifted else None,
        metadata={"rows": found.rows, "since": str(found.since), "indices": dg.MetadataValue.md(f"| feature | index |\n|---|---|\n{rows}")},
    )
    yield dg.AssetCheckResult(
        passed=found.score <= DRIFTED,
        check_name=SCORES_ALIKE,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"rows": found.rows, "since": str(found.since), "index": found.score},
    )


def _trained(trained: "Trained", recorder: "Recorder") -> Mapping[str, Any]:
    from assets.display import version_vector

    version = trained.version
    figures = {name: dg.MetadataValue.md(_picture(name, draw)) for name, draw in (trained.fitted.figures if trained.fitted else {}).items()}
    compared = {"compared": dg.MetadataValue.json(version.compared)} if version.compared else {}
    return {
        "model_version": version.version,
        "is_used": version.is_champion,
        "verdict": version.verdict,
        "seen_until": version.seen_until.isoformat(),
        "mlflow_run": version.run_id,
        **{f"metric/{name}": value for name, value in version.metrics.items()},
        **compared,
        **figures,
        "versions": version_vector(recorder.versions()),
        "trained_on": dg.MetadataValue.md("```json\n" + json.dumps(version.versions, indent=1) + "\n```"),
    }


def _picture(name: str, draw: Any) -> str:
    from models.plots import png

    return f"![{name}](data:image/png;base64,{base64.b64encode(png(draw())).decode()})"
