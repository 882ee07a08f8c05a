"""The door through which dbt-duckdb reads the lake: every relation that a build may name is a table at one version.

Whoever builds puts up what is served (`serving`). Plain `dbt` in the project's folder finds nothing put up, and is served the
newest version of every raw table of the project around it: enough to try a model, and nothing is published.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import duckdb
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.adapters.duckdb.plugins import BasePlugin

from pilothouse.kernel.errors import ConfigError


@dataclass
class Served:
    """What one build reads: Arrow datasets by schema and name, and views over them. `connection` is the database it is built in."""

    relations: Mapping[tuple[str, str], Any]
    views: Mapping[tuple[str, str], str] = field(default_factory=dict)
    connection: duckdb.DuckDBPyConnection | None = None

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of one's own to the database in which it is built, for as long as it is served."""
        if self.connection is None:
            raise ConfigError("dbt built nothing", hint="`dbt debug` in the project's folder says what it lacks")
        cursor = self.connection.cursor()
        self.offer(cursor)
        return cursor

    def offer(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Register what is served: that belongs to one connection alone."""
        for (schema, name), dataset in self.relations.items():
            connection.register(_registered(schema, name), dataset)


_served: Served | None = None


@contextmanager
def serving(served: Served) -> Iterator[Served]:
    """Serve this to the build inside. dbt opens its connections in threads of its own, so this is the process's, not the context's."""
    global _served  # noqa: PLW0603 - dbt makes the plugin by itself, and gives it nothing but what stands in the profile
    # It would keep the last build's database, and its tables, for this one.
    DuckDBConnectionManager.close_all_connections()  # type: ignore[no-untyped-call]
    _served = served
    try:
        yield served
    finally:
        _served = None
        DuckDBConnectionManager.close_all_connections()  # type: ignore[no-untyped-call]
        if served.connection is not None:
            served.connection.close()


class Plugin(BasePlugin):
    """What dbt-duckdb loads by the profile."""

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        """A new database: its schemas, and a view for everything served."""
        self._serving = _served or _of_project()
        self._serving.connection = conn.cursor()  # holds the database open until what was built in it is published
        self._serving.offer(conn)
        for schema in {schema for schema, _ in (*self._serving.relations, *self._serving.views)}:
            conn.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
        for schema, name in self._serving.relations:
            conn.execute(f'CREATE VIEW "{schema}"."{name}" AS SELECT * FROM "{_registered(schema, name)}"')
        for (schema, name), text in self._serving.views.items():
            conn.execute(f'CREATE VIEW "{schema}"."{name}" AS {text}')

    def configure_cursor(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """A connection of one of dbt's threads."""
        self._serving.offer(cursor)


def _registered(schema: str, name: str) -> str:
    return f"lake {schema} {name}"


def _of_project() -> Served:
    from pilothouse.kernel.lake import Lake
    from pilothouse.kernel.settings import load

    settings = load()
    lake = Lake(settings.lake_url, settings.lake.options)
    raw = [table for table in lake.tables() if table.name.startswith("raw/")]
    return Served({(table.name.split("/")[1], table.name.split("/")[2]): table.dataset() for table in raw})
