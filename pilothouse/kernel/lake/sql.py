"""SQL over the lake: DuckDB reads Delta tables at named versions, and the versions read are recorded.

    SELECT * FROM s4.sales_order                -- the rows that hold now
    SELECT * FROM "raw/s4/sales_order"          -- every version of every row
    SELECT * FROM marts.dim_firm

Only tables that the text names are opened. The connection sees nothing else: no files, no network, no settings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from pilothouse.kernel.errors import ConfigError
from pilothouse.kernel.lake.duck import Scan, offer_store
from pilothouse.kernel.lake.lake import Lake
from pilothouse.kernel.lake.table import Table

if TYPE_CHECKING:
    import duckdb

_CURRENT = """
SELECT * FROM {history}
QUALIFY row_number() OVER (PARTITION BY _row_id ORDER BY _seen_at DESC, _changed_at DESC NULLS LAST) = 1 AND _change <> 'delete'
"""


def query(lake: Lake, text: str, *, versions: Mapping[str, int] | None = None, as_of: datetime | None = None) -> pa.Table:
    """The answer as an Arrow table. `versions` names versions by table; `as_of` takes each other table as it was then."""
    import duckdb

    connection = duckdb.connect(":memory:")
    try:
        tables = {table.name: table for table in lake.tables()}
        called = {name_in_sql(name): name for name in tables}
        pinned = {called.get(name, name): version for name, version in (versions or {}).items()}
        for unknown in set(pinned) - set(tables):
            raise ConfigError(f"no table '{unknown}'", hint=f"there are {', '.join(tables) or 'none yet'}")
        named = [table for table in tables.values() if _named(table.name, text)]
        for unread in set(pinned) - {table.name for table in named}:
            raise ConfigError(f"the query does not read '{unread}', whose version was named", hint=f"ask FROM {name_in_sql(unread)}")
        connection.execute("SET TimeZone = 'UTC'")  # or an answer would depend on who asks where
        offer_store(connection, lake)
        scans = {table.name: table.files(pinned.get(table.name, table.version_at(as_of) if as_of else None)) for table in named}
        for name, scan in scans.items():
            _offer(connection, name, scan)
        paths = ", ".join("'" + path.replace("'", "''") + "'" for scan in scans.values() for path in scan.paths)
        connection.execute(f"SET allowed_paths = [{paths}]; SET enable_external_access = false; SET lock_configuration = true")
        answer = connection.sql(text)
        if answer is None:  # a statement without rows
            raise ConfigError("the statement has no answer", hint="ask with SELECT; the lake is written by syncs and models alone")
        return answer.to_arrow_table()
    except duckdb.Error as error:
        raise ConfigError(
            f"the query was refused: {str(error).strip()}", hint="`pilothouse tables` lists the tables and their names in SQL"
        ) from error
    finally:
        connection.close()


def name_in_sql(table: str) -> str:
    """How analysts write the table's current rows, such as `s4.sales_order`."""
    parts = table.split("/")
    if parts[0] == "raw" and len(parts) == 3:
        return f"{parts[1]}.{parts[2]}"
    return f"{parts[0]}.{parts[1]}" if len(parts) == 2 else f'"{table}"'


def table_called(lake: Lake, name: str) -> Table:
    """The table by its path or by its name in SQL, which are the two that `pilothouse tables` shows."""
    return next((table for table in lake.tables() if name_in_sql(table.name) == name), lake.table(name))


def _named(table: str, text: str) -> bool:
    plain = text.replace('"', "")
    names = "|".join(re.escape(name.replace('"', "")) for name in (table, name_in_sql(table)))
    return re.search(rf"(?<![\w/.])(?:{names})(?![\w/])", plain, re.IGNORECASE) is not None


def _offer(connection: duckdb.DuckDBPyConnection, table: str, scan: Scan) -> None:
    """The table under its path, and under its name in SQL: of a raw table, that is the rows that hold now."""
    connection.execute(f'CREATE VIEW "{table}" AS {scan.sql}')
    parts = table.split("/")
    if len(parts) == 2:
        connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{parts[0]}"; CREATE VIEW "{parts[0]}"."{parts[1]}" AS FROM "{table}"')
    if parts[0] == "raw" and len(parts) == 3:
        current = _CURRENT.format(history=f'"{table}"')
        connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{parts[1]}"; CREATE VIEW "{parts[1]}"."{parts[2]}" AS {current}')
