"""What PostgreSQL and its two drivers can fail with, in our words.

psycopg asks for descriptions and positions, ADBC carries the rows. Both pass on the server's SQLSTATE, except where
the connection itself is refused: then libpq gives nothing but the server's sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import adbc_driver_manager
import psycopg
import pyarrow as pa

from pilothouse.kernel.errors import CredentialsRejected, SourceContractChanged, SourceError, SourceUnavailable

_UNKNOWN_OBJECT = {"42P01", "42703", "3F000", "42704", "42883"}
_TRANSIENT = {"40001", "40P01", "55P03", "57014", "25P03", "25P04", "72000"}
_TRANSIENT_CLASSES = {"08", "53", "57", "58"}  # connection, resources, operator (shutdown), system
_REFUSED_LOGIN = re.compile(
    r"password authentication failed|no password supplied|pg_hba\.conf|role \"[^\"]*\" does not exist|authentication"
)
# While rows stream, the driver passes on the server's sentence but not its SQLSTATE.
_JUDGED = re.compile(r"\bERROR: ")
_PASSING = re.compile(
    r"canceling statement|conflict with recovery|timeout|out of memory|deadlock|terminating connection|server closed the connection"
    r"|could not (receive|send) data|connection (not open|reset|timed out)|SSL SYSCALL error|SSL connection has been closed"
)
_NO_DATABASE = re.compile(r"database \"[^\"]*\" does not exist")
_DRIVER_NOISE = re.compile(r"\s*(Query was:.*|SQLSTATE: \w+|LINE \d+:.*)$", re.DOTALL)

_PREAMBLE = re.compile(
    r"^(\w+: )?(\[libpq\] )?(Failed to (prepare|execute) query: )?(could not begin COPY: )?(Execution error \[\w+\]: )?(ERROR:\s+)?"
)


@contextmanager
def translated(source: str, what: str) -> Iterator[None]:
    """Whatever the drivers raise inside leaves as a SourceError that says where it happened."""
    try:
        yield
    except (psycopg.Error, adbc_driver_manager.Error, pa.ArrowException, OSError) as error:
        raise translate(error, source, what) from error


def translate(error: Exception, source: str, what: str) -> SourceError:
    """The SourceError that a driver's error stands for."""
    said = _sentence(error)
    state = str(getattr(error, "sqlstate", None) or "")
    where = f"{source} / {what}"
    setting = f"PILOTHOUSE_SOURCES__{re.sub(r'[^A-Z0-9_]', '_', source.upper())}__URL"
    if state[:2] == "28" or (not state and _REFUSED_LOGIN.search(said)):
        return CredentialsRejected(f"{where}: the database does not let us in: {said}", hint=f"check user and password in {setting}")
    if state == "42501":
        return CredentialsRejected(f"{where}: {said}", hint="grant the user USAGE on the schema and SELECT on the table")
    if state == "3D000" or (not state and _NO_DATABASE.search(said)):
        return SourceContractChanged(f"{where}: {said}", hint=f"check the database's name in {setting}")
    if state in _UNKNOWN_OBJECT:
        return SourceContractChanged(f"{where}: {said}", hint="the table changed under us: compare it with the stream's declaration")
    if state in _TRANSIENT or state[:2] in _TRANSIENT_CLASSES or (not state and _is_passing(error)):
        return SourceUnavailable(f"{where}: the database does not answer: {said}", hint=f"is it up, and reachable under {setting}?")
    return SourceError(f"{where}: {said}", hint="the database refuses this read; its own log says more")


def _is_passing(error: Exception) -> bool:
    """Whether an error without a SQLSTATE is worth a retry: the line broke, or never stood."""
    text = str(error)
    if _PASSING.search(text):
        return True
    return not _JUDGED.search(text) and isinstance(
        error, psycopg.OperationalError | adbc_driver_manager.OperationalError | adbc_driver_manager.InternalError | OSError
    )


def _sentence(error: Exception) -> str:
    """The first, telling part of a driver's message in one line."""
    text = _DRIVER_NOISE.sub("", str(error)).strip() or type(error).__name__
    text = _PREAMBLE.sub("", text)
    return " ".join(text.split())
