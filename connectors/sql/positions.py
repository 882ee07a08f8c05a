"""Where a read by cursor begins, and which watermark it earns: both out of the snapshot that the rows come from.

- The watermark is the newest value that is not in the future. One row dated 9999, or one machine whose clock runs
  ahead, would otherwise hide every later change.
- The read begins `lag` before the watermark, and never above the table's newest value: where a backup was restored,
  the rows are older than what was read before.
- Where the database's clock itself lies behind the watermark, nothing tells which rows were written meanwhile: all
  are read again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import psycopg
import structlog
from psycopg import sql

from connectors.sql.catalog import Table
from connectors.sql.streams import SqlStream
from pilothouse.kernel.streams import Watermark

NOW: Final[Mapping[str, str]] = {"timestamptz": "now()", "timestamp": "localtimestamp", "date": "current_date"}
log = structlog.get_logger("connectors.sql")

# to_json writes moments in ISO 8601, whatever the server's DateStyle.
_MOMENTS: Final = """
SELECT to_json(newest) #>> '{{}}', coalesce({now} < value - {lag}, false), to_json(least(newest, value) - {lag}) #>> '{{}}'
FROM (SELECT max({column}) AS newest FROM {table} WHERE {column} <= {now}) AS here, (SELECT {known}::{type} AS value) AS known
"""
_COUNTS: Final = """
SELECT newest::text, false, least(newest, value)::text
FROM (SELECT max({column}) AS newest FROM {table}) AS here, (SELECT {known}::{type} AS value) AS known
"""


@dataclass(frozen=True)
class Start:
    """From where to read (None: everything), and the watermark that is true once the rows are durable."""

    position: str | None
    watermark: Watermark | None


def start_of(connection: psycopg.Connection[Any], source: str, stream: SqlStream, table: Table, since: Watermark | None) -> Start:
    """The start of the next read of a stream."""
    if stream.cursor is None:
        return Start(position=None, watermark=None)
    column = table.column(stream.cursor.field)
    known = None if since is None else _value(source, stream, since, column.type)
    query = sql.SQL(_MOMENTS if column.type in NOW else _COUNTS).format(
        column=sql.Identifier(column.name),
        table=table.identifier,
        now=sql.SQL(NOW.get(column.type, "")),
        lag=sql.Literal(stream.cursor.lag),
        known=sql.Literal(known),
        type=sql.SQL(column.type),
    )
    found = connection.execute(query).fetchone()
    assert found is not None
    newest, clock_went_back, position = found
    if clock_went_back:
        log.warning("full read: the database's clock lies behind the watermark", source=source, stream=stream.name, watermark=known)
        known = None
    watermark = since if known is not None else None
    if newest is not None:
        watermark = Watermark({"field": column.name, "type": column.type, "value": newest})
    return Start(position=None if known is None else position, watermark=watermark)


def changed_since(table: Table, stream: SqlStream, position: str) -> sql.Composable:
    """The query for what may have changed: from the position on, and what has no position at all."""
    assert stream.cursor is not None
    return sql.SQL("{rows} WHERE {column} >= {position} OR {column} IS NULL").format(
        rows=table.select(), column=sql.Identifier(stream.cursor.field), position=sql.Literal(position)
    )


def _value(source: str, stream: SqlStream, since: Watermark, kind: str) -> str | None:
    """The watermark's value; None where it was made with another cursor and says nothing about this one."""
    assert stream.cursor is not None
    position = since.position
    if position.get("field") == stream.cursor.field and position.get("type") == kind:
        return str(position["value"])
    log.warning("full read: the watermark belongs to another cursor", source=source, stream=stream.name, watermark=dict(position))
    return None
