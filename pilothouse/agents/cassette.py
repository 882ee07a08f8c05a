"""Everything that came into a run from outside of it, in order: recorded once, played back for ever.

A run is a function of its request, its agent's version and what its calls answered. So the answers are kept, and a replay that
hears them again must say the same, byte for byte; one that asks for something else is told where it left the track.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from pilothouse.agents.capsules.capsule import canonical
from pilothouse.agents.tools import Asking, Calls
from pilothouse.kernel.errors import AgentError, BudgetExceeded, PilothouseError, ToolDenied, ToolFailed

Source = Literal["tool", "model", "clock"]
ERRORS: dict[str, type[AgentError]] = {kind.__name__: kind for kind in (ToolDenied, ToolFailed, BudgetExceeded)}


@dataclass(frozen=True, kw_only=True)
class Heard:
    """One call and what came of it: an answer, or the error that the run was told of."""

    source: Source
    name: str
    asked: Any
    answer: Any = None
    error: tuple[str, str, str] | None = None  # class, message, hint


class Recorder:
    """Makes calls and keeps them."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []

    def hear(self, source: Source, name: str, asked: Any, answered: Callable[[], Any]) -> Any:
        """What is answered, kept. An error that a run can be told of is kept as one."""
        try:
            answer = answered()
        except tuple(ERRORS.values()) as error:
            self.heard.append(Heard(source=source, name=name, asked=asked, error=(type(error).__name__, error.message, error.hint)))
            raise
        self.heard.append(Heard(source=source, name=name, asked=asked, answer=answer))
        return answer

    def content(self) -> bytes:
        """The cassette as bytes; equal cassettes have equal bytes."""
        return canonical([msgspec.to_builtins(each) for each in self.heard])


class Player:
    """Answers from a cassette, and calls nobody."""

    def __init__(self, heard: Sequence[Heard]) -> None:
        self._heard = heard
        self._place = 0

    @classmethod
    def of(cls, content: bytes) -> Player:
        """A player of a kept cassette."""
        try:
            return cls(msgspec.json.decode(content, type=list[Heard]))
        except msgspec.MsgspecError as error:
            raise AgentError(f"the cassette cannot be read: {error}", hint="`pilothouse verify` tells whether it was changed") from error

    def hear(self, source: Source, name: str, asked: Any, answered: Callable[[], Any]) -> Any:  # noqa: ARG002 - nobody is asked
        """What was answered then. AgentError where the run asks for something else than it did."""
        if self._place >= len(self._heard):
            raise _diverged(self._place, f"it asks for {source} {name}, and nothing more was asked then")
        then = self._heard[self._place]
        if (then.source, then.name, canonical(then.asked)) != (source, name, canonical(asked)):
            raise _diverged(self._place, f"it asks for {source} {name} {asked}, and then it was {then.source} {then.name} {then.asked}")
        self._place += 1
        if then.error is not None:
            raise error_of(then.error)
        return then.answer

    def finish(self) -> None:
        """AgentError where the run ended before the cassette did."""
        if self._place < len(self._heard):
            raise _diverged(self._place, f"it ends here, and then it asked for {self._heard[self._place].name}")


def error_of(kept: tuple[str, str, str]) -> AgentError:
    """An error as it was told then."""
    kind, message, hint = kept
    return ERRORS.get(kind, AgentError)(message, hint=hint)


class Recorded:
    """Calls of tools and models through a cassette, while it is recorded or played."""

    def __init__(self, inner: Calls, cassette: Recorder | Player) -> None:
        self._inner = inner
        self._cassette = cassette

    def call(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """The answer, now or then."""
        return self._cassette.hear("tool", name, dict(arguments), lambda: self._inner.call(name, arguments))

    def ask(self, model: str, asked: Mapping[str, Any], answered: Asking) -> Any:
        """The same of a language model."""
        return self._cassette.hear("model", model, dict(asked), lambda: self._inner.ask(model, asked, answered))


def _diverged(place: int, how: str) -> PilothouseError:
    return AgentError(
        f"the replay leaves the recorded run at call {place + 1}: {how}", hint="the agent's version or its environment differs from then"
    )
