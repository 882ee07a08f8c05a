"""The company's warehouse tables in a PostgreSQL: written once by COPY, then kept up with the clock.

The store stays the master. How far the mirror has come is kept in the same database and moved in the same transaction as
the rows, so that a crash on either side is made up for by the next `follow`. The mirror replaces a schema only if the
schema says of itself that it is synthetic: a real warehouse of that name is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from pilothouse.kernel.errors import ConfigError, DatabaseError, DatabaseUnavailable
from pilothouse.sandbox.company.schema import Entity, Field
from pilothouse.sandbox.company.store import Store, Value
from pilothouse.sandbox.company.warehouse import WAREHOUSE

SCHEMA = "warehouse"
MARK = "pilothouse:synthetic"
_POSITION = "pilothouse_sandbox"
_Connection = psycopg.Connection[tuple[Any, ...]]
_TYPES = {"bool": "boolean", "int": "bigint", "double": "double precision", "date": "date", "datetime": "timestamptz"}


class WarehouseMirror:
    """The schema `warehouse` at a PostgreSQL URL, following one store."""

    def __init__(self, store: Store, url: str) -> None:
        self._store = store
        # SQLAlchemy's URLs name a driver, psycopg's do not.
        self._url = re.sub(r"^postgresql\+\w+:", "postgresql:", url)

    def follow(self) -> int:
        """Bring the mirror up to the store, from nothing if need be. Returns how many rows were written or removed."""
        with self._connected() as connection:
            latest = self._store.last_change()
            position = self._position(connection)
            if position is None or not self._store.forgotten() <= position <= latest:
                count = self._publish(connection)
            else:
                count = sum(self._catch_up(connection, entity, position, latest) for entity in WAREHOUSE)
            if position != latest:
                self._note(connection, latest)
            return count

    @contextmanager
    def _connected(self) -> Iterator[_Connection]:
        try:
            with psycopg.connect(self._url, connect_timeout=10) as connection:
                yield connection
        except psycopg.OperationalError as error:
            message = f"the warehouse's PostgreSQL does not answer: {error}"
            raise DatabaseUnavailable(message, hint="start it, or give another --warehouse-url") from error
        except psycopg.Error as error:
            raise DatabaseError(f"the warehouse's PostgreSQL refuses: {error}", hint="does the user own the database?") from error

    def _company(self) -> str:
        return "/".join(self._store.fact(name) or "" for name in ("seed", "scale", "history ends"))

    def _position(self, connection: _Connection) -> int | None:
        """The store's change that the mirror has reached; None where it holds nothing, or another company."""
        if connection.execute("SELECT to_regclass(%s)", [f"{_POSITION}.position"]).fetchone() == (None,):
            return None
        found = connection.execute(f"SELECT seq FROM {_POSITION}.position WHERE company = %s", [self._company()]).fetchone()
        complete = all(
            connection.execute("SELECT to_regclass(%s)", [f"{SCHEMA}.{entity.name}"]).fetchone() != (None,) for entity in WAREHOUSE
        )
        return int(found[0]) if found and complete else None

    def _note(self, connection: _Connection, position: int) -> None:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {_POSITION}")
        connection.execute(f"CREATE TABLE IF NOT EXISTS {_POSITION}.position(company text PRIMARY KEY, seq bigint NOT NULL)")
        connection.execute(f"DELETE FROM {_POSITION}.position")
        connection.execute(f"INSERT INTO {_POSITION}.position VALUES (%s, %s)", [self._company(), position])

    def _publish(self, connection: _Connection) -> int:
        """Write everything anew."""
        query = "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = %s"
        found = connection.execute(query, [SCHEMA]).fetchone()
        if found is not None and found[0] != MARK:
            hint = "give the sandbox a database of its own, or drop the schema yourself"
            raise ConfigError(f"the schema {SCHEMA} exists and is not the sandbox's: it is left alone", hint=hint)
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
        connection.execute(f"COMMENT ON SCHEMA {SCHEMA} IS '{MARK}'")
        return sum(self._copy(connection, entity) for entity in WAREHOUSE)

    def _copy(self, connection: _Connection, entity: Entity) -> int:
        table = sql.Identifier(SCHEMA, entity.name)
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))
        for statement in _definition(entity, table):
            connection.execute(statement)
        names = ", ".join(f'"{field.name}"' for field in entity.fields)
        count = 0
        with connection.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(table)) as copy:
            for row in self._store.rows(f"SELECT {names} FROM {entity.table}"):
                copy.write_row(row)
                count += 1
        return count

    def _catch_up(self, connection: _Connection, entity: Entity, position: int, latest: int) -> int:
        """Apply what changed since: whatever a key's changes were, its row is now as in the store."""
        keys = dict.fromkeys(change.key for change in self._store.changes(entity, position, latest))
        for key in keys:
            row = self._store.get(entity, key)
            if row is None:
                connection.execute(_delete(entity), key)
            else:
                connection.execute(_upsert(entity), _values(entity, list(row.values())))
        return len(keys)


def _definition(entity: Entity, table: sql.Identifier) -> Iterator[sql.Composed]:
    columns = [
        sql.SQL("{} {}{}").format(sql.Identifier(field.name), sql.SQL(_type(field)), sql.SQL("" if field.nullable else " NOT NULL"))
        for field in entity.fields
    ]
    keys = sql.SQL(", ").join(sql.Identifier(name) for name in entity.key)
    yield sql.SQL("CREATE TABLE {} ({}, PRIMARY KEY ({}))").format(table, sql.SQL(", ").join(columns), keys)
    yield sql.SQL("COMMENT ON TABLE {} IS {}").format(table, sql.Literal(entity.label))
    for field in entity.fields:
        yield sql.SQL("COMMENT ON COLUMN {}.{} IS {}").format(table, sql.Identifier(field.name), sql.Literal(field.label))
    if entity.changed is not None:
        yield sql.SQL("CREATE INDEX ON {} ({})").format(table, sql.Identifier(entity.changed))


def _type(field: Field) -> Any:
    if field.kind == "string":
        return f"varchar({field.length})" if field.length else "text"
    return f"numeric({field.precision}, {field.scale})" if field.kind == "decimal" else _TYPES[field.kind]


def _values(entity: Entity, values: Sequence[Value]) -> list[Value]:
    """The store's values as PostgreSQL's parameters: SQLite keeps truth values as 0 and 1."""
    return [
        bool(value) if field.kind == "bool" and value is not None else value for field, value in zip(entity.fields, values, strict=True)
    ]


def _upsert(entity: Entity) -> sql.Composed:
    names = [sql.Identifier(field.name) for field in entity.fields]
    sets = sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(name) for name in names)
    keys = sql.SQL(", ").join(sql.Identifier(name) for name in entity.key)
    marks = sql.SQL(", ").join(sql.Placeholder() for _ in names)
    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({}) ON CONFLICT ({}) DO UPDATE SET {}")
    return statement.format(sql.Identifier(SCHEMA, entity.name), sql.SQL(", ").join(names), marks, keys, sets)


def _delete(entity: Entity) -> sql.Composed:
    keys = sql.SQL(" AND ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in entity.key)
    return sql.SQL("DELETE FROM {} WHERE {}").format(sql.Identifier(SCHEMA, entity.name), keys)
