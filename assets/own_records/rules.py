"""A rule of a stream, and what it takes."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from assets.own_records.kind import BY, OWN, OwnKind, told_as_target
from connectors.target import Seen, Stale
from pilothouse.agents.toolset.stewardship.held import RULE_CHANGED, OfHeld
from pilothouse.kernel.errors import PilothouseError, TargetError
from pilothouse.kernel.events import Event
from pilothouse.kernel.lake.notes import Overtaken
from quality.amendments import Amendments, amended
from quality.quarantine import open_rejections
from quality.report import refuse_unjudgeable
from quality.rule import Rule, written

if TYPE_CHECKING:
    import polars as pl

    from connectors.target import Receipt, Value, Values

RULE: Final = "stream_rule"
_BATCHES: Final = 3  # that are named


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
        """What its expectation takes, of the same columns and of their kind, as JSON."""
        rule = self._declared(identity)
        if rule is None:
            raise TargetError(f"{OWN}: no such rule is declared any more", hint="reject the proposal")
        with told_as_target():
            self._refuse_unjudgeable(identity, amended(rule, str(value)))

    def change(self, identity: Values, value: Value, token: str) -> None:
        """Let it take something else. What its expectation does not take is refused."""
        source, stream, _ = (str(identity[name]) for name in self.key)
        rule, known = self._declared(identity), datetime.fromisoformat(token) if token else None
        if rule is None:
            raise Stale
        with told_as_target():
            self._refuse_unjudgeable(identity, amended(rule, str(value)))
            try:
                Amendments(self.platform.lake).say_after(known, source, stream, rule, str(value), by=BY)
            except Overtaken:
                raise Stale from None
            if self._holds(source, stream, rule.name):  # what it takes by now is to be released
                self.platform.events.append([Event(RULE_CHANGED, OfHeld(source=source, stream=stream, rule=rule.name).key)])

    def left(self, written: Receipt) -> str:
        """Rows that it let through: they stand in a table that is only appended to. Who looks at them, and by which command, is told."""
        from assets.pointing import let_through

        identity = written.plan.action.identity
        source, stream, name = (str(identity[part]) for part in self.key)
        rule = self._declared(identity)
        if rule is None:
            return ""
        try:
            took = amended(rule, str(written.after[self.field]))
            (takes,) = (each for each in self.platform.rules(source, stream) if each.name == name)
            since = datetime.fromisoformat(written.token)
            rows = let_through(self.platform, source, stream, took=took, takes=takes, since=since)
        except PilothouseError as error:  # it is taken back all the same
            return f"whether it let rows through cannot be told: {error.message}"
        return _told(rows, source, stream, name) if len(rows) else ""

    def _refuse_unjudgeable(self, identity: Values, changed: Rule) -> None:
        """Held against the columns as they are in the lake; before the first load nobody knows them."""
        raw = self.platform.lake.raw(str(identity["source"]), str(identity["stream"]))
        if raw.exists():
            refuse_unjudgeable(changed, raw.scan().collect_schema())

    def _holds(self, source: str, stream: str, rule: str) -> bool:
        table = self.platform.lake.quarantine(source, stream)
        return table.exists() and not open_rejections(table.scan(), rule=rule, limit=1).is_empty()

    def _declared(self, identity: Values) -> Rule | None:
        source, stream, name = (str(identity[part]) for part in self.key)
        with told_as_target():
            return next((rule for rule in self.platform.source(source).rules(stream) if rule.name == name), None)


def _told(rows: pl.DataFrame, source: str, stream: str, rule: str) -> str:
    """What stays, in which batches, what looks at it, and what takes it out."""
    from pilothouse.kernel.lake.sql import name_in_sql

    table, batches = f"raw/{source}/{stream}", rows["_batch_id"].unique(maintain_order=True).to_list()
    several, more = ", ".join("'" + each.replace("'", "''") + "'" for each in batches[:_BATCHES]), len(batches) - _BATCHES
    rest = f" and {more} more" if more > 0 else ""
    count = f"{len(rows):,} row{' that it let through stays' if len(rows) == 1 else 's that it let through stay'}"
    return (
        f"{count} in {table}, from batch {several}{rest}:"
        f' `pilothouse query "SELECT * FROM {name_in_sql(table)} WHERE _batch_id IN ({several})"` shows them,'
        f' `pilothouse affected --check "{source}/{stream}: {rule}"` the decisions that looked at them; correct them in their source'
    )
