"""Where an approved action is written: planned with what undoes it, executed once, read back, and taken back.

A vendor's part is small (`Records`: look, change if unchanged, create once, remove). What makes a write safe is the same for
all and stands here: the plan keeps the record as it was and the token under which it was seen; a write goes through only while
that token holds; what was written is read again before anybody hears of success. A plan and a receipt are plain values, kept
before and after the write, so that a crash in between leaves a plan that can be executed again: it finds its own work done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Protocol

import msgspec

from pilothouse.kernel.errors import Conflict, TargetError

Value = str | int | float | bool | None
Values = Mapping[str, Value]


@dataclass(frozen=True, kw_only=True)
class Action:
    """A write that somebody approved: fields of a record that is there, or a record that is not there yet."""

    key: str  # names this action and no other; executing it again changes nothing
    record: str  # the kind of record, as the target's streams and objects are called
    identity: Values = field(default_factory=dict)  # the key of the record; empty where one is created
    values: Values

    def __str__(self) -> str:
        return f"{self.record} {'/'.join(str(value) for value in self.identity.values()) or '(new)'}"


@dataclass(frozen=True)
class Difference:
    """One field in three states: as it was planned upon, as we want it, as it is now."""

    field: str
    before: Value
    ours: Value
    now: Value

    def __str__(self) -> str:
        return f"{self.field}: was {self.before!r}, ours {self.ours!r}, now {self.now!r}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """An action and the record before it. `token` is the target's own mark of that state; `before` is None where there was none."""

    action: Action
    before: Values | None
    token: str = ""

    def differences(self) -> tuple[Difference, ...]:
        """What the action would change."""
        before = self.before or {}
        return tuple(
            Difference(name, before.get(name), value, before.get(name))
            for name, value in self.action.values.items()
            if before.get(name) != value
        )


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What became of a plan, read back from the target. `found` says that the work was done already when it was tried."""

    plan: Plan
    identity: Values
    after: Values
    token: str
    found: bool = False
    left: str = ""  # what taking it back leaves as it was made meanwhile, in words


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A record's fields and the mark of the state in which they were seen."""

    values: Values
    token: str


class Stale(Exception):
    """The record is no longer in the state that the token stands for."""


class Records(Protocol):
    """A vendor's part. Every failure is a TargetError; one that may pass by itself is transient."""

    def look(self, record: str, identity: Values, fields: tuple[str, ...]) -> Seen | None:
        """These fields of a record; None where it is not there."""
        ...

    def change(self, record: str, identity: Values, values: Values, token: str) -> None:
        """Set fields, unless the record left the state of the token: `Stale`."""
        ...

    def find(self, record: str, key: str) -> Values | None:
        """The identity of the record that was created under an action's key."""
        ...

    def create(self, record: str, key: str, values: Values) -> Values:
        """Create a record under an action's key, of which the target keeps one at most. Returns its identity."""
        ...

    def remove(self, record: str, identity: Values) -> None:
        """Take a created record away."""
        ...

    def left(self, written: Receipt) -> str:
        """What stays of a change that was taken back, in words; empty where nothing does."""
        ...


