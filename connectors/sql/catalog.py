"""What the database says about itself: columns, types, comments, references, and whether its rows are real."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import psycopg
import pyarrow as pa
from psycopg import sql

from connectors.sql.columns import Column
from connectors.sql.decode import has_defects
from connectors.sql.streams import SqlStream
from pilothouse.kernel.errors import ConfigError, SourceContractChanged
from pilothouse.kernel.streams import DEFECT

SYNTHETIC: Final = "pilothouse:synthetic"  # in the comment on a schema
_CTID_RANGES: Final = 140_000  # the first version that reads a range of ctids without reading the whole table
_CURSOR_TYPES: Final = {"timestamp", "timestamptz", "date", "int2", "int4", "int8"}

# A domain may stand on a domain; its base type and modifier decide how a value is read.
_COLUMNS: Final = """
WITH RECURSIVE base(attnum, type, modifier) AS (
    SELECT a.attnum, a.atttypid, a.atttypmod FROM pg_attribute a WHERE a.attrelid = %(table)s AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT b.attnum, t.typbasetype, t.typtypmod FROM base b JOIN pg_type t ON t.oid = b.type WHERE t.typtype = 'd'
)
SELECT a.attname, t.typname, b.modifier, t.typcategory, format_type(a.atttypid, a.atttypmod),
    coalesce(col_description(a.attrelid, a.attnum), ''),
    coalesce((
        SELECT f.relname || '.' || fa.attname
        FROM pg_constraint c
        JOIN pg_class f ON f.oid = c.confrelid
        JOIN pg_attribute fa ON fa.attrelid = c.confrelid AND fa.attnum = c.confkey[array_position(c.conkey, a.attnum)]
        WHERE c.conrelid = a.attrelid AND c.contype = 'f' AND a.attnum = ANY (c.conkey)
        ORDER BY cardinality(c.conkey), c.conname LIMIT 1
    ), '')
