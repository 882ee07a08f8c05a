"""From a raw row up to every row of every table that depends on it: `why`, the other way round.

For each model, in the order of their making, the query by which an incremental build finds what a change touches names the rows
that may depend on rows known to; their own annotated text then says which do, and in which columns. Where one of several sources
would do, a row may depend on nothing in the end: such rows are asked for their sources, as `why` would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pilothouse.tables.project import Model, changes_of, relation
from pilothouse.tables.why.explain import Explainer
from pilothouse.tables.why.needed import Needed
from pilothouse.tables.why.walk import RAW_KEY, At, Key, Walk, as_text

if TYPE_CHECKING:
    import duckdb

_Cells = dict[Key, set[str]]  # rows by key, and the columns in which they depend on something: "" is that the row exists


@dataclass(frozen=True)
class Dependent:
    """A row that depends on the raw row, in these columns or some of them; in none, where only its being there does."""

    table: str
    version: int
    key: dict[str, str]
    columns: tuple[str, ...]


@dataclass
class _Reached:
    """What is known of one table: which cells depend on the raw row, and which of its rows only perhaps."""

    cells: _Cells
    doubtful: set[Key]


class Impact:
    """The rows that depend on one raw row."""

    def __init__(self, explainer: Explainer, models: Iterable[Model]) -> None:
        self._explainer = explainer
        self._models = list(models)

    def of(self, table: str, row_id: str) -> Iterator[Dependent]:
        """The rows of every table that depend on any version of a raw row, which is named by its identity in hexadecimal digits."""
        with self._explainer.walk() as walk:
            connection = walk.connection
            reached = {table: self._versions(connection, table, row_id)}
            for model in self._models:
                if not model.kept and reached.keys() & set(self._explainer.inputs_of(model)):
                    found = self._reached(walk, connection, model, reached)
                    if found.cells:
                        reached[model.table] = found
                        yield from self._told(connection, model, found, (table, row_id))

    def _versions(self, connection: duckdb.DuckDBPyConnection, table: str, row_id: str) -> _Reached:
        rows = self._explainer.rows_of(table, self._explainer.newest(table))
        told = f"SELECT {', '.join(map(as_text, RAW_KEY))} FROM ({rows}) WHERE _row_id = unhex(?)"
        # All of its columns matter, and that it is there.
        return _Reached({tuple(map(str, row)): {"", "*"} for row in connection.execute(told, [row_id]).fetchall()}, set())

    def _reached(self, walk: Walk, connection: duckdb.DuckDBPyConnection, model: Model, reached: Mapping[str, _Reached]) -> _Reached:
        at = At(model.table, self._explainer.newest(model.table))
        candidates = self._candidates(connection, model, at, reached)
        columns = {column.name for column in model.columns if not column.name.startswith("_")}
        if not candidates:
            return _Reached({}, set())
        asked = walk.asked(at, dict.fromkeys(candidates, columns))
        found = _Reached({}, set())
        for key, cells in asked.cells.items():
            for column, needed in cells.items():
                sure, perhaps = self._touches(needed, asked.source, reached)
                if sure or perhaps:
                    found.cells.setdefault(key, set()).add(column)
                    if not sure:
                        found.doubtful.add(key)
        return found

    @staticmethod
    def _touches(needed: Needed, source: Callable[[str], tuple[At, Key, str]], reached: Mapping[str, _Reached]) -> tuple[bool, bool]:
        """Whether a cell needs what depends on the raw row, and whether it does so as one choice among several."""

        def hit(atoms: Iterable[str]) -> tuple[bool, bool]:
            sure = perhaps = False
            for atom in atoms:
                at, key, column = source(atom)
                below = reached.get(at.table)
                cells = below.cells.get(key) if below else None
                if below is not None and cells and ("*" in cells or column in cells or "" in cells):
                    sure, perhaps = sure or key not in below.doubtful, True
            return sure, perhaps

        sure, perhaps = hit(needed.atoms)
        return sure, perhaps or any(hit(choice.everything())[1] for several in needed.choices.values() for choice in several.values())

    def _candidates(self, connection: duckdb.DuckDBPyConnection, model: Model, at: At, reached: Mapping[str, _Reached]) -> list[Key]:
        """The keys of rows that may depend on what was reached; of a model that is made as a whole, all."""
        rows, keys = self._explainer.rows_of(at.table, at.version), ", ".join(as_text(name) for name in model.key)
        touched = self._explainer.touched(model)
        if not touched:
            return [tuple(map(str, row)) for row in connection.execute(f"SELECT {keys} FROM ({rows})").fetchall()]
        connection.execute(f'CREATE SCHEMA IF NOT EXISTS before; CREATE OR REPLACE VIEW before."{model.name}" AS {rows}')
        for name, version in self._explainer.inputs(at.table, at.version).items():
            self._put_up(connection, model, name, version, reached.get(name))
        listed = ", ".join(f'"{name}"' for name in model.key)
        same = f"({listed}) IN (SELECT {listed} FROM ({touched}))"
        return [tuple(map(str, row)) for row in connection.execute(f"SELECT {keys} FROM ({rows}) WHERE {same}").fetchall()]

    def _put_up(self, connection: duckdb.DuckDBPyConnection, model: Model, name: str, version: int, found: _Reached | None) -> None:
        """An input where the model's text looks for it, and those of its rows that were reached as if they had changed."""
        schema, called = relation(name)
        rows = self._explainer.rows_of(name, version)
        connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"; CREATE OR REPLACE VIEW "{schema}"."{called}" AS {rows}')
        source = self._explainer.model_of(name)
        changed = f'"{changes_of(model.name, name)}"'
        texts = " || chr(31) || ".join(as_text(part) for part in (source.key if source else RAW_KEY))
        listed = ["\x1f".join(key) for key in found.cells] if found else []
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS changes; CREATE OR REPLACE TABLE changes.{changed} AS FROM ({rows}) LIMIT 0")
        if listed:
            connection.execute(f"INSERT INTO changes.{changed} SELECT * FROM ({rows}) WHERE list_contains(?, {texts})", [listed])

    def _told(self, connection: duckdb.DuckDBPyConnection, model: Model, found: _Reached, raw: tuple[str, str]) -> Iterator[Dependent]:
        at = At(model.table, self._explainer.newest(model.table))
        columns = {column.name for column in model.columns if not column.name.startswith("_")}
        needs = Walk(self._explainer, connection).needs(at, dict.fromkeys(found.doubtful, columns)) if found.doubtful else {}
        for key in sorted(found.cells):
            if key not in needs or raw in needs[key]:
                yield Dependent(*at, dict(zip(model.key, key, strict=True)), tuple(sorted(found.cells[key] - {""})))
