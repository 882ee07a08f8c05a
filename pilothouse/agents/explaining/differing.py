"""What makes two decisions differ: two that were made, or one and what today's agent would decide over today's rows.

Where a decision is held against today, two more are made: by the agent of then over today's rows, and by today's agent over the rows
of then. They tell whether it is the agent that has changed its mind, or the world that has changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec

from pilothouse.agents.agent import Agent, Request
from pilothouse.agents.cassette import Heard
from pilothouse.agents.explaining.opened import Opened
from pilothouse.agents.running import Run, run
from pilothouse.agents.snapshot import Snapshot
from pilothouse.kernel.errors import AgentError, PilothouseError
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.versions import Versions

Cause = Literal["nothing", "data", "agent", "either", "both together"]
NOTHING: Final = None  # a side has no such thing


@dataclass(frozen=True)
class Difference:
    """One thing that the two say differently. What a side does not have at all is None there."""

    name: str
    left: Any
    right: Any


@dataclass(frozen=True)
class Side:
    """One of the two."""

    name: str
    subject: str
    definition: Mapping[str, Any]
    versions: Versions
    heard: Sequence[Heard]
    output: Mapping[str, Any]

    @classmethod
    def of(cls, opened: Opened) -> Side:
        """A decision that was made."""
        return cls(opened.id, opened.subject, opened.definition, opened.versions, opened.heard, opened.output)

    @classmethod
    def made(cls, name: str, made: Run) -> Side:
        """One that was made just now, and is not kept."""
        heard = msgspec.json.decode(made.cassette, type=list[Heard])
        return cls(name, made.request.subject, made.agent.definition(), made.versions, heard, msgspec.json.decode(made.output))


@dataclass(frozen=True)
class Because:
    """What each of the four would decide, of an agent and rows, then and today; None where none can be made. And what follows."""

    then: str
    data_today: str | None
    agent_today: str | None
    today: str | None

    @property
    def cause(self) -> Cause:
        """What it takes that today's action is another."""
        if self.today == self.then:
            return "nothing"
        data, agent = self.data_today == self.today, self.agent_today == self.today
        if data and agent:
            return "either"
        return "data" if data else "agent" if agent else "both together"


@dataclass(frozen=True)
class Diff:
    """All in which two decisions differ. `asked` are the inputs of their trees on the ways that were taken, `heard` all that calls
    answered."""

    left: str
    right: str
    output: tuple[Difference, ...]
    parted: Difference | None  # the node at which their ways part, and where each goes from there
    asked: tuple[Difference, ...]
    heard: tuple[Difference, ...]
    agent: tuple[Difference, ...]
    versions: tuple[Difference, ...]
    because: Because | None = None

    @property
    def same(self) -> bool:
        """Whether both say the same."""
        return not self.output

    def as_json(self) -> dict[str, Any]:
        """As plain JSON."""
        because = {**asdict(self.because), "cause": self.because.cause} if self.because else None
        return {**asdict(self), "same": self.same, "because": because}


def between(left: Side, right: Side, because: Because | None = None) -> Diff:
    """What makes them differ."""
    return Diff(
        left.name,
        right.name,
        output=tuple(_fields(left.output, right.output, ("path",))),
        parted=_parted(left.output.get("path") or [], right.output.get("path") or []),
        asked=tuple(_fields(_seen(left.output), _seen(right.output))),
        heard=tuple(_leaves("", _answers(left), _answers(right))),
        agent=tuple(_leaves("", _read(left.definition), _read(right.definition))),
        versions=tuple(_fields(_named(left.versions), _named(right.versions))),
        because=because,
    )


def against_today(opened: Opened, agent: Agent, lake: Lake) -> Diff:
    """What today's agent would decide on the same over today's rows. AgentError where it would decide nothing."""
    request = replace(opened.request, at=datetime.now(UTC))
    then = agent.as_defined(opened.definition)
    now = Snapshot.take(lake, {*agent.tables, *opened.definition["tables"]})
    before = Snapshot.of(lake, opened.versions)
    try:
        try:
            today = run(agent, request, now)
        except AgentError as error:
            raise AgentError(f"today nothing can be decided on {opened.subject}: {error.message}", hint=error.hint) from error
        side = Side.made("today", today)
        because = Because(
            then=_action(opened.output),
            data_today=_tried(then, request, now),
            agent_today=_tried(agent, opened.request, before),
            today=_action(side.output),
        )
    finally:
        now.close()
        before.close()
    return between(Side.of(opened), side, because)


def _tried(agent: Agent, request: Request, snapshot: Snapshot) -> str | None:
    try:
        return _action(msgspec.json.decode(run(agent, request, snapshot).output))
    except PilothouseError:
        return None


def _action(output: Mapping[str, Any]) -> str:
    return str(output.get("action"))


def _fields(left: Mapping[str, Any], right: Mapping[str, Any], besides: Sequence[str] = ()) -> Iterator[Difference]:
    for name in dict.fromkeys([*left, *right]):
        if name not in besides and left.get(name) != right.get(name):
            yield Difference(name, left.get(name), right.get(name))


def _leaves(name: str, left: Any, right: Any) -> Iterator[Difference]:
    """Where two values differ, as deep down as they are of one shape."""
    if isinstance(left, dict) and isinstance(right, dict):
        for each in dict.fromkeys([*left, *right]):
            yield from _leaves(f"{name}.{each}" if name else str(each), left.get(each), right.get(each))
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for place, (mine, theirs) in enumerate(zip(left, right, strict=True)):
            yield from _leaves(f"{name}[{place}]", mine, theirs)
    elif left != right:
        yield Difference(name, left, right)


def _seen(output: Mapping[str, Any]) -> dict[str, Any]:
    return {condition["input"]: condition["value"] for step in output.get("path") or [] for condition in step["conditions"]}


def _parted(left: Sequence[Mapping[str, Any]], right: Sequence[Mapping[str, Any]]) -> Difference | None:
    """The first node from which the two go on differently."""
    for mine, theirs in zip(left, right, strict=False):
        if mine["node"] == theirs["node"] and mine["then"] != theirs["then"]:
            return Difference(mine["ask"] or mine["node"], mine["then"], theirs["then"])
        if mine["node"] != theirs["node"]:
            return Difference("the first question", mine["node"], theirs["node"])
    return None


def _answers(side: Side) -> dict[str, Any]:
    """What each call answered; of the same call made several times, in order."""
    found: dict[str, Any] = {}
    for heard in side.heard:
        name, number = heard.name, 1
        while name in found:
            number += 1
            name = f"{heard.name} {number}"
        found[name] = heard.answer if heard.error is None else {"error": heard.error[1]}
    return found


def _read(definition: Mapping[str, Any]) -> dict[str, Any]:
    """A definition, in which what is JSON written as a text (a tree) is read."""
    brain = {name: _parsed(value) for name, value in definition["brain"].items()} if isinstance(definition["brain"], dict) else {}
    return {**definition, "brain": brain or definition["brain"]}


def _parsed(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(("{", "[")):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _named(versions: Versions) -> dict[str, str]:
    return {f"{entry.kind} {entry.name}": entry.version for entry in versions.read}
