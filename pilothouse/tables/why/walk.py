"""The walk from a row of a table down to raw rows: each table is asked once, for all rows that may matter.

Which do is said at the end, when everything is known that the row depends on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pilothouse.tables.project import Model, relation
from pilothouse.tables.why.annotate import ASKED, EXISTS, cells_of
from pilothouse.tables.why.needed import SEPARATOR, Needed

if TYPE_CHECKING:
    import duckdb

    from pilothouse.tables.why.explain import Explainer

_NAMED: Final = 500  # keys that are written out
RAW_KEY: Final = ("_row_id", "_seen_at")  # names one version of one raw row

Key = tuple[str, ...]  # a row's key, each part as text


class At(NamedTuple):
    """A table at a version."""

    table: str
    version: int


@dataclass
class Row:
    """One row, with what it says and the rows that it is made of."""

    table: str
    version: int
    key: dict[str, str]
    columns: list[str]  # the ones that matter to what is explained
    values: dict[str, Any] = field(default_factory=dict)
    sources: list[Row] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        told = {"table": self.table, "version": self.version, "key": self.key, "values": self.values}
        return {**told, "sources": [source.as_json() for source in self.sources]}

    def raw(self) -> dict[tuple[str, str], Row]:
        """The raw rows at the end of it all, by table and key."""
        if self.table.startswith("raw/"):
            return {(self.table, self.key["_row_id"] + self.key["_seen_at"]): self}
        return {key: row for source in self.sources for key, row in source.raw().items()}


class Walk:
    """One walk, in a database of its own."""

    def __init__(self, explainer: Explainer, connection: duckdb.DuckDBPyConnection) -> None:
        self._explainer = explainer
        self.connection = connection
        self._tables: dict[At, Asked] = {}
        self._needs: dict[tuple[At, Key, str], Needed] = {}

    def of(self, at: At, key: Key, columns: set[str]) -> Row | None:
        """The row with all that it is made of; None where there is none of that key."""
        self._ask_down(at, {key: columns})
        return self._row(at, key, columns, self._settled(at, key, columns)) if key in self._tables[at].values else None

    def needs(self, at: At, wanted: Mapping[Key, set[str]]) -> dict[Key, set[tuple[str, str]]]:
        """What these columns of these rows are made of, without the way there: raw rows, each by its table and identity."""
        self._ask_down(at, {key: set(columns) for key, columns in wanted.items()})
        atoms = {key: self._settled(at, key, columns) for key, columns in wanted.items()}
        return {
            key: {(table, identity) for table, identity, *_ in (atom.split(SEPARATOR) for atom in found)} for key, found in atoms.items()
        }

    def _settled(self, at: At, key: Key, columns: set[str]) -> set[str]:
        needed = Needed()
        for column in ("", *sorted(columns)):
            needed.merge(self._need(at, key, column))
        return needed.settled()

    def _ask_down(self, at: At, wanted: dict[Key, set[str]]) -> None:
        """Ask for these rows, and then for whatever they may be made of. Tables come in the order of their making, last first; one
        that was read at two versions, since it says the same at both to one of its readers, is asked at each."""
        pending = {at: wanted}
        while pending:
            at = max(pending, key=lambda each: (self._explainer.place(each.table), each))
            asked = self.asked(at, pending.pop(at))
            for atom in asked.everything():
                source, key, column = asked.source(atom)
                columns = pending.setdefault(source, {}).setdefault(key, set())
                columns.update({column} if column else ())

    def asked(self, at: At, wanted: Mapping[Key, set[str]]) -> Asked:
        """What these columns of these rows depend on in the inputs of their table."""
        model = self._explainer.model_of(at.table)
        key = model.key if model else RAW_KEY
        self._put_up(at, key, wanted, leaf=model is None)
        asked = self._tables[at] = Asked(at, key, self._values(at.table, key))
        if model is not None and not model.kept and asked.values:
            asked.inputs = tuple(At(name, version) for name, version in self._explainer.inputs(at.table, at.version).items())
            asked.cells = self._cells(model, asked.inputs, wanted)
        return asked

    def _put_up(self, at: At, key: Sequence[str], wanted: Mapping[Key, set[str]], *, leaf: bool) -> None:
        """Put the wanted rows, as they are published, where the model's text looks for them. Nothing looks for raw rows: of them only
        what is told of them is read."""
        parts = ", ".join(f"CAST(unnest(?) AS VARCHAR) AS k{number}" for number in range(len(key)))
        listed = [[row[number] for row in wanted] for number in range(len(key))]
        same = " AND ".join(_as_typed(each, f"keys.k{number}") for number, each in enumerate(key))
        rows = self._explainer.rows_of(at.table, at.version)
        # Values that are named are looked for in each file before anything else of it is read; a join would read it first.
        named = " AND ".join(_among(each, {row[number] for row in wanted}) for number, each in enumerate(key))
        told = ", ".join(f'told."{name}"' for name in sorted({*key, *set().union(*wanted.values())})) if leaf else "told.*"
        self.connection.execute(f"CREATE SCHEMA IF NOT EXISTS {ASKED}; CREATE OR REPLACE TEMP TABLE keys AS SELECT {parts}", listed)
        self.connection.execute(
            f"CREATE OR REPLACE TABLE {_place(at.table)} AS SELECT {told} FROM ({rows}) AS told JOIN keys ON {same} WHERE {named}"
        )

    def _values(self, table: str, key: Sequence[str]) -> dict[Key, dict[str, Any]]:
        told = self.connection.execute(f"SELECT {', '.join(as_text(each) for each in key)}, * FROM {_place(table)}")
        names = [each[0] for each in told.description or ()][len(key) :]
        return {tuple(map(str, row[: len(key)])): dict(zip(names, row[len(key) :], strict=True)) for row in told.fetchall()}

    def _cells(self, model: Model, inputs: Sequence[At], wanted: Mapping[Key, set[str]]) -> dict[Key, dict[str, Needed]]:
        """For each row, what its existence and each column in question depend on."""
        for number, (name, version) in enumerate(inputs):
            schema, table = relation(name)
            source = self._explainer.model_of(name)
            parts = f" || '{SEPARATOR}' || ".join(as_text(each) for each in (source.key if source else RAW_KEY))
            atom = f"'{number}{SEPARATOR}' || {parts} || '{SEPARATOR}'"
            rows = self._explainer.rows_of(name, version)
            self.connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
            self.connection.execute(f'CREATE OR REPLACE VIEW "{schema}"."{table}" AS SELECT *, {atom} AS _id FROM ({rows})')
        columns = sorted(set().union(*wanted.values()))
        kept = sorted({*columns, *model.key})
        lists = "".join(f', "{cells_of(name)}"' for name in columns)
        text = f"SELECT {', '.join(map(as_text, model.key))}, {EXISTS}{lists} FROM ({self._explainer.text(model, kept)})"
        found: dict[Key, dict[str, Needed]] = {}
        for row in self.connection.execute(text).fetchall():
            key = tuple(map(str, row[: len(model.key)]))
            told = zip(("", *columns), row[len(model.key) :], strict=True)
            found[key] = {name: Needed.of(atoms or ()) for name, atoms in told if key in wanted and (not name or name in wanted[key])}
        return found

    def _need(self, at: At, key: Key, column: str) -> Needed:
        """What a cell needs in raw rows; without a column, what the row's existence does."""
        if (at, key, column) not in self._needs:
            asked = self._tables[at]
            if not asked.inputs:  # a raw row, or what was learned once: it is named with its version
                found = Needed({SEPARATOR.join((at.table, *key, ""))})
            else:
                local = asked.cells.get(key, {}).get(column, Needed())
                found = local.lifted(lambda atom: self._need_of(asked.source(atom)), f"{at.table}@{at.version}")
            self._needs[at, key, column] = found
        return self._needs[at, key, column]

    def _need_of(self, source: tuple[At, Key, str]) -> Needed:
        at, key, column = source
        found = Needed()
        found.merge(self._need(at, key, ""))
        if column:
            found.merge(self._need(at, key, column))
        return found

    def _row(self, at: At, key: Key, columns: set[str], settled: set[str]) -> Row:
        """The row as a tree, of which only what leads to rows that matter is left."""
        asked = self._tables[at]
        row = Row(at.table, at.version, dict(zip(asked.key, key, strict=True)), sorted(columns), asked.values.get(key, {}))
        below: dict[tuple[At, Key], set[str]] = {}
        for column in ("", *columns):
            for atom in asked.cells.get(key, {}).get(column, Needed()).everything():
                source, its_key, its = asked.source(atom)
                if self._need_of((source, its_key, its)).everything() & settled:
                    below.setdefault((source, its_key), set()).update({its} if its else ())
        row.sources = [self._row(source, its_key, its, settled) for (source, its_key), its in sorted(below.items())]
        return row


