"""DuckDB, in this process and in memory: the default, and what runs the models in Python on every engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pilothouse.kernel.lake import Lake
from pilothouse.kernel.lake.duck import Scan
from pilothouse.kernel.settings import TableSettings
from pilothouse.tables.dbt import Dbt
from pilothouse.tables.engines import Outcome, Relation, Wave

_CHANGES = """
    (SELECT * FROM lost."{name}" EXCEPT SELECT * FROM gained."{name}")
    UNION ALL (SELECT * FROM gained."{name}" EXCEPT SELECT * FROM lost."{name}")
"""


class DuckEngine:
    """Each wave in a database of its own in memory, which reads the lake's files itself and is read where it was made."""

    in_part = True

    def __init__(self, lake: Lake, dbt: Dbt, settings: TableSettings) -> None:
        self._lake = lake
        self._dbt = dbt
        self._settings = settings

    @contextmanager
    def making(self, wave: Wave) -> Iterator[Outcome]:
        """Make it where it is read."""
        from pilothouse.tables.plugin import Served, serving

        relations: dict[Relation, Scan] = dict(wave.inputs)
        views: dict[Relation, str] = {}
        for model, part in wave.parts.items():
            relations["before", model] = part.before
            for called, (lost, gained) in part.changes.items():
                relations |= {("lost", called): lost, ("gained", called): gained}
                views["changes", called] = _CHANGES.format(name=called)
        variables = {"incremental": sorted(wave.parts), "memory": self._settings.memory, "threads": self._settings.threads}
        schemas = frozenset(model.layer for model in wave.models)
        with serving(Served(self._lake, relations, views, schemas)) as served:
            ran = self._dbt.build([model.name for model in wave.models], variables=variables)

            def example(sql: str) -> Sequence[Any] | None:
                return served.cursor().execute(sql).fetchone()

            yield Outcome(ran, served.cursor, example)

    def close(self) -> None:
        """Nothing outlives a wave."""
