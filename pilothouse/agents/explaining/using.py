"""Which of the cells that a decision looked at it really used: those without which, or with something else in them, it would say
something else.

Nobody has to declare it. The decision is made again with other values in some cells, values that other rows of the same table have,
and what it then says is compared. Cells are tried together, and halved where that changes something, so that finding twenty among
two hundred takes some two hundred tries of half a millisecond. What else might have been decided, and how sure it was, is commentary
(`ASIDE`): it would need every input of a tree, whichever way was taken. So are names by which people know what it is about.

A language model has read whatever it was told: all of it counts as used, and what it was not told (`Tool.aside`) does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pilothouse.agents.agent import Agent
from pilothouse.agents.capsules.capsule import canonical
from pilothouse.agents.cassette import Heard, error_of
from pilothouse.agents.explaining.looks import Cell, Look, Served, Watching
from pilothouse.agents.explaining.opened import Opened
from pilothouse.agents.figures import figures
from pilothouse.agents.policy import briefly
from pilothouse.agents.snapshot import Snapshot
from pilothouse.agents.tools import Asking, Tool
from pilothouse.kernel.errors import AgentError, PilothouseError

ASIDE: Final = frozenset({"otherwise", "confidence"})
LEARNED: Final = "model/"  # tables of what models learned: versions of a model, no rows of anything that happened
ASKED_NEXT: Final = "what it asked next"
INPUT: Final = "path: "  # and the name of an input of the tree

Others = Callable[[str], Sequence[Mapping[str, Any]]]  # of a table: rows that say something else than one that was seen


@dataclass(frozen=True)
class Used:
    """A cell that was used, what it said, and what of the decision it moves: fields of its output, and inputs of its tree."""

    cell: Cell
    value: Any
    moves: tuple[str, ...]


class Remade:
    """A decision that can be made again over the rows that it looked at."""

    def __init__(self, opened: Opened, agent: Agent, watching: Watching) -> None:
        self.agent = agent
        self._opened = opened
        self._tools = {tool.name: tool for tool in agent.tools}
        self._calls: dict[bytes, tuple[Heard, frozenset[int]]] = {}
        self._answers: dict[tuple[bytes, tuple[tuple[Cell, Any], ...]], Any] = {}
        self.by_model = any(heard.source != "tool" for heard in opened.heard)
        self._aside = ASIDE | {each.name for each in figures(agent.definition()) if each.unit == "name"}
        for heard in opened.heard:
            if heard.source == "tool":
                self._calls[_named(heard.name, heard.asked)] = heard, self._looked(heard, watching)
        self.looks = watching.looks
        self.calls_of = {place: [heard for heard, places in self._calls.values() if place in places] for place in range(len(self.looks))}
        self._served = Served(self.looks, watching.tables)

    def _looked(self, heard: Heard, watching: Watching) -> frozenset[int]:
        """Make a call once more; the looks that it took. AgentError where it answers otherwise than it did."""
        watching.begin()
        if heard.error is None and canonical(self._run(heard.name, heard.asked, watching)) != canonical(heard.answer):
            raise AgentError(
                f"decision {self._opened.id}: {heard.name} {heard.asked} answers otherwise than it did then",
                hint="its tool has changed since: explain it in the commit that made it",
            )
        return frozenset(watching.since)

    def say(self, instead: Mapping[Cell, Any]) -> dict[str, Any] | None:
        """What is decided with some cells otherwise; None where nothing can be, or something else would have been asked."""
        self._served.instead = instead
        try:
            with briefly():
                said = self.agent.brain.decide(self.agent, self._opened.request, self)
            output = self.agent.output.model_validate(said).model_dump(mode="json")
        except (PilothouseError, ValueError, ArithmeticError, LookupError, TypeError):
            return None  # whatever a brain makes of values that never were
        return {name: value for name, value in output.items() if name not in self._aside}

    def told(self, place: int) -> bool:
        """Whether a look was taken by any call of which a language model is told."""
        return any(not self._tools[heard.name].aside for heard in self.calls_of[place])

    def call(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """A tool's answer over what is served; that of then, where it looked at nothing that is otherwise."""
        asked = _named(name, arguments)
        if asked not in self._calls:
            raise AgentError(f"{name} was not asked for this", hint="something else was asked than then")
        heard, places = self._calls[asked]
        touching = tuple((cell, value) for cell, value in self._served.instead.items() if cell.look in places)
        if not touching:
            if heard.error is not None:
                raise error_of(heard.error)
            return heard.answer
        return self._run(name, arguments, self._served)

    def ask(self, model: str, asked: Mapping[str, Any], answered: Asking) -> Any:  # noqa: ARG002 - nobody is asked
        """No model is asked again: what it would say of other values nobody knows."""
        raise AgentError(f"{model} is not asked again", hint="all that it was told counts as used")

    def _run(self, name: str, arguments: Mapping[str, Any], snapshot: Snapshot) -> Any:
        tool: Tool | None = self._tools.get(name)
        if tool is None:
            raise AgentError(
                f"decision {self._opened.id} called {name}, which its agent no longer has", hint="explain it in the commit that made it"
            )
        return tool.run(snapshot, tool.arguments.model_validate(arguments))


