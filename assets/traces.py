"""`agents/traces`: what language models were asked and answered, shown in MLflow. It is there where a model is set to decide.

No `from __future__ import annotations` here: Dagster reads the annotation of `context` itself, not its text.
"""

from datetime import UTC, datetime

import dagster as dg

from assets.agents import GROUP, agent_key
from assets.failures import translated_errors
from assets.resource import PlatformResource

TRACES = dg.AssetKey(["agents", "traces"])


def traces_asset(agents: list[str]) -> dg.AssetsDefinition:
    """Prompts and traces of the agents that language models decide for."""

    @dg.asset(
        key=TRACES,
        deps=[agent_key(name) for name in agents],
        description="Shows each decision of a language model as a trace in MLflow, and each prompt as a version in its registry.",
        group_name=GROUP,
        kinds={"mlflow", "postgres"},
        owners=["team:platform"],
        tags={"pilothouse/stage": "agent"},
    )
    def traces(context: dg.AssetExecutionContext, platform: PlatformResource) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster knows only the bare class
        with translated_errors(context), platform.recording(context):
            made = platform.platform.records.write()
            pruned = platform.platform.records.prune(datetime.now(UTC) - platform.platform.settings.retention.traces)
        return dg.MaterializeResult(metadata={"traces": made.traces, "prompts": made.prompts, "pruned_traces": pruned})

    return traces