FROM pg_attribute a JOIN base b USING (attnum) JOIN pg_type t ON t.oid = b.type AND t.typtype <> 'd'
WHERE a.attrelid = %(table)s
ORDER BY a.attnum
"""
_TABLE: Final = """
SELECT c.oid, c.relkind = 'r' AND am.amname = 'heap', has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_am am ON am.oid = c.relam
WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'v', 'm', 'p', 'f')
"""
# An index does not reach into tables that inherit, unless it is that of a partitioned table.
_DISTINCT: Final = """
SELECT EXISTS (
    SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
    WHERE c.oid = %(table)s AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
        AND (c.relkind = 'p' OR NOT EXISTS (SELECT FROM pg_inherits WHERE inhparent = c.oid))
        AND ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = ANY (i.indkey[0:i.indnkeyatts - 1]))
            <@ %(key)s::text[]
)
"""


@dataclass(frozen=True)
class Table:
    """One table or view as it is now."""

    schema_name: str
    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    readable: bool
    pages: int  # of a heap that can be read in page ranges; 0 where it cannot
    distinct: bool  # whether an index sees to it that no two rows have one key
    synthetic: bool
    trusted_text: bool  # false where the database keeps bytes of no known encoding

    @property
    def arrow_schema(self) -> pa.Schema:
        """The columns as Arrow fields with what the database says about them."""
        return pa.schema([column.field(key=column.name in self.key) for column in self.columns])

    @property
    def read_schema(self) -> pa.Schema:
        """The schema of rows as they are read: with `_defect` where a value can be unreadable."""
        schema = self.arrow_schema
        return schema.append(pa.field(DEFECT, pa.string())) if has_defects(schema, trusted_text=self.trusted_text) else schema

    @property
    def identifier(self) -> sql.Identifier:
        """Its name, quoted."""
        return sql.Identifier(self.schema_name, self.name)

    def column(self, name: str) -> Column:
        """The column of that name."""
        return next(column for column in self.columns if column.name == name)

    def select(self, names: tuple[str, ...] | None = None) -> sql.Composable:
        """SELECT of all columns, or of the named ones, without WHERE."""
        columns = self.columns if names is None else [self.column(name) for name in names]
        return sql.SQL("SELECT {} FROM {}").format(sql.SQL(", ").join(column.expression for column in columns), self.identifier)


def describe(
    connection: psycopg.Connection[Any], source: str, schema_name: str, stream: SqlStream, streams_by_table: Mapping[str, str]
) -> Table:
    """The table behind a stream. SourceContractChanged where it, its key or its cursor is gone."""
    found = connection.execute(_TABLE, (schema_name, stream.table)).fetchone()
    if found is None:
        raise SourceContractChanged(
            f"{source} / {stream.name}: there is no table {schema_name}.{stream.table}",
            hint=f"correct `schema` or `streams.{stream.name}.table` of [sources.{source}], or restore the table",
        )
    oid, is_heap, readable = found
    columns = tuple(
        Column(name, kind, modifier, category, native, comment, _reference(reference, streams_by_table))
        for name, kind, modifier, category, native, comment, reference in connection.execute(_COLUMNS, {"table": oid})
    )
    _require(source, stream, {column.name: column for column in columns})
    return Table(
        schema_name=schema_name,
        name=stream.table,
        columns=columns,
        key=stream.key,
        readable=bool(readable),
        pages=_pages(connection, oid) if is_heap and connection.info.server_version >= _CTID_RANGES else 0,
        distinct=_is_distinct(connection, oid, stream.key),
        synthetic=_is_synthetic(connection, schema_name),
        trusted_text=connection.info.parameter_status("server_encoding") != "SQL_ASCII",
    )


def _reference(reference: str, streams_by_table: Mapping[str, str]) -> str:
    """`table.column` under the name of the stream that reads the table, where one does."""
    table, dot, column = reference.rpartition(".")
    return f"{streams_by_table.get(table, table)}{dot}{column}"


def _require(source: str, stream: SqlStream, columns: Mapping[str, Column]) -> None:
    cursor = () if stream.cursor is None else (stream.cursor.field,)
    for name in (*stream.key, *cursor):
        if name not in columns:
            raise SourceContractChanged(
                f"{source} / {stream.name}: column {name!r} is gone from {stream.table}; it has {', '.join(columns)}",
                hint=f"correct `streams.{stream.name}` of [sources.{source}], or restore the column",
            )
    if DEFECT in columns:
        raise SourceContractChanged(
            f"{source} / {stream.name}: a column of {stream.table} is called {DEFECT}, a name that we write ourselves",
            hint="read the table through a view that calls it otherwise",
        )
    if stream.cursor is not None:
        _check_cursor(source, stream, columns[stream.cursor.field])


def _check_cursor(source: str, stream: SqlStream, column: Column) -> None:
    assert stream.cursor is not None
    if column.type not in _CURSOR_TYPES:
        raise SourceContractChanged(
            f"{source} / {stream.name}: {column.name} is {column.native}, which cannot tell what changed since the last read",
            hint="name a timestamp, date or integer column as the cursor",
        )
    if column.type.startswith("int") and stream.cursor.lag:
        raise ConfigError(
            f"{source} / {stream.name}: the cursor {column.name} counts ({column.native}), but its lag is a time ({stream.cursor.lag})",
            hint=f'set `streams.{stream.name}.lag = "PT0S"` if numbers become visible in order; if not, use a timestamp',
        )


def _pages(connection: psycopg.Connection[Any], oid: int) -> int:
    found = connection.execute("SELECT pg_relation_size(%s::oid::regclass) / current_setting('block_size')::int8", (oid,)).fetchone()
    assert found is not None
    return int(found[0])


def _is_distinct(connection: psycopg.Connection[Any], oid: int, key: tuple[str, ...]) -> bool:
    found = connection.execute(_DISTINCT, {"table": oid, "key": list(key)}).fetchone()
    return found is not None and bool(found[0])


def _is_synthetic(connection: psycopg.Connection[Any], schema_name: str) -> bool:
    found = connection.execute(
        "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = %s", (schema_name,)
    ).fetchone()
    return found is not None and SYNTHETIC in (found[0] or "")
