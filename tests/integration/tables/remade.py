"""Tables made again of some raw rows, by nothing but the models' own texts: what provenance is held against.

It knows nothing of how rows are explained. Rows are taken out of the raw tables, and what the models then say is looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import duckdb
import pyarrow as pa

from graph.resolution.tables import firm_links, firm_members
from pilothouse.kernel.lake import Lake
from pilothouse.tables.dbt import Dbt
from pilothouse.tables.plugin import Served, serving
from pilothouse.tables.project import Model, Project
from pilothouse.tables.why.row import Row

PARTY, CORRECTION = "intermediate.int_party", "staging.stg_pilothouse__firm_correction"
Raw = tuple[str, str]  # table, and identity: of a row, or with the moment of a version of it
_ROW = 32  # digits of a row's identity


def compiled(lake: Lake, project: Project, work: Path) -> Mapping[str, str]:
    """The models' texts as they make whole tables."""
    with serving(Served(lake, {})):
        return Dbt(project.folder, work).compile(variables={})


class Remade:
    """The models over a few versions of raw rows, out of which rows can be taken."""

    def __init__(self, lake: Lake, project: Project, texts: Mapping[str, str], rows: Iterable[Raw] | None = None) -> None:
        self.connection = duckdb.connect()
        self.connection.execute("SET TimeZone = 'UTC'; CREATE TABLE gone (id VARCHAR)")
        self._raw: list[tuple[str, str]] = []
        for name in sorted({name for model in project.models.values() for name in model.raw}):
            _, schema, table = name.split("/")
            named = f"'{name}' || hex(_row_id) AS _row, _row || epoch_us(_seen_at)::VARCHAR AS _version"
            whole = f"SELECT *, {named} FROM ({lake.table(name).files().sql})"
            self.connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"; CREATE TABLE "{schema}"."{table}_whole" AS {whole}')
            self._raw.append((schema, table))
        self._copy(rows)
        for schema, table in self._raw:
            rest = f'FROM "{schema}"."{table}_kept" WHERE _row NOT IN (FROM gone)'
            self.connection.execute(f'CREATE VIEW "{schema}"."{table}" AS SELECT * EXCLUDE (_row, _version) {rest}')
        self.weights = lake.table("intermediate/int_firm_weights").scan().collect().to_arrow()
        self.resolved: dict[str, tuple[pa.Table, pa.Table]] = {}
        for model in project.models.values():
            self.connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{model.layer}"')
            if model.name == "int_firm_member":
                self.resolve()
            elif not model.python:
                self.connection.execute(f'CREATE VIEW "{model.layer}"."{model.name}" AS {texts[model.name]}')

    def keep(self, rows: Iterable[Raw]) -> None:
        """The models over other versions of raw rows, of which none is taken out."""
        self._copy(rows)
        self.take(frozenset())

    def _copy(self, rows: Iterable[Raw] | None) -> None:
        kept = None if rows is None else [table + identity for table, identity in rows]
        self.connection.execute("CREATE OR REPLACE TABLE kept AS SELECT unnest(?::VARCHAR[]) AS id", [kept])
        which = "" if kept is None else "WHERE _version IN (FROM kept)"
        for schema, table in self._raw:
            whole = f'FROM "{schema}"."{table}_whole" {which}'
            self.connection.execute(f'CREATE OR REPLACE TABLE "{schema}"."{table}_kept" AS {whole}')

    def resolve(self) -> None:
        """What Python makes of what is there; of the same records the same again."""
        party, said = (self.connection.sql(f"FROM {name} ORDER BY ALL").to_arrow_table() for name in (PARTY, CORRECTION))
        which = repr((party.to_pylist(), said.to_pylist()))
        if which not in self.resolved:
            links = firm_links(party, self.weights)
            self.resolved[which] = links, firm_members(party, links, said)
        for name, made in zip(("int_firm_link", "int_firm_member"), self.resolved[which], strict=True):
            self.connection.register("made", made)
            self.connection.execute(f"CREATE OR REPLACE TABLE intermediate.{name} AS FROM made")
            self.connection.unregister("made")

    def take(self, gone: frozenset[Raw]) -> None:
        """Take these raw rows out, each with all of its versions, and put those back that were taken before."""
        self.connection.execute("DELETE FROM gone")
        self.connection.execute("INSERT INTO gone SELECT unnest(?::VARCHAR[])", [[table + identity for table, identity in gone]])
        self.resolve()

    def row(self, model: Model, key: Mapping[str, str], gone: frozenset[Raw]) -> object:
        """What a row says with some raw rows gone."""
        self.take(gone)
        columns = ", ".join(f'"{column.name}"' for column in model.columns if not column.name.startswith("_"))
        same = " AND ".join(f'CAST("{name}" AS VARCHAR) = ?' for name in model.key)
        return self.connection.execute(f'SELECT {columns} FROM "{model.layer}"."{model.name}" WHERE {same}', list(key.values())).fetchall()


def rows_of(versions: Iterable[Raw]) -> set[Raw]:
    """The rows that these are versions of."""
    return {(table, identity[:_ROW]) for table, identity in versions}


def by_itself(row: Row) -> set[Raw]:
    """The raw rows behind a row, but for those that a resolver compared."""
    return rows_of(row.raw()) - compared(row)


def compared(row: Row) -> set[Raw]:
    """The raw rows that tell who is who."""
    if row.table in {"intermediate/int_firm_member", "intermediate/int_firm_link"}:
        return rows_of(row.raw())
    return set().union(*(compared(source) for source in row.sources))
