"""The walk from a row of a table down to raw rows: each table is asked once, for all rows that may matter.

Which do is said at the end, when everything is known that the row depends on. Raw tables are not asked at all: what a raw row says,
as far as it matters, is in the traces of the rows that are made of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from pilothouse.tables.project import Model
from pilothouse.tables.why.annotate import ASKED, Annotated
from pilothouse.tables.why.needed import SEPARATOR, THERE, Needed
from pilothouse.tables.why.reading import RAW_KEY, At, Connection, as_text
from pilothouse.tables.why.recipes import Telling, Trace
from pilothouse.tables.why.row import Key, Row, alternatives

if TYPE_CHECKING:
    from pilothouse.tables.why.explain import Explainer

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(eq=False, slots=True)
class Place:
    """A row of a table at a version. There is one of each in a walk, so that what is known of it is found without comparing keys."""

    at: At
    key: Key
    cells: dict[str, Cell] = field(default_factory=dict)

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


class Walk:
    """One walk, over a connection of its own."""

    def __init__(self, explainer: Explainer, connection: Connection) -> None:
        self.connection = connection
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

    def _ask_down(self, pending: dict[At, dict[Key, set[str]]]) -> None:
        """Ask for these rows, and then for whatever they may be made of. Tables come in the order of their making, last first; one
        that was read at two versions, since it says the same at both to one of its readers, is asked at each."""
        while pending:
            at = max(pending, key=lambda each: (self._explainer.place(each.table), each))
            wanted = pending.pop(at)
            asked = self.asked(at, wanted)
            for place, columns in asked.by_place(asked.everything(wanted)).items():
                pending.setdefault(place.at, {}).setdefault(place.key, set()).update(columns)

    def asked(self, at: At, wanted: Mapping[Key, set[str]]) -> Asked:
        """What these columns of these rows depend on in the inputs of their table."""
        model = self._explainer.model_of(at.table)
        if model is None:
            asked = self._tables.setdefault(at, Asked(at, RAW_KEY, self._places))
            for key in wanted:
                seen = _EPOCH + timedelta(microseconds=int(key[1]))
                asked.values.setdefault(key, {"_row_id": bytes.fromhex(key[0]), "_seen_at": seen})
            return asked
        asked = self._tables[at] = Asked(at, model.key, self._places)
        if model.kept:
            asked.values = self._published(at, model, wanted, ())
        else:
            self._ask(asked, model, wanted)
        return asked

    def asked_together(self, at: At, columns: Collection[str], named: Sequence[str]) -> Asked:
        """What these columns depend on of the rows whose keys stand where the model's text looks for them; of those alone in whose
        traces one of these rows is found, if any are named."""
        model = self._explainer.model_of(at.table)
        assert model is not None
        asked = self._tables[at] = Asked(at, model.key, self._places)
        self._prepare(asked, model, columns)
        assert asked.text is not None
        if model.python or not set(asked.text.asked) <= set(model.key):
            self.connection.publish(model, self._explainer.reading.rows_of(at), asked.text.asked)
        found = " OR ".join(f"contains(CAST({trace} AS VARCHAR), '{name}')" for trace in asked.text.traces for name in named)
        self._run(asked, model, f" WHERE {found}" if found else "")
        return asked

    def _ask(self, asked: Asked, model: Model, wanted: Mapping[Key, set[str]]) -> None:
        self._prepare(asked, model, set().union(*wanted.values()))
        assert asked.text is not None
        if model.python or not set(asked.text.asked) <= set(model.key):
            asked.values = self._published(asked.at, model, wanted, asked.text.asked)
        else:
            self.connection.ask(model, [*wanted])
        self._run(asked, model)

    def _prepare(self, asked: Asked, model: Model, columns: Collection[str]) -> None:
        asked.inputs = {name: At(name, version) for name, version in self._explainer.reading.inputs(asked.at).items()}
        for source in asked.inputs.values():
            self.connection.view(source)
        asked.text = self._explainer.text(model, sorted({*columns, *model.key}), asked.inputs.values())

    def _run(self, asked: Asked, model: Model, which: str = "") -> None:
        assert asked.text is not None
        names, width = ", ".join(map(as_text, model.key)), len(model.key)
        told = self.connection.duck.execute(f"SELECT {names}, * FROM ({asked.text.text}){which}")
        columns = [each[0] for each in (told.description or ())[width:]]
        said = len(columns) - len(asked.text.traces)
        for row in told.fetchall():
            key = tuple(map(str, row[:width]))
            asked.traces[key] = dict(zip(columns[said:], row[width + said :], strict=True))
            if not model.python:
                asked.values[key] = dict(zip(columns[:said], row[width:], strict=False))

    def _published(self, at: At, model: Model, wanted: Mapping[Key, set[str]], used: Iterable[str]) -> dict[Key, dict[str, Any]]:
        """Put the wanted rows, as they are published, where the model's text looks for them; returns what they say. `used` are the
        columns by which the text looks."""
        self.connection.ask(model, [*wanted])
        columns = {name.removesuffix(THERE) for name in set().union(*wanted.values(), used)}
        self.connection.publish(model, self._explainer.reading.rows_of(at), sorted(columns))
        told = self.connection.duck.execute(f'SELECT {", ".join(map(as_text, model.key))}, * FROM {ASKED}."{model.name}"')
        names = [each[0] for each in told.description or ()][len(model.key) :]
        return {tuple(map(str, row[: len(model.key)])): dict(zip(names, row[len(model.key) :], strict=True)) for row in told.fetchall()}

    def _need(self, cell: Cell) -> Needed:
        """What a cell needs in raw rows; without a column, what the row's existence does."""
        if cell.need is None:
            place = cell.place
            asked = self._tables[place.at]
            if asked.inputs:
                cell.need = self._lifted(asked, asked.narrow(place.key, cell.column))
            else:  # a raw row, or what was learned once, is named with its version
                cell.need = Needed({SEPARATOR.join((place.at.table, *place.key, ""))})
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
    _sources: dict[str, Place] = field(default_factory=dict)

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
        identity, _, column = atom.rpartition(SEPARATOR)
        place = self._sources.get(identity)
        if place is None:
            table, *key = identity.split(SEPARATOR)
            place = self._sources[identity] = self.places[self.inputs[table], tuple(key)]
        return place.cell(column)

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
