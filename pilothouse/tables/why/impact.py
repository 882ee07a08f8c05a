"""From a raw row up to every row of every table that depends on it: `why`, the other way round.

For each model, in the order of their making, the query by which an incremental build finds what a change touches names the rows
that may depend on rows known to. Their own annotated text, of those columns alone that can depend on any of these, then says which
do. Rows that need it only as one choice of several may depend on nothing in the end: these are asked for their sources, as `why`
would, all rows of all tables at once. A bureau's rating is such a choice in a dozen tables, and what is below them is the same: asked
for table by table, it was read and planned a dozen times.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pilothouse.tables.project import Model, changes_of
from pilothouse.tables.why.asked import Asked, Place
from pilothouse.tables.why.asking import Asking
from pilothouse.tables.why.explain import Explainer
from pilothouse.tables.why.made import Made, Unknown, at_of, called, made_of
from pilothouse.tables.why.needed import SEPARATOR, THERE, Needed
from pilothouse.tables.why.reading import RAW_KEY, At, as_text
from pilothouse.tables.why.recipes import Pointing, Recipe, cells_in
from pilothouse.tables.why.row import Key
from pilothouse.tables.why.touched import touching

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


@dataclass
class _Telling:
    """The rows of one table that are to be told of."""

    model: Model
    found: _Reached
    keys: set[Key]

    def doubtful(self) -> dict[Key, set[str]]:
        """The rows that depend on what was reached for sure in no column, each with all of its columns."""
        columns = {column.name for column in self.model.columns if not column.name.startswith("_")}
        return {key: columns for key in self.keys if not any(self.found.cells[key].values())}

    def dependents(self) -> Iterator[Dependent]:
        """The rows as they are told."""
        for key in sorted(self.keys):
            told = tuple(sorted(name for name in self.found.cells[key] if name and not name.endswith(THERE)))
            yield Dependent(*self.found.at, dict(zip(self.model.key, key, strict=True)), told)


@dataclass(frozen=True)
class _Wanted:
    """What is asked of one table: `last`, where nothing else is made of it, so that one column for sure is as good as all, and rows that
    are not to be told of need not be looked at."""

    last: bool
    among: Collection[Key] | None

    def has(self, key: Key) -> bool:
        """Whether a row is to be looked at."""
        return not self.last or self.among is None or key in self.among


class Impact:
    """The rows that depend on some others, as the tables are now or as they were."""

    def __init__(self, explainer: Explainer, models: Iterable[Model]) -> None:
        self._explainer = explainer
        self._models = list(models)

    def of(self, table: str, row_id: str) -> Iterator[Dependent]:
        """The rows of every table that depend on any version of a raw row, which is named by its identity in hexadecimal digits."""
        yield from self.of_rows(table, [(row_id,)], {})

    def of_rows(
        self, table: str, keys: Collection[Key], versions: Mapping[str, int], tell: Mapping[str, Collection[Key] | None] | None = None
    ) -> Iterator[Dependent]:
        """The rows of every table that depend on any of these. Rows of a raw table go by their identity, alone or with the moment when a
        version of them was seen; others by their key. Tables that are named in `versions` are taken at these and no others are asked;
        without a name, all are, as they are now. `tell` names the tables to tell of, and which of their rows; all without it.
        Where it names some and nothing asked is made of a table, one column is enough to tell a row of it: the others are not looked at."""
        telling: list[_Telling] = []
        asked = [each for each in self._models if (not versions or each.table in versions) and not each.kept]
        below = {name for model in asked for name in self._explainer.inputs_of(model)}
        with self._explainer.asking() as asking:
            start = self._start(asking, table, keys, versions)
            reached = {table: start}
            for each in made_of(self._explainer, table, asked, versions) if start.cells else ():
                if reached.keys() & each.reads:
                    if isinstance(each, Unknown):
                        raise each.error
                    name = each.at.table
                    among = None if tell is None else tell.get(name)
                    last = tell is not None and name not in below
                    found = self._reached(asking, each, reached, _Wanted(last, among))
                    if found is not None and found.cells:
                        reached[name] = found
                        if tell is None or name in tell:
                            telling.append(_Telling(each.model, found, {*found.cells} if among is None else found.cells.keys() & {*among}))
        self._settle(telling, start)
        for told in telling:
            yield from told.dependents()

    def key_of(self, table: str) -> tuple[str, ...] | None:
        """By which columns rows of a table are named; None where no model makes it."""
        model = self._explainer.model_of(table)
        return None if model is None else tuple(model.key)

    def _start(self, asking: Asking, table: str, keys: Collection[Key], versions: Mapping[str, int]) -> _Reached:
        """The rows that it starts from, as far as they were there. All of their columns matter, and that they are there."""
        at, model = at_of(self._explainer, table, versions), self._explainer.model_of(table)
        names = [as_text(name) for name in (RAW_KEY if model is None else model.key)]
        first = "_row_id IN (SELECT unhex(unnest(?)))" if model is None else f"{names[0]} IN (SELECT unnest(?))"
        told = f"SELECT {', '.join(names)} FROM ({self._explainer.reading.rows_of(at)}) WHERE {first}"
        rows = asking.connection.duck.execute(told, [sorted({key[0] for key in keys})]).fetchall() if keys else []
        wanted = {tuple(key) for key in keys}
        lengths = {len(key) for key in wanted}
        there = [tuple(map(str, row)) for row in rows]
        return _Reached(at, {row: {"": True, _ALL: True} for row in there if any(row[:length] in wanted for length in lengths)})

    def _reached(self, asking: Asking, made: Made, reached: Mapping[str, _Reached], wanted: _Wanted) -> _Reached | None:
        columns = {name for name, recipe in made.recipes().items() if _can_reach(recipe, reached)}
        if not columns and not _can_reach(made.text.exists, reached):
            return None
        changed = {name: each for name, each in reached.items() if name in made.reads}
        if not self._ask_candidates(asking, made, changed):
            return None
        asked = asking.together(made.at, columns, _named(changed.values()))
        found, hits = _Reached(made.at), _Hits(asked, reached)
        pointing, names = Pointing(asked.telling, hits.of_row), ("", *sorted(columns))
        for key in filter(wanted.has, asked.traces):
            told = dict[str, bool]()
            for name in names:
                certain = _depends(hits, asked.cell(key, name, pointing), Needed())
                if certain is False:  # what is needed anyway, of whatever rows, may settle the choice
                    certain = _depends(hits, asked.cell(key, name), asked.cell(key, ""))
                if certain is not None:
                    told[name] = certain
                if certain and wanted.last:
                    break
            if told:
                found.cells[key] = told
                if not any(told.values()) and _depends(hits, _together(asked.cell(key, name) for name in names), Needed()) is None:
                    found.idle.add(key)
        return found

    def _ask_candidates(self, asking: Asking, made: Made, changed: Mapping[str, _Reached]) -> bool:
        """Put the keys of rows that may depend on what was reached where the model's text looks for them; of a model that is made as a
        whole, all. Returns whether there are any."""
        model, rows, duck = made.model, self._explainer.reading.rows_of(made.at), asking.connection.duck
        names = {changes_of(model.name, name): each for name, each in changed.items()}
        text = self._explainer.touched(model)
        if not text:
            asking.connection.ask_those(model, f"SELECT * FROM ({rows})")
        else:
            for source in made.inputs:
                asking.connection.view(source)
            asking.connection.stand(("before", model.name), rows)
            for name, each in names.items():
                asking.connection.change(name, each.at, [*each.cells])
            query = touching(text, frozenset(names))
            if query is None:
                return False
            asking.connection.ask_those(model, query)
        return duck.execute(f'SELECT 1 FROM asked."{model.name}" LIMIT 1').fetchone() is not None

    def _settle(self, telling: Sequence[_Telling], start: _Reached) -> None:
        """Leave out rows that depend on nothing in the end: of those that do for sure in no column, their sources tell. They are found
        by a walk of their own, as what stands where the models' texts look for it is another than on the way up."""
        for each in telling:
            each.keys -= each.found.idle
        if self._explainer.model_of(start.at.table) is not None:
            return  # needs are told down to raw rows: where it started from others, what is doubtful counts
        doubtful = {each.found.at: each.doubtful() for each in telling}
        wanted = {at: rows for at, rows in doubtful.items() if rows}
        if not wanted:
            return
        with self._explainer.walk() as walk:
            needed = walk.needing({Place(start.at, key).atom for key in start.cells}, wanted)
        for each in telling:
            each.keys -= {key for key in doubtful[each.found.at] if (each.found.at, key) not in needed}


