"""From a row of a table down to raw rows: which it is made of, model by model, at the versions that the table was made of.

Each model is asked once for all of its rows that something above depends on, and only for the columns in question: an order's
features need when its customer's invoices were paid, not in which currency.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb

from pilothouse.kernel.errors import ConfigError
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.uncollected import uncollected
from pilothouse.tables.project import Model, Project, relation
from pilothouse.tables.why.annotate import ASKED, Annotated, Base, Schema
from pilothouse.tables.why.asked import Places
from pilothouse.tables.why.asking import Asking
from pilothouse.tables.why.cells import Unexplained
from pilothouse.tables.why.lineage import sources
from pilothouse.tables.why.reading import At, Reading
from pilothouse.tables.why.row import Key, Row
from pilothouse.tables.why.texts import Annotations, texts
from pilothouse.tables.why.uses import names, used
from pilothouse.tables.why.walk import Walk

_TOUCHED = re.compile(r"/\* touched: (.*?) \*/", re.DOTALL)


class Explainer:
    """Explains rows of a project's tables over a lake."""

    def __init__(self, lake: Lake, project: Project, work: Path) -> None:
        self.lake = lake
        self.reading = Reading(lake, project)
        self._project = project
        self._work = work
        self._models = {model.table: model for model in project.models.values()}
        self._places = {model.table: place for place, model in enumerate(project.models.values())}
        self._below: dict[str, frozenset[str]] = {}
        self._annotated: dict[tuple[Any, ...], Annotated] = {}

    def why(self, table: str, key: Mapping[str, Any], *, column: str | None = None, version: int | None = None) -> Row:
        """The row of that key, with everything it is made of. `column` explains what it says there alone."""
        model = self._project.model(table)
        if set(key) != set(model.key):
            raise ConfigError(f"{model.table}: its key is {', '.join(model.key)}", hint=f"name {' and '.join(model.key)}")
        known = [each.name for each in model.columns if not each.name.startswith("_")]
        if column is not None and column not in known:
            raise ConfigError(f"{model.table}: no column '{column}'", hint=f"it has {', '.join(known)}")
        asked: Key = tuple(str(key[name]) for name in model.key)
        version = version if version is not None else self.reading.newest(model.table)
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

    def why_all(self, wanted: Mapping[At, Mapping[Key, set[str]]]) -> dict[tuple[At, Key], Row]:
        """Rows of several tables, each with everything that these columns of it are made of; those that are there. They are asked for
        together: what several are made of is found once, and stands below each."""
        with self.walk() as walk:
            return walk.of_all(wanted)

    @contextmanager
    def walk(self) -> Iterator[Walk]:
        """A walk from rows down to raw ones, over connections that nobody else uses meanwhile."""
        walk = Walk(self)
        with uncollected():
            yield walk
        for connection in walk.idle:
            self.reading.give_back(connection)

    @contextmanager
    def asking(self) -> Iterator[Asking]:
        """Tables asked one by one, over a connection that nobody else uses meanwhile."""
        connection = self.reading.connection()
        with uncollected():
            yield Asking(self, connection, Places())
        self.reading.give_back(connection)  # not after an error, when nobody knows what stands in it

    def model_of(self, table: str) -> Model | None:
        """The model that makes a table; None for a raw one."""
        return self._models.get(table)

    def place(self, table: str) -> int:
        """How far from raw tables a table is made: what it is made of comes before it."""
        return self._places.get(table, -1)

    def below(self, table: str) -> frozenset[str]:
        """All tables that a table is made of, at once or through others."""
        found = self._below.get(table)
        if found is None:
            model = self._models.get(table)
            inputs = self.inputs_of(model) if model else ()
            found = self._below[table] = frozenset(inputs).union(*map(self.below, inputs))
        return found

    def inputs_of(self, model: Model) -> tuple[str, ...]:
        """The tables that a model reads."""
        return self._project.inputs(model)

    def touched(self, model: Model) -> str:
        """The query that names the keys of rows which changed inputs may have touched; nothing for models that are made as a whole."""
        found = [*_TOUCHED.finditer(self._texts[self._project.told_by(model)])]
        return found[0].group(1) if found else ""

    def text(self, model: Model, columns: Sequence[str] = (), inputs: Iterable[At] = ()) -> Annotated:
        """The model's annotated SQL, with the views it reads through written out; of these columns alone, if any are named, and over
        raw tables at these versions."""
        raw = {at.table: self.reading.columns_of(at) for at in inputs or self._newest(model) if at.table not in self._models}
        asked = model.name, tuple(columns), tuple(sorted(raw.items()))
        if asked not in self._annotated:
            bases = {
                relation(name): Base(self.reading.atom_of(name), name in raw, "_row_id" if name in raw else "")
                for name in self._project.inputs(model)
            }
            self._annotated[asked] = self._annotations.of(model.name, self._whole(model), self._schema_of(model, raw), columns, bases)
        return self._annotated[asked]

    def _newest(self, model: Model) -> list[At]:
        return [At(name, self.reading.newest(name)) for name in self._project.inputs(model)]

    def prepare(self) -> None:
        """Let dbt compile the models' texts, if it has not yet: it does one thing at a time, so not while it builds."""
        self._texts  # noqa: B018

    def lineage(self, model: Model) -> dict[str, list[tuple[str, str]]]:
        """For each column of a table, the columns of its inputs that the value is computed from."""
        if model.kept:
            return {}
        raw = {at.table: self.reading.columns_of(at) for at in self._newest(model) if at.table not in self._models}
        names, schema = {relation(table): table for table in self._project.inputs(model)}, self._schema_of(model, raw)
        columns = {key: {name.lower(): name for name in schema[key[0]][key[1]]} for key in names}
        return {
            name: [(names[key[0], key[1]], columns[key[0], key[1]][key[2]]) for key in found]
            for name, found in sources(self._whole(model), schema).items()
            if not name.startswith("_")
        }

    def used(self, model: Model, table: str, columns: Collection[str]) -> set[str]:
        """Those of these columns of a raw table that a model's text, or that of a view that it reads through, uses to make all rows or
        those that changed. Of what Python makes nobody can tell."""
        if model.python:
            return set(columns)
        raw = {at.table: self.reading.columns_of(at) for at in self._newest(model) if at.table not in self._models}
        touched = " ".join(_TOUCHED.findall(self._texts.get(model.name, "")))
        named = {column for column in columns if names(column, touched)}
        return named | used(self._whole(model), self._schema_of(model, raw), relation(table), {*columns} - named)

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
    def _annotations(self) -> Annotations:
        return Annotations(self._work, self._project.fingerprint)

    @cached_property
    def _texts(self) -> Mapping[str, str]:
        return texts(self._project, self.lake, self._work)

    def _schema_of(self, model: Model, raw: Mapping[str, Sequence[str]]) -> Schema:
        """The columns of whatever a model reads, and of the rows of its own that are asked for."""
        found: dict[str, dict[str, Sequence[str]]] = {ASKED: {}}
        for each in (model, *self._project.views(model)):
            found[ASKED][each.name] = [column.name for column in each.columns]
        for name in self._project.inputs(model):
            schema, table = relation(name)
            columns = raw[name] if name in raw else [column.name for column in self._models[name].columns]
            found.setdefault(schema, {})[table] = columns
        return found
