"""Pilothouse's own records as a place to write to: what agents propose about data is approved, executed once and taken back like any
write into SAP.

A module for each kind of record; another kind is another such module, and an entry in `KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NoReturn

from assets.own_records.drift import DRIFT, Drift
from assets.own_records.held import HELD, Held
from assets.own_records.kind import OWN, OwnKind
from assets.own_records.pairs import PAIR, Pairs
from assets.own_records.rules import RULE, Rules
from connectors.target import Action, Receipt, Seen, Target, Values
from pilothouse.kernel.errors import TargetError

if TYPE_CHECKING:
    from assets.platform import Platform

KINDS: Final[dict[str, type[OwnKind]]] = {kind.record: kind for kind in (Pairs, Held, Drift, Rules)}
FINAL: Final = {name: kind.final for name, kind in KINDS.items() if kind.final}


def own_target(platform: Platform) -> Target:
    """Pilothouse as a target."""
    return Target(OWN, OwnRecords(platform), final=FINAL)


class OwnRecords:
    """The records of the lake that are ours to change."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def look(self, record: str, identity: Values, fields: tuple[str, ...]) -> Seen | None:
        """The one field that a record has, and the mark of its state."""
        return self._known(record, identity, fields).look(identity)

    def change(self, record: str, identity: Values, values: Values, token: str) -> None:
        """Set that field."""
        kind = self._known(record, identity, tuple(values))
        kind.change(identity, values[kind.field], token)

    def check(self, record: str, identity: Values, values: Values) -> None:
        """TargetError where that field cannot be set to this, whatever the record says now."""
        kind = self._known(record, identity, tuple(values))
        value = values[kind.field]
        try:
            kind.check(identity, value)
        except TargetError as error:
            raise TargetError(f"{record}: {kind.field} = {value!r} cannot be written: {error.message}", hint=error.hint) from error

    def find(self, record: str, key: str) -> NoReturn:
        """Nothing is created here."""
        self.create(record, key, {})

    def create(self, record: str, key: str, values: Values) -> NoReturn:  # noqa: ARG002 - the protocol's
        """A pair and what is held are there, whether anybody speaks of them or not."""
        raise TargetError(
            f"{OWN}: action {key} would create a {record}, and records are only changed here",
            hint="name the record in the action's identity",
        )

    def remove(self, record: str, identity: Values) -> NoReturn:
        """Nothing is created here, so nothing is taken away."""
        raise TargetError(f"{OWN}: {record} {dict(identity)} was not made here", hint="undo what was changed instead")

    def left(self, written: Receipt) -> str:
        """What a kind of record leaves as it was made meanwhile."""
        action = written.plan.action
        return self._known(action.record, action.identity, tuple(action.values)).left(written)

    def _known(self, record: str, identity: Values, fields: tuple[str, ...]) -> OwnKind:
        kind = KINDS.get(record)
        if kind is None:
            raise TargetError(f"{OWN}: there is no record {record!r}", hint=f"there are {', '.join(KINDS)}")
        if set(identity) != set(kind.key):
            raise TargetError(
                f"{OWN}: {record} is named by {', '.join(kind.key)}, not by {', '.join(identity) or 'nothing'}",
                hint="give the whole key in the action's identity",
            )
        if set(fields) != {kind.field}:
            raise TargetError(f"{OWN}: {record} has no field {', '.join(fields)!r}", hint=f"it has {kind.field}")
        return kind(self._platform)


def checking(platform: Platform) -> Callable[[str, Action], None]:
    """What an edit of a proposal is held against: a write into what is our own. What a source takes only it can say."""

    def check(target: str, action: Action) -> None:
        if target == OWN:
            OwnRecords(platform).check(action.record, action.identity, action.values)

    return check


def final(action: Action, target: str) -> str:
    """Why a proposed write could not be taken back, and what would be done instead; empty where it could."""
    return FINAL.get(action.record, "") if target == OWN else ""


__all__ = ["DRIFT", "FINAL", "HELD", "KINDS", "OWN", "PAIR", "RULE", "OwnRecords", "checking", "final", "own_target"]
