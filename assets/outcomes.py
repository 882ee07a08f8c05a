"""Outcomes as an asset: `outcomes/decisions` is what became of decisions, settled by payments and written into the ledger first.

No `from __future__ import annotations` here: Dagster reads the annotation of `context` itself, not its text.
"""

from typing import TYPE_CHECKING

import dagster as dg

from assets.failures import translated_errors
from assets.resource import PlatformResource
from assets.tables import asset_key

if TYPE_CHECKING:
    from assets.platform import Platform
    from pilothouse.kernel.versions import Pinned

KEY = asset_key("outcomes/decisions")
READ = ("marts/fct_order", "marts/fct_payment", "features/feat_order_risk", "features/feat_order_outcome")


@dg.asset(
    key=KEY,
    deps=[asset_key(table) for table in READ],
    description="What became of decisions: paid in time, late by so many days, never, and what that was worth. Each is an entry of the "
    "ledger about its decision, once, and an event `decision.settled`.",
    group_name="agents",
    kinds={"postgres", "delta"},
    owners=["team:credit"],
    metadata={"dagster/table_name": "outcomes/decisions", "key": "decision"},
    tags={"pilothouse/stage": "outcomes"},
)
def outcomes_asset(context: dg.AssetExecutionContext, platform: PlatformResource) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster knows only the bare class
    """Settle what payments tell, then make the table say what the ledger says."""
    from assets.display import preview, version_vector

    with translated_errors(context), platform.recording(context) as recorder:
        settled, table = settle(platform.platform)
        context.log.info(f"{settled} decisions settled")
        return dg.MaterializeResult(
            metadata={
                "settled": settled,
                "dagster/row_count": platform.platform.lake.table("outcomes/decisions").rows(),
                "table_version": int(table.version),
                "versions": version_vector(recorder.versions()),
                "sample": dg.MetadataValue.md(preview(platform.platform.lake.table("outcomes/decisions"))),
            },
            data_version=dg.DataVersion(f"{table.identity}@{table.version}"),
        )


def settle(platform: "Platform") -> "tuple[int, Pinned]":
    """Both steps; how many decisions were settled, and the table."""
    from pilothouse.hindsight.table import publish

    settled = sum(1 for _ in platform.settling.settle())
    return settled, publish(platform.lake, platform.ledger)
