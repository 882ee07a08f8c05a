"""From a row of a table down to raw rows: which it is made of, model by model, at the versions that the table was made of.

Each model is asked once for all of its rows that something above depends on, and only for the columns in question: an order's
features need when its customer's invoices were paid, not in which currency.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Final

import duckdb

from pilothouse.kernel.errors import ConfigError, LakeError
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.lake.duck import offer_store
from pilothouse.tables.project import Model, Project
from pilothouse.tables.record import Notes
from pilothouse.tables.why.annotate import ASKED, EXISTS, MACROS, SEPARATOR, annotated, cells_of, settled
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


@dataclass(frozen=True)
class _Table:
    """A table at a version, in the course of one explanation."""

    name: str
    version: int


@dataclass
class _Wanted:
    """Rows of one table that something depends on, each with the columns that it does."""

    rows: dict[Key, set[str]] = field(default_factory=dict)


class Explainer:
    """Explains rows of a project's tables over a lake."""

    def __init__(self, lake: Lake, project: Project, work: Path) -> None:
        self._lake = lake
        self._project = project
        self._work = work
        self._models = {model.table: model for model in project.models.values()}
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
        start = _Table(model.table, version if version is not None else self._lake.table(model.table).version())
        with duckdb.connect() as connection:
            connection.execute(f"SET TimeZone = 'UTC'; {MACROS}")
            offer_store(connection, self._lake)
            found = _Explanation(self, connection).of(start, {asked: {column} if column else set(known)})
        if asked not in found:
            told = ", ".join(f"{name}={value}" for name, value in key.items())
            raise ConfigError(f"{model.table}: no row {told} at version {start.version}", hint="`pilothouse query` shows which there are")
        return found[asked]

    def model_of(self, table: str) -> Model | None:
        """The model that makes a table; None for a raw one."""
        return self._models.get(table)

    def inputs(self, table: _Table) -> dict[str, int]:
        """Which version of each input a version of a table was made of; ConfigError where that cannot be said."""
        code = self._project.code(self._models[table.name])
        for record in self._notes.told_of(self._lake.table(table.name), table.version):
            if record.code == code:
                return {name: read.version for name, read in record.inputs.items()}
        raise LakeError(
            f"{table.name}: nothing tells that version {table.version} was made by the model as it is now",
            hint="explain it in the commit that made it, or bring it up to the model with `pilothouse build`",
        )

    def rows_of(self, table: _Table) -> str:
        """A SELECT of a table at its version."""
        return self._lake.table(table.name).files(table.version).sql

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
    """One walk from rows of a table down to raw rows. Each table at each version is asked once."""

    def __init__(self, explainer: Explainer, connection: duckdb.DuckDBPyConnection) -> None:
        self._explainer = explainer
        self._connection = connection

    def of(self, table: _Table, wanted: Mapping[Key, set[str]]) -> dict[Key, Row]:
        """The wanted rows, as far as they exist, with all that they are made of."""
        model = self._explainer.model_of(table.name)
        key = model.key if model else _RAW_KEY
        self._ask(table, key, wanted)
        found = {
            asked: Row(table.name, table.version, dict(zip(key, asked, strict=True)), sorted(wanted[asked]), values)
            for asked, values in self._values(key)
        }
        if model is None or not found:
            return found
        inputs = self._explainer.inputs(table)
        sources = self._sources(model, inputs, wanted)
        for name in sorted({name for row in sources.values() for name, _ in row}):
            below: dict[Key, set[str]] = {}
            for row in sources.values():
                for (source, source_key), columns in row.items():
                    if source == name:
                        below.setdefault(source_key, set()).update(columns)
            made = self.of(_Table(name, inputs[name]), below)
            for asked, row in sources.items():
                found[asked].sources += [made[source_key] for source, source_key in sorted(row) if source == name and source_key in made]
        return found

    def _ask(self, table: _Table, key: Sequence[str], wanted: Iterable[Key]) -> None:
        """Put the wanted rows, as they are published, where the model's text looks for them."""
        _, name = relation(table.name)
        parts = ", ".join(f"CAST(unnest(?) AS VARCHAR) AS k{number}" for number in range(len(key)))
        listed = [[row[number] for row in wanted] for number in range(len(key))]
        rows = self._explainer.rows_of(table)
        same = " AND ".join(_as_typed(each, f"keys.k{number}") for number, each in enumerate(key))
        self._connection.execute(f"CREATE SCHEMA IF NOT EXISTS {ASKED}; CREATE OR REPLACE TEMP TABLE keys AS SELECT {parts}", listed)
        self._connection.execute(f'CREATE OR REPLACE TABLE {ASKED}."{name}" AS SELECT told.* FROM ({rows}) AS told JOIN keys ON {same}')
        self._asked = f'{ASKED}."{name}"'

    def _values(self, key: Sequence[str]) -> list[tuple[Key, dict[str, Any]]]:
        told = self._connection.execute(f"SELECT {', '.join(_as_text(each) for each in key)}, * FROM {self._asked}")
        names = [each[0] for each in told.description or ()][len(key) :]
        return [(tuple(map(str, row[: len(key)])), dict(zip(names, row[len(key) :], strict=True))) for row in told.fetchall()]

    def _sources(
        self, model: Model, inputs: Mapping[str, int], wanted: Mapping[Key, set[str]]
    ) -> dict[Key, dict[tuple[str, Key], set[str]]]:
        """For each row, the rows of inputs that it is made of, and the columns of these that matter."""
        names = list(inputs)
        for number, name in enumerate(names):
            schema, table = relation(name)
            source = self._explainer.model_of(name)
            parts = f" || '{SEPARATOR}' || ".join(_as_text(each) for each in (source.key if source else _RAW_KEY))
            rows = self._explainer.rows_of(_Table(name, inputs[name]))
            atom = f"'{number}{SEPARATOR}' || {parts} || '{SEPARATOR}'"
            self._connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
            self._connection.execute(f'CREATE OR REPLACE VIEW "{schema}"."{table}" AS SELECT *, {atom} AS _id FROM ({rows})')
        columns = [each.name for each in model.columns if not each.name.startswith("_")]
        lists = ", ".join(f'"{cells_of(name)}"' for name in columns)
        keys = ", ".join(_as_text(name) for name in model.key)
        text = f"SELECT {keys}, {EXISTS}, {lists} FROM ({self._explainer.text(model)})"
        found: dict[Key, dict[tuple[str, Key], set[str]]] = {}
        for row in self._connection.execute(text).fetchall():
            asked = tuple(map(str, row[: len(model.key)]))
            if asked not in wanted:
                continue
            exists, *cells = row[len(model.key) :]
            needed = [told for name, told in zip(columns, cells, strict=True) if name in wanted[asked]]
            rows_of = found.setdefault(asked, {})
            for atom in settled(atom for atom in chain(exists or (), *(told or () for told in needed)) if atom is not None):
                place, *source_key, column = atom.split(SEPARATOR)
                rows_of.setdefault((names[int(place)], tuple(source_key)), set()).update({column} if column else ())
        return found


def relation(table: str) -> tuple[str, str]:
    """The schema and the name by which models call a table of the lake."""
    parts = table.split("/")
    return (parts[1], parts[2]) if parts[0] == "raw" else (parts[0], parts[1])


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