@dataclass
class Asked:
    """What is known of one table: the rows that may matter, and what their cells depend on."""

    at: At
    key: tuple[str, ...]
    values: dict[Key, dict[str, Any]]
    inputs: Sequence[At] = ()
    cells: dict[Key, dict[str, Needed]] = field(default_factory=dict)

    def source(self, atom: str) -> tuple[At, Key, str]:
        """The table, the row and the column that an atom names."""
        number, *key, column = atom.split(SEPARATOR)
        return self.inputs[int(number)], tuple(key), column

    def everything(self) -> set[str]:
        """All atoms of all cells."""
        return set().union(*(needed.everything() for cells in self.cells.values() for needed in cells.values()))


def _place(table: str) -> str:
    """Where the rows of a table are that are asked for."""
    return f'{ASKED}."{relation(table)[1]}"'


def as_text(column: str) -> str:
    """SQL of a key's column as text."""
    if column == "_row_id":
        return "hex(_row_id)"
    return "CAST(epoch_us(_seen_at) AS VARCHAR)" if column == "_seen_at" else f'CAST("{column}" AS VARCHAR)'


def _among(column: str, texts: Collection[str]) -> str:
    """A column as one of these texts; of many, no condition at all."""
    if len(texts) > _NAMED:
        return "true"
    listed = ", ".join("'" + text.replace("'", "''") + "'" for text in sorted(texts))
    if column == "_row_id":
        listed = ", ".join(f"unhex('{text}')" for text in sorted(texts))
    if column == "_seen_at":
        listed = ", ".join(f"make_timestamptz({text})" for text in sorted(texts))
    return f'told."{column}" IN ({listed})'


def _as_typed(column: str, text: str) -> str:
    """A column against its text, so that the column itself is compared and files can be skipped."""
    if column == "_row_id":
        return f"told._row_id = unhex({text})"
    if column == "_seen_at":
        return f"told._seen_at = make_timestamptz(CAST({text} AS BIGINT))"
    return f'told."{column}" = {text}'
