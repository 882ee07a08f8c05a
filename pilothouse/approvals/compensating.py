"""What is offered where a write cannot be taken back: a task in Salesforce for whoever looks after the firm.

An undo that meets a conflict overwrites nothing, and so what it was to take back stays done. Somebody has to look at both and decide,
and knows of it only if it is told where they work. So the task names what was done, who wanted it taken back and why, and what the
record says now. It is a proposal like any other: approved, executed once, and taken back by the same ways.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from connectors.target import Receipt
from pilothouse.agents.capsules import Capsule
from pilothouse.agents.proposed import Proposed
from pilothouse.agents.snapshot import Snapshot
from pilothouse.agents.toolset.firms import OfFirm
from pilothouse.agents.toolset.receivables import ACCOUNTS, OWNERS_OF_ACCOUNTS, SALES_ACCOUNTS
from pilothouse.approvals.principals import Principal
from pilothouse.approvals.proposals import Proposal
from pilothouse.kernel.errors import Conflict, TargetError
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.versions import Versions

_SOON: Final = timedelta(days=2)  # until when it is to be looked after
_SUBJECT: Final = 255  # letters that Salesforce takes


@dataclass(frozen=True, kw_only=True)
class Failed:
    """An undo that was refused: what was written, and by whose decision, who wanted it taken back, and what stood in the way."""

    proposal: Proposal
    decision: Capsule
    written: Receipt
    principal: Principal
    why: str
    error: TargetError
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Offered:
    """A write that makes up for one that stays, and what was read to find whom it is for."""

    write: Proposed
    read: Versions


Compensate = Callable[[Failed], Offered | None]


def compensating(lake: Lake) -> Compensate:
    """What the executor asks. None where no account in Salesforce is known for the firm that a decision was about, as of decisions about
    data; and none where the record is gone, when nothing is left to be looked after."""

    def compensate(failed: Failed) -> Offered | None:
        if isinstance(failed.error, Conflict) and not failed.error.differences:
            return None
        firm = (failed.decision.body.get("output") or {}).get("firm_id")
        snapshot = Snapshot.take(lake, (ACCOUNTS, OWNERS_OF_ACCOUNTS))
        try:
            known = SALES_ACCOUNTS.run(snapshot, OfFirm(firm_id=firm)) if firm and ACCOUNTS in snapshot.tables else []
        finally:
            snapshot.close()
        return Offered(write=_task(failed, known[0]), read=snapshot.versions) if known else None

    return compensate


def _task(failed: Failed, account: Mapping[str, Any]) -> Proposed:
    proposal = failed.proposal
    values = {
        "Subject": f"Could not be taken back: {proposal.action}, {account['name']}"[:_SUBJECT],
        "Description": "\n".join(_told(failed)),
        "WhatId": account["account_id"],
        "Status": "Not Started",
        "Priority": "High",
        "ActivityDate": (failed.at.date() + _SOON).isoformat(),
        **({"OwnerId": account["owner_id"]} if account["owner_id"] else {}),
    }
    # A task moves no money: whoever may approve at all may approve it.
    reason = f"{proposal.id} could not be taken back"
    return Proposed(target="crm", record="Task", identity={}, values=values, amount=Decimal(0), reason=reason)


def _told(failed: Failed) -> Iterator[str]:
    proposal, error = failed.proposal, failed.error
    yield f"Decided by {proposal.proposed_by} on {failed.decision.manifest['subject']}: {proposal.reason}"
    yield f"Done in {proposal.target}: {proposal.action}"
    for name, value in proposal.action.values.items():
        before = (failed.written.plan.before or {}).get(name)
        yield f"  {name}: {before or ''!r} → {value!r}" if proposal.action.identity else f"  {name}: {value!r}"
    yield f"{failed.principal.name} wants it taken back: {failed.why}"
    if isinstance(error, Conflict):
        yield "It has changed since, and nothing was overwritten. It says now:"
        yield from (f"  {each['field']}: {each['now']!r}" for each in error.differences)
    else:
        yield f"It was refused: {error.message}"
    yield f"Decide what shall hold, and set it in {proposal.target} by hand. More: pilothouse proposals {proposal.id}"
