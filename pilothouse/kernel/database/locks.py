"""One at a time, across processes and hosts: a lock that ends with its holder, however that one ends."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from pilothouse.kernel.database.database import Database
from pilothouse.kernel.database.translation import translated
from pilothouse.kernel.errors import CommitConflict

_LOOKED_EVERY = 0.2  # seconds
_TAG = 0x4558  # in the upper bits: the event log's own locks carry another, and would hold readers back if confused with these


@contextmanager
def exclusively(database: Database, name: str, *, what: str, patience: float = 0.0) -> Iterator[None]:
    """Hold the lock of that name, or raise CommitConflict. At once, where waiting for the other would only repeat its work; after
    `patience` seconds, where it may leave some undone.

    It is an advisory lock of a connection of its own, so PostgreSQL gives it back when the process dies, too.
    """
    key = _TAG << 48 | int.from_bytes(hashlib.sha256(name.encode()).digest()[:6])
    until = time.monotonic() + patience
    with translated(database.where), database.driver_connection() as connection:
        while not (row := connection.execute("SELECT pg_try_advisory_lock(%s)", [key]).fetchone()) or not row[0]:
            if time.monotonic() >= until:
                raise CommitConflict(f"{what} is already running", hint="wait until it is done; Dagster's runs page shows it")
            time.sleep(_LOOKED_EVERY)
        try:
            yield
        finally:  # the end of a connection is noticed some time later: whoever is next would be told that it is still held
            with suppress(psycopg.Error):
                connection.execute("SELECT pg_advisory_unlock(%s)", [key])
