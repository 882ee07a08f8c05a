"""What will happen next: deliveries, invoices and payments that are already decided but not yet due.

It lives in the store's file, so that a step and its successor on the agenda are one transaction, and is served to nobody.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pilothouse.sandbox.company.store import Store

Step = Literal["deliver", "bill", "pay"]


class Agenda:
    """Steps by the moment they are due, each with the document it concerns."""

    def __init__(self, store: Store) -> None:
        self._store = store
        with store.writing() as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS agenda(due TEXT, step TEXT, document TEXT, PRIMARY KEY (due, step, document)) WITHOUT ROWID"
            )

    def plan(self, step: Step, due_and_document: Iterable[tuple[str, str]]) -> None:
        """Put steps on the agenda."""
        with self._store.writing() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO agenda VALUES (?, ?, ?)", ((due, step, document) for due, document in due_and_document)
            )

    def take(self, now: str, limit: int) -> list[tuple[Step, str]]:
        """The oldest steps due by now, taken off the agenda: call it in the transaction that carries them out."""
        with self._store.writing() as connection:
            rows = connection.execute("SELECT due, step, document FROM agenda WHERE due <= ? ORDER BY due LIMIT ?", (now, limit)).fetchall()
            connection.executemany("DELETE FROM agenda WHERE due = ? AND step = ? AND document = ?", rows)
        return [(step, document) for _, step, document in rows]

    def __len__(self) -> int:
        (count,) = next(self._store.rows("SELECT COUNT(*) FROM agenda"))
        return int(count or 0)