class Target:
    """One system that actions are written to."""

    def __init__(self, name: str, records: Records, *, final: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.final = dict(final or {})  # of a kind of record: why a write to it cannot be taken back, and what is done instead
        self._records = records

    def plan(self, action: Action, seen: Values | None = None) -> Plan:
        """Look at what the action would change, and keep it. Conflict where the record is not as whoever decided on it has seen it."""
        if not action.values:
            raise TargetError(f"{self.name}: action {action.key} on {action} changes nothing", hint="give it at least one field to set")
        if not action.identity:
            return Plan(action=action, before=None)
        now = self._look(action, action.identity)
        if now is None:
            raise TargetError(f"{self.name}: there is no {action}", hint="it was deleted since the action was proposed; reject the action")
        if seen and not _same(now.values, {name: value for name, value in seen.items() if name in action.values}):
            raise self._conflict(action, before=seen, ours=action.values, now=now.values)
        return Plan(action=action, before=now.values, token=now.token)

    def execute(self, plan: Plan) -> Receipt:
        """Write what was planned, once. Executing a plan again, after a crash or by two at once, finds it done."""
        return self._create(plan) if plan.before is None else self._change(plan, plan.before)

    def undo(self, receipt: Receipt) -> Receipt:
        """Put back what was before. Conflict where a field of ours has changed since; then nothing is written."""
        action, before = receipt.plan.action, receipt.plan.before
        if action.record in self.final:
            raise TargetError(f"{self.name}: {action} cannot be taken back", hint=self.final[action.record])
        now = self._look(action, receipt.identity)
        if before is None:
            return self._remove(receipt, now)
        if now is None:
            raise Conflict(f"{self.name}: {action} is gone, and so is what could be undone", hint="nothing is left to do")
        if _same(now.values, before):
            return self._receipt(receipt, now, found=True)
        if not _same(now.values, receipt.after):
            raise self._conflict(action, before=receipt.after, ours=before, now=now.values)
        try:
            self._records.change(action.record, receipt.identity, before, now.token)
        except Stale:
            latest = self._look(action, receipt.identity)
            raise self._conflict(action, before=receipt.after, ours=before, now=latest.values if latest else {}) from None
        return self._receipt(receipt, self._read_back(action, receipt.identity, before), found=False)

    def _change(self, plan: Plan, before: Values) -> Receipt:
        action, found = plan.action, False
        try:
            self._records.change(action.record, action.identity, action.values, plan.token)
            after = self._read_back(action, action.identity, action.values)
        except Stale:
            now = self._look(action, action.identity)
            if now is None or not _same(now.values, action.values):
                raise self._conflict(action, before=before, ours=action.values, now=now.values if now else {}) from None
            after, found = now, True
        return Receipt(plan=plan, identity=action.identity, after=after.values, token=after.token, found=found)

    def _create(self, plan: Plan) -> Receipt:
        action = plan.action
        known = self._records.find(action.record, action.key)
        identity = known if known is not None else self._records.create(action.record, action.key, action.values)
        after = self._read_back(action, identity, action.values) if known is None else self._look(action, identity)
        if after is None:
            raise Conflict(f"{self.name}: {action} was created for {action.key} and is gone", hint="plan a new action to create it again")
        return Receipt(plan=plan, identity=identity, after=after.values, token=after.token, found=known is not None)

    def _remove(self, receipt: Receipt, now: Seen | None) -> Receipt:
        action = receipt.plan.action
        if now is None:
            return self._receipt(receipt, Seen(values={}, token=""), found=True)
        if not _same(now.values, receipt.after):
            raise self._conflict(action, before=receipt.after, ours={}, now=now.values)
        self._records.remove(action.record, receipt.identity)
        if self._look(action, receipt.identity) is not None:
            raise TargetError(
                f"{self.name}: {action} is still there after it was removed", hint="look at it in the target; then undo again"
            )
        return self._receipt(receipt, Seen(values={}, token=""), found=False)

    def _look(self, action: Action, identity: Values) -> Seen | None:
        return self._records.look(action.record, identity, tuple(action.values))

    def _read_back(self, action: Action, identity: Values, wanted: Values) -> Seen:
        """What the target says after a write; a target that took it and kept something else has not done it."""
        seen = self._look(action, identity)
        if seen is None or not _same(seen.values, wanted):
            told = "nothing" if seen is None else ", ".join(f"{name} = {seen.values.get(name)!r}" for name in wanted)
            raise TargetError(
                f"{self.name}: {action} was written, and reads {told}",
                hint="the target changed it by a rule of its own, or somebody did in that moment; look at it there",
            )
        return seen

    def _conflict(self, action: Action, *, before: Values, ours: Values, now: Values) -> Conflict:
        names = [name for name in action.values if now.get(name) != before.get(name)] or list(action.values)
        found = [Difference(name, before.get(name), ours.get(name), now.get(name)) for name in names]
        return Conflict(
            f"{self.name}: {action} has changed since: {'; '.join(map(str, found)) if now else 'it is gone'}",
            hint="nothing was overwritten; look at both and plan anew",
            differences=tuple(map(asdict, found)),
        )

    def _receipt(self, undone: Receipt, now: Seen, *, found: bool) -> Receipt:
        action = undone.plan.action
        back = Action(key=f"{action.key}/undo", record=action.record, identity=undone.identity, values=undone.plan.before or {})
        plan = Plan(action=back, before=undone.after, token=undone.token)
        left = self._records.left(undone)
        return Receipt(plan=plan, identity=undone.identity, after=now.values, token=now.token, found=found, left=left)


def _same(values: Values, wanted: Values) -> bool:
    """Whether these fields say what is wanted. An empty text and none are one: ABAP knows no null, Salesforce no empty text."""
    return all((values.get(name) or None) == (value or None) or values.get(name) == value for name, value in wanted.items())


def encode(value: Plan | Receipt) -> bytes:
    """As JSON, to be kept."""
    return msgspec.json.encode(value)


def decode_plan(content: bytes) -> Plan:
    """The inverse for a plan."""
    return msgspec.json.decode(content, type=Plan)


def decode_receipt(content: bytes) -> Receipt:
    """The inverse for a receipt."""
    return msgspec.json.decode(content, type=Receipt)
