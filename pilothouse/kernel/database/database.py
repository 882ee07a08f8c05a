"""One operational database: pooled connections that recover, and a schema that is brought up to date.

The same code runs over the embedded server of a laptop and a managed one. Whoever needs a feature of the driver itself
(COPY, LISTEN) gets a psycopg connection of its own by `driver_connection`; everything else goes through SQLAlchemy.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from functools import cached_property
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg import sql

from pilothouse.kernel.database.translation import translated
from pilothouse.kernel.errors import ConfigError, DatabaseError

_OLDEST_MAJOR = 15
_CONNECT_SECONDS = 10


class Database:
    """A PostgreSQL database by its URL. Nothing is opened before it is used, and `close` closes it all."""

    def __init__(
        self,
        url: str,
        *,
        application: str = "pilothouse",
        connections: int = 10,
        statement_timeout: timedelta = timedelta(minutes=5),
    ) -> None:
        self._url = _parsed(url)
        self._application = application
        self._connections = connections
        self._statement_timeout = int(statement_timeout.total_seconds() * 1000)

    def __repr__(self) -> str:
        return f"Database({self.where})"

    @property
    def where(self) -> str:
        """The address for people and messages: no user, no password."""
        return f"{self._url.host or 'localhost'}:{self._url.port or 5432}/{self._url.database}"

    @property
    def url(self) -> str:
        """The address for drivers, password included."""
        return self._url.set(drivername="postgresql").render_as_string(hide_password=False)

    @cached_property
    def engine(self) -> sa.Engine:
        """SQLAlchemy's engine: a connection that died while it was idle is replaced before it is used."""
        return sa.create_engine(
            self._url,
            pool_size=self._connections,
            max_overflow=self._connections,
            pool_timeout=30,
            pool_pre_ping=True,
            pool_recycle=1800,
            connect_args=self._connection_options(),
        )

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """A transaction: committed at the end, rolled back on an error, with driver errors translated."""
        with translated(self.where), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection on which each statement sees what is committed when it starts."""
        with translated(self.where), self.engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    def driver_connection(self) -> psycopg.Connection[Any]:
        """A psycopg connection outside of the pool, in autocommit; the caller closes it."""
        with translated(self.where):
            return psycopg.connect(self.url, autocommit=True, **self._connection_options())

    def check(self) -> None:
        """Raise unless the database answers, is recent enough and carries the current schema."""
        with self.reading() as connection:
            version = int(connection.scalar(sa.text("SELECT current_setting('server_version_num')::int")) or 0)
        if version // 10000 < _OLDEST_MAJOR:
            raise DatabaseError(
                f"{self.where}: PostgreSQL {version // 10000} is too old", hint=f"PostgreSQL {_OLDEST_MAJOR} or newer is needed"
            )
        from pilothouse.kernel.database.migration import head

        if (found := self.current()) != head():
            raise DatabaseError(
                f"{self.where}: the schema is at {found or 'nothing'}, the code needs {head()}", hint="run `Database.upgrade()`"
            )

    def upgrade(self) -> None:
        """Bring the schema up to date; a second call, or a second process at the same moment, changes nothing."""
        from pilothouse.kernel.database import migration

        migration.upgrade(self)

    def downgrade(self, revision: str) -> None:
        """Take the schema back to a revision; `base` removes every table."""
        from pilothouse.kernel.database import migration

        migration.downgrade(self, revision)

    def current(self) -> str | None:
        """The revision of the schema; None before the first upgrade."""
        from pilothouse.kernel.database import migration

        return migration.current(self)

    def ensure_database(self, name: str) -> str:
        """The URL of another database of this server, created if need be: Dagster and MLflow get one each."""
        # Two processes may create it at once; the loser sees one of these errors, and the database is there.
        there = suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation)
        with translated(self.where), closing(self.driver_connection()) as connection, there:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self._url.set(drivername="postgresql", database=name).render_as_string(hide_password=False)

    def close(self) -> None:
        """Close every pooled connection. The next use opens new ones."""
        if "engine" in self.__dict__:
            self.engine.dispose()

    def _connection_options(self) -> dict[str, Any]:
        return {
            "application_name": self._application,
            "connect_timeout": _CONNECT_SECONDS,
            "keepalives_idle": 30,
            "options": f"-c statement_timeout={self._statement_timeout} -c idle_in_transaction_session_timeout={self._statement_timeout}"
            " -c timezone=UTC",
        }


def _parsed(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise ConfigError(
            "database.url is no URL", hint="PILOTHOUSE_DATABASE__URL looks like postgresql://user:password@host:5432/name"
        ) from error
    if parsed.drivername.partition("+")[0] not in {"postgresql", "postgres"}:
        raise ConfigError(
            f"database.url is of kind '{parsed.drivername}'", hint="PILOTHOUSE_DATABASE__URL names a PostgreSQL: postgresql://..."
        )
    if not parsed.database:
        raise ConfigError(
            "database.url names no database", hint="PILOTHOUSE_DATABASE__URL looks like postgresql://user:password@host:5432/name"
        )
    return parsed.set(drivername="postgresql+psycopg")
