"""Snowflake: inputs are loaded, once for each version of a table.

A table of the lake at a version is loaded into a table of its own, named after both, and stays until a build reads another
version of it; models read views over these. So what a model read can be named afterwards, as on every engine. Moments are loaded as
TIMESTAMP_NTZ in UTC: with a zone, the day that one falls on would depend on the session.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from pilothouse.kernel.errors import ConfigError
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.lake.duck import Scan, offer_store
from pilothouse.kernel.settings import SnowflakeSettings
from pilothouse.kernel.versions import Pinned
from pilothouse.tables.dbt import Profile
from pilothouse.tables.engines.warehouse import OURS, Input, given
from pilothouse.tables.project import Column

_NEEDED: Final = ("account", "user", "database")
_SECRETS: Final = ("password", "private_key_passphrase", "token")


class Snowflake:
    """One Snowflake account."""

    packages = ("snowflake.connector", "dbt.adapters.snowflake")
    target = "snowflake"

    def __init__(self, lake: Lake, settings: SnowflakeSettings, threads: int) -> None:
        self._lake = lake
        self._settings = settings
        self._threads = threads
        given(self.target, self._told(), _NEEDED)

    def profile(self) -> Profile:
        """In dbt's words, which are the connector's."""
        told = self._told()
        secrets = {name: told.pop(name) for name in _SECRETS if name in told}
        return Profile({"type": "snowflake", "schema": "public", "threads": self._threads, "connect_retries": 0, **told}, secrets)

    def connect(self) -> Any:
        """Log on."""
        import snowflake.connector

        told = self._told()
        key = told.pop("private_key_path", None)
        if key:
            told["private_key_file"] = key
        phrase = told.pop("private_key_passphrase", None)
        if phrase:
            told["private_key_file_pwd"] = phrase
        try:
            return snowflake.connector.connect(**told, login_timeout=60, network_timeout=600)
        except snowflake.connector.errors.Error as error:
            raise ConfigError(
                f"tables.snowflake: {self._settings.account} refuses {self._settings.user} ({error.msg})",
                hint="check account, user and password, role and warehouse",
            ) from error

    def serve(self, cursor: Any, inputs: Sequence[Input], scratch: Path) -> None:
        """Load what is not there at its version, and put views over it."""
        cursor.execute(f"CREATE OR REPLACE TEMPORARY STAGE {OURS}.files")
        cursor.execute(f"SELECT table_name FROM information_schema.tables WHERE table_schema = '{OURS.upper()}'")
        there = {str(row[0]).lower() for row in cursor.fetchall()}
        wanted = {_loaded(each.scan) for each in inputs}
        for each in inputs:
            name = _loaded(each.scan)
            if name not in there:
                self._load(cursor, each.scan, name, scratch)
                for outdated in there - wanted:
                    if outdated.rpartition("__v")[0] == name.rpartition("__v")[0]:
                        cursor.execute(f"DROP TABLE IF EXISTS {OURS}.{outdated}")
            schema, called = each.relation
            called = f'"{called}"' if each.source else called
            cursor.execute(f"CREATE OR REPLACE VIEW {schema}.{called} AS SELECT * FROM {OURS}.{name}")

    def handed(self, column: Column) -> str:
        """Moments as text: the connector has them in nanoseconds, into which the end of SAP's time does not fit."""
        return f"TO_VARCHAR({column.name}, 'YYYY-MM-DD HH24:MI:SS.FF6')" if column.kind.startswith("timestamp") else column.name

    def batches(self, cursor: Any) -> Iterator[pa.RecordBatch]:
        """As the server sends them."""
        for table in cursor.fetch_arrow_batches():
            yield from table.to_batches()

    def _load(self, cursor: Any, scan: Scan, name: str, scratch: Path) -> None:
        """All rows of a version into a table of its own: under another name until they are there, so that half of them never stand
        for the whole."""
        columns = ", ".join(f"{_upper(field.name)} {_named(field.type)}" for field in scan.schema)
        cursor.execute(f"CREATE OR REPLACE TABLE {OURS}.loading ({columns})")
        if scan.uris:
            path = scratch / f"{name}.parquet"
            with duckdb.connect() as here:
                here.execute("SET TimeZone = 'UTC'")
                offer_store(here, self._lake)
                selected = ", ".join(_plain(field) for field in scan.schema)
                here.execute(f"COPY (SELECT {selected} FROM ({scan.sql})) TO '{path}' (FORMAT parquet)")
            cursor.execute(f"PUT 'file://{path}' @{OURS}.files/{name} AUTO_COMPRESS=FALSE OVERWRITE=TRUE")
            cursor.execute(
                f"COPY INTO {OURS}.loading FROM @{OURS}.files/{name} MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE"
                " FILE_FORMAT = (TYPE = PARQUET USE_LOGICAL_TYPE = TRUE BINARY_AS_TEXT = FALSE)"
            )
            path.unlink()
        cursor.execute(f"ALTER TABLE {OURS}.loading RENAME TO {OURS}.{name}")

    def _told(self) -> dict[str, Any]:
        return self._settings.told()


def _loaded(scan: Scan) -> str:
    """What the table of a version is called: raw__s4__product__1f0c5a3e__v12."""
    pinned: Pinned | None = scan.pinned
    assert pinned is not None
    return f"{pinned.name.replace('/', '__')}__{pinned.identity.replace('-', '')[:8]}__v{pinned.version}".lower()


def _upper(name: str) -> str:
    """As models call it, without quotes; in quotes, for a source may call a column ORDER or DATE."""
    return '"' + name.upper() + '"'


def _plain(field: pa.Field) -> str:
    moment = pa.types.is_timestamp(field.type) and field.type.tz is not None
    return f'CAST("{field.name}" AS TIMESTAMP) AS "{field.name.upper()}"' if moment else f'"{field.name}" AS "{field.name.upper()}"'


_TYPES: Final = (
    (pa.types.is_integer, "NUMBER(38, 0)"),
    (pa.types.is_floating, "DOUBLE"),
    (pa.types.is_boolean, "BOOLEAN"),
    (pa.types.is_date, "DATE"),
    (pa.types.is_timestamp, "TIMESTAMP_NTZ"),
    (pa.types.is_string, "VARCHAR"),
    (pa.types.is_large_string, "VARCHAR"),
    (pa.types.is_binary, "BINARY"),
    (pa.types.is_large_binary, "BINARY"),
)


def _named(kind: pa.DataType) -> str:
    if pa.types.is_decimal(kind):
        return f"NUMBER({kind.precision}, {kind.scale})"
    for is_one, name in _TYPES:
        if is_one(kind):
            return name
    raise ConfigError(f"a column of type {kind} cannot be loaded into Snowflake", hint="leave it out of the models' inputs")
