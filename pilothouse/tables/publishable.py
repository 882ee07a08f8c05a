"""Whether what dbt made may be published, and if not, why: one sentence that names the table, the value and the way out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pilothouse.kernel.errors import DataRejected
from pilothouse.tables.engines import Outcome
from pilothouse.tables.project import Model

if TYPE_CHECKING:
    import duckdb

_STAYS = "the table stays as it was"


def why_not(model: Model, outcome: Outcome) -> str:
    """Why a model must not be published; nothing where it may."""
    about = [each for each in outcome.ran if each.model == model.name]
    for each in about:
        if each.ok or each.status == "skipped":
            continue
        if each.kind == "test" and each.status == "fail":
            example = outcome.example(each.sql) if each.sql else None
            shown = f", such as {', '.join(map(str, example))}" if example else ""
            return f"{model.table}: test {each.name} found {each.failures}{shown}\n  hint: mend {model.path} or what it reads; {_STAYS}"
        return f"{model.table}: {each.message}\n  hint: mend {model.path}; {_STAYS}"
    made = any(each.ok for each in about if each.kind == "model")
    return "" if made else f"{model.table}: was not made\n  hint: something that it reads was not made, either; {_STAYS}"


def refuse_nulls(model: Model, connection: duckdb.DuckDBPyConnection) -> None:
    """DataRejected where a column that must say something does not: not every engine holds a table to that by itself."""
    required = [column.name for column in model.columns if column.required]
    if not required:
        return
    counted = ", ".join(f'count(*) FILTER ("{name}" IS NULL)' for name in required)
    found = connection.execute(f'SELECT {counted} FROM "{model.layer}"."{model.name}"').fetchone()
    for name, times in zip(required, found or (), strict=False):
        if times:
            raise DataRejected(
                f"{model.table}: {name} is null in {times} rows, and its contract says that it is not", hint=f"mend {model.path}; {_STAYS}"
            )


def refuse_duplicates(model: Model, connection: duckdb.DuckDBPyConnection) -> None:
    """DataRejected where the model's key does not name one row."""
    key = quoted(model.key)
    found = connection.execute(
        f'SELECT {key}, count(*) FROM "{model.layer}"."{model.name}" GROUP BY {key} HAVING count(*) > 1 ORDER BY {key} LIMIT 2'
    ).fetchall()
    if found:
        *values, times = found[0]
        told = ", ".join(f"{name}={value!r}" for name, value in zip(model.key, values, strict=True))
        more = ", and others share theirs, too" if len(found) > 1 else ""
        raise DataRejected(
            f"{model.table}: {times} rows have the key {told}{more}",
            hint=f"a join in {model.path} multiplies rows, or its key is not one; {_STAYS}",
        )


def quoted(names: Iterable[str]) -> str:
    """Columns as SQL lists them."""
    return ", ".join(f'"{name}"' for name in names)
