"""A reader who remembers how far it came, and sleeps until there is more.

`read`, act, `ack`: a crash between the last two reads the same events again, so each is seen at least once. Where the
acting is a transaction of the same database, give `ack` its connection: then each event takes effect exactly once.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import psycopg
import sqlalchemy as sa

from pilothouse.kernel.database import Database, translated
from pilothouse.kernel.errors import DatabaseError
from pilothouse.kernel.events.event import Event
from pilothouse.kernel.events.group import CHANNEL
from pilothouse.kernel.events.reading import horizon, rows_between

_BLOCKED_PAUSE = 0.1  # a writer before us that rolls back sends no notification
_QUIET_PAUSE = 5.0  # nor does a connection that died without a word
_SKIPPED = 1_000
_TOUCH_EVERY = 60.0


class Consumer:
    """One named position in the log. It is made, at the beginning of the log, by the first read under its name."""

    def __init__(self, database: Database, name: str, topics: Sequence[str] = ()) -> None:
        self.name = name
        self.topics = tuple(topics)
        self._database = database
        self._listener: psycopg.Connection[Any] | None = None
        self._position: int | None = None
        self._unsure = False  # whether the transaction that moved us was committed
        self._searched = 0  # nothing for us up to here
        self._touched = 0.0

    def __repr__(self) -> str:
        return f"Consumer({self.name})"

    def __enter__(self) -> Consumer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def position(self) -> int:
        """The id up to which everything was acknowledged."""
        now = time.monotonic()
        if self._unsure:
            self._position, self._unsure = self._recorded(), False
        elif self._position is None or now - self._touched > _TOUCH_EVERY:
            self._position, self._touched = self._touch(), now
        assert self._position is not None
        return self._position

    def read(self, limit: int = 1000) -> list[Event]:
        """The next events of our topics. Until `ack` moves on, the same ones come again."""
        position = self.position
        with self._database.reading() as connection:
            through = horizon(connection)
            events = rows_between(connection, max(position, self._searched), through, limit, self.topics)
            self._refuse_if_pruned(connection, position)  # afterwards: the mark is set before rows go
        if events:
            return events
        self._searched = through
        if through - position > _SKIPPED:
            # Nothing for us in all that: move on durably, so that a restart need not search and pruning need not wait.
            self.ack(through)
        return []

    def ack(self, through: int, connection: sa.Connection | None = None) -> None:
        """Everything up to this id is done; within the caller's transaction if its connection is given.

        Commit or roll back that transaction before the next `read`, which goes by what the database then says.
        """
        expected = self.position if self._position is None else self._position
        if through <= expected:
            return
        if connection is None:
            with self._database.begin() as own:
                self._move(own, expected, through)
        else:
            with translated(self._database.where):
                self._move(connection, expected, through)
        self._position, self._unsure = through, connection is not None

    def skip_missed(self) -> int:
        """Accept that events were removed before they were read; how many ids were passed over."""
        position = self.position
        with self._database.reading() as connection:
            pruned = _pruned_through(connection)
        self.ack(pruned)
        return max(0, pruned - position)

    def wait(self, timeout: float) -> bool:
        """Sleep until there is something to read; False if there is nothing after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        with translated(self._database.where):
            listener = self._listening()
            while True:
                ready, blocked = self._look()
                remaining = deadline - time.monotonic()
                if ready or remaining <= 0:
                    return ready
                pause = min(remaining, _BLOCKED_PAUSE if blocked else _QUIET_PAUSE)
                for _ in listener.notifies(timeout=pause, stop_after=1):
                    pass

    def close(self) -> None:
        """Stop listening."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _look(self) -> tuple[bool, bool]:
        """Whether there is something to read, and whether an open transaction hides the rest."""
        position = max(self.position, self._searched)
        with self._database.reading() as connection:
            given = int(connection.scalar(sa.text("SELECT last_value FROM pilothouse.event_ids")) or 0)
            through = horizon(connection)
            found = through > position and bool(rows_between(connection, position, through, 1, self.topics))
        if not found:
            self._searched = max(self._searched, through)
        return found, given > through

    def _listening(self) -> psycopg.Connection[Any]:
        if self._listener is None or self._listener.closed:
            self._listener = self._database.driver_connection()
            self._listener.execute(f"LISTEN {CHANNEL}")
        return self._listener

    def _recorded(self) -> int:
        with self._database.reading() as connection:
            return int(connection.scalar(sa.text("SELECT position FROM pilothouse.consumers WHERE name = :name"), {"name": self.name}) or 0)

    def _touch(self) -> int:
        """Say that we live, which holds back pruning; the position, made where there is none."""
        with self._database.begin() as connection:
            return int(connection.scalar(sa.text(_TOUCH), {"name": self.name}) or 0)

    def _move(self, connection: sa.Connection, expected: int, through: int) -> None:
        """Move the cursor from where we believe it is; if another reader of this name moved it, one of the two must stop."""
        moved = connection.execute(
            sa.text("UPDATE pilothouse.consumers SET position = :through, seen_at = now() WHERE name = :name AND position = :expected"),
            {"through": through, "name": self.name, "expected": expected},
        )
        if moved.rowcount != 1:
            self._position, self._searched = None, 0
            raise DatabaseError(
                f"consumer '{self.name}': somebody else moved its cursor from {expected}", hint="run one reader under a name; read again"
            )

    def _refuse_if_pruned(self, connection: sa.Connection, position: int) -> None:
        pruned = _pruned_through(connection)
        if position < pruned:
            raise DatabaseError(
                f"consumer '{self.name}': events {position + 1} to {pruned} were removed before it read them",
                hint="read the affected tables anew, then call skip_missed()",
            )


def _pruned_through(connection: sa.Connection) -> int:
    return int(connection.scalar(sa.text("SELECT through FROM pilothouse.pruned")) or 0)


# A new consumer begins with the oldest event there is: what was removed before its time, it did not miss.
_TOUCH = """
INSERT INTO pilothouse.consumers (name, position) SELECT :name, through FROM pilothouse.pruned
ON CONFLICT (name) DO UPDATE SET seen_at = now()
RETURNING position
"""
