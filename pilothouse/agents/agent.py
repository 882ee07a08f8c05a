"""What an agent is: a value. What it says to what it is asked is a function of that value, the request and a snapshot.

An agent's version is the hash of all that defines it: instructions, tools, output, budget, brain and the code that runs them.
Two agents of one version that hear the same say the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec
from pydantic import BaseModel

from pilothouse.agents.budget import Budget
from pilothouse.agents.capsules.capsule import canonical
from pilothouse.agents.tools import Calls, Tool

if TYPE_CHECKING:
    from pilothouse.agents.brains.language import Wording
    from pilothouse.agents.snapshot import Snapshot
    from pilothouse.agents.trials.property import Trials

FOUND: Final = "subject.found"  # what a request says happened where no event woke the agent: it looked, and found it open
# What a decision is made by, beside what its agent declares. How decisions are kept, read and compared is none of it: a new page that
# shows them must not make every agent another version.
CODE = (
    *(f"pilothouse.agents.{name}" for name in ("agent", "budget", "cassette", "held", "policy", "running", "snapshot", "tools")),
    "pilothouse.agents.capsules.capsule",
    "models.trees",
)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What an agent is asked: about what, on which occasion, and at which moment. A run asks no other clock."""

    subject: str  # such as s4/sales_order/1000100
    at: datetime
    event: Mapping[str, Any]
    event_id: str = ""

    def as_json(self) -> dict[str, Any]:
        """As it is kept."""
        return {"subject": self.subject, "at": self.at.isoformat(), "event": dict(self.event), "event_id": self.event_id}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Request:
        """The inverse."""
        return cls(subject=plain["subject"], at=datetime.fromisoformat(plain["at"]), event=plain["event"], event_id=plain["event_id"])


class Brain(Protocol):
    """What decides: a tree over facts, or a language model. It hears only what its calls answer."""

    def definition(self) -> Any:
        """All that makes it what it is, as plain JSON."""
        ...

    def as_defined(self, definition: Any) -> Brain:
        """The brain of an earlier definition, such as the tree of a decision made long ago."""
        ...

    def decide(self, agent: Agent, request: Request, calls: Calls) -> Mapping[str, Any]:
        """What is decided, as the agent's output takes it."""
        ...


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """What an agent decides when it looks for the first time: what is open and recent. Older history is nobody's decision any more."""

    table: str
    key: str  # the column that names the subject
    where: Mapping[str, Any]  # what is open
    newest: str  # the column that tells what is recent
    most: int = 20


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """What an agent looks for by itself, again and again, where no event tells of it: nobody announces that an invoice grows old. What
    it has decided rests for a while, so that nobody is asked the same thing every day."""

    find: Callable[[Snapshot, datetime], Sequence[str]]  # keys of subjects, the weightiest first
    why: str  # what it looks for, in words
    every: timedelta = timedelta(days=1)
    rests: timedelta = timedelta(days=7)
    most: int = 20  # that one round takes up


@dataclass(frozen=True, kw_only=True)
class Agent:
    """One agent. Adding one is one file under `pilothouse/agents/desks`, or in a package that joins by an entry point."""

    name: str
    description: str
    instructions: str
    subject: str  # what it decides on, such as s4/sales_order
    tools: tuple[Tool, ...]
    permissions: frozenset[str]
    output: type[BaseModel]
    brain: Brain
    budget: Budget = field(default_factory=Budget)
    tables: tuple[str, ...] = ()  # what its snapshot holds
    wakes_on: tuple[str, ...] = ()  # topics of events
    awaits: Mapping[str, str] = field(default_factory=dict)  # tables that must hold a subject before it is decided, by which column
    backlog: Backlog | None = None
    rounds: Rounds | None = None
    approvers: tuple[str, ...] = ("credit_manager",)  # roles that may approve what it proposes
    wording: Wording | None = None  # how a language model decides for it; without one, it says all of the output
    trials: Trials | None = None  # what a version must stand up to
    owner: str = "team:credit"

    def definition(self) -> dict[str, Any]:
        """Everything that its version stands for, as plain JSON."""
        return {**self._definition}

    def definition_bytes(self) -> bytes:
        """The same as it is kept."""
        return self._definition_bytes

    def version(self) -> str:
        """The hash of its definition."""
        return self._version

    # An agent is a value, so what it is defined by is worked out once: the schemas alone take ten times as long as a decision.
    @cached_property
    def _definition(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "instructions": self.instructions,
            "subject": self.subject,
            "tools": [_defined(tool) for tool in sorted(self.tools, key=lambda each: each.name)],
            "permissions": sorted(self.permissions),
            "approvers": sorted(self.approvers),
            "output": self.output.model_json_schema(),
            "budget": msgspec.to_builtins(self.budget, str_keys=True),
            "tables": sorted(self.tables),
            "brain": self.brain.definition(),
            "code": code_digest(*CODE, *sorted(self._modules() - {*CODE})),
        }

    def _modules(self) -> set[str]:
        """Where it stands, where its brain does (which may name more), and where its tools do."""
        brain: tuple[str, ...] = getattr(self.brain, "code", (type(self.brain).__module__,))
        return {self.output.__module__, *brain, *(tool.run.__module__ for tool in self.tools)}

    @cached_property
    def _definition_bytes(self) -> bytes:
        return canonical(self._definition)

    @cached_property
    def _version(self) -> str:
        return hashlib.sha256(self._definition_bytes).hexdigest()

    def as_defined(self, definition: Mapping[str, Any]) -> Agent:
        """An earlier version: what it decides by is what its definition says, the code is that of today."""
        return replace(
            self,
            instructions=definition["instructions"],
            permissions=frozenset(definition["permissions"]),
            approvers=tuple(definition.get("approvers", self.approvers)),
            brain=brain_as_defined(self, definition["brain"]),
        )


def brain_as_defined(agent: Agent, definition: Any) -> Brain:
    """The brain that an earlier definition of an agent names, whichever kind the agent has today."""
    if "language" not in definition:
        return agent.brain.as_defined(definition)
    from pilothouse.agents.brains.language import LanguageModel  # nobody needs it who has no such decision

    return LanguageModel.of(agent, ()).as_defined(definition)


def _defined(tool: Tool) -> dict[str, Any]:
    return {
        "name": tool.name,
        "description": tool.description,
        "arguments": tool.arguments.model_json_schema(),
        "permission": tool.permission,
        "effect": tool.effect,
        "worst": msgspec.to_builtins(tool.worst),
    }


@cache
def code_digest(*names: str) -> str:
    """The hash of the source of modules and of all in packages, in the order of their names."""
    hashed = hashlib.sha256()
    for name in names:
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        origin = Path(spec.origin)
        files = sorted(origin.parent.rglob("*.py")) if spec.submodule_search_locations else [origin]
        for path in files:
            hashed.update(f"{name}:{path.relative_to(origin.parent).as_posix()}\0".encode())
            hashed.update(path.read_bytes())
    return hashed.hexdigest()
