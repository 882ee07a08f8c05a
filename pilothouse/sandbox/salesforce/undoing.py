"""A transaction that can be undone from within, for requests that want all of their writes or none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pilothouse.sandbox.company.store import Store


@contextmanager
def undoable(store: Store) -> Iterator[Callable[[], None]]:
    """The writes inside are one transaction; calling what it yields takes back those so far.

    A savepoint, because a composite request may hold others that want the same for a part of it.
    """
    with store.writing() as connection:
        connection.execute("SAVEPOINT undoable")

        def undo() -> None:
            connection.execute("ROLLBACK TO undoable")

        yield undo
        connection.execute("RELEASE undoable")
