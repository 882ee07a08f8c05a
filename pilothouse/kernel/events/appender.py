"""Appending from many at once: whoever waits at the same time shares one commit.

A commit costs the disk's flush however many events it carries. So while one group is on its way, everybody who comes
gathers into the next. Nobody is told an id before the commit that made it durable.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from copy import copy
from types import TracebackType

import psycopg
from psycopg.waiting import wait_async

from pilothouse.kernel.database import Database
from pilothouse.kernel.errors import DatabaseUnavailable, PilothouseError
from pilothouse.kernel.events.event import Event, encoded
from pilothouse.kernel.events.group import LARGEST, Group, Line, committing

PATIENCE = 30.0


class _Waiting:
    """One caller in the queue. `woken` is held until the caller's events are committed, or it is to lead."""

    def __init__(self, rows: list[bytes]) -> None:
        self.rows = rows
        self.ids: list[int] = []
        self.error: PilothouseError | None = None
        self.done = False
        self.woken = threading.Lock()
        self.woken.acquire()


class Appender:
    """For threads. Whoever comes first commits for all that wait, and then lets the next one in the queue lead.

    So there is no thread to start or to stop. (A plain lock for the turn made groups of one: 600 events a second with
    64 threads.) `patience` is how long, in seconds, a broken connection is tried again before everybody waiting gets
    DatabaseUnavailable.
    """

    def __init__(self, database: Database, patience: float = PATIENCE) -> None:
        self._line = Line(database, patience)
        self._queue: list[_Waiting] = []
        self._entry = threading.Lock()
        self._led = False

    def __enter__(self) -> Appender:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def append(self, event: Event) -> int:
        """Append one event and return its id once it is durable."""
        return self.append_all([event])[0]

    def append_all(self, events: Sequence[Event]) -> list[int]:
        """Append events that belong together: all in one commit, or none."""
        mine = _Waiting([encoded(event) for event in events])
        if not mine.rows:
            return []
        with self._entry:
            self._queue.append(mine)
            leading, self._led = not self._led, True
        if not leading:
            mine.woken.acquire()
        if not mine.done:
            self._lead()
        if mine.error is not None:
            raise copy(mine.error)  # its own: threads that raise one object garble each other's tracebacks
        return mine.ids

    def close(self) -> None:
        """Close the connection. Whoever appends later opens another."""
        self._line.drop()

    def _lead(self) -> None:
        """Commit for those at the head of the queue, ourselves first, and wake the next leader."""
        with self._entry:
            together = _fitting(self._queue)
            self._queue = self._queue[len(together) :]
        try:
            ids = iter(self._line.commit(Group([row for one in together for row in one.rows])))
            for one in together:
                one.ids = [next(ids) for _ in one.rows]
        except PilothouseError as error:
            for one in together:
                one.error = error
        except BaseException:
            self._line.drop()  # in the middle of who knows what
            for one in together:
                one.error = _interrupted()
            raise
        finally:
            for one in together:
                one.done = True
            with self._entry:
                self._led = bool(self._queue)
                following = self._queue[:1]
            for one in [*together, *following]:
                one.woken.release()


class AsyncAppender:
    """For the tasks of one event loop. `append` is awaited, or gathered: the future resolves when the event is durable.

    A cancelled waiter takes nothing back; its event is on its way.
    """

    def __init__(self, database: Database, patience: float = PATIENCE) -> None:
        self._line = Line(database, patience)
        self._rows: list[bytes] = []
        self._futures: list[asyncio.Future[int]] = []
        self._writer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> AsyncAppender:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    def append(self, event: Event) -> asyncio.Future[int]:
        """Append one event; await the result for its id."""
        row = encoded(event)
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._rows.append(row)
        self._futures.append(future)
        if self._writer is None:
            self._writer = loop.create_task(self._write())
        return future

    async def close(self) -> None:
        """Write what is waiting, then close the connection."""
        if self._writer is not None:
            await self._writer
        self._line.drop()

    async def _write(self) -> None:
        """Commit group after group until nobody waits."""
        futures: list[asyncio.Future[int]] = []
        try:
            while self._rows:
                group, self._rows = Group(self._rows[:LARGEST]), self._rows[LARGEST:]
                futures, self._futures = self._futures[:LARGEST], self._futures[LARGEST:]
                try:
                    await self._commit(group)
                except PilothouseError as error:
                    _fail(futures, error)
                else:
                    for future, number in zip(futures, group.ids, strict=True):
                        if not future.done():
                            future.set_result(number)
        except BaseException:
            self._line.drop()
            _fail([*futures, *self._futures], _interrupted())
            self._rows, self._futures = [], []
            raise
        finally:
            self._writer = None

    async def _commit(self, group: Group) -> None:
        """In the loop while all is well; in a thread where connecting, waiting and trying again would block the loop."""
        connection = self._line.open_connection
        if connection is not None:
            try:
                await wait_async(committing(connection, group), connection.socket, interval=1.0)
            except psycopg.Error:
                self._line.drop()
            else:
                return
        await asyncio.get_running_loop().run_in_executor(None, self._line.commit, group)


def _fitting(waiting: list[_Waiting]) -> list[_Waiting]:
    """The first of those who wait, as many as fit into one group; at least one."""
    total = 0
    for count, one in enumerate(waiting):
        total += len(one.rows)
        if total > LARGEST and count:
            return waiting[:count]
    return list(waiting)


def _fail(futures: list[asyncio.Future[int]], error: PilothouseError) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(copy(error))


def _interrupted() -> DatabaseUnavailable:
    return DatabaseUnavailable(
        "the append was interrupted", hint="it is open whether the events arrived; read the log before sending them again"
    )