def used(remade: Remade, others: Others) -> list[Used]:
    """The cells that a decision used."""
    columns = [
        Cell(place, row, name)
        for place, look in enumerate(remade.looks)
        if not look.table.startswith(LEARNED)
        for row, values in enumerate(look.rows)
        for name in values
        if name not in look.where and not name.startswith("_")
    ]
    rows = list(dict.fromkeys(Cell(cell.look, cell.row) for cell in columns))
    if remade.by_model:
        return [Used(cell, _value(remade.looks, cell), ()) for cell in (*columns, *rows) if remade.told(cell.look)]
    before = remade.say({})
    if before is None:
        raise AgentError("the decision cannot be made again over what it looked at", hint="explain it in the commit that made it")
    found: list[Used] = []
    trying = _Trying(remade, canonical(before), others)
    for cell, instead in trying.columns(columns):
        found.append(Used(cell, _value(remade.looks, cell), _moved(before, remade.say({cell: instead}))))
    for cell in rows:
        after = remade.say({cell: None})
        if after is None or canonical(after) != canonical(before):
            found.append(Used(cell, None, _moved(before, after)))
    return found


class _Trying:
    """Other values in the place of those that were seen, until it is known which of them matter."""

    def __init__(self, remade: Remade, before: bytes, others: Others) -> None:
        self._remade = remade
        self._before = before
        self._others = {table: others(table) for table in {look.table for look in remade.looks if not look.table.startswith(LEARNED)}}

    def columns(self, cells: Sequence[Cell]) -> Iterator[tuple[Cell, Any]]:
        """The cells that matter, each with a value that shows it."""
        left = list(cells)
        for turn in range(max(map(len, self._others.values()), default=0)):
            found = list(self._among(left, turn, {}))
            yield from ((cell, self._instead(cell, turn)) for cell in found)
            left = [cell for cell in left if cell not in {*found}]

    def _among(self, cells: Sequence[Cell], turn: int, base: Mapping[Cell, Any]) -> Iterator[Cell]:
        """Those of some cells that matter with the values of this turn, where the base is otherwise, too."""
        instead = {cell: value for cell in cells if (value := self._instead(cell, turn)) is not _same}
        if not instead or not self._changes({**base, **instead}):
            return
        if len(instead) == 1:
            yield from instead
            return
        half = len(instead) // 2
        first, second = [*instead][:half], [*instead][half:]
        found = [*self._among(first, turn, base), *self._among(second, turn, base)]
        if not found:  # neither half alone, but both: what the second adds to the first
            found = [*self._among(second, turn, {**base, **{cell: instead[cell] for cell in first}})]
        yield from found

    def _changes(self, instead: Mapping[Cell, Any]) -> bool:
        after = self._remade.say(instead)
        return after is None or canonical(after) != self._before

    def _instead(self, cell: Cell, turn: int) -> Any:
        look = self._remade.looks[cell.look]
        rows = self._others[look.table]
        value = rows[turn].get(cell.column, _same) if turn < len(rows) else _same
        return _same if value == look.rows[cell.row][cell.column] else value


class _Same:
    """No other value."""


_same: Final = _Same()


def _moved(before: Mapping[str, Any], after: Mapping[str, Any] | None) -> tuple[str, ...]:
    """What of a decision is otherwise. Of the way through a tree, which inputs were seen with another value."""
    if after is None:
        return (ASKED_NEXT,)
    moved = [name for name in before if before[name] != after.get(name)]
    if "path" in moved:
        seen, now = _seen(before["path"]), _seen(after.get("path") or [])
        inputs = [name for name, value in seen.items() if name in now and now[name] != value]
        moved += [f"{INPUT}{name}" for name in inputs]
    return tuple(moved)


def _seen(path: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {condition["input"]: condition["value"] for step in path for condition in step["conditions"]}


def _value(looks: Sequence[Look], cell: Cell) -> Any:
    return looks[cell.look].rows[cell.row][cell.column] if cell.column else None


def _named(name: str, arguments: Any) -> bytes:
    return canonical([name, arguments])
