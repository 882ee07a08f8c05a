"""Decides on each new sales order: deliver on account, ask for prepayment, or hold it until somebody has looked."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import BaseModel, Field

from pilothouse.agents.agent import Agent, Backlog, Request
from pilothouse.agents.brains.language import Wording
from pilothouse.agents.figures import figure
from pilothouse.agents.policy import Facts, Policy, confidence
from pilothouse.agents.proposed import Proposed
from pilothouse.agents.tools import Calls
from pilothouse.agents.toolset.firms import FIRM_NAME, GROUP, OPEN_CASES, OWNERS
from pilothouse.agents.toolset.orders import FEATURES, FEATURES_OF_ORDER, ORDER, RISK, RISK_OF_ORDER
from pilothouse.agents.trials.property import Trials, figures_from, never_milder, proposes_only
from pilothouse.kernel.errors import ToolFailed

if TYPE_CHECKING:
    from models.trees import Decision

BLOCKS: Final = {"hold": "01", "prepayment": "02"}  # the reasons for a delivery block under which SAP keeps an order back
INSTRUCTIONS: Final = """\
Decide whether an order is delivered on account, against prepayment, or held, by what is known of its firm and group.
Weigh the probability that it is paid late against the margin that is lost where good business is refused: most orders are released.
Hold what nobody should deliver before somebody has looked, such as a firm that owes much that is long overdue, or a group that does.
Ask for prepayment where the risk is real and the customer can be kept. What is not known is a reason for care, not for refusal."""
Action = Literal["release", "prepayment", "hold"]
_CENT: Final = Decimal("0.01")


class CreditDecision(BaseModel):
    """What the desk decided, and why."""

    action: Action
    amount_eur: Decimal | None = Field(description="net value of the order", json_schema_extra=figure(1, "amount", "EUR"))
    at_risk_eur: Decimal | None = Field(
        description="of that, what is likely paid late or never", json_schema_extra=figure(2, "at risk", "EUR", weighs=True)
    )
    probability: float | None = Field(
        description="that it is paid more than 30 days late; nothing where no model is in force",
        json_schema_extra=figure(3, "probability", "share"),
    )
    reasons: list[str] = Field(min_length=1, description="in plain words, the weightiest first")
    confidence: float = Field(ge=0, le=1)
    otherwise: dict[str, Any] | None = Field(description="the nearest other decision, and what would have to change for it")
    terms: dict[str, Any]
    path: list[dict[str, Any]] = Field(description="the way through the tree, with each condition and the value seen")
    firm_id: str
    firm: str | None = Field(description="what people call it, where that is known", json_schema_extra=figure(4, "firm", "name"))
    open_cases: int
    owners: list[str]
    proposal: Proposed | None


class Judgement(BaseModel):
    """What a language model is asked for: the rest of a decision is made of facts."""

    action: Action = Field(description="release: deliver on account; prepayment: deliver once it is paid; hold: until somebody has looked")
    reasons: list[str] = Field(min_length=1, max_length=6, description="in plain words with their figures, the weightiest first")
    confidence: float = Field(ge=0, le=1, description="how sure this is, from 0 to 1")
    other_action: Action | None = Field(None, description="the action that was nearest to being taken instead")
    what_would_change_it: str = Field("", description="the smallest change of facts that would have led to that action")


def _gather(request: Request, calls: Calls) -> Facts:
    order_id = request.subject.rpartition("/")[2]
    order = calls.call("order", {"order_id": order_id})
    features = calls.call("features", {"order_id": order_id})
    risk = calls.call("late_payment_risk", {"order_id": order_id})
    group = calls.call("group", {"firm_id": order["firm_id"]})
    cases = calls.call("open_cases", {"firm_id": order["firm_id"]})
    owners = calls.call("owners", {"firm_id": order["firm_id"]})
    return {
        **features,
        "risk.probability": risk.get("probability"),
        "graph.group_exposure": group.get("group_open_eur"),
        "graph.group_overdue": group.get("group_overdue_eur"),
        "graph.group_firms": group.get("group_firms"),
        "order": order,
        "risk": risk,
        "cases": cases,
        "owners": owners,
        "firm": _name(order["firm_id"], calls),
    }


def _name(firm_id: str, calls: Calls) -> str | None:
    """What people call a firm. Nothing is decided by it, so no decision fails for want of it."""
    try:
        called: str | None = calls.call("firm_name", {"firm_id": firm_id})["name"]
    except ToolFailed:
        return None
    return called


def _tell(decision: Decision, facts: Facts, request: Request) -> Mapping[str, Any]:
    sure, other = confidence(decision, facts)
    judged = {"action": decision.action, "reasons": _reasons(decision, facts), "confidence": sure, "otherwise": other}
    return (
        judged
        | {"terms": dict(decision.terms), "path": decision.as_json()["path"]}
        | _facts_of(decision.action, decision.reason, facts, request)
    )


def _put(judged: Judgement, facts: Facts, request: Request) -> Mapping[str, Any]:
    """What a language model judged, with the figures and the proposal that no model has a say in."""
    other: dict[str, Any] | None = (
        None if judged.other_action is None else {"action": judged.other_action, "changes": [], "words": judged.what_would_change_it}
    )
    said = {"action": judged.action, "reasons": judged.reasons, "confidence": judged.confidence, "otherwise": other}
    return said | {"terms": {}, "path": []} | _facts_of(judged.action, judged.reasons[0], facts, request)


def _facts_of(action: str, reason: str, facts: Facts, request: Request) -> dict[str, Any]:
    """What a decision holds whichever way it was come to."""
    order, risk = facts["order"], facts["risk"]
    amount = None if order["net_amount_eur"] is None else Decimal(order["net_amount_eur"])
    chance = risk.get("probability")
    return {
        "amount_eur": amount,
        "at_risk_eur": None if amount is None or chance is None else (amount * Decimal(repr(chance))).quantize(_CENT, ROUND_HALF_UP),
        "probability": chance,
        "firm_id": order["firm_id"],
        "firm": facts["firm"],
        "open_cases": len(facts["cases"]),
        "owners": [owner["owner_firm_id"] for owner in facts["owners"]],
        "proposal": _proposal(action, reason, order, amount, request),
    }


def _reasons(decision: Decision, facts: Facts) -> list[str]:
    """The tree's word with what the firm owes, then what weighs most in the risk: what raises it where the order is not released, what
    lowers it where it is."""
    told = [decision.reason, *_overdue(facts)]
    chance = facts["risk"].get("probability")
    if chance is not None:
        told.append(f"The model expects a late payment with a probability of {chance:.0%}")
    raising = decision.action != "release"
    weighty = [each for each in facts["risk"].get("reasons", []) if (each["adds"] > 0) == raising and abs(each["adds"]) >= 0.05]
    told += [f"{each['words']}: {_shown(each['value'])}, which {'raises' if raising else 'lowers'} it" for each in weighty[:2]]
    if facts["cases"]:
        told.append(f"{len(facts['cases'])} open case{'s' if len(facts['cases']) > 1 else ''} in Salesforce")
    return told


def _overdue(facts: Facts) -> list[str]:
    overdue, late = Decimal(str(facts.get("overdue_eur") or 0)), facts.get("invoices_late_and_open") or 0
    if overdue <= 0:
        return []
    long = f", and {late:,} invoice{'s' if late > 1 else ''} had been for more than 30 days" if late else ""
    return [f"{overdue:,.0f} EUR were overdue when it ordered{long}"]


def _shown(value: Any) -> str:
    if value is None:
        return "not known"
    return f"{value:,.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _proposal(action: str, reason: str, order: Mapping[str, Any], amount: Decimal | None, request: Request) -> dict[str, Any] | None:
    """The delivery block that keeps an order back, unless it is there or there is nothing left to keep back."""
    block = BLOCKS.get(action)
    if block is None or order["delivery_block"] == block or order["is_complete"] or order["is_rejected"]:
        return None
    source, record, order_id = request.subject.split("/")
    return {
        "target": source,
        "record": record,
        "identity": {"SalesOrder": order_id},
        "values": {"DeliveryBlockReason": block},
        "seen": {"DeliveryBlockReason": order["delivery_block"] or ""},
        "amount": amount,
        "reason": reason,
    }


CREDIT_DESK: Final = Agent(
    name="credit_desk",
    description="Decides on each new sales order: release, ask for prepayment, or hold.",
    instructions=INSTRUCTIONS,
    subject="s4/sales_order",
    tools=(ORDER, FEATURES_OF_ORDER, RISK_OF_ORDER, GROUP, OPEN_CASES, OWNERS, FIRM_NAME),
    permissions=frozenset({"orders", "risk", "firms", "cases"}),
    output=CreditDecision,
    brain=Policy("credit_release", _gather, _tell),
    tables=("marts/fct_order", "marts/fct_case", "marts/fct_ownership", "marts/dim_firm", FEATURES, "graph/firm_measures", RISK),
    wakes_on=("order.created",),
    awaits={"marts/fct_order": "order_id", FEATURES: "order_id"},
    backlog=Backlog(table="marts/fct_order", key="order_id", where={"is_complete": False, "is_rejected": False}, newest="ordered_on"),
    wording=Wording(Judgement, _gather, _put),
    trials=Trials(
        cases=Path(__file__).with_name("credit_desk.cases.yaml"),
        properties=(
            never_milder("late_payment_risk", "probability", (0.02, 0.15, 0.3, 0.5, 0.7, 0.95), ("release", "prepayment", "hold")),
            proposes_only({action: {"DeliveryBlockReason": block} for action, block in BLOCKS.items()}),
            figures_from("order", {"amount_eur": "net_amount_eur", "firm_id": "firm_id"}),
        ),
    ),
)
