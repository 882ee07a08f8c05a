"""What can be asked about a firm: the group it belongs to, who owns it, its open cases, and who it is like."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, Field

from pilothouse.agents.snapshot import Snapshot
from pilothouse.agents.tools import Tool
from pilothouse.kernel.errors import ToolFailed

_MOST: Final = 20


class OfFirm(BaseModel):
    """Which firm."""

    firm_id: str = Field(min_length=1, description="id of the firm, such as s4:10100001")


def _group(snapshot: Snapshot, asked: OfFirm) -> dict[str, Any]:
    if "graph/firm_measures" not in snapshot.tables:
        return {"known": False}
    found = snapshot.row("graph/firm_measures", {"firm_id": asked.firm_id})
    return {"known": found is not None, **(found or {})}


def _owners(snapshot: Snapshot, asked: OfFirm) -> list[dict[str, Any]]:
    return snapshot.rows("marts/fct_ownership", {"owned_firm_id": asked.firm_id}, limit=_MOST, order="owner_firm_id")


def _cases(snapshot: Snapshot, asked: OfFirm) -> list[dict[str, Any]]:
    return snapshot.rows("marts/fct_case", {"firm_id": asked.firm_id, "is_closed": False}, limit=_MOST, order="case_id")


def _firm(snapshot: Snapshot, asked: OfFirm) -> dict[str, Any]:
    found = snapshot.row("marts/dim_firm", {"firm_id": asked.firm_id})
    if found is None:
        raise ToolFailed(f"there is no firm {asked.firm_id}", hint="it may have been merged into another since: `pilothouse firm explain`")
    return found


def _called(snapshot: Snapshot, asked: OfFirm) -> dict[str, Any]:
    found = _firm(snapshot, asked)
    return {name: found[name] for name in ("name", "_synthetic")}


FIRM: Final = Tool(name="firm", description="What is known of a firm.", arguments=OfFirm, run=_firm, permission="firms")
FIRM_NAME: Final = Tool(
    name="firm_name", description="What people call a firm.", arguments=OfFirm, run=_called, permission="firms", aside=True
)
GROUP: Final = Tool(
    name="group",
    description="What the whole ownership group of a firm owes, how much of it is overdue, and how many firms it has.",
    arguments=OfFirm,
    run=_group,
    permission="firms",
)
OWNERS: Final = Tool(name="owners", description="Who owns a firm, and how much of it.", arguments=OfFirm, run=_owners, permission="firms")
OPEN_CASES: Final = Tool(
    name="open_cases", description="Support cases and complaints of a firm that are open.", arguments=OfFirm, run=_cases, permission="cases"
)
