"""The log as a whole: append in a transaction, read in order, remove what is old.

**Why readers miss nothing.** Ids are given out before commits happen, and commits happen in any order. A reader that simply took
`id > last` would pass an id that is not committed yet, and never see it. So every writer takes a shared advisory lock named
by the next id *before* it takes ids, and holds it until its transaction has ended; a reader asks for the horizon (the
last id given out, or the one before the lowest such lock) and reads no further. The two other ways cost more:
one exclusive lock for all writers makes a transaction that appends and then stays open stop everybody else's commits,
and PostgreSQL's own xmin horizon waits for any transaction of the whole server, including one that builds an index in
MLflow's database. Here, readers wait for appending transactions alone, and writers for nobody.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import psycopg
import sqlalchemy as sa

from pilothouse.kernel.database import Database, translated
from pilothouse.kernel.errors import DatabaseError
from pilothouse.kernel.events.appender import Appender, AsyncAppender
from pilothouse.kernel.events.consumer import Consumer
from pilothouse.kernel.events.event import COLUMNS, Event, copied, encoded
from pilothouse.kernel.events.group import CHANNEL
from pilothouse.kernel.events.reading import horizon, rows_between

_CHUNK = 20_000


class EventLog:
    """The event log of a database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def __repr__(self) -> str:
        return f"EventLog({self.database.where})"

    def append(self, events: Iterable[Event]) -> list[int]:
        """Append events in one commit; their ids, in the same order."""
        with self.database.begin() as connection:
            return self.append_in(connection, events)

    def append_in(self, connection: sa.Connection, events: Iterable[Event]) -> list[int]:
        """Append within the caller's transaction: the events happen exactly if the rest of it does.

        Readers wait at these events until the transaction ends, so append last and commit soon.
        """
        rows = [encoded(event) for event in events]
        if not rows:
            return []
        driver: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
        if driver.autocommit:  # the lock on the ids would be gone before the rows are there
            raise DatabaseError("events cannot be appended outside of a transaction", hint="use the connection of `Database.begin()`")
        ids: list[int] = connection.scalar(sa.text("SELECT pilothouse.reserve_events(:wanted)"), {"wanted": len(rows)}) or []
        with translated(self.database.where), driver.cursor() as cursor:
            with cursor.copy(f"COPY pilothouse.events ({COLUMNS}) FROM STDIN (FORMAT binary)") as copy:
                copy.write(copied(rows, ids, os.urandom(16)))
            cursor.execute("SELECT pg_notify(%s, '')", [CHANNEL])
        return ids

    def appender(self, patience: float = 30.0) -> Appender:
        """Group commit for threads; close it after use."""
        return Appender(self.database, patience)

    def async_appender(self, patience: float = 30.0) -> AsyncAppender:
        """Group commit for the tasks of an event loop; close it after use."""
        return AsyncAppender(self.database, patience)

    def read(self, after: int = 0, limit: int = 1000, topics: Sequence[str] = ()) -> list[Event]:
        """The next events after an id, in order and without a gap that could still fill."""
        with self.database.reading() as connection:
            return rows_between(connection, after, horizon(connection), limit, topics)

    def horizon(self) -> int:
        """The id up to which everything that will ever be there is there."""
        with self.database.reading() as connection:
            return horizon(connection)

    def consumer(self, name: str, topics: Sequence[str] = ()) -> Consumer:
        """A reader who remembers how far it came, under a name. `topics` are names, or `order.*` for all that begin so."""
        return Consumer(self.database, name, topics)

    def consumers(self) -> dict[str, tuple[int, datetime]]:
        """Every consumer's position and when it was last seen."""
        with self.database.reading() as connection:
            rows = connection.execute(sa.text("SELECT name, position, seen_at FROM pilothouse.consumers ORDER BY name"))
            return {row.name: (row.position, row.seen_at) for row in rows}

    def forget(self, consumer: str) -> None:
        """Remove a consumer; under the same name, the next one starts at the beginning."""
        with self.database.begin() as connection:
            gone = connection.execute(sa.text("DELETE FROM pilothouse.consumers WHERE name = :name"), {"name": consumer}).rowcount
        if not gone:
            raise DatabaseError(f"there is no consumer '{consumer}'", hint=f"there are {', '.join(self.consumers()) or 'none'}")

    def prune(self, older_than: timedelta, keep: int = 0, abandoned_after: timedelta = timedelta(days=30)) -> int:
        """Remove events older than that, but not the newest `keep`, and none that a live consumer has still to read.

        A consumer that was not seen for `abandoned_after` holds nothing back: one forgotten reader would otherwise fill the disk.
        When it comes back, it is told what it missed, not left to believe that it read everything.
        """
        with self.database.begin() as connection:
            through = connection.scalar(sa.text(_PRUNABLE), {"older": older_than, "keep": keep, "abandoned": abandoned_after}) or 0
            connection.execute(sa.text("UPDATE pilothouse.pruned SET through = greatest(through, :through)"), {"through": through})
        removed = 0
        while True:  # in small transactions: autovacuum keeps up, and an interruption loses nothing
            with self.database.begin() as connection:
                count = connection.execute(sa.text(_REMOVE), {"through": through, "chunk": _CHUNK}).rowcount
            removed += count
            if count < _CHUNK:
                return removed


# The last id such that it and all before it may go. Ids grow with time only roughly, hence the first one that is too young.
_PRUNABLE = """
SELECT least(
    (SELECT min(position) FROM pilothouse.consumers WHERE seen_at > now() - :abandoned),
    pilothouse.events_horizon() - :keep,
    coalesce(
        (SELECT id - 1 FROM pilothouse.events WHERE at >= now() - :older ORDER BY id LIMIT 1),
        pilothouse.events_horizon()
    )
)
"""
_REMOVE = """
DELETE FROM pilothouse.events
WHERE id IN (SELECT id FROM pilothouse.events WHERE id <= :through ORDER BY id LIMIT :chunk)
"""