def _can_reach(recipe: Recipe, reached: Mapping[str, _Reached]) -> bool:
    """Whether what was reached can be among what a recipe finds."""
    columns = {called(table): each.columns() for table, each in reached.items()}
    found = ((columns.get(table, set()), column) for table, column in cells_in(recipe))
    return any(known & {"", _ALL, column} for known, column in found)


def _depends(hits: _Hits, needed: Needed, beside: Needed) -> bool | None:
    """Whether what this needs depends on what was reached: for sure, or (False) perhaps, or not at all. An alternative that is needed
    anyway, be it by what is needed `beside`, makes the others of its choice idle."""
    found = [each for each in (hits[atom] for atom in needed.atoms) if each is not None]
    if any(found):
        return True
    for choice in needed.choices.values():
        if found:
            break
        if any(hits[atom] is not None for one in choice.values() for atom in one.everything()):
            sure = needed.atoms | beside.atoms
            found += [] if any(not one.choices and one.atoms <= sure for one in choice.values()) else [False]
    return False if found else None


class _Hits(dict[str, bool | None]):
    """What is known of each atom of one table's traces: whether it was reached for sure, or (False) perhaps, or not at all. One row is
    in the traces of many, by many columns."""

    def __init__(self, asked: Asked, reached: Mapping[str, _Reached]) -> None:
        super().__init__()
        self._asked = asked
        self._reached = reached

    def __missing__(self, atom: str) -> bool | None:
        cell = self._asked.source(atom)
        reached = self._reached.get(cell.place.at.table)
        hit = self[atom] = None if reached is None else reached.hit(cell.place.key, cell.column)
        return hit

    def of_row(self, identity: str) -> bool:
        """Whether any cell of a row was reached."""
        place = self._asked.source(identity).place
        reached = self._reached.get(place.at.table)
        return reached is not None and place.key in reached.cells


def _together(several: Iterable[Needed]) -> Needed:
    found = Needed()
    for each in several:
        found.merge(each)
    return found


def _named(several: Iterable[_Reached]) -> list[str]:
    """The identities of the rows that were reached, if these are few and can be looked for."""
    found = [SEPARATOR.join((each.at.table, *key, "")) for each in several for key in each.cells]
    return found if len(found) <= _FEW and all(_PLAIN.fullmatch(each) for each in found) else []
