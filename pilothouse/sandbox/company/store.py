"""The company's memory: one SQLite file, every write logged with a number.

The log is what the real systems keep inside: SAP's delta links resume from a number of it, Salesforce's getDeleted and
queryAll read its deletes. One process owns the file; a lock makes its threads take turns at writing, readers use
connections of their own (WAL).
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pilothouse.sandbox.company.schema import Entity, Field

Value = str | int | float | None
Row = dict[str, Value]
Operation = Literal["insert", "update", "delete"]

_AFFINITY = {"string": "TEXT", "bool": "INTEGER", "int": "INTEGER", "decimal": "TEXT", "double": "REAL", "date": "TEXT", "datetime": "TEXT"}


@dataclass(frozen=True)
class Change:
    """One write, as the log keeps it. `before` is the whole row that a delete or an update replaced."""

    seq: int
    entity: str
    key: tuple[Value, ...]
    operation: Operation
    at: str
    before: Row | None


def timestamp(at: datetime) -> str:
    """A moment as the store writes it: UTC, microseconds, fixed width."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Store:
    """Rows of the company's entities, read by SQL and written one logged change at a time."""

    def __init__(self, path: Path, entities: Sequence[Entity]) -> None:
        self.path = path
        self.entities = {entity.table: entity for entity in entities}
        self._writing = threading.RLock()
        self._local = threading.local()
        self._connection.execute("PRAGMA page_size=8192")  # wide rows in key order: a tenth faster to load than 4096
        self._connection.execute("PRAGMA journal_mode=WAL")  # not possible inside a transaction
        with self.writing() as connection:
            for entity in entities:
                connection.execute(_create(entity))
                for _, create in _indexes(entity):
                    connection.execute(create)
            connection.execute(
                "CREATE TABLE IF NOT EXISTS changes(seq INTEGER PRIMARY KEY AUTOINCREMENT, entity TEXT NOT NULL,"
                " key TEXT NOT NULL, operation TEXT NOT NULL, at TEXT NOT NULL, before TEXT)"
            )
            connection.execute("CREATE INDEX IF NOT EXISTS changes_entity ON changes(entity, seq)")
            connection.execute("CREATE TABLE IF NOT EXISTS facts(name TEXT PRIMARY KEY, value TEXT NOT NULL)")

    @property
    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self.path, isolation_level=None, timeout=60)
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA cache_size=-32000")
            self._local.connection = connection
        return connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, alone; nested use joins it. All or nothing."""
        with self._writing:
            connection = self._connection
            if connection.in_transaction:
                yield connection
                return
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def rows(self, sql: str, parameters: Sequence[Value] = ()) -> Iterator[tuple[Value, ...]]:
        """Rows of a SELECT, streamed."""
        yield from self._connection.execute(sql, parameters)

    def get(self, entity: Entity, key: Sequence[Value]) -> Row | None:
        """One row by its key."""
        names = [field.name for field in entity.fields]
        found = next(self.rows(f"SELECT {_columns(names)} FROM {entity.table} WHERE {_where(entity)}", key), None)
        return None if found is None else dict(zip(names, found, strict=True))

    def insert(self, entity: Entity, row: Mapping[str, Value], at: datetime) -> None:
        """Create one row, filling `created` and `changed` where the row is silent; sqlite3.IntegrityError where its key exists."""
        with self.writing() as connection:
            row = {**_moved(entity, (entity.created, entity.changed), at), **row}
            names = [field.name for field in entity.fields]
            _insert(connection, entity, names, [[row.get(name) for name in names]])
            self._note(connection, entity, [row[name] for name in entity.key], "insert", at, None)

    def update(self, entity: Entity, key: Sequence[Value], values: Mapping[str, Value], at: datetime) -> Row:
        """Change fields of one row, moving its `changed` field; KeyError where there is none. Returns the row before."""
        with self.writing() as connection:
            before = self.get(entity, key)
            if before is None:
                raise KeyError(tuple(key))
            values = {**_moved(entity, (entity.changed,), at), **values}
            sets = ", ".join(f'"{name}" = ?' for name in values)
            connection.execute(f"UPDATE {entity.table} SET {sets} WHERE {_where(entity)}", [*values.values(), *key])
            self._note(connection, entity, key, "update", at, before)
            return before

    def delete(self, entity: Entity, key: Sequence[Value], at: datetime) -> Row:
        """Remove one row for good; KeyError where there is none. Returns the row before."""
        with self.writing() as connection:
            before = self.get(entity, key)
            if before is None:
                raise KeyError(tuple(key))
            connection.execute(f"DELETE FROM {entity.table} WHERE {_where(entity)}", key)
            self._note(connection, entity, key, "delete", at, before)
            return before

    def load(self, entity: Entity, rows: Iterable[Mapping[str, Value]]) -> None:
        """Bulk insert of history, not logged: what was there before anybody asked is no change."""
        names = [field.name for field in entity.fields]
        self.load_tuples(entity, names, ([row.get(name) for name in names] for row in rows))

    def load_tuples(self, entity: Entity, names: Sequence[str], rows: Iterable[Sequence[Value]]) -> None:
        """Bulk insert like `load`, of the named columns only: four times as fast as dictionaries."""
        with self.writing() as connection:
            _insert(connection, entity, names, rows)

    @contextmanager
    def filling(self) -> Iterator[None]:
        """Load a history into an empty store: no journal, no indexes until the end. A crash inside leaves a file to throw away."""
        connection = self._connection
        connection.execute("PRAGMA journal_mode=OFF")
        connection.execute("PRAGMA synchronous=OFF")
        for entity in self.entities.values():
            for name, _ in _indexes(entity):
                connection.execute(f"DROP INDEX IF EXISTS {name}")
        yield
        for entity in self.entities.values():
            for _, create in _indexes(entity):
                connection.execute(create)
        connection.execute("ANALYZE")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    def last_change(self) -> int:
        """The number of the newest change; 0 when nothing has changed since the history was written."""
        # Not MAX(seq): the log may have been forgotten down to nothing.
        found = next(self.rows("SELECT seq FROM sqlite_sequence WHERE name = 'changes'"), None)
        return 0 if found is None else int(found[0] or 0)

    def forget(self, before: datetime) -> int:
        """Drop log entries older than that. Returns the number of the newest entry dropped so far: nobody can resume from below it."""
        with self.writing() as connection:
            (number,) = connection.execute("SELECT MAX(seq) FROM changes WHERE at < ?", (timestamp(before),)).fetchone()
            if number is not None:
                connection.execute("DELETE FROM changes WHERE seq <= ?", (number,))
                self.set_fact("forgotten", str(number))
            return self.forgotten()

    def forgotten(self) -> int:
        """The number of the newest change that the log no longer holds; 0 while it is complete."""
        return int(self.fact("forgotten") or 0)

    def next_number(self, name: str, first: int = 1) -> int:
        """The next of a counter's numbers, never given twice, not even after its record was deleted."""
        with self.writing():
            number = int(self.fact(f"next {name}") or first)
            self.set_fact(f"next {name}", str(number + 1))
            return number

    def changes(self, entity: Entity, after: int = 0, until: int | None = None) -> Iterator[Change]:
        """The entity's changes with a number above `after`, up to `until`, in order."""
        sql = "SELECT seq, key, operation, at, before FROM changes WHERE entity = ? AND seq > ? AND seq <= ? ORDER BY seq"
        for seq, key, operation, at, before in self._connection.execute(sql, (entity.table, after, until or 1 << 62)):
            yield Change(seq, entity.table, tuple(json.loads(key)), operation, at, json.loads(before) if before else None)

    def fact(self, name: str) -> str | None:
        """A named value that belongs to the company as a whole, such as its seed."""
        found = next(self.rows("SELECT value FROM facts WHERE name = ?", [name]), None)
        return None if found is None else str(found[0])

    def set_fact(self, name: str, value: str) -> None:
        """Keep a named value."""
        with self.writing() as connection:
            connection.execute("INSERT INTO facts VALUES (?, ?) ON CONFLICT(name) DO UPDATE SET value = excluded.value", (name, value))

    def close(self) -> None:
        """Close this thread's connection."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def _note(
        self, connection: sqlite3.Connection, entity: Entity, key: Sequence[Value], operation: Operation, at: datetime, before: Row | None
    ) -> None:
        connection.execute(
            "INSERT INTO changes(entity, key, operation, at, before) VALUES (?, ?, ?, ?, ?)",
            (entity.table, json.dumps(list(key)), operation, timestamp(at), json.dumps(before) if before else None),
        )


def _columns(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _where(entity: Entity) -> str:
    return " AND ".join(f'"{name}" = ?' for name in entity.key)


def _create(entity: Entity) -> str:
    columns = ", ".join(_column(field) for field in entity.fields)
    return f"CREATE TABLE IF NOT EXISTS {entity.table}({columns}, PRIMARY KEY ({_columns(entity.key)})) WITHOUT ROWID"


def _column(field: Field) -> str:
    return f'"{field.name}" {_AFFINITY[field.kind]}{"" if field.nullable else " NOT NULL"}'


def _indexes(entity: Entity) -> list[tuple[str, str]]:
    named = ((f"{entity.table}_by_{'_'.join(fields)}", fields) for fields in entity.indexes)
    return [(name, f"CREATE INDEX IF NOT EXISTS {name} ON {entity.table}({_columns(fields)})") for name, fields in named]


def _moved(entity: Entity, names: Iterable[str | None], at: datetime) -> Row:
    """The time fields of that name, set to this moment in their own spelling."""
    kinds = {name: entity.field(name).kind for name in names if name is not None}
    return {name: timestamp(at)[:10] if kind == "date" else timestamp(at) for name, kind in kinds.items()}


def _insert(connection: sqlite3.Connection, entity: Entity, names: Sequence[str], rows: Iterable[Sequence[Value]]) -> None:
    connection.executemany(f"INSERT INTO {entity.table}({_columns(names)}) VALUES ({', '.join('?' * len(names))})", rows)
