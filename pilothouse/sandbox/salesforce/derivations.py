"""What Salesforce works out by itself when a record is written: full names, what a stage means, when a case was closed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from pilothouse.sandbox.company.crm import stage
from pilothouse.sandbox.company.salesforce import STAGES
from pilothouse.sandbox.company.store import Row, Value


def derived(name: str, before: Mapping[str, Value] | None, values: Mapping[str, Value], at: str) -> Row:
    """Further values that follow from writing `values` over `before` (None: a new record) at this moment."""
    derive = _DERIVATIONS.get(name)
    return {} if derive is None else derive(before or {}, values, at)


def _full_name(before: Mapping[str, Value], values: Mapping[str, Value], _: str) -> Row:
    after = {**before, **values}
    parts = (after.get("FirstName"), after.get("LastName"))
    return {"Name": " ".join(str(part) for part in parts if part)}


def _stage(before: Mapping[str, Value], values: Mapping[str, Value], _: str) -> Row:
    changes: Row = {}
    name = values.get("StageName")
    if name is not None and name != before.get("StageName"):
        # A stage that the org does not know is open, as one that an administrator has just added.
        changes.update(stage(STAGES.index(str(name)) if name in STAGES else 0))
        changes["StageName"] = name
        if "Probability" in values:
            changes["Probability"] = values["Probability"]
    after = {**before, **values, **changes}
    amount, chance = after.get("Amount"), after.get("Probability")
    if amount is None or chance is None:
        return {**changes, "ExpectedRevenue": None}
    expected = Decimal(str(amount)) * Decimal(str(chance)) / 100
    return {**changes, "ExpectedRevenue": str(expected.quantize(Decimal("0.01"), ROUND_HALF_UP))}


def _closing(before: Mapping[str, Value], values: Mapping[str, Value], at: str) -> Row:
    status = values.get("Status", before.get("Status"))
    if status != "Closed":
        return {"IsClosed": 0, "ClosedDate": None}
    return {"IsClosed": 1, "ClosedDate": before.get("ClosedDate") or at}


_DERIVATIONS: Final[dict[str, Callable[[Mapping[str, Value], Mapping[str, Value], str], Row]]] = {
    "Contact": _full_name,
    "User": _full_name,
    "Opportunity": _stage,
    "Case": _closing,
}
