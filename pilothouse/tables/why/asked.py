"""What one table was asked for: rows with what they say, and their traces, which tell what each cell depends on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pilothouse.tables.why.annotate import Annotated
from pilothouse.tables.why.needed import SEPARATOR, Needed
from pilothouse.tables.why.reading import At
from pilothouse.tables.why.recipes import Telling, Trace
from pilothouse.tables.why.row import RAW, Key


@dataclass(eq=False, slots=True)
class Place:
    """A row of a table at a version. There is one of each in a walk, so that what is known of it is found without comparing keys."""

    at: At
    key: Key
    cells: dict[str, Cell] = field(default_factory=dict)

    @property
    def atom(self) -> str:
        """The row's name where needs end. Of a raw row the version stands where an atom has its column: a row is there as long as any
        version of it is."""
        named = SEPARATOR.join((self.at.table, *self.key))
        return named if self.at.table.startswith(RAW) else named + SEPARATOR

    def cell(self, column: str) -> Cell:
        """What the row says in a column, or with a mark whether it says anything there; without a column, that the row is there."""
        found = self.cells.get(column)
        if found is None:
            found = self.cells[column] = Cell(self, column)
        return found


@dataclass(eq=False, slots=True)
class Cell:
    """A column of a row, with what is known of it in a walk."""

    place: Place
    column: str
    need: Needed | None = None  # in raw rows
    whole: Needed | None = None  # the same, and that its row is there


class Places(dict[tuple[At, Key], Place]):
    """All places of a walk."""

    def __missing__(self, named: tuple[At, Key]) -> Place:
        found = self[named] = Place(*named)
        return found


@dataclass
class Asked:
    """What is known of one table: the rows that may matter, what they say, and their traces."""

    at: At
    key: tuple[str, ...]
    places: Places
    values: dict[Key, dict[str, Any]] = field(default_factory=dict)
    inputs: Mapping[str, At] = field(default_factory=dict)
    text: Annotated | None = None
    traces: dict[Key, Trace] = field(default_factory=dict)
    telling: Telling = field(default_factory=Telling)
    _narrow: dict[tuple[Key, str], Needed] = field(default_factory=dict)
    _sources: dict[str, Cell] = field(default_factory=dict)

    def cell(self, key: Key, column: str, telling: Telling | None = None) -> Needed:
        """What a cell depends on; without a column, what the row's existence does. Another telling may tell less of it."""
        if self.text is None or key not in self.traces:
            return Needed()
        return (telling or self.telling).of(self.text.columns[column] if column else self.text.exists, self.traces[key])

    def narrow(self, key: Key, column: str) -> Needed:
        """The same without choices as wide as a table."""
        if (key, column) not in self._narrow:
            self._narrow[key, column] = self.cell(key, column).narrowed()
        return self._narrow[key, column]

    def whole(self, key: Key, columns: Iterable[str]) -> Needed:
        """What a row depends on that matters in these columns, all of them together: what one of them needs settles choices of others."""
        found = Needed()
        for column in ("", *sorted(columns)):
            found.merge(self.cell(key, column))
        return found.narrowed()

    def source(self, atom: str) -> Cell:
        """The cell that an atom names."""
        found = self._sources.get(atom)
        if found is None:
            table, *key, column = atom.split(SEPARATOR)
            found = self._sources[atom] = self.places[self.inputs[table], tuple(key)].cell(column)
        return found

    def by_place(self, atoms: Iterable[str]) -> dict[Place, set[str]]:
        """The rows that atoms are of, each with the columns in question."""
        found: dict[Place, set[str]] = {}
        for cell in map(self.source, atoms):
            columns = found.setdefault(cell.place, set())
            if cell.column:
                columns.add(cell.column)
        return found

    def everything(self, wanted: Mapping[Key, set[str]]) -> set[str]:
        """All atoms of these cells that may matter."""
        found: set[str] = set()
        for key, columns in wanted.items():
            for column in {"", *columns}:
                self.narrow(key, column).gather(found)
        return found
