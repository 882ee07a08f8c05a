"""What an agent can do, as values; and the layers between it and a call.

    Repeats(Recorded(Budgeted(Permitted(Toolbox(tools, snapshot), principal), account), cassette))

Each layer does one thing and knows the next one only as `Calls`. A tool of effect `read` sees a snapshot and nothing else; one of
effect `propose` returns an action for a person to approve; `act` is refused to every agent: an approved action is executed elsewhere.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from pydantic import BaseModel, ValidationError

from pilothouse.agents.budget import Account, Cost
from pilothouse.agents.snapshot import aside
from pilothouse.kernel.errors import AgentError, ConfigError, PilothouseError, ToolDenied, ToolFailed

Effect = Literal["read", "propose", "act"]
REPEATS: Final = 3  # the third time, the same call with the same arguments says that the agent runs in a circle
_CALL: Final = Cost(calls=1)
Asking = Callable[[Account], Any]  # asks a model, and takes from the account what each attempt may cost before it is made


@dataclass(frozen=True, kw_only=True)
class Tool:
    """One thing that agents can do. `arguments` validates what a model asks for before anything runs."""

    name: str
    description: str
    arguments: type[BaseModel]
    run: Callable[[Any, Any], Any]  # (snapshot, validated arguments) → plain JSON
    permission: str  # what the principal must hold
    effect: Effect = "read"
    aside: bool = False  # it tells how things are called: pages show it, nobody decides by it, and no language model is told
    worst: Cost = field(default_factory=lambda: Cost(calls=1, seconds=10.0))


class Calls(Protocol):
    """Something that tools are called on."""

    def call(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """The tool's answer as plain JSON; an AgentError where there is none."""
        ...

    def ask(self, model: str, asked: Mapping[str, Any], answered: Asking) -> Any:
        """A language model's answer as plain JSON. `asked` says all that the answer depends on, as it is remembered."""
        ...


class Toolbox:
    """Runs tools over one snapshot."""

    def __init__(self, tools: Sequence[Tool], snapshot: Any) -> None:
        self._tools = {tool.name: tool for tool in tools}
        if len(self._tools) != len(tools):
            twice = next(name for name, count in Counter(tool.name for tool in tools).items() if count > 1)
            raise ConfigError(f"two tools are called {twice}", hint="rename one of them")
        self._snapshot = snapshot

    def tool(self, name: str) -> Tool:
        """The tool of that name; ToolDenied where the agent has none: a model may ask for anything."""
        if name not in self._tools:
            raise ToolDenied(f"there is no tool {name!r}", hint=f"there are {', '.join(self._tools) or 'none'}")
        return self._tools[name]

    def call(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Validate and run, for as long as the tool's worst case allows."""
        tool = self.tool(name)
        try:
            valid = tool.arguments.model_validate(arguments)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"])) or "arguments"
            raise ToolFailed(f"{name}: {where}: {first['msg']}", hint=f"it takes {', '.join(tool.arguments.model_fields)}") from error
        with aside() if tool.aside else nullcontext():
            return _within(tool, lambda: tool.run(self._snapshot, valid))

    def ask(self, model: str, asked: Mapping[str, Any], answered: Asking) -> Any:  # noqa: ARG002 - there is nobody to ask
        """Tools alone have no account that a model's answer could be paid from."""
        raise ToolDenied(f"{model} cannot be asked here", hint="a model is asked in a run, which has a budget")


class Permitted:
    """Lets through what the principal may do. Deny by default."""

    def __init__(self, toolbox: Toolbox, permissions: frozenset[str]) -> None:
        self._toolbox = toolbox
        self._permissions = permissions

    def tool(self, name: str) -> Tool:
        """The tool, if it may be called."""
        tool = self._toolbox.tool(name)
        if tool.effect == "act":
            raise ToolDenied(
                f"{name} acts on a source system, which no agent does", hint="propose the action; it is executed once approved"
            )
        if tool.permission not in self._permissions:
            raise ToolDenied(
                f"{name} needs the permission {tool.permission!r}", hint="grant it to the agent's principal, or leave the tool out"
            )
        return tool

    def call(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """The call, if it may be made."""
        self.tool(name)
        return self._toolbox.call(name, arguments)


class Budgeted:
    """Reserves a call's worst case before it is made."""

    def __init__(self, permitted: Permitted, account: Account) -> None:
        self._permitted = permitted
        self._account = account

    def call(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """The call, if it can be afforded. A tool that is denied costs a call all the same: asking is not free."""
        try:
            worst = self._permitted.tool(name).worst
        except ToolDenied:
            with self._account.reserved(_CALL, name):
                raise
        with self._account.reserved(worst.most(_CALL), name) as reservation:
            answer = self._permitted.call(name, arguments)
            reservation.used = _CALL
            return answer

    def ask(self, model: str, asked: Mapping[str, Any], answered: Asking) -> Any:  # noqa: ARG002 - what it costs is all that counts here
        """The answer. Who asks knows how often it takes, and what that costs, so it is handed the account."""
        return answered(self._account)


class Repeats:
    """Stops a run that asks the same thing again and again: the snapshot does not change, so neither does the answer."""

    def __init__(self, inner: Calls) -> None:
        self._inner = inner
        self._seen: Counter[str] = Counter()

    def call(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """The call, unless it is the third of its kind."""
        mark = f"{name} {json.dumps(arguments, sort_keys=True, default=str)}"
        self._seen[mark] += 1
        if self._seen[mark] >= REPEATS:
            raise AgentError(
                f"the run was stopped: {name} was asked for the same thing {REPEATS} times",
                hint="its instructions lead it in a circle; its capsule shows every step",
            )
        return self._inner.call(name, arguments)

    def ask(self, model: str, asked: Mapping[str, Any], answered: Asking) -> Any:
        """The answer. A conversation only grows, so no question of one run is ever asked twice."""
        return self._inner.ask(model, asked, answered)


def _within(tool: Tool, run: Callable[[], Any]) -> Any:
    """What a tool returns, or ToolFailed: where it raises, where it hangs, and where it answers with what is no JSON."""
    outcome: dict[str, Any] = {}

    def work() -> None:
        try:
            outcome["answer"] = json.loads(json.dumps(run(), allow_nan=False))
        except BaseException as error:  # whatever it raises is the tool's failure, told to the caller below
            outcome["error"] = error

    # A thread that hangs cannot be ended. It holds a snapshot that only reads, and is left behind. It runs in the caller's context,
    # or what it reads would be missing from the version vector.
    thread = threading.Thread(target=copy_context().run, args=(work,), name=f"tool {tool.name}", daemon=True)
    thread.start()
    thread.join(tool.worst.seconds)
    if not outcome:
        raise ToolFailed(f"{tool.name}: gave no answer within {tool.worst.seconds:g} s", hint="raise its worst case, or mend it")
    error = outcome.get("error")
    if error is None:
        return outcome["answer"]
    if isinstance(error, AgentError):
        raise error
    said = error.message if isinstance(error, PilothouseError) else f"{type(error).__name__}: {error}"
    raise ToolFailed(f"{tool.name}: {said}", hint=getattr(error, "hint", "") or "the tool is broken for these arguments") from error
