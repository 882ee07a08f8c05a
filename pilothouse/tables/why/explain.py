"""From a row of a table down to raw rows: which it is made of, model by model, at the versions that the table was made of.

Each model is asked once for all of its rows that something above depends on, and only for the columns in question: an order's
features need when its customer's invoices were paid, not in which currency.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import duckdb

from pilothouse.kernel.errors import ConfigError, LakeError
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.lake.duck import offer_store
from pilothouse.tables.project import Model, Project, relation
from pilothouse.tables.record import Notes
from pilothouse.tables.why.annotate import ASKED, EXISTS, MACROS, annotated, cells_of
from pilothouse.tables.why.needed import SEPARATOR, Needed
from pilothouse.tables.why.texts import texts

_RAW_KEY: Final = ("_row_id", "_seen_at")  # names one version of one raw row

Key = tuple[str, ...]  # a row's key, each part as text


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


class Explainer:
    """Explains rows of a project's tables over a lake."""

    def __init__(self, lake: Lake, project: Project, work: Path) -> None:
        self._lake = lake
        self._project = project
        self._work = work
        self._models = {model.table: model for model in project.models.values()}
        self._places = {model.table: place for place, model in enumerate(project.models.values())}
        self._notes = Notes(lake)
        self._annotated: dict[str, str] = {}

    def why(self, table: str, key: Mapping[str, Any], *, column: str | None = None, version: int | None = None) -> Row:
        """The row of that key, with everything it is made of. `column` explains what it says there alone."""
        model = self._project.model(table)
        if set(key) != set(model.key):
            raise ConfigError(f"{model.table}: its key is {', '.join(model.key)}", hint=f"name {' and '.join(model.key)}")
        known = [each.name for each in model.columns if not each.name.startswith("_")]
        if column is not None and column not in known:
            raise ConfigError(f"{model.table}: no column '{column}'", hint=f"it has {', '.join(known)}")
        asked: Key = tuple(str(key[name]) for name in model.key)
        version = version if version is not None else self._lake.table(model.table).version()
        with duckdb.connect() as connection:
            connection.execute(f"SET TimeZone = 'UTC'; {MACROS}")
            offer_store(connection, self._lake)
            try:
                found = _Explanation(self, connection).of(model.table, version, asked, {column} if column else set(known))
            except duckdb.ConversionException as error:
                told = ", ".join(f"{name}={value}" for name, value in key.items())
                raise ConfigError(
                    f"{model.table}: {told} is no key of it ({str(error).splitlines()[0]})", hint="numbers are digits, days 2026-11-21"
                ) from error
        if found is None:
            told = ", ".join(f"{name}={value}" for name, value in key.items())
            raise ConfigError(f"{model.table}: no row {told} at version {version}", hint="`pilothouse query` shows which there are")
        return found

    def model_of(self, table: str) -> Model | None:
        """The model that makes a table; None for a raw one."""
        return self._models.get(table)

    def place(self, table: str) -> int:
        """How far from raw tables a table is made: what it is made of comes before it."""
        return self._places.get(table, -1)

    def inputs(self, table: str, version: int) -> dict[str, int]:
        """Which version of each input a version of a table was made of; ConfigError where that cannot be said."""
        code = self._project.code(self._models[table])
        for record in self._notes.told_of(self._lake.table(table), version):
            if record.code == code:
                return {name: read.version for name, read in record.inputs.items()}
        raise LakeError(
            f"{table}: nothing tells that version {version} was made by the model as it is now",
            hint="explain it in the commit that made it, or bring it up to the model with `pilothouse build`",
        )

    def rows_of(self, table: str, version: int) -> str:
        """A SELECT of a table at a version."""
        return self._lake.table(table).files(version).sql

    def text(self, model: Model) -> str:
        """The model's annotated SQL, with the views it reads through written out."""
        if model.name not in self._annotated:
            views = [f'"{view.layer}__{view.name}" AS ({self._plain(view)})' for view in dict.fromkeys(self._project.views(model))]
            body = self._plain(model)
            text = f"WITH {', '.join(views)} SELECT * FROM ({body}) AS made" if views else body
            self._annotated[model.name] = annotated(text, self._schema)
        return self._annotated[model.name]

    def _plain(self, model: Model) -> str:
        text = self._texts[model.name]
        for view in self._project.views(model):
            text = text.replace(f'"memory"."{view.layer}"."{view.name}"', f'"{view.layer}__{view.name}"')
        return text

    @cached_property
    def _texts(self) -> Mapping[str, str]:
        return texts(self._project, self._lake, self._work)

    @cached_property
    def _schema(self) -> dict[str, dict[str, list[str]]]:
        found: dict[str, dict[str, list[str]]] = {ASKED: {}}
        for model in self._project.models.values():
            columns = [column.name for column in model.columns]
            found.setdefault(model.layer, {})[model.name] = columns
            found[ASKED][model.name] = columns
        for name in {name for model in self._project.models.values() for name in model.raw}:
            schema, table = relation(name)
            found.setdefault(schema, {})[table] = self._lake.table(name).schema().names
        return found


