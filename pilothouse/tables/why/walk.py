"""The walk from a row of a table down to raw rows: each table is asked once, for all rows that may matter.

Which do is said at the end, when everything is known that the row depends on. Tables that do not hang on each other are asked side by
side: one answer is read from files while another one is told.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import TYPE_CHECKING, Final

from pilothouse.tables.why.asked import Asked, Cell, Place, Places
from pilothouse.tables.why.asking import Asking
from pilothouse.tables.why.needed import SEPARATOR, THERE, Needed
from pilothouse.tables.why.reading import At, Connection
from pilothouse.tables.why.row import Key, Row, alternatives

if TYPE_CHECKING:
    from pilothouse.tables.why.explain import Explainer

_SIDE_BY_SIDE: Final = 3  # tables: each is read by several threads already

Wanted = dict[Key, set[str]]  # the columns of rows that are asked for


class Walk:
    """One walk. `idle` are the connections that it has and does not use."""

    def __init__(self, explainer: Explainer) -> None:
        self.idle: list[Connection] = []
        self._explainer = explainer
        self._tables: dict[At, Asked] = {}
        self._places = Places()
        self._leads: dict[Needed, bool] = {}  # to what matters
        self._rows: dict[tuple[Place, frozenset[str]], Row] = {}

    def of(self, at: At, key: Key, columns: set[str]) -> Row | None:
        """The row with all that it is made of; None where there is none of that key."""
        return self.of_all({at: {key: columns}}).get((at, key))

    def of_all(self, wanted: Mapping[At, Mapping[Key, set[str]]]) -> dict[tuple[At, Key], Row]:
        """Several rows of several tables, each with all that it is made of; those that are there. What any one of several rows would do
        for is chosen for all of them together."""
        self._ask_down({at: {key: set(columns) for key, columns in rows.items()} for at, rows in wanted.items()})
        there = [(at, key, columns) for at, rows in wanted.items() for key, columns in rows.items() if key in self._tables[at].values]
        settled = self._settled(there)
        self._leads, self._rows = {}, {}
        return {(at, key): self._row(self._places[at, key], frozenset(columns), settled) for at, key, columns in there}

    def needs(self, at: At, wanted: Mapping[Key, set[str]]) -> dict[Key, set[tuple[str, str]]]:
        """What these columns of these rows are made of, without the way there: raw rows, each by its table and identity."""
        return {key: {(table, identity) for table, identity, *_ in atoms} for key, atoms in self.atoms(at, wanted).items()}

    def atoms(self, at: At, wanted: Mapping[Key, set[str]]) -> dict[Key, set[tuple[str, ...]]]:
        """The same with the version of each raw row: its table, and the parts of its key."""
        self._ask_down({at: {key: set(columns) for key, columns in wanted.items()}})
        there = {key: columns for key, columns in wanted.items() if key in self._tables[at].values}
        return {key: {tuple(atom.split(SEPARATOR)) for atom in self._settled([(at, key, columns)])} for key, columns in there.items()}

    def needing(self, atoms: Collection[str], wanted: Mapping[At, Mapping[Key, set[str]]]) -> set[tuple[At, Key]]:
        """Which of these rows of several tables need one of these raw rows, each row by itself. Whatever several of them are made of is
        asked for once."""
        self._ask_down({at: {key: set(columns) for key, columns in rows.items()} for at, rows in wanted.items()})
        named = ((at, key, columns) for at, rows in wanted.items() for key, columns in rows.items())
        return {(at, key) for at, key, columns in named if not self._settled([(at, key, columns)]).isdisjoint(atoms)}

    def _settled(self, wanted: Iterable[tuple[At, Key, set[str]]]) -> set[str]:
        needed = Needed()
        for at, key, columns in wanted:
            asked = self._tables[at]
            if asked.inputs:
                needed.merge(self._lifted(asked, asked.whole(key, columns)))
            else:
                needed.merge(self._need(self._places[at, key].cell("")))
        return needed.settled()

    def _ask_down(self, pending: dict[At, Wanted]) -> None:
        """Ask for these rows, and then for whatever they may be made of: a table when nothing is left that may be made of it. One that
        was read at two versions, since it says the same at both to one of its readers, is asked at each."""
        running: dict[Future[Asked], tuple[At, Wanted]] = {}
        with ThreadPoolExecutor(_SIDE_BY_SIDE, "why") as pool:
            while pending or running:
                for at in self._ready(pending, [at for at, _ in running.values()]):
                    wanted = pending.pop(at)
                    running[pool.submit(copy_context().run, self._asked, at, wanted)] = at, wanted
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    at, wanted = running.pop(done)
                    asked = self._tables[at] = done.result()
                    for place, columns in asked.by_place(asked.everything(wanted)).items():
                        pending.setdefault(place.at, {}).setdefault(place.key, set()).update(columns)

    def _ready(self, pending: Collection[At], running: Collection[At]) -> list[At]:
        """Those that no other table may still ask for; what is made last comes first."""
        below = [self._explainer.below(each.table) for each in (*pending, *running)]
        ready = [each for each in pending if not any(each.table in tables for tables in below)]
        return sorted(ready, key=lambda each: (self._explainer.place(each.table), each), reverse=True)

    def _asked(self, at: At, wanted: Wanted) -> Asked:
        """What these columns of these rows depend on in the inputs of their table."""
        try:
            connection = self.idle.pop()
        except IndexError:
            connection = self._explainer.reading.connection()
        asked = Asking(self._explainer, connection, self._places).rows(at, wanted)
        self.idle.append(connection)  # not after an error, when nobody knows what stands in it
        return asked

    def _need(self, cell: Cell) -> Needed:
        """What a cell needs in raw rows; without a column, what the row's existence does."""
        if cell.need is None:
            place = cell.place
            asked = self._tables[place.at]
            if asked.inputs:
                cell.need = self._lifted(asked, asked.narrow(place.key, cell.column))
            else:  # a raw row, or what was learned once, is named with its version
                cell.need = Needed({place.atom})
        return cell.need

    def _lifted(self, asked: Asked, told: Needed) -> Needed:
        """In raw rows, what is told of a table in rows of its inputs."""
        found = told.lifted(lambda atom: self._need_of(asked.source(atom)), f"{asked.at.table}@{asked.at.version}")
        self._note_values(asked)
        return found

    def _note_values(self, asked: Asked) -> None:
        """What raw rows say, as traces told."""
        while asked.telling.values:
            identity, values = asked.telling.values.popitem()
            place = asked.source(identity).place
            self._tables[place.at].values.setdefault(place.key, {}).update(values)

    def _need_of(self, cell: Cell) -> Needed:
        """What a cell needs, and that its row is there."""
        if cell.whole is None:
            there = self._need(cell.place.cell(""))
            says = self._need(cell) if cell.column and self._tables[cell.place.at].inputs else there
            if says is there:
                cell.whole = there
            else:
                cell.whole = Needed(there.atoms | says.atoms, there.choices | says.choices)
        return cell.whole

    def _row(self, place: Place, columns: frozenset[str], settled: set[str]) -> Row:
        """The row as a tree, of which only what leads to rows that matter is left."""
        known = self._rows.get((place, columns))
        if known is not None:
            return known
        asked, matter = self._tables[place.at], {name.removesuffix(THERE) for name in columns}
        row = Row(*place.at, dict(zip(asked.key, place.key, strict=True)), sorted(matter))
        self._rows[place, columns] = row
        said, shown = asked.values.get(place.key, {}), {*matter, *asked.key}
        row.values = {name: value for name, value in said.items() if name in shown or not asked.inputs}
        local = asked.whole(place.key, columns)
        leading = (atom for atom in local.everything() if self._leads_to(asked.source(atom), settled))
        below = sorted(asked.by_place(leading).items(), key=lambda each: (each[0].at, each[0].key))
        row.sources = [self._row(source, frozenset(its), settled) for source, its in below]
        numbers = {source: number for number, (source, _) in enumerate(below)}
        row.choices = alternatives(local, lambda atom: numbers.get(asked.source(atom).place))
        return row

    def _leads_to(self, cell: Cell, settled: set[str]) -> bool:
        """Whether what a cell is made of is among the atoms that matter."""
        need = self._need_of(cell)
        found = self._leads.get(need)
        if found is None:
            found = self._leads[need] = not (need.everything() if need.choices else need.atoms).isdisjoint(settled)
        return found
