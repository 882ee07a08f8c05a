"""The one place that writes into source systems: what people approved, once, whatever crashes in between.

Plan, write and receipt are three steps, and each is kept before the next begins. A crash after the plan finds it and executes it
again, which the target tells from a second write (`connectors/target.py`); a crash after the write finds the work done and only
keeps the receipt. Two executors exclude each other, proposal by proposal.

What is approved is read from the proposal's row and believed only where the signed ledger says the same (`proof.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from connectors.target import Plan, Receipt, Target, decode_plan, decode_receipt, encode
from pilothouse.agents.capsules import Draft
from pilothouse.approvals.compensating import Compensate, Failed
from pilothouse.approvals.principals import Principal
from pilothouse.approvals.proof import Proof
from pilothouse.approvals.proposals import Proposal, Proposals, Status, draft_of
from pilothouse.kernel.database import Database
from pilothouse.kernel.database.locks import exclusively
from pilothouse.kernel.errors import AccessDenied, AgentError, Conflict, PilothouseError, TargetError, TargetForbids


@dataclass(frozen=True)
class Tried:
    """An approved proposal after a try to execute it, what is to be said of that, and whether it takes a person to bring it further."""

    proposal: Proposal
    said: str
    stuck: bool = False


class Executor:
    """Executes approved proposals, and takes executed ones back."""

    def __init__(
        self,
        database: Database,
        proposals: Proposals,
        proof: Proof,
        target: Callable[[str], AbstractContextManager[Target]],
        compensate: Compensate = lambda _: None,
    ) -> None:
        self._database = database
        self._proposals = proposals
        self._proof = proof
        self._target = target
        self._compensate = compensate

    def execute(self, named: str) -> Proposal:
        """Write what was approved, or find it written. What may pass, or is mended at the target (a lock, a password, an authorisation),
        leaves it approved for the next try; what no try will change is its end."""
        with self._alone(named):
            proposal = self._proposals.get(named)
            if proposal.status == "executed":
                return proposal
            if proposal.status != "approved":
                raise AgentError(f"proposal {proposal.id} is {proposal.status}, not approved", hint="only what people approved is executed")
            try:
                self._proof.approved(proposal)
                with self._target(proposal.target) as target:
                    plan = self._planned(proposal, target)
                    receipt = target.execute(plan)
            except (TargetError, AccessDenied) as error:
                if error.transient or isinstance(error, TargetForbids):
                    self._proposals.note(proposal, f"not written yet: {error.message}")
                else:
                    status: Status = "conflict" if isinstance(error, Conflict) else "refused"
                    self._proposals.move(proposal, status, error.message, draft_of(proposal, "execution", {"error": error.message}, _now()))
                raise
            how = "found written" if receipt.found else "written and read back"
            return self._proposals.move(proposal, "executed", how, _entry(proposal, "execution", receipt), receipt=encode(receipt))

    def execute_all(self) -> Iterator[Tried]:
        """Execute everything that is approved, the oldest first. One that cannot be written now or ever stops no other."""
        for proposal in reversed(self._proposals.all("approved")):
            try:
                done = self.execute(proposal.id)
            except PilothouseError as error:
                yield Tried(self._proposals.get(proposal.id), str(error), stuck=not error.transient)
            else:
                yield Tried(done, done.said)

    def undo(self, named: str, principal: Principal, why: str) -> Proposal:
        """Put back what was before. Conflict where the record has changed since; then nothing is written, it stays executed, and the
        error names what is proposed instead, where anything is."""
        with self._alone(named):
            proposal = self._proposals.get(named)
            if proposal.status == "undone":
                return proposal
            proposal = self._proposals.allow_undo(proposal.id, principal, why)
            assert proposal.receipt is not None
            written = decode_receipt(proposal.receipt)
            self._proof.executed(proposal, written)
            try:
                with self._target(proposal.target) as target:
                    receipt = target.undo(written)
            except TargetError as error:
                if not error.transient and not isinstance(error, TargetForbids):  # that is mended elsewhere, and tried again
                    self._refused(proposal, written, principal, why, error)
                raise
            said = f"undone by {principal.name}: {why}" + (f". {receipt.left}" if receipt.left else "")
            return self._proposals.move(proposal, "undone", said, _entry(proposal, "undo", receipt))

    def _refused(self, proposal: Proposal, written: Receipt, principal: Principal, why: str, error: TargetError) -> None:
        """Keep what stood in the way of an undo, and offer what makes up for it; but nothing for what was itself such an offer."""
        differences = [dict(each) for each in error.differences] if isinstance(error, Conflict) else []
        told: dict[str, Any] = {"by": principal.name, "why": why, "error": error.message, "differences": differences}
        offered = None
        if proposal.compensates is None:
            decision = self._proof.decision(proposal)
            failed = Failed(proposal=proposal, decision=decision, written=written, principal=principal, why=why, error=error, at=_now())
            try:
                offered = self._compensate(failed)
            except PilothouseError as trouble:  # the refusal is to be told, whatever is wrong with tables
                told["not_offered"] = trouble.message
        if offered is not None:
            told["read"] = offered.read.as_json()
        instead = self._proposals.refuse_undo(proposal, told, None if offered is None else offered.write)
        if instead is not None:
            error.hint = f"{error.hint}; {instead.id} is proposed instead: `pilothouse proposals {instead.id}`"

    def _planned(self, proposal: Proposal, target: Target) -> Plan:
        """The plan that was kept, or a new one that is kept before anything is written."""
        if proposal.plan is not None:
            kept = decode_plan(proposal.plan)
            self._proof.planned(proposal, kept.action)
            return kept
        plan = target.plan(proposal.action, proposal.seen)
        self._proposals.move(proposal, "approved", proposal.said, plan=encode(plan))
        return plan

    def _alone(self, named: str) -> AbstractContextManager[None]:
        identity = self._proposals.get(named).id
        return exclusively(self._database, f"proposal {identity}", what=f"proposal {identity}")


def _entry(proposal: Proposal, kind: Literal["execution", "undo"], receipt: Receipt) -> Draft:
    return draft_of(proposal, kind, {"proposal": proposal.id, "receipt": msgspec.to_builtins(receipt)}, _now())


def _now() -> datetime:
    return datetime.now(UTC)
