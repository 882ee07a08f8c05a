"""What the signed ledger tells of a proposal, for whoever is about to write: rows of a database may be changed, entries may not.

`proposals` and `remarks` are what people work with. Whoever has the database's password can write there what they like: `approved`,
another order, a smaller amount, an approval by somebody else. None of it counts here. The executor asks the entries that are signed
with this platform's key: that an agent decided and proposed this, and that people who may have said yes to exactly this.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from connectors.target import Action, Receipt
from pilothouse.agents.capsules import Capsule, Ledger
from pilothouse.agents.capsules.signing import signed_by
from pilothouse.agents.proposed import Proposed, proposed_in
from pilothouse.approvals.policy import Asked, Policy
from pilothouse.approvals.principals import Principal
from pilothouse.approvals.proposals import UNKNOWN, Proposal
from pilothouse.kernel.errors import AccessDenied

_HINT: Final = "somebody wrote into the database: `pilothouse verify` checks the ledger, and `pilothouse decide` lets the agent decide anew"


class Proof:
    """Says no unless entries of the ledger prove it."""

    def __init__(self, ledger: Ledger, policy: Policy) -> None:
        self._ledger = ledger
        self._policy = policy

    def approved(self, proposal: Proposal) -> None:
        """AccessDenied unless enough people, of the roles that its agent named, have approved what this proposal would write now."""
        decision = self.decision(proposal)
        amount = _amount(proposal, [*proposed_in(decision.body.get("output") or {}), *self._offered(proposal)])
        said = [each for each in self._about(proposal) if each.kind in {"approval", "execution", "undo"}]
        ended = [each for each in said if each.kind != "approval" or each.body["verb"] == "reject"]
        if ended:
            raise _denied(proposal, f"the ledger tells of its {_how(ended[0])} already")
        agent = msgspec.json.decode(self._ledger.blob(decision.blobs["agent"]))
        asked = Asked(amount=amount, roles=tuple(agent.get("approvers", ())), authors=frozenset({agent["name"], *_by(said, "edit")}))
        yes: list[str] = []
        for each in said:
            if each.body["verb"] == "approve" and _is_of(each, proposal):
                self._policy.admit(_principal(each), asked, yes)
                yes.append(str(each.body["by"]))
        if len(yes) < self._policy.needed(amount):
            raise _denied(proposal, f"the ledger tells of {len(yes)} approvals of this write, and it takes {self._policy.needed(amount)}")

    def executed(self, proposal: Proposal, receipt: Receipt) -> None:
        """AccessDenied unless this is the receipt of what was written."""
        told = [each.body["receipt"] for each in self._about(proposal) if each.kind == "execution" and "receipt" in each.body]
        # As receipts, not as JSON: one that was kept before receipts told more says the same.
        if receipt not in [msgspec.convert(each, Receipt) for each in told]:
            raise _denied(proposal, "its receipt is not the one that the ledger keeps")

    def planned(self, proposal: Proposal, action: Action) -> None:
        """AccessDenied unless a plan that was kept is of what was approved."""
        if action != proposal.action:
            raise _denied(proposal, "its plan is of another write")

    def decision(self, proposal: Proposal) -> Capsule:
        """The decision behind a proposal; AccessDenied where the ledger knows none."""
        found = next((each for each in self._ledger.these([proposal.decision]) if self._ours(each) and each.kind == "decision"), None)
        if found is None or found.manifest["agent"] != proposal.proposed_by:
            raise _denied(proposal, "the ledger knows no decision that proposed it")
        return found

    def _offered(self, proposal: Proposal) -> Iterator[Proposed]:
        """What was offered under its name where an undo was refused."""
        for each in self._ledger.entries(kind="undo", about=proposal.decision):
            offer = each.body.get("offered")
            if offer is not None and offer["proposal"] == proposal.id and self._ours(each):
                yield Proposed.model_validate(offer)

    def _about(self, proposal: Proposal) -> list[Capsule]:
        """The signed entries about a proposal, the oldest first."""
        entries = [each for each in self._ledger.entries(about=proposal.decision) if self._ours(each)]
        return [
            each for each in reversed(entries) if each.manifest["about"] == proposal.decision and each.body.get("proposal") == proposal.id
        ]

    def _ours(self, entry: Capsule) -> bool:
        return signed_by(self._ledger.public_key, bytes.fromhex(entry.digest), entry.signature)


def _amount(proposal: Proposal, proposed: Sequence[Proposed]) -> Decimal:
    """What the ledger says that this write is about; the largest where several were proposed for one record."""
    wanted = (proposal.target, proposal.action.record, dict(proposal.action.identity))
    amounts = [
        UNKNOWN if each.amount is None else each.amount
        for each in proposed
        if (each.target, each.record, each.identity) == wanted and each.values.keys() == proposal.action.values.keys()
    ]
    if not amounts:
        raise _denied(proposal, "its decision proposed nothing of the kind")
    return max(amounts)


def _is_of(entry: Capsule, proposal: Proposal) -> bool:
    """Whether an approval is of the write as it stands now."""
    said = entry.body
    return (said["revision"], said["target"], said["action"]) == (
        proposal.revision,
        proposal.target,
        msgspec.to_builtins(proposal.action),
    )


def _by(said: Sequence[Capsule], verb: str) -> Iterator[str]:
    return (str(each.body["by"]) for each in said if each.kind == "approval" and each.body["verb"] == verb)


def _principal(entry: Capsule) -> Principal:
    limit = entry.body.get("limit")
    return Principal(str(entry.body["by"]), str(entry.body.get("role", "")), None if limit is None else Decimal(str(limit)))


def _how(entry: Capsule) -> str:
    return "rejection" if entry.kind == "approval" else {"execution": "execution", "undo": "undoing"}[entry.kind]


def _denied(proposal: Proposal, told: str) -> AccessDenied:
    return AccessDenied(f"proposal {proposal.id} is not written: {told}", hint=_HINT)
