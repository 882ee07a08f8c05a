"""What follows from a decision, in its transaction: each write that it proposes becomes a proposal for people to approve."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from connectors.target import Action
from pilothouse.agents.agent import Agent
from pilothouse.agents.capsules import Capsule
from pilothouse.agents.proposed import proposed_in
from pilothouse.approvals.proposals import UNKNOWN, Proposal, Proposals


def proposing(proposals: Proposals) -> Callable[[sa.Connection, Capsule, Agent], list[Proposal]]:
    """What `Deciding` is to do beside remembering a decision."""

    def follow(connection: sa.Connection, decision: Capsule, agent: Agent) -> list[Proposal]:
        return [
            proposals.propose_within(
                connection,
                decision,
                target=each.target,
                # Named by the decision: of two decisions on one order each is executed under a name of its own.
                action=Action(key=f"{decision.digest[:24]}-{place}", record=each.record, identity=each.identity, values=each.values),
                seen=each.seen,
                reason=each.reason,
                amount=UNKNOWN if each.amount is None else each.amount,
                roles=agent.approvers,
            )
            for place, each in enumerate(proposed_in(decision.body["output"]))
        ]

    return follow
