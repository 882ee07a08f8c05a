"""What another engine made, handed over as files and read here under the models' names.

Every column is read in the type of its contract: engines hand over whole numbers as decimals and names in capitals.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb

from pilothouse.kernel.lake import Lake
from pilothouse.kernel.lake.duck import create_views, offer_store
from pilothouse.kernel.settings import TableSettings
from pilothouse.tables.engines import Wave
from pilothouse.tables.project import Column, Model
from pilothouse.tables.publishable import quoted


@dataclass(frozen=True)
class Files:
    """The files of one table: Parquet, as DuckDB opens it. Of a model that was made in part, `touched` are the keys of the rows
    that were made anew."""

    made: Sequence[str]
    touched: Sequence[str] | None = None


@contextmanager
def handed_over(lake: Lake, settings: TableSettings, wave: Wave, files: Mapping[Model, Files]) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in which these tables can be read as if they had been made in it."""
    with duckdb.connect(config={"memory_limit": settings.memory, "threads": settings.threads}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        offer_store(connection, lake)
        create_views(connection, (("before", model, part.before) for model, part in wave.parts.items()))
        for model, each in files.items():
            connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{model.layer}"')
            for text in _views(model, each):
                connection.execute(text)
        yield connection


def _views(model: Model, files: Files) -> Iterator[str]:
    name = f'"{model.layer}"."{model.name}'
    if files.touched is None:
        yield f'CREATE VIEW {name}" AS {_select(files.made, model.columns)}'
        return
    keys = [column for column in model.columns if column.name in model.key]
    same = " AND ".join(f'touched."{each}" = was."{each}"' for each in model.key)
    yield f'CREATE VIEW {name}__made" AS {_select(files.made, model.columns)}'
    yield f'CREATE VIEW {name}__touched" AS SELECT {quoted(model.key)} FROM ({_select(files.touched, keys)})'
    yield (
        f'CREATE VIEW {name}" AS SELECT * FROM before."{model.name}" AS was'
        f' WHERE NOT EXISTS (SELECT 1 FROM {name}__touched" AS touched WHERE {same}) UNION ALL BY NAME SELECT * FROM {name}__made"'
    )


def _select(paths: Sequence[str], columns: Iterable[Column]) -> str:
    if not paths:
        return "SELECT " + ", ".join(f'CAST(NULL AS {each.kind}) AS "{each.name}"' for each in columns) + " WHERE false"
    listed = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
    return (
        "SELECT "
        + ", ".join(f'CAST("{each.name}" AS {each.kind}) AS "{each.name}"' for each in columns)
        + f" FROM read_parquet([{listed}])"
    )
