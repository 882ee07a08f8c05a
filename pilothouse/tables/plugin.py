"""The door through which dbt-duckdb reads the lake: every relation that a build may name is a table at one version.

Whoever builds puts up what is served (`serving`). Plain `dbt` in the project's folder finds nothing put up, and is served the
newest version of every raw table of the project around it: enough to try a model, and nothing is published.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import duckdb
from dbt.adapters.duckdb import environments
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.adapters.duckdb.plugins import BasePlugin

from pilothouse.kernel.errors import ConfigError
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.lake.duck import Scan, create_views, offer_store
from pilothouse.kernel.settings import load


@dataclass
class Served:
    """What one build reads: tables of the lake by schema and name, and views over them. It builds in `schemas`; `connection` is where."""

    lake: Lake
    relations: Mapping[tuple[str, str], Scan]
    views: Mapping[tuple[str, str], str] = field(default_factory=dict)
    schemas: frozenset[str] = frozenset()
    connection: duckdb.DuckDBPyConnection | None = None

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of one's own to the database in which it is built, for as long as it is served."""
        if self.connection is None:
            raise ConfigError("dbt built nothing", hint="`dbt debug` in the project's folder says what it lacks")
        return self.connection.cursor()


# Before a Python model it opens an event loop in the thread, and never closes it. Ours need none.
environments._ensure_event_loop = lambda: None  # noqa: SLF001

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
        """A new database, with a view for everything served."""
        served = _served or _of_project()
        served.connection = conn.cursor()  # holds the database open until what was built in it is published
        offer_store(conn, served.lake)
        create_views(conn, ((schema, name, scan) for (schema, name), scan in served.relations.items()))
        for schema in served.schemas:  # dbt would open a connection for each that is not there
            conn.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
        for (schema, name), text in served.views.items():
            conn.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"; CREATE VIEW "{schema}"."{name}" AS {text}')


def _of_project() -> Served:
    settings = load()
    lake = Lake(settings.lake_url, settings.lake.options)
    raw = [table for table in lake.tables() if table.name.startswith("raw/")]
    return Served(lake, {(table.name.split("/")[1], table.name.split("/")[2]): table.files() for table in raw})
