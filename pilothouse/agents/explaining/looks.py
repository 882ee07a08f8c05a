"""What the calls of a run looked at: rows of tables, found by making each call once more, and served again with some cells otherwise.

A cassette tells what calls answered, not what the answers were made of. So each call is made again over the versions of then, where
it must answer as it was heard; what it looks at on the way is what its answer is made of.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pilothouse.agents.snapshot import Snapshot
from pilothouse.kernel.errors import ToolFailed


class Cell(NamedTuple):
    """A column of a row that was looked at; without a column, that the row is there."""

    look: int
    row: int
    column: str = ""


@dataclass(frozen=True)
class Look:
    """One question to a table, and the rows that came back."""

    table: str
    where: Mapping[str, Any]
    limit: int
    order: str
    rows: Sequence[Mapping[str, Any]]

    @property
    def question(self) -> tuple[Any, ...]:
        """By what it is told from others."""
        return self.table, tuple(sorted((name, repr(value)) for name, value in self.where.items())), self.limit, self.order


class Watching(Snapshot):
    """Remembers what a snapshot was asked: every look once, and the places of those since `begin`."""

    def __init__(self, over: Snapshot) -> None:
        self._over = over
        self.looks: list[Look] = []
        self.since: set[int] = set()
        self._places: dict[tuple[Any, ...], int] = {}

    @property
    def tables(self) -> tuple[str, ...]:
        """What can be looked at."""
        return self._over.tables

    def begin(self) -> None:
        """Another call is made."""
        self.since = set()

    def rows(self, table: str, where: Mapping[str, Any], *, limit: int, order: str = "") -> list[dict[str, Any]]:
        """The rows, remembered."""
        look = Look(table, dict(where), limit, order, self._over.rows(table, where, limit=limit, order=order))
        if look.question not in self._places:
            self._places[look.question] = len(self.looks)
            self.looks.append(look)
        self.since.add(self._places[look.question])
        return [dict(row) for row in look.rows]


class Served(Snapshot):
    """The rows that were looked at, some cells otherwise and some rows gone, to whoever asks the same; ToolFailed to all others."""

    def __init__(self, looks: Sequence[Look], tables: Collection[str]) -> None:
        self._looks = looks
        self._places = {look.question: place for place, look in enumerate(looks)}
        self._tables = tuple(sorted(tables))
        self.instead: Mapping[Cell, Any] = {}

    @property
    def tables(self) -> tuple[str, ...]:
        """What can be looked at."""
        return self._tables

    def rows(self, table: str, where: Mapping[str, Any], *, limit: int, order: str = "") -> list[dict[str, Any]]:
        """The rows as they were, but for what shall be otherwise."""
        place = self._places.get(Look(table, where, limit, order, ()).question)
        if place is None:
            raise ToolFailed(f"{table} was not asked for this", hint="something else was asked than then")
        served = {number: dict(row) for number, row in enumerate(self._looks[place].rows)}
        for cell, value in self.instead.items():
            if cell.look == place and cell.column:
                served[cell.row][cell.column] = value
        gone = {cell.row for cell in self.instead if cell.look == place and not cell.column}
        return [row for number, row in served.items() if number not in gone]
