"""Who may approve what: a role, an amount, four eyes, and never one's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from pilothouse.approvals.principals import ADMIN, Principal
from pilothouse.kernel.errors import AccessDenied


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked of an approver: the amount, the roles that may say yes, and who made the proposal what it is."""

    amount: Decimal
    roles: tuple[str, ...]
    authors: frozenset[str]  # who proposed it, and who edited it


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The rules. From `four_eyes_above` on two people must say yes."""

    four_eyes_above: Decimal

    def needed(self, amount: Decimal) -> int:
        """How many people must say yes."""
        return 2 if amount > self.four_eyes_above else 1

    @staticmethod
    def admit_role(principal: Principal, roles: Sequence[str]) -> None:
        """AccessDenied unless this person is one of those."""
        if principal.role not in (*roles, ADMIN):
            raise AccessDenied(f"{principal.name} is {principal.role}, and this is for {' or '.join(roles)}", hint="ask somebody who is")

    def admit(self, principal: Principal, asked: Asked, said_yes: Sequence[str] = ()) -> None:
        """AccessDenied unless this person may say yes to this."""
        if principal.name in asked.authors:
            raise AccessDenied(f"{principal.name} made this proposal what it is, and nobody approves their own", hint="ask somebody else")
        self.admit_role(principal, asked.roles)
        if principal.limit is not None and asked.amount > principal.limit:
            raise AccessDenied(
                f"{principal.name} approves up to {principal.limit:,}, and this is about {asked.amount:,}",
                hint="ask somebody with a higher limit",
            )
        if principal.name in said_yes:
            raise AccessDenied(
                f"{principal.name} has approved this already", hint="above the limit for one, somebody else must approve it too"
            )
