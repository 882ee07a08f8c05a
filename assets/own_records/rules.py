"""A rule of a stream, and what it takes."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from assets.own_records.kind import BY, OWN, OwnKind, told_as_target
from connectors.target import Seen, Stale
from pilothouse.agents.toolset.stewardship.held import RULE_CHANGED, OfHeld
from pilothouse.kernel.errors import TargetError
from pilothouse.kernel.events import Event
from pilothouse.kernel.lake.notes import Overtaken
from quality.amendments import Amendments, amended
from quality.quarantine import open_rejections
from quality.rule import Rule, written

if TYPE_CHECKING:
    from connectors.target import Value, Values

RULE: Final = "stream_rule"


class Rules(OwnKind):
    """Changed by other arguments for its expectation, as JSON; what it took before comes back by writing that."""

    record = RULE
    key = ("source", "stream", "rule")
    field = "arguments"

    def look(self, identity: Values) -> Seen | None:
        """What it takes; the token is the moment when that was said, and empty where nobody changed it."""
        source, stream, _ = (str(identity[name]) for name in self.key)
        rule = self._declared(identity)
        if rule is None:
            return None
        newest = Amendments(self.platform.lake).newest(source, stream, rule.name)
        (in_force,) = (each for each in self.platform.rules(source, stream) if each.name == rule.name)
        # A change as it was written down, for that is what a write is held against when it is read back.
        arguments = newest.arguments if newest is not None and in_force is not rule else written(rule.kwargs)
        return Seen(values={"arguments": arguments}, token="" if newest is None else newest.said_at.isoformat())

    def check(self, identity: Values, value: Value) -> None:
        """What its expectation takes, of the same columns, as JSON."""
        rule = self._declared(identity)
        if rule is None:
            raise TargetError(f"{OWN}: no such rule is declared any more", hint="reject the proposal")
        with told_as_target():
            amended(rule, str(value))

    def change(self, identity: Values, value: Value, token: str) -> None:
        """Let it take something else. What its expectation does not take is refused."""
        source, stream, _ = (str(identity[name]) for name in self.key)
        rule, known = self._declared(identity), datetime.fromisoformat(token) if token else None
        if rule is None:
            raise Stale
        with told_as_target():
            try:
                Amendments(self.platform.lake).say_after(known, source, stream, rule, str(value), by=BY)
            except Overtaken:
                raise Stale from None
            if self._holds(source, stream, rule.name):  # what it takes by now is to be released
                self.platform.events.append([Event(RULE_CHANGED, OfHeld(source=source, stream=stream, rule=rule.name).key)])

    def _holds(self, source: str, stream: str, rule: str) -> bool:
        table = self.platform.lake.quarantine(source, stream)
        return table.exists() and not open_rejections(table.scan(), rule=rule, limit=1).is_empty()

    def _declared(self, identity: Values) -> Rule | None:
        source, stream, name = (str(identity[part]) for part in self.key)
        with told_as_target():
            return next((rule for rule in self.platform.source(source).rules(stream) if rule.name == name), None)
