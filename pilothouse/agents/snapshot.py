"""The world as an agent sees it: tables at named versions, and nothing else.

A snapshot is taken once and does not move. So two calls of one run cannot contradict each other, a backtest sees no later row, and
what a decision read is known before it reads. Every table that is looked at is noted in the version vector by the look itself.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

from pilothouse.kernel.errors import LakeError, ToolFailed
from pilothouse.kernel.versions import Pinned, Versions, note_read

if TYPE_CHECKING:
    import duckdb

    from pilothouse.agents.held import Held
    from pilothouse.kernel.lake import Lake

_SYNTHETIC: Final = "_synthetic"
_OFTEN: Final = 8  # looks at a table after which it is worth being held in memory
_SMALL: Final = 200_000  # rows that may be
_KEPT: Final = 256  # answers that are remembered, each of a few rows: tools of one run ask for the same
_FEW: Final = 20


@dataclass
class Look:
    """What was found out about a run by what it looked at: whether any row comes from the enterprise in a box."""

    synthetic: bool = False
    asked: list[Asked] = field(default_factory=list)


@dataclass(frozen=True)
class Asked:
    """Rows that were looked for: of which table, at which version, with which values. Rows that are not there were looked for, too."""

    table: str
    version: int
    where: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Plain."""
        return {"table": self.table, "version": self.version, "where": {name: plain(value) for name, value in self.where.items()}}


_looks: ContextVar[tuple[Look, ...]] = ContextVar("pilothouse_looks", default=())


@contextmanager
def looking() -> Iterator[Look]:
    """Watch what is looked at inside. Runs that share a snapshot are told apart by this."""
    look = Look()
    token = _looks.set((*_looks.get(), look))
    try:
        yield look
    finally:
        _looks.reset(token)


_aside: ContextVar[bool] = ContextVar("pilothouse_aside", default=False)


@contextmanager
def aside() -> Iterator[None]:
    """What is looked at inside tells how things are called. Nobody decides by that, so no decision rests on these rows: what touches
    them touches no decision. That they were read is noted, and whether they are synthetic."""
    token = _aside.set(True)
    try:
        yield
    finally:
        _aside.reset(token)


def saw_synthetic() -> None:
    """Note for whoever is looking that a row comes from the enterprise in a box."""
    for look in _looks.get():
        look.synthetic = True