class _Explanation:
    """One walk from a row of a table down to raw rows. Each table is asked once, for all rows that may matter; which do is said at
    the end, when everything is known that the row depends on."""

    def __init__(self, explainer: Explainer, connection: duckdb.DuckDBPyConnection) -> None:
        self._explainer = explainer
        self._connection = connection
        self._tables: dict[str, _Asked] = {}
        self._needs: dict[tuple[str, Key, str], Needed] = {}

    def of(self, table: str, version: int, key: Key, columns: set[str]) -> Row | None:
        """The row with all that it is made of; None where there is none of that key."""
        self._ask_down(table, version, {key: columns})
        if key not in self._tables[table].values:
            return None
        needed = Needed()
        for column in ("", *sorted(columns)):
            needed.merge(self._need(table, key, column))
        return self._row(table, key, columns, needed.settled())

    def _ask_down(self, table: str, version: int, wanted: dict[Key, set[str]]) -> None:
        """Ask for these rows, and then for whatever they may be made of. Tables come in the order of their making, last first."""
        pending = {table: wanted}
        versions = {table: version}
        while pending:
            table = max(pending, key=self._explainer.place)
            asked = self._asked(table, versions[table], pending.pop(table))
            for name in asked.inputs:
                versions.setdefault(name, asked.inputs[name])
                if versions[name] != asked.inputs[name]:
                    raise LakeError(
                        f"{name} was read at two versions, {versions[name]} and {asked.inputs[name]}", hint="`pilothouse build`"
                    )
            for atom in asked.everything():
                name, key, column = asked.source(atom)
                columns = pending.setdefault(name, {}).setdefault(key, set())
                columns.update({column} if column else ())

    def _asked(self, table: str, version: int, wanted: Mapping[Key, set[str]]) -> _Asked:
        model = self._explainer.model_of(table)
        key = model.key if model else _RAW_KEY
        self._put_up(table, version, key, wanted)
        asked = self._tables[table] = _Asked(table, version, key, self._values(table, key))
        if model is not None and asked.values:
            asked.inputs = self._explainer.inputs(table, version)
            asked.cells = self._cells(model, asked.inputs, wanted)
        return asked

    def _put_up(self, table: str, version: int, key: Sequence[str], wanted: Iterable[Key]) -> None:
        """Put the wanted rows, as they are published, where the model's text looks for them."""
        parts = ", ".join(f"CAST(unnest(?) AS VARCHAR) AS k{number}" for number in range(len(key)))
        listed = [[row[number] for row in wanted] for number in range(len(key))]
        same = " AND ".join(_as_typed(each, f"keys.k{number}") for number, each in enumerate(key))
        rows = self._explainer.rows_of(table, version)
        self._connection.execute(f"CREATE SCHEMA IF NOT EXISTS {ASKED}; CREATE OR REPLACE TEMP TABLE keys AS SELECT {parts}", listed)
        self._connection.execute(f"CREATE OR REPLACE TABLE {_place(table)} AS SELECT told.* FROM ({rows}) AS told JOIN keys ON {same}")

    def _values(self, table: str, key: Sequence[str]) -> dict[Key, dict[str, Any]]:
        told = self._connection.execute(f"SELECT {', '.join(_as_text(each) for each in key)}, * FROM {_place(table)}")
        names = [each[0] for each in told.description or ()][len(key) :]
        return {tuple(map(str, row[: len(key)])): dict(zip(names, row[len(key) :], strict=True)) for row in told.fetchall()}

    def _cells(self, model: Model, inputs: Mapping[str, int], wanted: Mapping[Key, set[str]]) -> dict[Key, dict[str, Needed]]:
        """For each row, what its existence and each column in question depend on."""
        for number, (name, version) in enumerate(inputs.items()):
            schema, table = relation(name)
            source = self._explainer.model_of(name)
            parts = f" || '{SEPARATOR}' || ".join(_as_text(each) for each in (source.key if source else _RAW_KEY))
            atom = f"'{number}{SEPARATOR}' || {parts} || '{SEPARATOR}'"
            rows = self._explainer.rows_of(name, version)
            self._connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
            self._connection.execute(f'CREATE OR REPLACE VIEW "{schema}"."{table}" AS SELECT *, {atom} AS _id FROM ({rows})')
        columns = sorted(set().union(*wanted.values()))
        lists = "".join(f', "{cells_of(name)}"' for name in columns)
        text = f"SELECT {', '.join(map(_as_text, model.key))}, {EXISTS}{lists} FROM ({self._explainer.text(model)})"
        found: dict[Key, dict[str, Needed]] = {}
        for row in self._connection.execute(text).fetchall():
            key = tuple(map(str, row[: len(model.key)]))
            told = zip(("", *columns), row[len(model.key) :], strict=True)
            found[key] = {name: Needed.of(atoms or ()) for name, atoms in told if key in wanted and (not name or name in wanted[key])}
        return found

    def _need(self, table: str, key: Key, column: str) -> Needed:
        """What a cell needs in raw rows; without a column, what the row's existence does."""
        if (table, key, column) not in self._needs:
            asked = self._tables[table]
            if table.startswith("raw/"):
                found = Needed({SEPARATOR.join((table, *key, ""))})
            else:
                local = asked.cells.get(key, {}).get(column, Needed())
                found = local.lifted(lambda atom: self._need_of(asked.source(atom)), table)
            self._needs[table, key, column] = found
        return self._needs[table, key, column]

    def _need_of(self, source: tuple[str, Key, str]) -> Needed:
        table, key, column = source
        found = Needed()
        found.merge(self._need(table, key, ""))
        if column:
            found.merge(self._need(table, key, column))
        return found

    def _row(self, table: str, key: Key, columns: set[str], settled: set[str]) -> Row:
        """The row as a tree, of which only what leads to rows that matter is left."""
        asked = self._tables[table]
        row = Row(table, asked.version, dict(zip(asked.key, key, strict=True)), sorted(columns), asked.values.get(key, {}))
        below: dict[tuple[str, Key], set[str]] = {}
        for column in ("", *columns):
            for atom in asked.cells.get(key, {}).get(column, Needed()).everything():
                name, source, its = asked.source(atom)
                if self._need_of((name, source, its)).everything() & settled:
                    below.setdefault((name, source), set()).update({its} if its else ())
        row.sources = [self._row(name, source, its, settled) for (name, source), its in sorted(below.items())]
        return row


