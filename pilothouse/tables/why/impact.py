"""From a raw row up to every row of every table that depends on it: `why`, the other way round.

For each model, in the order of their making, the query by which an incremental build finds what a change touches names the rows
that may depend on rows known to. Their own annotated text, of those columns alone that can depend on any of these, then says which
do. Rows that need it only as one choice of several may depend on nothing in the end: these are asked for their sources, as `why`
would, all rows of a table at once.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from pilothouse.tables.project import Model, changes_of, relation
from pilothouse.tables.why.explain import Explainer
from pilothouse.tables.why.needed import SEPARATOR, Needed
from pilothouse.tables.why.reading import RAW_KEY, At, as_text
from pilothouse.tables.why.recipes import Recipe, cells_in
from pilothouse.tables.why.row import Key
from pilothouse.tables.why.touched import touching
from pilothouse.tables.why.walk import Asked, Walk

_FEW: Final = 16  # rows that are looked for in traces by name
_PLAIN: Final = re.compile(r"[\w/:. +\x1f-]+")  # a name that looks the same in a trace that is written out
_ALL: Final = "*"  # all columns


@dataclass(frozen=True)
class Dependent:
    """A row that depends on the raw row, in these columns or some of them; in none, where only its being there does."""

    table: str
    version: int
    key: dict[str, str]
    columns: tuple[str, ...]


@dataclass
class _Reached:
    """What is known of one table: which cells of which rows depend on the raw row; True are those that do for sure. The column ""
    is that the row exists."""

    at: At
    cells: dict[Key, dict[str, bool]] = field(default_factory=dict)
    idle: set[Key] = field(default_factory=set)  # rows that as a whole depend on nothing, though some of their cells may by themselves

    def columns(self) -> set[str]:
        return {column for cells in self.cells.values() for column in cells}

    def hit(self, key: Key, column: str) -> bool | None:
        """Whether a cell depends on the raw row for sure; None if it does not."""
        cells = self.cells.get(key)
        if cells is None:
            return None
        found = [cells[each] for each in ("", column, _ALL) if each in cells]
        return any(found) if found else None


class Impact:
    """The rows that depend on one raw row."""

    def __init__(self, explainer: Explainer, models: Iterable[Model]) -> None:
        self._explainer = explainer
        self._models = list(models)

    def of(self, table: str, row_id: str) -> Iterator[Dependent]:
        """The rows of every table that depend on any version of a raw row, which is named by its identity in hexadecimal digits."""
        with self._explainer.walk() as walk:
            reached = {table: self._versions(walk, table, row_id)}
            for model in self._models:
                if not model.kept and reached.keys() & set(self._explainer.inputs_of(model)):
                    found = self._reached(walk, model, reached)
                    if found is not None and found.cells:
                        reached[model.table] = found
                        yield from self._told(model, found, (table, row_id))

    def _versions(self, walk: Walk, table: str, row_id: str) -> _Reached:
        at = At(table, self._explainer.reading.newest(table))
        told = f"SELECT {', '.join(map(as_text, RAW_KEY))} FROM ({self._explainer.reading.rows_of(at)}) WHERE _row_id = unhex('{row_id}')"
        rows = walk.connection.duck.execute(told).fetchall()
        # All of its columns matter, and that it is there.
        return _Reached(at, {tuple(map(str, row)): {"": True, _ALL: True} for row in rows})

    def _reached(self, walk: Walk, model: Model, reached: Mapping[str, _Reached]) -> _Reached | None:
        at = At(model.table, self._explainer.reading.newest(model.table))
        inputs = [At(name, version) for name, version in self._explainer.reading.inputs(at).items()]
        whole = self._explainer.text(model, (), inputs)
        below = {relation(name): each for name, each in reached.items()}
        columns = {name for name, recipe in whole.columns.items() if not name.startswith("_") and _can_reach(recipe, below)}
        if not columns and not _can_reach(whole.exists, below):
            return None
        changed = {name: each for name, each in reached.items() if name in {input_.table for input_ in inputs}}
        if not self._ask_candidates(walk, model, at, inputs, changed):
            return None
        asked = walk.asked_together(at, columns, _named(changed.values()))
        found = _Reached(at)
        for key in asked.traces:
            there = {name: asked.cell(key, name) for name in ("", *columns)}
            cells = {name: _depends(asked, needed, there[""], reached) for name, needed in there.items()}
            told = {name: certain for name, certain in cells.items() if certain is not None}
            if told:
                found.cells[key] = told
                if not any(told.values()) and _depends(asked, _together(there.values()), Needed(), reached) is None:
                    found.idle.add(key)
        return found

    def _ask_candidates(self, walk: Walk, model: Model, at: At, inputs: Collection[At], changed: Mapping[str, _Reached]) -> bool:
        """Put the keys of rows that may depend on what was reached where the model's text looks for them; of a model that is made as a
        whole, all. Returns whether there are any."""
        rows, duck = self._explainer.reading.rows_of(at), walk.connection.duck
        names = {changes_of(model.name, name): each for name, each in changed.items()}
        text = self._explainer.touched(model)
        if not text:
            walk.connection.ask_those(model, f"SELECT * FROM ({rows})")
        else:
            for source in inputs:
                walk.connection.view(source)
            walk.connection.stand(("before", model.name), rows)
            for name, each in names.items():
                walk.connection.change(name, each.at, [*each.cells])
            query = touching(text, frozenset(names))
            if query is None:
                return False
            walk.connection.ask_those(model, query)
        return duck.execute(f'SELECT 1 FROM asked."{model.name}" LIMIT 1').fetchone() is not None

    def _told(self, model: Model, found: _Reached, raw: tuple[str, str]) -> Iterator[Dependent]:
        """The rows that depend on the raw one. Those that do for sure in no column are asked for their sources: in a walk of their own,
        as what stands where the models' texts look for it is another each time."""
        columns = {column.name for column in model.columns if not column.name.startswith("_")}
        doubtful = [key for key, cells in found.cells.items() if not any(cells.values()) and key not in found.idle]
        idle = set(found.idle)
        if doubtful:
            with self._explainer.walk() as walk:
                needs = walk.needs(found.at, dict.fromkeys(doubtful, columns))
            idle |= {key for key in doubtful if raw not in needs[key]}
        for key in sorted(found.cells.keys() - idle):
            told = tuple(sorted(name for name in found.cells[key] if name))
            yield Dependent(*found.at, dict(zip(model.key, key, strict=True)), told)