def note_look(pinned: Pinned, where: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> None:
    """Called by whatever looks at rows: who watches inside `looking` learns what was asked for, and whether any row that was found comes
    from the enterprise in a box."""
    synthetic = any(row.get(_SYNTHETIC) for row in rows)
    for look in _looks.get():
        look.synthetic = look.synthetic or synthetic
        if not _aside.get():
            look.asked.append(Asked(pinned.name, int(pinned.version), dict(where)))


class Snapshot:
    """Tables of a lake at these versions. Threads may share it; `close` gives back what it holds."""

    def __init__(self, lake: Lake, versions: Mapping[str, Pinned]) -> None:
        self._lake = lake
        self._versions = dict(versions)
        self._views: dict[str, str] = {}
        self._counts: Counter[str] = Counter()
        self._in_memory: dict[str, Held] = {}
        self._answers: dict[str, list[dict[str, Any]]] = {}
        self._lock = threading.Lock()
        self._connection: duckdb.DuckDBPyConnection | None = None

    @classmethod
    def take(cls, lake: Lake, tables: Iterable[str]) -> Snapshot:
        """These tables as they are now, such as `marts/fct_order`, or `quarantine/*` for all of a kind. A table that is not there yet is
        not in the snapshot."""
        wanted = list(tables)
        named = [name for name in wanted if "*" not in name]
        if patterns := [name for name in wanted if "*" in name]:
            named += [each.name for each in lake.tables() if any(fnmatchcase(each.name, pattern) for pattern in patterns)]
        return cls(lake, {name: lake.table(name).pinned() for name in dict.fromkeys(named) if lake.table(name).exists()})

    @classmethod
    def of(cls, lake: Lake, versions: Versions) -> Snapshot:
        """The tables that a decision read, as they were then."""
        return cls(lake, {entry.name: entry for entry in versions.read if entry.kind == "table"})

    @property
    def tables(self) -> tuple[str, ...]:
        """What can be looked at."""
        return tuple(sorted(self._versions))

    def row(self, table: str, where: Mapping[str, Any]) -> dict[str, Any] | None:
        """The one row with these values; None where there is none. ToolFailed where there are several."""
        found = self.rows(table, where, limit=2)
        if len(found) > 1:
            told = ", ".join(f"{name} = {value}" for name, value in where.items())
            raise ToolFailed(f"{table}: more than one row has {told}", hint="name the whole key")
        return found[0] if found else None

    @property
    def versions(self) -> Versions:
        """What it holds, whether it was looked at or not."""
        return Versions(read=tuple(sorted(self._versions.values())))

    def rows(self, table: str, where: Mapping[str, Any], *, limit: int, order: str = "") -> list[dict[str, Any]]:
        """Rows with these values as plain JSON: moments and days as ISO texts, decimals as texts that keep their digits. `order` names
        columns, one with a minus before it from its end."""
        view, asked = self._view(table), f"{table} {dict(where)!r} {limit} {order}"
        found = self._answers.get(asked)
        if found is None:
            found = self._found(table, view, where, limit, order)
            with self._lock:
                if len(self._answers) >= _KEPT:
                    self._answers.clear()
                if len(found) <= _FEW:
                    self._answers[asked] = found
        note_look(self._versions[table], where, found)
        return [dict(row) for row in found]

    def _found(self, table: str, view: str, where: Mapping[str, Any], limit: int, order: str) -> list[dict[str, Any]]:
        with self._lock:
            held = self._in_memory.get(view)
            known = None if held is None else held.rows(where)
        if known is not None:
            return [{name: plain(value) for name, value in row.items()} for row in known[:limit]]
        conditions = " AND ".join(f"{_quoted(name)} = ?" for name in where) or "true"
        ordered = f" ORDER BY {', '.join(map(_ordered, order.split(', ')))}" if order else ""
        with self._cursor() as cursor:
            try:
                cursor.execute(f"SELECT * FROM {view} WHERE {conditions}{ordered} LIMIT {int(limit)}", list(where.values()))
                names = [column[0] for column in cursor.description or ()]
                return [dict(zip(names, map(plain, values), strict=True)) for values in cursor.fetchall()]
            except _duckdb().Error as error:
                raise ToolFailed(f"{table}: {error}", hint="name columns that the table has") from error

    def holds(self, table: str, column: str, values: Collection[str]) -> set[str]:
        """Which of these values stand in a column; none where the snapshot has no such table yet."""
        if table not in self._versions or not values:
            return set()
        view = self._view(table)
        with self._cursor() as cursor:
            cursor.execute(f"SELECT DISTINCT {_quoted(column)} FROM {view} WHERE {_quoted(column)} IN (SELECT unnest(?))", [list(values)])
            return {str(value) for (value,) in cursor.fetchall()}

    def close(self) -> None:
        """Give back DuckDB's memory."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
                self._views.clear()
                self._in_memory.clear()
                self._counts.clear()
                self._answers.clear()

    def _view(self, table: str) -> str:
        """A table as a name in SQL, opened when it is first looked at, and noted each time."""
        if table not in self._versions:
            raise ToolFailed(f"{table} is not in this snapshot", hint=f"it holds {', '.join(self.tables) or 'nothing'}")
        pinned = self._versions[table]
        note_read(pinned)
        with self._lock:
            self._counts[table] += 1
            try:
                if table not in self._views:
                    self._views[table] = self._viewed(table, int(pinned.version))
                elif self._counts[table] == _OFTEN:
                    self._views[table] = self._held(self._views[table])
            except LakeError as error:
                raise ToolFailed(error.message, hint=error.hint) from error
            except _duckdb().Error as error:
                raise ToolFailed(
                    f"{table}: version {pinned.version} cannot be read: {str(error).splitlines()[0]}",
                    hint="its files are gone: restore the lake from a backup",
                ) from error
            return self._views[table]

    def _viewed(self, table: str, version: int) -> str:
        name = f"table_{len(self._views)}"
        self._open().execute(f"CREATE VIEW {name} AS {self._lake.table(table).files(version).sql}")
        return name

    def _held(self, view: str) -> str:
        """In memory, if it is small: to open files takes several times as long as to find a row."""
        connection = self._open()
        (rows,) = connection.execute(f"SELECT count(*) FROM {view}").fetchone() or (0,)
        if rows > _SMALL:
            return view
        connection.execute(f"CREATE TABLE held_{view} AS SELECT * FROM {view}")
        from pilothouse.agents.held import Held

        self._in_memory[f"held_{view}"] = Held(connection.sql(f"SELECT * FROM held_{view}").to_arrow_table())
        return f"held_{view}"

    def _open(self) -> duckdb.DuckDBPyConnection:
        if self._connection is None:
            from pilothouse.kernel.lake.duck import offer_store  # Polars and Arrow come with it

            self._connection = _duckdb().connect(config={"threads": 1})
            # To read where a file's rows stand takes longer than to read a row, the longer the more there are.
            self._connection.execute("SET TimeZone = 'UTC'; SET GLOBAL parquet_metadata_cache = true")
            offer_store(self._connection, self._lake)
        return self._connection

    @contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with self._lock:
            cursor = self._open().cursor()
        try:
            yield cursor
        finally:
            cursor.close()


def plain(value: Any) -> Any:
    """A value of a table as JSON can say it."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes):
        return value.hex().upper()
    return value


def _ordered(name: str) -> str:
    return f"{_quoted(name[1:])} DESC" if name.startswith("-") else _quoted(name)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _duckdb() -> Any:
    import duckdb  # a tenth of a second that whoever only declares an agent does not need

    return duckdb
