"""A question, what an agent's tools answer to it, and what people want decided. It needs no lake, no model and no network.

A version that asks for something else than is kept in a case is told so, as it would be of a tool that fails: a case made of an old
decision holds what was asked then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pilothouse.agents.agent import Agent, Request
from pilothouse.agents.capsules.capsule import canonical
from pilothouse.agents.running import Run, run
from pilothouse.agents.snapshot import saw_synthetic
from pilothouse.kernel.errors import ToolFailed


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a tool answers; to any arguments where none are named."""

    tool: str
    arguments: Mapping[str, Any] | None
    answer: Any


@dataclass(frozen=True, kw_only=True)
class Case:
    """One case. `wanted` are the actions that are right; without any, all but `unwanted` are."""

    name: str
    request: Request
    answers: tuple[Answer, ...]
    wanted: frozenset[str] = frozenset()
    unwanted: frozenset[str] = frozenset()
    because: str = ""
    source: str = "shipped"  # or the decision that people spoke about

    def passes(self, action: str) -> bool:
        """Whether this is what people want."""
        return action in self.wanted if self.wanted else action not in self.unwanted

    def told(self) -> str:
        """What they want, in words."""
        return " or ".join(sorted(self.wanted)) or "not " + " and not ".join(sorted(self.unwanted))

    def answer(self, tool: str, arguments: Mapping[str, Any]) -> Any:
        """What a tool answers; ToolFailed where nothing is kept."""
        asked = canonical(dict(arguments))
        for each in self.answers:
            if each.tool == tool and (each.arguments is None or canonical(dict(each.arguments)) == asked):
                return each.answer
        raise ToolFailed(f"{tool}: this case keeps no answer to {asked.decode()}", hint="decide by what is known")

    def changed(self, tool: str, **values: Any) -> Case:
        """The same case where a tool answers otherwise."""
        return replace(
            self,
            answers=tuple(replace(each, answer={**each.answer, **values}) if each.tool == tool else each for each in self.answers),
        )


@dataclass(frozen=True, kw_only=True)
class Decided:
    """What a version decided on a case, or why it did not."""

    case: Case
    output: Mapping[str, Any] = field(default_factory=dict)
    run: Run | None = None
    failed: str = ""

    @property
    def action(self) -> str:
        """What it decided."""
        return str(self.output.get("action", ""))

    @property
    def passed(self) -> bool:
        """Whether that is what people want."""
        return not self.failed and self.case.passes(self.action)


def decided_on(agent: Agent, case: Case) -> Run:
    """Let an agent decide on a case: its own loop, budget and permissions, and tools that answer what the case keeps."""

    def answering(name: str) -> Any:
        def told(_: Any, asked: Any) -> Any:
            answer = case.answer(name, asked.model_dump(mode="json"))
            if any(row.get("_synthetic") for row in _rows(answer)):
                saw_synthetic()
            return answer

        return told

    tools = tuple(replace(tool, run=answering(tool.name)) for tool in agent.tools)
    return run(replace(agent, tools=tools), case.request, None)


def _rows(answer: Any) -> Iterable[Mapping[str, Any]]:
    return [each for each in (answer if isinstance(answer, list) else [answer]) if isinstance(each, Mapping)]
