"""What can be asked about an order: what it says, what was known of the customer when it was placed, and how likely it is paid late."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, Field

from pilothouse.agents.snapshot import Snapshot
from pilothouse.agents.tools import Tool
from pilothouse.kernel.errors import ToolFailed
from pilothouse.kernel.versions import Pinned, note_read

if TYPE_CHECKING:
    from models.scoring import Scorer

FEATURES: Final = "features/feat_order_risk"
RISK: Final = "model/late_payment_risk"


class OfOrder(BaseModel):
    """Which order."""

    order_id: str = Field(min_length=1, description="number of the sales order")


def _order(snapshot: Snapshot, asked: OfOrder) -> dict[str, Any]:
    found = snapshot.row("marts/fct_order", {"order_id": asked.order_id})
    if found is None:
        raise ToolFailed(f"there is no order {asked.order_id}", hint="it was deleted, or the tables are not built up to it yet")
    return found


def _features(snapshot: Snapshot, asked: OfOrder) -> dict[str, Any]:
    found = snapshot.row(FEATURES, {"order_id": asked.order_id})
    if found is None:
        raise ToolFailed(f"there are no features of order {asked.order_id}", hint="`pilothouse build` makes them")
    return found


def _risk(snapshot: Snapshot, asked: OfOrder) -> dict[str, Any]:
    """The champion's word on an order, with what adds up to it; `known` is false where no model is in force."""
    champion = snapshot.row(RISK, {"is_champion": True}) if RISK in snapshot.tables else None
    if champion is None:
        return {"known": False}
    scorer = _scorer(champion["version"], champion["card"])
    note_read(Pinned("model", scorer.model.name, str(champion["version"]), champion["fingerprint"]))
    score = scorer.score(_numbers(_features(snapshot, asked)))
    reasons = [
        {"feature": each.feature, "words": each.words, "value": each.value, "adds": round(each.adds, 6)} for each in score.reasons[:5]
    ]
    return {
        "known": True,
        "probability": score.score,
        "model_version": champion["version"],
        "reasons": reasons,
        "never_seen": list(score.unseen),
    }


@lru_cache(8)
def _scorer(version: int, card: str) -> Scorer:
    """A version's scorer, read from its card once."""
    from models.declared.late_payment_risk import LATE_PAYMENT_RISK
    from models.scoring import Scorer

    return Scorer(LATE_PAYMENT_RISK, version, json.loads(card))


def _numbers(row: dict[str, Any]) -> dict[str, Any]:
    """Decimals that came as texts, as the numbers that a model takes."""
    return {name: float(value) if name.endswith("_eur") and isinstance(value, str) else value for name, value in row.items()}


ORDER: Final = Tool(name="order", description="An order as it is now.", arguments=OfOrder, run=_order, permission="orders")
FEATURES_OF_ORDER: Final = Tool(
    name="features",
    description="What was known of the customer when an order was placed, and nothing later.",
    arguments=OfOrder,
    run=_features,
    permission="orders",
)
RISK_OF_ORDER: Final = Tool(
    name="late_payment_risk",
    description="How likely an order's invoices are paid more than 30 days late, and what adds up to it.",
    arguments=OfOrder,
    run=_risk,
    permission="risk",
)
