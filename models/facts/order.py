"""What is known of an order when it is decided upon: its features, its risk, and the group behind its firm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from models.trees.contracts import columns
from models.trees.facts import Fact, Facts

_COUNT: Final[Mapping[str, Any]] = {"least": 0}
_GRADES: Final[Mapping[str, Any]] = {"categories": ("A", "B", "C", "D", "E")}


def _features() -> Mapping[str, Fact]:
    counts = [
        *("orders_before", "orders_30d", "orders_90d", "cases_180d", "escalated_180d", "open_cases"),
        *("invoices_settled", "invoices_settled_overdue", "invoices_late", "invoices_late_and_open"),
    ]
    return columns(
        "features",
        "feat_order_risk",
        known={**dict.fromkeys(counts, _COUNT), "rating_grade": _GRADES, "owners_in_distress": {"least": 0, "most": 1}},
        without=("order_id", "firm_id", "_synthetic"),
    )


ORDER: Final = Facts(
    name="order",
    description="An order when it is decided upon: features.feat_order_risk, the risk model's word, and the group behind the firm",
    load=_features,
    own={
        "risk.probability": Fact(
            type="number",
            least=0,
            most=1,
            step=0.001,
            description="Probability that an invoice of the order is paid more than 30 days late; missing where no model is in force",
        ),
        "graph.group_exposure": Fact(
            type="number", step=0.01, description="What all firms of the ownership group owe together, in euros (graph/firm_measures)"
        ),
        "graph.group_overdue": Fact(type="number", step=0.01, description="Of that, what is overdue"),
        "graph.group_firms": Fact(type="integer", least=1, description="Firms of the ownership group, itself included"),
    },
)
