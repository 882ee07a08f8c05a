"""Rules that people changed, and the rules by which rows were held: notes of our own.

A declared rule is the default. A change says otherwise what one of them takes (its expectation's arguments, not its expectation and not
its columns), for one stream of one source, until it is taken back. A change that no longer fits what is declared (another expectation,
arguments that it does not take, no such rule any more) is left aside, and told so each time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import pyarrow as pa
import structlog

from pilothouse.kernel.errors import ConfigError
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.lake.notes import Notes
from quality.rule import Rule, written

STREAM: Final = "stream_rule"
HELD: Final = "held_rule"
_KEY: Final = ("source", "stream", "rule")
_RULE: Final = (
    pa.field("source", pa.string(), nullable=False, metadata={"label": "The source"}),
    pa.field("stream", pa.string(), nullable=False, metadata={"label": "The stream that it judges"}),
    pa.field("rule", pa.string(), nullable=False, metadata={"label": "Its name"}),
    pa.field("expectation", pa.string(), nullable=False, metadata={"label": "What it expects"}),
    pa.field("arguments", pa.string(), nullable=False, metadata={"label": "What its expectation takes, as JSON"}),
)
_CHANGE: Final = pa.schema(
    [
        *_RULE,
        pa.field(
            "as_declared", pa.bool_(), nullable=False, metadata={"label": "Whether that is what the rule declares, so nothing is changed"}
        ),
        pa.field("said_by", pa.string(), nullable=False, metadata={"label": "Who changed it"}),
        pa.field("said_at", pa.timestamp("us", "UTC"), nullable=False, metadata={"label": "When"}),
    ]
)
_HOLD: Final = pa.schema(
    [*_RULE, pa.field("noted_at", pa.timestamp("us", "UTC"), nullable=False, metadata={"label": "When it held rows first"})]
)

log = structlog.get_logger()


@dataclass(frozen=True)
class Amendment:
    """What a rule takes since somebody said so."""

    rule: str
    expectation: str
    arguments: str
    as_declared: bool
    said_at: datetime


class Amendments:
    """What was changed so far."""

    def __init__(self, lake: Lake) -> None:
        self._notes = Notes(lake, STREAM, _CHANGE, key=_KEY, moment="said_at")

    def newest(self, source: str, stream: str, rule: str) -> Amendment | None:
        """What was said last of a rule, taken back or not."""
        note = self._notes.about(source, stream, rule)
        return None if note is None else _amendment(note)

    def over(self, declared: Sequence[Rule], source: str, stream: str) -> tuple[Rule, ...]:
        """The rules of a stream as they are in force."""
        notes = [note for note in self._notes.newest() if (note["source"], note["stream"]) == (source, stream)]
        changes = {note["rule"]: _amendment(note) for note in notes if not note["as_declared"]}
        for name in changes.keys() - {rule.name for rule in declared}:
            log.warning("a changed rule is left aside", table=f"{source}/{stream}", rule=name, why="no such rule is declared any more")
        return tuple(_in_force(rule, changes.get(rule.name), f"{source}/{stream}") for rule in declared)

    def say_after(self, known: datetime | None, source: str, stream: str, rule: Rule, arguments: str, *, by: str) -> None:
        """Change what a declared rule takes; ConfigError where it cannot take that, Overtaken where somebody changed it after `known`."""
        changed = amended(rule, arguments)
        note = {"source": source, "stream": stream, "rule": rule.name, "expectation": rule.expectation, "arguments": arguments}
        as_declared = written(changed.kwargs) == written(rule.kwargs)
        self._notes.add_after(known, {**note, "as_declared": as_declared, "said_by": by, "said_at": datetime.now(UTC)})


class HeldRules:
    """The rules by which rows were held, as they were then: whoever looks at held rows must know what they broke."""

    def __init__(self, lake: Lake) -> None:
        self._notes = Notes(lake, HELD, _HOLD, key=_KEY, moment="noted_at")

    def note(self, source: str, stream: str, rules: Iterable[Rule]) -> None:
        """Take these down, each unless it was the same last time."""
        for rule in rules:
            known, told = self._notes.about(source, stream, rule.name), {"expectation": rule.expectation, "arguments": written(rule.kwargs)}
            if known is None or {name: known[name] for name in told} != told:
                named = {"source": source, "stream": stream, "rule": rule.name}
                self._notes.add_whoever_else_does({**named, **told, "noted_at": datetime.now(UTC)})


def amended(rule: Rule, arguments: str) -> Rule:
    """A rule that takes other arguments. ConfigError where its expectation does not, or where it would judge another column."""
    try:
        kwargs = json.loads(arguments)
    except ValueError as error:
        raise ConfigError(f"{rule}: arguments are no JSON: {error}", hint=f"such as {written(rule.kwargs)}") from error
    if not isinstance(kwargs, dict):
        raise ConfigError(f"{rule}: arguments are {arguments}, and no JSON object", hint=f"such as {written(rule.kwargs)}")
    changed = replace(rule, kwargs=kwargs)
    if changed.columns != rule.columns:
        raise ConfigError(f"{rule}: it judges {', '.join(rule.columns)}", hint="declare another rule for another column")
    return changed


def _in_force(rule: Rule, change: Amendment | None, table: str) -> Rule:
    if change is None:
        return rule
    why = f"it is {rule.expectation} now, and was {change.expectation}"
    if change.expectation == rule.expectation:
        try:
            return amended(rule, change.arguments)
        except ConfigError as error:
            why = error.message
    log.warning("a changed rule is left aside", table=table, rule=rule.name, why=why)
    return rule


def _amendment(note: dict[str, Any]) -> Amendment:
    return Amendment(note["rule"], note["expectation"], note["arguments"], note["as_declared"], note["said_at"])
