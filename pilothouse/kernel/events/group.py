"""A group of events on its way into the log: one COPY, one commit, and one answer to whether it arrived.

Both flights to the server (ids, then rows) travel in one multi-statement query, which PostgreSQL runs as one
transaction: at 64 events a group, round trips cost more than rows. `committing` does no waiting itself; threads and event loops
drive it each in their own way.

When the connection breaks, the group may or may not have been committed. Its batch number, written into each row, tells;
so it is sent again only if it did not arrive, and never twice.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import pq
from psycopg.waiting import Ready, Wait, wait

from pilothouse.kernel.database import Database
from pilothouse.kernel.database.translation import database_error
from pilothouse.kernel.errors import DatabaseUnavailable
from pilothouse.kernel.events.event import COLUMNS, copied

CHANNEL = "pilothouse_events"
LARGEST = 5_000
_Steps = Generator[Wait, Ready | int, None]


@dataclass
class Group:
    """Encoded events that share a commit. `ids` are what the server gave them, valid once it is committed."""

    rows: Sequence[bytes]
    batch: bytes = field(default_factory=lambda: os.urandom(16))
    ids: list[int] = field(default_factory=list)


def committing(connection: pq.abc.PGconn, group: Group) -> _Steps:
    """Commit the group. Whatever the server objects to is raised as psycopg's own error."""
    group.ids = []
    query = (
        f"SELECT pilothouse.reserve_events({len(group.rows)}), pg_notify('{CHANNEL}', '');"
        f"COPY pilothouse.events ({COLUMNS}) FROM STDIN (FORMAT binary)"
    )
    connection.send_query(query.encode())
    yield from _sent(connection)
    reserved = yield from _result(connection)
    text = reserved.get_value(0, 0) if reserved is not None else None
    yield from _result(connection)
    assert text is not None
    ids = [int(word) for word in text[1:-1].split(b",")]
    rows = copied(group.rows, ids, group.batch)
    group.ids = ids
    connection.put_copy_data(rows)
    connection.put_copy_end()
    yield from _sent(connection)
    while (yield from _result(connection)) is not None:
        pass


def _sent(connection: pq.abc.PGconn) -> _Steps:
    while connection.flush():
        if (yield Wait.RW) & Ready.R:
            connection.consume_input()


def _result(connection: pq.abc.PGconn) -> Generator[Wait, Ready | int, pq.abc.PGresult | None]:
    while connection.is_busy():
        if (yield Wait.R) & Ready.R:
            connection.consume_input()
    result = connection.get_result()
    if result is not None and result.status in {pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.BAD_RESPONSE}:
        raise psycopg.errors.error_from_result(result)
    return result


class Line:
    """One connection that groups go through, replaced when it breaks."""

    def __init__(self, database: Database, patience: float) -> None:
        self._database = database
        self._patience = patience
        self._connection: psycopg.Connection[Any] | None = None

    @property
    def open_connection(self) -> pq.abc.PGconn | None:
        """The connection, if there is one that looks whole."""
        whole = self._connection is not None and not self._connection.closed
        return self._connection.pgconn if self._connection is not None and whole else None

    def commit(self, group: Group) -> list[int]:
        """Commit the group, through as many reconnections as patience allows; its ids.

        After DatabaseUnavailable it is open whether the group arrived.
        """
        deadline = time.monotonic() + self._patience
        pause = 0.02
        while True:
            try:
                return self._attempt(group)
            except psycopg.Error as error:
                self.drop()
                failure = database_error(error, self._database.where)
                cause: Exception = error
            except DatabaseUnavailable as error:
                failure, cause = error, error
            if not failure.transient or time.monotonic() + pause > deadline:
                raise failure from cause
            time.sleep(pause)
            pause = min(pause * 2, 1.0)

    def _attempt(self, group: Group) -> list[int]:
        if self.open_connection is None:
            self._connection = self._database.driver_connection()
        assert self._connection is not None
        if group.ids and self._arrived(self._connection, group):
            return group.ids
        wait(committing(self._connection.pgconn, group), self._connection.pgconn.socket)
        return group.ids

    def _arrived(self, connection: psycopg.Connection[Any], group: Group) -> bool:
        """Whether an earlier attempt was committed: known once no transaction from before our ids is open any more."""
        row = connection.execute("SELECT coalesce(pilothouse.events_open() <= %s, false)", [group.ids[0]]).fetchone()
        if row is not None and row[0]:
            raise psycopg.errors.LockNotAvailable("an earlier attempt may still be committing")
        row = connection.execute("SELECT EXISTS (SELECT FROM pilothouse.events WHERE id = %s AND batch = %s)", _token(group)).fetchone()
        return row is not None and bool(row[0])

    def drop(self) -> None:
        """Close the connection; the next group opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _token(group: Group) -> tuple[int, str]:
    return group.ids[0], group.batch.hex()
