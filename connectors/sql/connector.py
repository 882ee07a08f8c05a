"""PostgreSQL as a source: a complete read, or what moved since the last one.

Description, watermark and rows come from one repeatable-read snapshot: a watermark computed a moment later could
pass rows that the read did not see. A cursor read includes the rows whose cursor is null each time, because nothing
tells when those change; rows known before are recognised downstream and cost nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import psycopg
import pyarrow as pa
from psycopg import sql
from psycopg.conninfo import make_conninfo

from connectors.connector import Connector
from connectors.sql.catalog import Table, describe
from connectors.sql.errors import translated
from connectors.sql.options import SqlOptions
from connectors.sql.positions import Start, changed_since, start_of
from connectors.sql.readers import Reading, Rows
from connectors.sql.streams import SqlStream, streams_of
from pilothouse.kernel.errors import CredentialsRejected
from pilothouse.kernel.streams import Batch, Stream, Watermark, batch_of

PAGES_WORTH_SHARING: Final = 4_096  # 32 MB: below it a second connection costs more than it brings


class SqlConnector(Connector):
    """An open line to one schema of a PostgreSQL database. Holds connections only while it reads."""

    def __init__(self, name: str, options: SqlOptions) -> None:
        self.name = name
        self._options = options
        self._streams = tuple(streams_of(options))
        self._by_table = {stream.table: stream.name for stream in self._streams}
        self._reading: list[Rows] = []
        self._dsn = _dsn(name, options)

    def check(self) -> None:
        """Every table is there, is readable and has its key and cursor."""
        with self._snapshot("check") as connection:
            for stream in self._streams:
                self._readable(connection, stream)

    def streams(self) -> Sequence[Stream]:
        """The configured tables."""
        return self._streams

    def schema(self, stream: Stream) -> pa.Schema:
        """The table's columns in Arrow types, with comments as labels and foreign keys as references."""
        with self._snapshot(stream.name) as connection:
            return self._readable(connection, _own(stream)).arrow_schema

    def read(self, stream: Stream, since: Watermark | None) -> Iterator[Batch]:
        """One batch: the table, or what its cursor says has changed since the watermark."""
        declared = _own(stream)
        with self._snapshot(stream.name) as connection:
            table = self._readable(connection, declared)
            start = start_of(connection, self.name, declared, table, since)
            queries = self._queries(connection, table, declared, start)
            rows = self._rows(connection, stream.name, table, table.read_schema, queries)
        yield batch_of(
            table.read_schema,
            iter(rows),
            start.watermark,
            synthetic=table.synthetic,
            snapshot=start.position is None,
            distinct=table.distinct,  # one snapshot shows a row once, however many connections read it
        )

    def keys(self, stream: Stream) -> Iterator[pa.Table]:
        """The keys of all rows that exist now."""
        with self._snapshot(stream.name) as connection:
            table = self._readable(connection, _own(stream))
            query = table.select(stream.key).as_string(connection)
            fields = pa.schema([table.arrow_schema.field(name) for name in stream.key])
            rows = self._rows(connection, stream.name, table, fields, [query])
        for batch in rows:
            yield pa.Table.from_batches([batch])

    def close(self) -> None:
        """End reads that are still open."""
        for rows in self._reading:
            rows.close()

    @contextmanager
    def _snapshot(self, what: str) -> Iterator[psycopg.Connection[Any]]:
        """A connection whose transaction sees one moment of the database and cannot write."""
        with translated(self.name, what), psycopg.connect(self._dsn) as connection:
            for statement in self._session():
                connection.execute(statement)
            yield connection

    def _session(self, encoding: str = "UTF8") -> Sequence[str]:
        return (
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
            f"SET client_encoding TO '{encoding}'",  # libpq's default is the database's own, which need not be UTF-8
            "SET TIME ZONE 'UTC'",
            f"SET lock_timeout TO '{self._options.lock_timeout}s'",
        )

    def _readable(self, connection: psycopg.Connection[Any], stream: SqlStream) -> Table:
        table = describe(connection, self.name, self._options.schema_name, stream, self._by_table)
        if not table.readable:
            user = connection.info.user
            raise CredentialsRejected(
                f"{self.name} / {stream.name}: user {user} may not read {table.schema_name}.{table.name}",
                hint=f"GRANT USAGE ON SCHEMA {table.schema_name} and SELECT ON {table.schema_name}.{table.name} TO {user}",
            )
        return table

    def _rows(self, connection: psycopg.Connection[Any], what: str, table: Table, schema: pa.Schema, queries: Sequence[str]) -> Rows:
        """The queries' rows, seen in the connection's snapshot; from here on they need that connection no more."""
        found = connection.execute("SELECT pg_export_snapshot()").fetchone()
        assert found is not None
        rows = Rows(
            Reading(
                source=self.name,
                what=what,
                dsn=self._dsn,
                snapshot=str(found[0]),
                # Bytes of no encoding cannot be converted: they come as they are, and are checked value by value.
                session=self._session("UTF8" if table.trusted_text else "SQL_ASCII"),
                queries=queries,
                schema=schema,
                trusted_text=table.trusted_text,
            )
        )
        self._reading = [*(other for other in self._reading if not other.closed), rows]
        return rows

    def _queries(self, connection: psycopg.Connection[Any], table: Table, stream: SqlStream, start: Start) -> list[str]:
        """One query, or one for each range of pages of a large table that is read in full."""
        if start.position is not None:
            return [changed_since(table, stream, start.position).as_string(connection)]
        count = self._options.readers if table.pages >= PAGES_WORTH_SHARING else 1
        if count == 1:
            return [table.select().as_string(connection)]
        step = table.pages // count + 1
        # The last range is open: the table may have grown between the snapshot and the count of its pages.
        ranges = [(number * step, (number + 1) * step if number + 1 < count else None) for number in range(count)]
        return [_page_range(table, first, end).as_string(connection) for first, end in ranges]


def _own(stream: Stream) -> SqlStream:
    if not isinstance(stream, SqlStream):
        raise TypeError(f"{stream.name} is a {type(stream).__name__}, not a stream of a sql source")
    return stream


def _page_range(table: Table, first: int, end: int | None) -> sql.Composable:
    query = sql.SQL("{} WHERE ctid >= {}::tid").format(table.select(), sql.Literal(f"({first},0)"))
    return query if end is None else sql.SQL("{} AND ctid < {}::tid").format(query, sql.Literal(f"({end},0)"))


def _dsn(name: str, options: SqlOptions) -> str:
    """libpq's connection string: lost peers are noticed within a minute, whoever set the machine's TCP up."""
    url = re.sub(r"^\w+(\+\w+)?://", "postgresql://", options.url.get_secret_value())
    with translated(name, "url"):
        return make_conninfo(
            url,
            application_name="pilothouse",
            connect_timeout=options.connect_timeout,
            keepalives_idle=20,
            keepalives_interval=10,
            keepalives_count=3,
            tcp_user_timeout=60_000,
        )
