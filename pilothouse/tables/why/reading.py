"""The lake as explained queries read it: each table at a version, under the name by which models call it, with its rows' identities.

What was opened stays open from one question to the next: a Delta log takes two milliseconds to read, a Parquet file's metadata one,
and one answer asks thirty tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import duckdb

from pilothouse.kernel.errors import LakeError
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.lake.duck import Scan, offer_store
from pilothouse.kernel.lake.opened import Opened
from pilothouse.kernel.versions import Pinned, note_read
from pilothouse.tables.project import Model, Project, relation
from pilothouse.tables.record import Notes, Read
from pilothouse.tables.why.annotate import ASKED
from pilothouse.tables.why.needed import SEPARATOR

RAW_KEY: Final = ("_row_id", "_seen_at")  # names one version of one raw row


_LOOKED_FOR: Final = 5_000  # keys that DuckDB holds against the bounds of row groups; of more it reads all
_RAW_KINDS: Final = {"_row_id": "unhex(unnest(?))", "_seen_at": "make_timestamptz(CAST(unnest(?) AS BIGINT))"}


class At(NamedTuple):
    """A table at a version."""

    table: str
    version: int


class _Opened(NamedTuple):
    there: Opened
    pinned: Pinned
    sql: str
    columns: tuple[str, ...]
    files: frozenset[str]


class Reading:
    """What is known of a lake's tables. Versions never change; a table that was made anew under its name is another one."""

    def __init__(self, lake: Lake, project: Project) -> None:
        self._lake = lake
        self._project = project
        self._models = {model.table: model for model in project.models.values()}
        self._notes = Notes(lake)
        self._opened: dict[At, _Opened] = {}
        self._inputs: dict[At, tuple[bytes, Mapping[str, Read]]] = {}
        self._idle: list[Connection] = []

    def connection(self) -> Connection:
        """A connection that nobody else uses; `give_back` when done."""
        return self._idle.pop() if self._idle else Connection(self, self._lake)

    def give_back(self, connection: Connection) -> None:
        """For whoever asks next."""
        self._idle.append(connection)

    def newest(self, table: str) -> int:
        """The newest version of a table."""
        delta = self._lake.table(table).delta()
        self._know(table, str(delta.metadata().id))
        return int(delta.version())

    def rows_of(self, at: At) -> str:
        """A SELECT of a table at a version."""
        opened = self._open(at)
        note_read(opened.pinned)
        return opened.sql

    def columns_of(self, at: At) -> tuple[str, ...]:
        """The columns that a table has at a version."""
        return self._open(at).columns

    def seen_since(self, at: At, moment: int) -> bool:
        """Whether a raw table may have rows that were seen after a moment (in microseconds). No row is seen twice in one millisecond,
        which is what is known of some."""
        until = self._open(at).there.seen_until
        return until is None or until // 1_000 > moment // 1_000

    def keeps(self, at: At, version: int) -> bool:
        """Whether a version still has all files of an earlier one: rows were added since, none taken out or written together."""
        return self._open(At(at.table, version)).files <= self._open(at).files

    def inputs(self, at: At) -> dict[str, int]:
        """Which version of each input a version of a table was made of; LakeError where that cannot be said."""
        table, code = self._lake.table(at.table), self._project.code(self._models[at.table])
        note = self._notes.text(table)
        known = self._inputs.get(at)
        if known is None or known[0] != note:
            told = next((record.inputs for record in self._notes.told_of(table, at.version) if record.code == code), None)
            if told is None:
                raise LakeError(
                    f"{at.table}: nothing tells that version {at.version} was made by the model as it is now",
                    hint="explain it in the commit that made it, or bring it up to the model with `pilothouse build`",
                )
            known = self._inputs[at] = note, told
            for name, read in told.items():
                self._know(name, read.identity)
        return {name: read.version for name, read in known[1].items()}

    def model_of(self, table: str) -> Model | None:
        """The model that makes a table; None for a raw one."""
        return self._models.get(table)

    def key_of(self, table: str) -> tuple[str, ...]:
        """The columns that name a row of a table."""
        model = self._models.get(table)
        return model.key if model else RAW_KEY

    def atom_of(self, table: str) -> str:
        """SQL that names a row of a table, over an alias."""
        parts = "".join(f" || {as_text(each, '{alias}.')} || '{SEPARATOR}'" for each in self.key_of(table))
        return f"'{table}{SEPARATOR}'{parts}"

    def _open(self, at: At) -> _Opened:
        found = self._opened.get(at)
        if found is None:
            there = self._lake.table(at.table).opened(at.version)
            scan = Scan(tuple(there.delta.file_uris()), there.schema)
            found = self._opened[at] = _Opened(there, there.pinned, scan.sql, tuple(scan.schema.names), frozenset(scan.uris))
        return found

    def _know(self, table: str, identity: str) -> None:
        """Forget what was known of a table that has since been made anew under its name."""
        for at, opened in list(self._opened.items()):
            if at.table == table and opened.pinned.identity != identity:
                del self._opened[at]


