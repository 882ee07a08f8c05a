"""What the driver raises, as errors of ours: does the database refuse, or does it not answer?

The distinction decides about retries, so it is drawn here once. A deadlock, a failed serialization, a statement that ran
out of time and a full disk count as unanswered: the same call may succeed later.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import sqlalchemy.exc

from pilothouse.kernel.errors import DatabaseError, DatabaseUnavailable

# https://www.postgresql.org/docs/18/errcodes-appendix.html: connection, resources, operator intervention, deadlock, serialization, lock.
_TRANSIENT_CLASSES = ("08", "53", "57")
_TRANSIENT_STATES = ("40001", "40P01", "55P03", "25P03", "25P04")

_HINTS: tuple[tuple[str, str], ...] = (
    ("password authentication failed|no password supplied|role .* does not exist|no pg_hba.conf entry", "check user and password"),
    ("database .* does not exist", "create the database, or correct its name"),
    ("No space left on device", "free some space on the database's disk"),
    ("too many clients|remaining connection slots", "raise max_connections of the server, or run fewer processes"),
    ("Connection refused|could not connect|timeout expired|Name or service not known", "is the server up and reachable?"),
    ("relation .* does not exist|schema .* does not exist", "bring the schema up to date with `Database.upgrade()`"),
)
_REFUSALS = re.compile(f"{_HINTS[0][0]}|{_HINTS[1][0]}")


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Raise DatabaseUnavailable or DatabaseError for whatever the driver raises inside. `where` must not hold a password."""
    try:
        yield
    except (psycopg.Error, sqlalchemy.exc.SQLAlchemyError) as error:
        raise database_error(error, where) from error


def database_error(error: Exception, where: str) -> DatabaseError:
    """One driver error as ours."""
    origin = error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) and error.orig is not None else error
    said = re.sub(r"\s+", " ", str(origin)).strip()
    hint = next((way for pattern, way in _HINTS if re.search(pattern, said)), "")
    if _answers(origin, said):
        return DatabaseError(f"{where}: {said}", hint=_with_setting(hint))
    return DatabaseUnavailable(f"{where}: {said or 'the connection was lost'}", hint=_with_setting(hint or "try again later"))


def _answers(origin: BaseException, said: str) -> bool:
    state = getattr(origin, "sqlstate", None)
    if isinstance(state, str):
        return not (state.startswith(_TRANSIENT_CLASSES) or state in _TRANSIENT_STATES)
    if isinstance(origin, psycopg.OperationalError | psycopg.InterfaceError):
        return _REFUSALS.search(said) is not None  # libpq gives no state for a failed connection, only its text
    return not isinstance(origin, sqlalchemy.exc.TimeoutError)


def _with_setting(hint: str) -> str:
    return f"{hint} (database.url, PILOTHOUSE_DATABASE__URL)" if hint else ""
