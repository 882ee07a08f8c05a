"""Proposals: what an agent would write, what people said of it, and how far it got.

    open ──approve──▶ approved ──executor──▶ executed ──undo──▶ undone
      ├──reject──▶ rejected       └──▶ conflict, refused
      └──time────▶ expired

Where an undo is refused, a proposal may be offered that makes up for the write which stays (`compensating.py`).

Every step is a row change and an entry of the ledger in one transaction, so that nothing is approved that the ledger does not tell
of. An edit makes a new revision, which nobody has approved yet; who edits becomes an author and cannot approve it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Literal

import msgspec
import sqlalchemy as sa

from connectors.target import Action, Value, decode_plan
from pilothouse.agents.capsules import Capsule, Draft, Ledger
from pilothouse.agents.capsules.capsule import Digest
from pilothouse.agents.proposed import Proposed
from pilothouse.approvals.policy import Asked, Policy
from pilothouse.approvals.principals import Principal
from pilothouse.kernel.database import Database
from pilothouse.kernel.database.schema import proposals, remarks
from pilothouse.kernel.errors import AccessDenied, AgentError
from pilothouse.kernel.events import Event, EventLog

Status = Literal["open", "approved", "rejected", "expired", "executed", "conflict", "refused", "undone"]
APPROVED: Final = "proposal.approved"  # the event that wakes the executor
UNKNOWN: Final = Decimal("Infinity")  # an amount that nobody knows is above every limit
Check = Callable[[str, Action], None]  # of a target and a write: TargetError where it could not be written, as far as that is known here
_ID_DIGITS: Final = 12


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """One proposed write as it stands."""

    id: str
    decision: Digest
    proposed_by: str
    target: str
    action: Action
    reason: str
    amount: Decimal
    roles: tuple[str, ...]
    synthetic: bool
    expires_at: datetime
    created_at: datetime
    changed_at: datetime
    revision: int = 1
    status: Status = "open"
    said: str = ""
    plan: bytes | None = None
    receipt: bytes | None = None
    seen: Mapping[str, Value] = field(default_factory=dict)  # the fields as they were when it was decided, where the agent told
    compensates: str | None = None  # the proposal that could not be taken back, and that it makes up for

    @property
    def change(self) -> dict[str, list[Value]]:
        """What it would change: each field as it was when it was decided, or as it was found when it was planned, and as it would be."""
        before = (decode_plan(self.plan).before or {}) if self.plan is not None else self.seen
        return {name: [before.get(name), value] for name, value in self.action.values.items()}


@dataclass(frozen=True, kw_only=True)
class Remark:
    """What somebody said of a proposal."""

    revision: int
    by: str
    verb: Literal["approve", "reject", "edit", "comment", "undo"]
    why: str
    at: datetime
    change: Mapping[str, Any] | None = None


class Proposals:
    """The proposals of one operational database."""

    def __init__(
        self, database: Database, ledger: Ledger, policy: Policy, expires: timedelta, check: Check = lambda _target, _action: None
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._policy = policy
        self._expires = expires
        self._check = check
        self._events = EventLog(database)

    def propose_within(
        self,
        connection: sa.Connection,
        decision: Capsule,
        *,
        target: str,
        action: Action,
        reason: str,
        amount: Decimal,
        roles: tuple[str, ...],
        seen: Mapping[str, Value] | None = None,
        compensates: str | None = None,
    ) -> Proposal:
        """A new proposal, in the transaction that remembers the decision. The same decision proposing the same again is one."""
        identity = hashlib.sha256(f"{decision.digest} {target} {action.key}".encode()).hexdigest()[:_ID_DIGITS]
        now = _now()
        made = Proposal(
            id=identity,
            decision=decision.digest,
            proposed_by=str(decision.manifest["agent"]),
            target=target,
            action=action,
            reason=reason,
            amount=amount,
            roles=roles,
            synthetic=bool(decision.manifest["synthetic"]),
            expires_at=now + self._expires,
            created_at=now,
            changed_at=now,
            seen=dict(seen or {}),
            compensates=compensates,
        )
        connection.execute(sa.dialects.postgresql.insert(proposals).on_conflict_do_nothing(), _row(made))
        return made

    def get(self, named: str) -> Proposal:
        """A proposal by its id, by that of the decision that proposed it, or by the beginning of either."""
        found: Sequence[Any] = []
        own = proposals.c.compensates.is_(None)  # a decision proposed nothing of what makes up for it
        with self._database.reading() as connection:
            for name, among in ((proposals.c.id, sa.true()), (sa.func.encode(proposals.c.decision, "hex"), own)):
                query = sa.select(proposals).where(name.startswith(named, autoescape=True), among)
                found = found or connection.execute(query.limit(9)).all()
        if not named or len(found) != 1:
            told = f"several proposals are meant by '{named}'" if named and found else f"there is no proposal '{named}'"
            hint = f"name one of {', '.join(row.id for row in found)}" if named and found else "`pilothouse proposals` lists them"
            raise AgentError(told, hint=hint)
        return _proposal(found[0])

    def all(self, status: Status | None = None, decision: Digest | None = None) -> list[Proposal]:
        """Proposals, the newest first."""
        query = sa.select(proposals).order_by(proposals.c.created_at.desc(), proposals.c.id)
        if status:
            query = query.where(proposals.c.status == status)
        if decision:
            query = query.where(proposals.c.decision == bytes.fromhex(decision))
        with self._database.reading() as connection:
            return [_proposal(row) for row in connection.execute(query)]

    def of(self, decisions: Sequence[Digest]) -> list[Proposal]:
        """What these decisions proposed."""
        made = proposals.c.decision.in_([bytes.fromhex(each) for each in decisions])
        query = sa.select(proposals).where(made, proposals.c.compensates.is_(None))
        with self._database.reading() as connection:
            return [_proposal(row) for row in connection.execute(query)]

    def needed(self, proposal: Proposal) -> int:
        """How many people must say yes to it."""
        return self._policy.needed(proposal.amount)

    def may_approve(self, proposal: Proposal, people: Iterable[Principal]) -> dict[str, str]:
        """Each person with what stands in the way of their yes; nothing does where the text is empty."""
        said = self.remarks(proposal)
        yes = _yes(proposal, said)
        found: dict[str, str] = {}
        for person in people:
            try:
                self._policy.admit(person, _asked(proposal, said), yes)
            except AccessDenied as error:
                found[person.name] = error.message
            else:
                found[person.name] = ""
        return found

    def remarks(self, proposal: Proposal) -> list[Remark]:
        """What people said of it, in order."""
        query = sa.select(remarks).where(remarks.c.proposal == proposal.id).order_by(remarks.c.number)
        with self._database.reading() as connection:
            return [_remark(row) for row in connection.execute(query)]

    def approve(self, named: str, principal: Principal, why: str = "") -> Proposal:
        """Somebody says yes. With the last yes that it needs it is approved, and the executor hears of it."""
        with self._database.begin() as connection:
            found, said = self._locked(connection, named, "open")
            yes = _yes(found, said)
            self._policy.admit(principal, _asked(found, said), yes)
            remark = Remark(revision=found.revision, by=principal.name, verb="approve", why=why, at=_now())
            self._remember(connection, found, remark, said, principal)
            if len(yes) + 1 < self._policy.needed(found.amount):
                return self._moved(connection, found, "open", f"approved by {principal.name}; one more must approve it")
            moved = self._moved(connection, found, "approved", f"approved by {' and '.join([*yes, principal.name])}")
            self._events.append_in(connection, [Event(topic=APPROVED, key=found.id, payload={"target": found.target})])
            return moved

    def reject(self, named: str, principal: Principal, why: str) -> Proposal:
        """Somebody says no. Whoever may approve it may reject it, whatever its amount."""
        with self._database.begin() as connection:
            found, said = self._locked(connection, named, "open")
            self._policy.admit(replace(principal, limit=None), replace(_asked(found, said), authors=frozenset()))
            self._remember(connection, found, Remark(revision=found.revision, by=principal.name, verb="reject", why=why, at=_now()), said)
            return self._moved(connection, found, "rejected", f"rejected by {principal.name}: {why}")

    def edit(self, named: str, principal: Principal, values: Mapping[str, Value], why: str) -> Proposal:
        """Change what would be written. What was approved before is approved no longer. TargetError where it could not be written."""
        with self._database.begin() as connection:
            found, said = self._locked(connection, named, "open")
            self._policy.admit_role(principal, found.roles)
            change = {
                name: [found.action.values.get(name), value] for name, value in values.items() if found.action.values.get(name) != value
            }
            if not change:
                raise AgentError(f"proposal {found.id}: the edit changes nothing", hint="give at least one field another value")
            edited = replace(found, action=replace(found.action, values={**found.action.values, **values}), revision=found.revision + 1)
            self._check(edited.target, edited.action)
            connection.execute(
                sa.update(proposals)
                .where(proposals.c.id == found.id)
                .values(action=msgspec.to_builtins(edited.action), revision=edited.revision, changed_at=sa.func.now())
            )
            remark = Remark(revision=edited.revision, by=principal.name, verb="edit", why=why, at=_now(), change=change)
            self._remember(connection, edited, remark, said)
            return edited

    def comment(self, named: str, principal: Principal, text: str) -> None:
        """A word on it, at any time."""
        with self._database.begin() as connection:
            found, said = self._locked(connection, named, None)
            self._remember(connection, found, Remark(revision=found.revision, by=principal.name, verb="comment", why=text, at=_now()), said)

    def allow_undo(self, named: str, principal: Principal, why: str) -> Proposal:
        """Somebody takes an executed write back: whoever might have approved it, its authors too."""
        with self._database.begin() as connection:
            found, said = self._locked(connection, named, "executed")
            self._policy.admit(principal, replace(_asked(found, said), authors=frozenset()))
            self._remember(connection, found, Remark(revision=found.revision, by=principal.name, verb="undo", why=why, at=_now()), said)
            return found

    def compensations(self, proposal: Proposal) -> list[Proposal]:
        """What was offered to make up for it, the newest first."""
        query = sa.select(proposals).where(proposals.c.compensates == proposal.id).order_by(proposals.c.created_at.desc())
        with self._database.reading() as connection:
            return [_proposal(row) for row in connection.execute(query)]

    def refuse_undo(self, proposal: Proposal, told: Mapping[str, Any], offer: Proposed | None) -> Proposal | None:
        """Remember that an undo was refused, as it was `told`, with the write that is offered instead; that which makes up for it, if any
        does. One that waits for an answer or is done already stays the only one."""
        known = self.compensations(proposal)
        standing = next((each for each in known if each.status in ("open", "approved", "executed") and not _is_late(each)), None)
        decision = self._ledger.get(proposal.decision)
        with self._database.begin() as connection:
            if standing is None and offer is not None:
                key = f"{proposal.action.key}-instead-{len(known) + 1}"
                standing = self.propose_within(
                    connection,
                    decision,
                    target=offer.target,
                    action=Action(key=key, record=offer.record, identity=offer.identity, values=offer.values),
                    reason=offer.reason,
                    amount=UNKNOWN if offer.amount is None else offer.amount,
                    roles=proposal.roles,
                    compensates=proposal.id,
                )
                told = {**told, "offered": {"proposal": standing.id, **offer.model_dump(mode="json")}}
            instead = {} if standing is None else {"instead": standing.id}
            self._ledger.append_within(connection, [draft_of(proposal, "undo", {"proposal": proposal.id, **told, **instead}, _now())])
            said = f"not taken back: {told['error']}" + (f"; {standing.id} is proposed instead" if standing else "")
            connection.execute(sa.update(proposals).where(proposals.c.id == proposal.id).values(said=said))
        return standing

    def move(self, proposal: Proposal, status: Status, said: str, draft: Draft | None = None, **kept: bytes | None) -> Proposal:
        """Where the executor has brought it, with what it keeps (`plan`, `receipt`), and the entry that tells of it."""
        with self._database.begin() as connection:
            if draft is not None:
                self._ledger.append_within(connection, [draft])
            if status == "undone":  # nothing is left to be made up for
                moot = sa.and_(proposals.c.compensates == proposal.id, proposals.c.status == "open")
                connection.execute(sa.update(proposals).where(moot).values(status="expired", said=f"{proposal.id} was taken back"))
            return self._moved(connection, proposal, status, said, **kept)

    def note(self, proposal: Proposal, said: str) -> None:
        """What came of the last try, while it stays what it is. When it was approved stays too: how often it is tried follows from that."""
        with self._database.begin() as connection:
            connection.execute(sa.update(proposals).where(proposals.c.id == proposal.id).values(said=said))

    def _locked(self, connection: sa.Connection, named: str, status: Status | None) -> tuple[Proposal, list[Remark]]:
        """A proposal that nobody else changes until the transaction ends, in the status that is asked for."""
        identity = self.get(named).id
        found = _proposal(connection.execute(sa.select(proposals).where(proposals.c.id == identity).with_for_update()).one())
        if status is not None and found.status != status:
            told = found.said or (
                "nothing was written that could be taken back" if status == "executed" else "nothing more can be said to it"
            )
            raise AgentError(f"proposal {found.id} is {found.status}: {told}", hint=f"`pilothouse proposals {found.id}` shows it")
        if status == "open" and _is_late(found):
            raise AgentError(
                f"proposal {found.id} expired at {found.expires_at:%Y-%m-%d %H:%M} UTC", hint="let the agent decide anew, at today's data"
            )
        said = [
            _remark(row) for row in connection.execute(sa.select(remarks).where(remarks.c.proposal == identity).order_by(remarks.c.number))
        ]
        return found, said

    def _remember(
        self, connection: sa.Connection, proposal: Proposal, remark: Remark, said: Sequence[Remark], principal: Principal | None = None
    ) -> None:
        """A remark as a row, and as an entry of the ledger; of an approval it tells what its `principal` might approve at that time."""
        row = {name: getattr(remark, name) for name in ("revision", "by", "verb", "why", "at", "change")}
        connection.execute(sa.insert(remarks), {**row, "proposal": proposal.id, "number": len(said) + 1})
        body: dict[str, Any] = {"proposal": proposal.id, "action": msgspec.to_builtins(proposal.action), "target": proposal.target}
        if principal is not None:
            body |= {"role": principal.role, "limit": None if principal.limit is None else str(principal.limit)}
        told = {name: value for name, value in row.items() if name != "at" and value is not None}
        self._ledger.append_within(connection, [draft_of(proposal, "approval", {**body, **told}, remark.at)])

    @staticmethod
    def _moved(connection: sa.Connection, proposal: Proposal, status: Status, said: str, **kept: bytes | None) -> Proposal:
        values: dict[str, Any] = {"status": status, "said": said, **kept}
        connection.execute(sa.update(proposals).where(proposals.c.id == proposal.id).values(**values, changed_at=sa.func.now()))
        return replace(proposal, **values)


def draft_of(proposal: Proposal, kind: Literal["approval", "execution", "undo"], body: Mapping[str, Any], at: datetime) -> Draft:
    """An entry of the ledger about a proposal."""
    identity = "/".join(str(value) for value in proposal.action.identity.values())
    return Draft(
        kind=kind,
        subject=f"{proposal.target}/{proposal.action.record}/{identity}".rstrip("/"),
        at=at,
        body=body,
        about=proposal.decision,
        agent=proposal.proposed_by,
        synthetic=proposal.synthetic,
    )


def expire(database: Database) -> int:
    """Close proposals whose time has passed; returns how many. They could not be approved any more anyway."""
    late = sa.and_(proposals.c.status == "open", proposals.c.expires_at <= sa.func.now())
    with database.begin() as connection:
        return connection.execute(sa.update(proposals).where(late).values(status="expired", said="nobody approved it in time")).rowcount


def _is_late(proposal: Proposal) -> bool:
    return proposal.status == "open" and proposal.expires_at <= _now()


def _yes(proposal: Proposal, said: Sequence[Remark]) -> list[str]:
    """Who has approved it as it stands now."""
    return [remark.by for remark in said if remark.verb == "approve" and remark.revision == proposal.revision]


def _asked(proposal: Proposal, said: Sequence[Remark]) -> Asked:
    editors = {remark.by for remark in said if remark.verb == "edit"}
    return Asked(amount=proposal.amount, roles=proposal.roles, authors=frozenset({proposal.proposed_by, *editors}))


def _row(proposal: Proposal) -> dict[str, Any]:
    return {
        **{
            name: getattr(proposal, name)
            for name in ("id", "proposed_by", "target", "reason", "amount", "synthetic", "revision", "status", "compensates")
        },
        "decision": bytes.fromhex(proposal.decision),
        "action": msgspec.to_builtins(proposal.action),
        "seen": dict(proposal.seen),
        "roles": list(proposal.roles),
        **{name: getattr(proposal, name) for name in ("expires_at", "created_at", "changed_at")},
    }


def _proposal(row: Any) -> Proposal:
    copied = (
        "id",
        "proposed_by",
        "target",
        "reason",
        "amount",
        "synthetic",
        "revision",
        "status",
        "said",
        "compensates",
        "expires_at",
        "created_at",
        "changed_at",
    )
    return Proposal(
        **{name: getattr(row, name) for name in copied},
        decision=Digest(row.decision.hex()),
        action=msgspec.convert(row.action, Action),
        roles=tuple(row.roles),
        seen=row.seen or {},
        plan=None if row.plan is None else bytes(row.plan),
        receipt=None if row.receipt is None else bytes(row.receipt),
    )


def _remark(row: Any) -> Remark:
    return Remark(revision=row.revision, by=row.by, verb=row.verb, why=row.why, at=row.at, change=row.change)


def _now() -> datetime:
    return datetime.now(UTC)
