"""Databricks: a SQL warehouse that reads the lake's Delta tables where they are, at their versions.

The lake has to be in an object store, under an external location that the workspace may read. Databricks SQL is Spark SQL: what is
served is served by the same text as on Spark.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from pilothouse.kernel.errors import ConfigError
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.settings import DatabricksSettings
from pilothouse.kernel.stores import local_path
from pilothouse.tables.dbt import Profile
from pilothouse.tables.engines.warehouse import Input, given
from pilothouse.tables.project import Column

_ROWS: Final = 100_000
_NEEDED: Final = ("host", "http_path", "token")


class Databricks:
    """One SQL warehouse of a workspace."""

    packages = ("databricks.sql", "dbt.adapters.databricks")
    target = "databricks"

    def __init__(self, lake: Lake, settings: DatabricksSettings, threads: int) -> None:
        self._lake = lake
        self._settings = settings
        self._threads = threads
        given(self.target, settings.told(), _NEEDED)
        if local_path(lake.url) is not None:
            raise ConfigError(
                f"tables.engine is databricks, and the lake is a folder ({lake.url})",
                hint="set lake.url to an object store that the workspace may read",
            )

    def profile(self) -> Profile:
        """In dbt's words."""
        told = self._settings.told()
        secrets = {"token": told.pop("token")}
        return Profile({"type": "databricks", "schema": "default", "threads": self._threads, **told}, secrets)

    def connect(self) -> Any:
        """Log on."""
        sql = import_module("databricks.sql")  # the namespace has other tenants, which may be here without it

        told = self._settings.told()
        try:
            return sql.connect(
                server_hostname=told["host"],
                http_path=told["http_path"],
                access_token=told["token"],
                catalog=told.get("catalog"),
                session_configuration={"timezone": "UTC"},
            )
        except sql.Error as error:
            raise ConfigError(f"tables.databricks: {told['host']} refuses ({error})", hint="check host, http_path and token") from error

    def serve(self, cursor: Any, inputs: Sequence[Input], scratch: Path) -> None:  # noqa: ARG002 - nothing is loaded
        """Views over Delta's own time travel."""
        for each in inputs:
            schema, name = each.relation
            pinned = each.scan.pinned
            assert pinned is not None
            path = self._lake.table(pinned.name).uri
            cursor.execute(f"CREATE OR REPLACE VIEW {schema}.`{name}` AS SELECT * FROM delta.`{path}@v{pinned.version}`")

    def handed(self, column: Column) -> str:
        """As it is."""
        return column.name

    def batches(self, cursor: Any) -> Iterator[pa.RecordBatch]:
        """As the server sends them."""
        while (rows := cursor.fetchmany_arrow(_ROWS)).num_rows:
            yield from rows.to_batches()