class Connection:
    """A DuckDB connection in which tables stand under the names by which models call them."""

    def __init__(self, reading: Reading, lake: Lake) -> None:
        self.duck = duckdb.connect()
        self.duck.execute(
            f"SET TimeZone = 'UTC'; SET parquet_metadata_cache = true; CREATE SCHEMA {ASKED};"
            f"SET dynamic_or_filter_threshold = {_LOOKED_FOR}"
        )
        offer_store(self.duck, lake)
        self._reading = reading
        self._views: dict[tuple[str, str], str] = {}

    def view(self, at: At) -> None:
        """A table at a version."""
        self.stand(relation(at.table), self._reading.rows_of(at))

    def stand(self, called: tuple[str, str], rows: str) -> None:
        """Rows under a name, if something else stands there yet."""
        if self._views.get(called) != rows:
            schema, table = called
            self.duck.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"; CREATE OR REPLACE VIEW "{schema}"."{table}" AS {rows}')
            self._views[called] = rows

    def ask(self, model: Model, keys: Sequence[Sequence[str]]) -> None:
        """Keys where the model's text looks for the rows that are asked for."""
        kinds = {column.name: column.kind for column in model.columns}
        self._keys(f'{ASKED}."{model.name}"', {name: f"CAST(unnest(?) AS {kinds[name]})" for name in model.key}, keys)

    def ask_those(self, model: Model, query: str) -> None:
        """The same with the keys that a query names."""
        names, known = (", ".join(f'"{name}"' for name in model.key), " AND ".join(f'"{name}" IS NOT NULL' for name in model.key))
        self.duck.execute(f'CREATE OR REPLACE TABLE {ASKED}."{model.name}" AS SELECT DISTINCT {names} FROM ({query}) WHERE {known}')

    def publish(self, model: Model, rows: str, columns: Iterable[str]) -> None:
        """Instead of the keys that are asked for, put their rows as these are published, as far as these columns."""
        place, same = f'{ASKED}."{model.name}"', " AND ".join(f'told."{each}" = keys."{each}"' for each in model.key)
        told = ", ".join(f'told."{each}"' for each in dict.fromkeys((*model.key, *columns)))
        self.duck.execute(f"CREATE OR REPLACE TABLE {place} AS SELECT {told} FROM ({rows}) AS told JOIN {place} AS keys ON {same}")

    def change(self, name: str, at: At, keys: Sequence[Sequence[str]]) -> None:
        """Put rows of a table where a model's text looks for what has changed."""
        model, place = self._reading.model_of(at.table), f'changes."{name}"'
        kinds = {column.name: f"CAST(unnest(?) AS {column.kind})" for column in model.columns} if model else _RAW_KINDS
        columns = self._reading.key_of(at.table)
        self._keys("keys", {each: kinds[each] for each in columns}, keys)
        same = " AND ".join(f'told."{each}" = keys."{each}"' for each in columns)
        rows = self._reading.rows_of(at)
        self.duck.execute("CREATE SCHEMA IF NOT EXISTS changes")
        self.duck.execute(f"CREATE OR REPLACE TABLE {place} AS SELECT told.* FROM ({rows}) AS told JOIN keys ON {same}")

    def _keys(self, place: str, typed: Mapping[str, str], keys: Sequence[Sequence[str]]) -> None:
        listed = [[key[number] for key in keys] for number in range(len(typed))]
        told = ", ".join(f'{text} AS "{name}"' for name, text in typed.items())
        self.duck.execute(f"CREATE OR REPLACE TABLE {place} AS SELECT {told}", listed)


def as_text(column: str, of: str = "") -> str:
    """SQL of a key's column as text."""
    if column == "_row_id":
        return f"hex({of}_row_id)"
    return f"CAST(epoch_us({of}_seen_at) AS VARCHAR)" if column == "_seen_at" else f'CAST({of}"{column}" AS VARCHAR)'
