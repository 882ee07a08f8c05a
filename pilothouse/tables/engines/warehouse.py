"""A warehouse that is reached over the network: what Snowflake and Databricks have in common.

Its database is a place to work in, not the record: the record is the lake. Schemas that a wave needs are made for it and dropped
after it, and what it made is fetched as Arrow and published by us like anything else. Every table is made as a whole.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from pilothouse.kernel.concealing import conceal
from pilothouse.kernel.errors import ConfigError
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.lake.duck import Scan
from pilothouse.kernel.settings import TableSettings
from pilothouse.tables.dbt import Dbt, Profile
from pilothouse.tables.engines import Outcome, Relation, Wave
from pilothouse.tables.engines.handed import Files, handed_over
from pilothouse.tables.project import Column, Model

OURS: Final = "pilothouse_loaded"  # a schema that says that the database is ours, and holds what is kept there


@dataclass(frozen=True)
class Input:
    """One table at its version, and by which names models call it. `source` says that they call it by the name of a source."""

    relation: Relation
    scan: Scan
    source: bool


class Warehouse(Protocol):
    """What is different from one warehouse to the next."""

    @property
    def packages(self) -> Sequence[str]:
        """What has to be installed."""

    @property
    def target(self) -> str:
        """What dbt calls it, and `tables.engine`."""

    def profile(self) -> Profile:
        """How dbt reaches it."""

    def connect(self) -> Any:
        """A connection as Python's database API has it; ConfigError where it refuses."""

    def serve(self, cursor: Any, inputs: Sequence[Input], scratch: Path) -> None:
        """Let every input be read under its name."""

    def handed(self, column: Column) -> str:
        """A column as it is fetched: so that nothing is lost of it on the way."""

    def batches(self, cursor: Any) -> Iterator[pa.RecordBatch]:
        """The rows of the last query."""


class WarehouseEngine:
    """Runs models in a warehouse."""

    in_part = False

    def __init__(self, warehouse: Warehouse, lake: Lake, project: Path, work: Path, settings: TableSettings) -> None:
        require(warehouse.target, warehouse.packages)
        profile = warehouse.profile()
        conceal(profile.secrets.values())
        self._warehouse = warehouse
        self._lake = lake
        self._settings = settings
        self._work = work / warehouse.target
        self._dbt = Dbt(project, self._work, warehouse.target, {"threads": settings.threads}, profile)

    @contextmanager
    def making(self, wave: Wave) -> Iterator[Outcome]:
        """Make it there, and fetch it."""
        sources = {(source.schema, source.name) for source in self._dbt.manifest.sources.values()}
        inputs = [Input(relation, scan, relation in sources) for relation, scan in wave.inputs.items()]
        schemas = sorted({each.relation[0] for each in inputs} | {model.layer for model in wave.models})
        self._work.mkdir(parents=True, exist_ok=True)
        connection = self._warehouse.connect()
        try:
            cursor = connection.cursor()
            with tempfile.TemporaryDirectory(prefix="wave-", dir=self._work) as folder:
                self._refuse_what_is_others(cursor, schemas)
                try:
                    for schema in schemas:
                        cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
                    self._warehouse.serve(cursor, inputs, Path(folder))
                    ran = self._dbt.build([model.name for model in wave.models], variables={})
                    made = {each.name for each in ran if each.kind == "model" and each.ok}
                    files = {
                        model: Files([self._fetched(cursor, model, Path(folder))])
                        for model in wave.models
                        if model.published and model.name in made
                    }

                    def example(sql: str) -> Sequence[Any] | None:
                        cursor.execute(sql)
                        found: Sequence[Any] | None = cursor.fetchone()
                        return found

                    with handed_over(self._lake, self._settings, wave, files) as here:
                        yield Outcome(ran, here.cursor, example)
                finally:
                    for schema in schemas:
                        cursor.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
        finally:
            connection.close()

    def close(self) -> None:
        """Nothing outlives a wave here; what the warehouse keeps says so."""

    def _refuse_what_is_others(self, cursor: Any, schemas: Sequence[str]) -> None:
        """ConfigError where the database holds schemas that would be dropped with the wave and are not ours: it has none of our mark."""
        cursor.execute("SELECT schema_name FROM information_schema.schemata")
        there = {str(row[0]).lower() for row in cursor.fetchall()}
        others = sorted(there & set(schemas))
        if OURS not in there and others:
            raise ConfigError(
                f"tables.{self._warehouse.target}: the database has a schema {others[0]} that Pilothouse did not make",
                hint="name a database for Pilothouse alone: its schemas are dropped after each wave of a build",
            )
        cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {OURS}")

    def _fetched(self, cursor: Any, model: Model, folder: Path) -> str:
        path = folder / f"{model.name}.made.parquet"
        columns = ", ".join(f"{self._warehouse.handed(column)} AS {column.name}" for column in model.columns)
        cursor.execute(f"SELECT {columns} FROM {model.layer}.{model.name}")
        batches = self._warehouse.batches(cursor)
        first = next(batches, None)
        if first is None:
            names = [pa.field(column.name, pa.null()) for column in model.columns]
            first = pa.RecordBatch.from_arrays([pa.nulls(0) for _ in names], schema=pa.schema(names))
        with pq.ParquetWriter(path, first.schema) as writer:
            writer.write_batch(first)
            for batch in batches:
                writer.write_batch(batch.cast(first.schema))
        return str(path)


def require(engine: str, packages: Sequence[str]) -> None:
    """ConfigError where a package is missing that an engine needs."""
    for package in packages:
        try:
            there = importlib.util.find_spec(package) is not None
        except ModuleNotFoundError:
            there = False
        if not there:
            raise ConfigError(f"tables.engine is {engine}, and {package} is not installed", hint=f"pip install 'pilothouse[{engine}]'")


def given(section: str, values: Mapping[str, Any], needed: Sequence[str]) -> None:
    """ConfigError where a setting is missing without which there is no logging on."""
    missing = [name for name in needed if not values.get(name)]
    if missing:
        variables = " and ".join(f"PILOTHOUSE_TABLES__{section.upper()}__{name.upper()}" for name in missing)
        raise ConfigError(f"tables.{section}: {' and '.join(missing)} not set", hint=f"set {variables}, or write them into pilothouse.toml")
