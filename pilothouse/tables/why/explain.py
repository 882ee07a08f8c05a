"""From a row of a table down to raw rows: which it is made of, model by model, at the versions that the table was made of.

Each model is asked once for all of its rows that something above depends on, and only for the columns in question: an order's
features need when its customer's invoices were paid, not in which currency.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb

from pilothouse.kernel.errors import ConfigError, LakeError
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.lake.duck import offer_store
from pilothouse.tables.project import Model, Project, relation
from pilothouse.tables.record import Notes
from pilothouse.tables.why.annotate import ASKED, MACROS, Unexplained, annotated
from pilothouse.tables.why.lineage import sources
from pilothouse.tables.why.texts import texts
from pilothouse.tables.why.walk import At, Key, Row, Walk

_TOUCHED = re.compile(r"/\* touched: (.*?) \*/", re.DOTALL)


class Explainer:
    """Explains rows of a project's tables over a lake."""

    def __init__(self, lake: Lake, project: Project, work: Path) -> None:
        self.lake = lake
        self._project = project
        self._work = work
        self._models = {model.table: model for model in project.models.values()}
        self._places = {model.table: place for place, model in enumerate(project.models.values())}
        self._notes = Notes(lake)
        self._annotated: dict[tuple[str, tuple[str, ...]], str] = {}

    def why(self, table: str, key: Mapping[str, Any], *, column: str | None = None, version: int | None = None) -> Row:
        """The row of that key, with everything it is made of. `column` explains what it says there alone."""
        model = self._project.model(table)
        if set(key) != set(model.key):
            raise ConfigError(f"{model.table}: its key is {', '.join(model.key)}", hint=f"name {' and '.join(model.key)}")
        known = [each.name for each in model.columns if not each.name.startswith("_")]
        if column is not None and column not in known:
            raise ConfigError(f"{model.table}: no column '{column}'", hint=f"it has {', '.join(known)}")
        asked: Key = tuple(str(key[name]) for name in model.key)
        version = version if version is not None else self.lake.table(model.table).version()
        with self.walk() as walk:
            try:
                found = walk.of(At(model.table, version), asked, {column} if column else set(known))
            except duckdb.ConversionException as error:
                told = ", ".join(f"{name}={value}" for name, value in key.items())
                raise ConfigError(
                    f"{model.table}: {told} is no key of it ({str(error).splitlines()[0]})", hint="numbers are digits, days 2026-11-21"
                ) from error
        if found is None:
            told = ", ".join(f"{name}={value}" for name, value in key.items())
            raise ConfigError(f"{model.table}: no row {told} at version {version}", hint="`pilothouse query` shows which there are")
        return found

    @contextmanager
    def walk(self) -> Iterator[Walk]:
        """A walk from rows down to raw ones, in a database of its own."""
        with duckdb.connect() as connection:
            connection.execute(f"SET TimeZone = 'UTC'; {MACROS}")
            offer_store(connection, self.lake)
            yield Walk(self, connection)

    def model_of(self, table: str) -> Model | None:
        """The model that makes a table; None for a raw one."""
        return self._models.get(table)

    def place(self, table: str) -> int:
        """How far from raw tables a table is made: what it is made of comes before it."""
        return self._places.get(table, -1)

    def inputs(self, table: str, version: int) -> dict[str, int]:
        """Which version of each input a version of a table was made of; ConfigError where that cannot be said."""
        code = self._project.code(self._models[table])
        for record in self._notes.told_of(self.lake.table(table), version):
            if record.code == code:
                return {name: read.version for name, read in record.inputs.items()}
        raise LakeError(
            f"{table}: nothing tells that version {version} was made by the model as it is now",
            hint="explain it in the commit that made it, or bring it up to the model with `pilothouse build`",
        )

    def inputs_of(self, model: Model) -> tuple[str, ...]:
        """The tables that a model reads."""
        return self._project.inputs(model)

    def newest(self, table: str) -> int:
        """The newest version of a table."""
        return self.lake.table(table).version()

    def touched(self, model: Model) -> str:
        """The query that names the keys of rows which changed inputs may have touched; nothing for models that are made as a whole."""
        found = [*_TOUCHED.finditer(self._texts[self._project.told_by(model)])]
        return found[0].group(1) if found else ""

    def rows_of(self, table: str, version: int) -> str:
        """A SELECT of a table at a version."""
        return self.lake.table(table).files(version).sql

    def text(self, model: Model, columns: Sequence[str] = ()) -> str:
        """The model's annotated SQL, with the views it reads through written out; of these columns alone, if any are named."""
        asked = (model.name, tuple(columns))
        if asked not in self._annotated:
            self._annotated[asked] = annotated(self._whole(model), self._schema_of(model), columns)
        return self._annotated[asked]

    def prepare(self) -> None:
        """Let dbt compile the models' texts, if it has not yet: it does one thing at a time, so not while it builds."""
        self._texts  # noqa: B018

    def lineage(self, model: Model) -> dict[str, list[tuple[str, str]]]:
        """For each column of a table, the columns of its inputs that the value is computed from."""
        if model.kept:
            return {}
        names, schema = {relation(table): table for table in self._project.inputs(model)}, self._schema_of(model)
        columns = {key: {name.lower(): name for name in schema[key[0]][key[1]]} for key in names}
        return {
            name: [(names[key[0], key[1]], columns[key[0], key[1]][key[2]]) for key in found]
            for name, found in sources(self._whole(model), schema).items()
            if not name.startswith("_")
        }

    def _whole(self, model: Model) -> str:
        views = [f'"{view.layer}__{view.name}" AS ({self._plain(view)})' for view in dict.fromkeys(self._project.views(model))]
        body = self._plain(model)
        return f"WITH {', '.join(views)} SELECT * FROM ({body}) AS made" if views else body

    def _plain(self, model: Model) -> str:
        text = self._texts.get(self._project.told_by(model))
        if text is None:
            raise Unexplained(f"{model.table}: dbt cannot compile its text", hint=f"`dbt compile --select {model.name}` says why")
        for view in self._project.views(model):
            text = text.replace(f'"memory"."{view.layer}"."{view.name}"', f'"{view.layer}__{view.name}"')
        return text

    @cached_property
    def _texts(self) -> Mapping[str, str]:
        return texts(self._project, self.lake, self._work)

    def _schema_of(self, model: Model) -> dict[str, dict[str, list[str]]]:
        """The columns of all models, and of the raw tables that this one reads."""
        found = {schema: dict(tables) for schema, tables in self._columns.items()}
        for name in self._project.inputs(model):
            if name not in self._models:
                schema, table = relation(name)
                found.setdefault(schema, {})[table] = self.lake.table(name).schema().names
        return found

    @cached_property
    def _columns(self) -> dict[str, dict[str, list[str]]]:
        found: dict[str, dict[str, list[str]]] = {ASKED: {}}
        for model in self._project.models.values():
            columns = [column.name for column in model.columns]
            found.setdefault(model.layer, {})[model.name] = columns
            found[ASKED][model.name] = columns
        return found
