"""What a model that is written in Python needs of a build: which rows of its inputs changed, and how it tells what it made anew.

Python stands at the edges: it fits and resolves, what SQL cannot. Such a model is a dbt model like the others, in the same
folder, with the same contract, tests and versions. It names the packages behind it (`config.meta.code`), so that a change of
them is a change of its code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


class Partly:
    """An incremental build of one model; `changed` is None where the model is made as a whole."""

    def __init__(self, dbt: Any, session: duckdb.DuckDBPyConnection) -> None:
        self._session = session
        self._name = dbt.this.identifier.removesuffix("__dbt_tmp")
        self._schema = dbt.this.schema

    def changed(self, model: str) -> pa.Table | None:
        """The rows of an input, before and after, that are not the same as they were when this model was made last."""
        name = f"{self._name}__{model}"
        known = self._session.execute(
            "SELECT count(*) FROM duckdb_views() WHERE schema_name = 'changes' AND view_name = ?", [name]
        ).fetchall()
        return self._session.sql(f'SELECT * FROM changes."{name}"').to_arrow_table() if known[0][0] else None

    def before(self) -> pa.Table:
        """The table as it is published."""
        return self._session.sql(f'SELECT * FROM before."{self._name}"').to_arrow_table()

    def touch(self, keys: pa.Table) -> None:
        """Tell which rows are made anew: those among them that come out no more are taken out of the table."""
        self._session.register("touched_keys", keys)
        self._session.execute(f'CREATE OR REPLACE TABLE "{self._schema}"."{self._name}__touched" AS SELECT DISTINCT * FROM touched_keys')
        self._session.unregister("touched_keys")