@dataclass
class _Asked:
    """What is known of one table: the rows that may matter, and what their cells depend on."""

    table: str
    version: int
    key: tuple[str, ...]
    values: dict[Key, dict[str, Any]]
    inputs: Mapping[str, int] = field(default_factory=dict)
    cells: dict[Key, dict[str, Needed]] = field(default_factory=dict)

    def source(self, atom: str) -> tuple[str, Key, str]:
        """The table, the row and the column that an atom names."""
        number, *key, column = atom.split(SEPARATOR)
        return list(self.inputs)[int(number)], tuple(key), column

    def everything(self) -> set[str]:
        """All atoms of all cells."""
        return set().union(*(needed.everything() for cells in self.cells.values() for needed in cells.values()))


def _place(table: str) -> str:
    """Where the rows of a table are that are asked for."""
    return f'{ASKED}."{relation(table)[1]}"'


def _as_text(column: str) -> str:
    if column == "_row_id":
        return "hex(_row_id)"
    return "CAST(epoch_us(_seen_at) AS VARCHAR)" if column == "_seen_at" else f'CAST("{column}" AS VARCHAR)'


def _as_typed(column: str, text: str) -> str:
    """A column against its text, so that the column itself is compared and files can be skipped."""
    if column == "_row_id":
        return f"told._row_id = unhex({text})"
    if column == "_seen_at":
        return f"told._seen_at = make_timestamptz(CAST({text} AS BIGINT))"
    return f'told."{column}" = {text}'