def _can_reach(recipe: Recipe, below: Mapping[tuple[str, str], _Reached]) -> bool:
    """Whether what was reached can be among what a recipe finds."""
    columns = {".".join(name): each.columns() for name, each in below.items()}
    found = ((columns.get(table, set()), column) for table, column in cells_in(recipe))
    return any(known & {"", _ALL, column} for known, column in found)


def _depends(asked: Asked, needed: Needed, beside: Needed, reached: Mapping[str, _Reached]) -> bool | None:
    """Whether what this needs depends on what was reached: for sure, or (False) perhaps, or not at all. An alternative that is needed
    anyway, be it by what is needed `beside`, makes the others of its choice idle."""
    found = [each for each in (_hit(asked, atom, reached) for atom in needed.atoms) if each is not None]
    if any(found):
        return True
    for choice in needed.choices.values():
        if found:
            break
        if any(_hit(asked, atom, reached) is not None for one in choice.values() for atom in one.everything()):
            sure = needed.atoms | beside.atoms
            found += [] if any(not one.choices and one.atoms <= sure for one in choice.values()) else [False]
    return False if found else None


def _together(several: Iterable[Needed]) -> Needed:
    found = Needed()
    for each in several:
        found.merge(each)
    return found


def _hit(asked: Asked, atom: str, reached: Mapping[str, _Reached]) -> bool | None:
    at, key, column = asked.source(atom)
    return reached[at.table].hit(key, column) if at.table in reached else None


def _named(several: Iterable[_Reached]) -> list[str]:
    """The identities of the rows that were reached, if these are few and can be looked for."""
    found = [SEPARATOR.join((each.at.table, *key, "")) for each in several for key in each.cells]
    return found if len(found) <= _FEW and all(_PLAIN.fullmatch(each) for each in found) else []
