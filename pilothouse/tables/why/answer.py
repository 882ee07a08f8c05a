"""A query as those see it who read it: the cells of its columns, and the traces that it puts out for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from sqlglot import exp

from pilothouse.tables.why.cells import Cells, nothing
from pilothouse.tables.why.expressions import Source
from pilothouse.tables.why.hidden import Hidden
from pilothouse.tables.why.needed import THERE
from pilothouse.tables.why.recipes import NOTHING, Fields, Recipe, all_of, down

_HANDLE: Final = "_p"  # and a number: the traces of a query's rows, one column for each part of a union


@dataclass
class Select:
    """One rewritten SELECT."""

    node: exp.Select
    outputs: dict[str, Cells]
    exists: Cells
    places: frozenset[str] = frozenset()  # the columns that number its rows, but for versions of one
    place: str = ""  # the one, of which number 1 may be read alone
    firsts: dict[str, Cells] = field(default_factory=dict)  # of the row that has number 1
    first_exists: Cells = nothing
    hidden: Hidden | None = None  # behind that row; of a query that numbers none, behind those that it reads
    blurred: bool = False
    fields: Fields = field(default_factory=Fields)


@dataclass
class Answer:
    """A query: its columns, its parts (several of a union), and whether it reads no base table at all."""

    columns: tuple[str, ...]
    parts: list[Select]
    plain: bool
    attached: bool = False

    def attach(self) -> None:
        """Put the traces out. The parts of a union have the same columns, each with nothing in those of the others."""
        if self.attached or self.plain:
            return
        self.attached = True
        told = [(number, part.fields.sql()) for number, part in enumerate(self.parts) if part.fields]
        for place, part in enumerate(self.parts):
            for number, text in told:
                part.node.append("expressions", exp.alias_(exp.Var(this=text if number == place else "NULL"), f"{_HANDLE}{number}"))

    def source(self, alias: str, *, firsts: bool = False) -> Source:
        """Its cells, for a query that reads it under this alias; of its rows that have number 1, if only these are read."""

        def taken(of: Sequence[Cells], fields: Fields) -> Recipe:
            recipes = [cells(part.fields) for part, cells in zip(self.parts, of, strict=True)]
            told = ((number, recipe) for number, recipe in enumerate(recipes) if recipe is not NOTHING)
            return all_of(
                down(fields.add(f'"{alias}".{_HANDLE}{number}' if alias else f"{_HANDLE}{number}"), each) for number, each in told
            )

        def columns(name: str) -> Cells:
            if firsts:
                return lambda fields: taken([self.parts[0].firsts[name]], fields)
            place = [*self.columns, *marked(self.columns)].index(name)
            return lambda fields: taken([list(part.outputs.values())[place] for part in self.parts], fields)

        exist = [part.first_exists if firsts else part.exists for part in self.parts]
        hidden = self.parts[0].hidden if len(self.parts) == 1 and firsts == bool(self.parts[0].place) else None
        if hidden:
            kept_back = hidden.kept_back
            hidden = replace(hidden, alias=alias, kept_back=lambda fields: taken([kept_back], fields))
        places = frozenset().union(*(part.places for part in self.parts)) - ({self.parts[0].place} if firsts else set())
        handing_on = any(part.hidden and not part.place for part in self.parts)
        blurred = any(part.blurred for part in self.parts) or (handing_on and len(self.parts) > 1)
        return Source(columns, lambda fields: taken(exist, fields), "", hidden, places, blurred)


def marked(columns: Sequence[str]) -> list[str]:
    """The names under which it is told whether columns say anything."""
    return [each + THERE for each in columns]
