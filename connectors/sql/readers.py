"""Connections that carry rows: several at once over one snapshot, into one bounded queue.

One connection decodes on one core. Two that read halves of a table (by page range, which costs the server nothing)
use both, and a shared snapshot makes them one consistent read. Memory is bounded by the driver's batch size times
what the queue and the readers hold, whatever the size of the table.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import adbc_driver_manager
import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa

from connectors.sql.decode import decoded
from connectors.sql.errors import translated

BATCH_BYTES: Final = 32 * 2**20  # about a hundred thousand rows: one chunk of the loader, which need not be put together
QUEUED_BATCHES: Final = 2
PATIENCE: Final = 0.1  # seconds between two looks at whether the reader has gone


@dataclass(frozen=True)
class Reading:
    """What to read: the queries (each by a connection of its own), the snapshot they share, and the shape of the rows."""

    source: str
    what: str
    dsn: str
    snapshot: str
    session: Sequence[str]  # statements that set a session up
    queries: Sequence[str]
    schema: pa.Schema
    trusted_text: bool


class Rows:
    """The rows of a reading, streamed. Opened at once, so that the snapshot's owner may go; iterated or closed once."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._stop = threading.Event()
        self._queue: queue.Queue[pa.RecordBatch | BaseException | None] = queue.Queue(maxsize=QUEUED_BATCHES)
        self._threads: list[threading.Thread] = []
        self._connections: list[adbc.Connection] = []
        self._cursors: list[adbc.Cursor] = []
        try:
            with translated(reading.source, reading.what):
                for query in reading.queries:
                    self._connections.append(_opened(reading))
                    self._cursors.append(_started(self._connections[-1], query))
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        try:
            self._start()
            running = len(self._threads)
            while running:
                item = self._queue.get()
                if isinstance(item, BaseException):
                    raise item
                if item is None:
                    running -= 1
                else:
                    yield item
        finally:
            self.close()

    @property
    def closed(self) -> bool:
        """Whether all connections were given back."""
        return not self._connections

    def close(self) -> None:
        """Stop reading and give the connections back. A second call does nothing."""
        self._stop.set()
        for connection in self._connections:
            with suppress(adbc_driver_manager.Error):  # nothing runs on it: that is what we want
                connection.adbc_cancel()
        for thread in self._threads:
            thread.join()
        with translated(self._reading.source, self._reading.what):
            while self._cursors:
                self._cursors.pop().close()
            while self._connections:
                self._connections.pop().close()

    def _start(self) -> None:
        for number, cursor in enumerate(self._cursors):
            thread = threading.Thread(target=self._read, args=(cursor,), name=f"sql-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _read(self, cursor: adbc.Cursor) -> None:
        reading = self._reading
        try:
            with translated(reading.source, reading.what), cursor.fetch_record_batch() as batches:
                for batch in batches:
                    if not self._put(decoded(batch, reading.schema, trusted_text=reading.trusted_text)):
                        return
            self._put(None)
        except BaseException as error:
            self._put(error)

    def _put(self, item: pa.RecordBatch | BaseException | None) -> bool:
        """Hand over one item; false once nobody wants it."""
        while not self._stop.is_set():
            with suppress(queue.Full):
                self._queue.put(item, timeout=PATIENCE)
                return True
        return False


def _opened(reading: Reading) -> Any:
    connection = adbc.connect(reading.dsn)
    try:
        with connection.cursor() as cursor:
            for statement in (*reading.session, f"SET TRANSACTION SNAPSHOT '{reading.snapshot}'"):
                cursor.execute(statement)
    except BaseException:
        connection.close()
        raise
    return connection


def _started(connection: Any, query: str) -> Any:
    """A cursor whose rows are on their way. At once, because this driver ends the process (arrow-adbc issue 3878) where a server
    goes away between two statements, and reports it where that happens while rows come."""
    cursor = connection.cursor()
    try:
        cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(BATCH_BYTES)})
        cursor.execute(query)
    except BaseException:
        cursor.close()
        raise
    return cursor
