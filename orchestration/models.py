"""When models are scored, and when they are trained again."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from assets.resource import PlatformResource
from assets.tables import asset_key
from models.model import Model
from orchestration.lanes import BACKGROUND
from orchestration.states import busy, key_of

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition  # exported nowhere else

    from assets.platform import Platform

TRAIN = "train_models"
SCORE = "score_models"


def model_jobs(models: Sequence[Model]) -> "list[UnresolvedAssetJobDefinition]":
    """Training with the scores that follow from it, and scores alone."""
    trained = [asset_key(model.versions) for model in models]
    scored = [asset_key(model.scores) for model in models]
    return [
        dg.define_asset_job(
            TRAIN,
            dg.AssetSelection.assets(*trained, *scored),
            description="Train models, use what is better, score by it.",
            tags=BACKGROUND,
        ),
        dg.define_asset_job(SCORE, dg.AssetSelection.assets(*scored), description="Score by the versions that are used.", tags=BACKGROUND),
    ]


def model_sensors(
    platform: "Platform", train: "UnresolvedAssetJobDefinition", score: "UnresolvedAssetJobDefinition"
) -> list[dg.SensorDefinition]:
    """One that trains what has not been trained, or has outcomes that turned out otherwise; one that keeps scores up to date."""
    every = int(platform.settings.models.every.total_seconds())

    @dg.sensor(
        name="models_due",
        job=train,
        minimum_interval_seconds=every,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Trains what has not been trained, and what has new outcomes that are worse than expected, or rows that drifted.",
    )
    def models_due(context: dg.SensorEvaluationContext, platform: PlatformResource) -> dg.RunRequest | dg.SkipReason:
        from models.retraining import reasons_to_train

        if skipped := busy(context, {TRAIN: "models are being trained"}):
            return skipped
        due = reasons_to_train(platform.platform.lake, list(platform.platform.models.values()))
        if not due:
            return dg.SkipReason("no model has outcomes that turned out otherwise than expected")
        # A state of the lake is tried once: what a training finds too little to learn from waits for more.
        key = key_of({name: each.state for name, each in due.items()})
        selection = [asset_key(table) for name in due for table in (f"model/{name}", f"scores/{name}")]
        return dg.RunRequest(
            run_key=key, asset_selection=selection, tags={f"pilothouse/due_{name}": each.reason[:200] for name, each in due.items()}
        )

    @dg.sensor(
        name="scores_outdated",
        job=score,
        minimum_interval_seconds=every,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Scores anew what was scored by another version, or of tables that say something else by now.",
    )
    def scores_outdated(context: dg.SensorEvaluationContext, platform: PlatformResource) -> dg.RunRequest | dg.SkipReason:
        from models.retraining import scores_state

        if skipped := busy(context, {SCORE: "scores are being made"}):
            return skipped
        state = scores_state(platform.platform.lake, list(platform.platform.models.values()))
        if not state:
            return dg.SkipReason("no model is used yet")
        return dg.RunRequest(run_key=key_of(state), asset_selection=[asset_key(f"scores/{name}") for name in state])

    return [models_due, scores_outdated]
