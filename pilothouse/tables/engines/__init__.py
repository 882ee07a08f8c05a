"""Where models are run: the seam between what is ours on every engine and what an engine does.

Ours is which tables are made, of which versions, what holds a table back, and the commit that publishes it (`building.py`). An
engine is asked for one thing: run the texts of a wave of models over inputs at given versions, and let what came of it be read.
It is read through DuckDB, in this process, whoever made it. So a table is held to the same contract, has the same digest and is
published by the same commit, and one that comes out the same on another engine is no new version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from pilothouse.kernel.lake.duck import Scan
from pilothouse.tables.dbt import Ran
from pilothouse.tables.project import Model

if TYPE_CHECKING:
    import duckdb

Relation = tuple[str, str]  # schema and name, as models call it


@dataclass(frozen=True)
class Part:
    """What a model is given that makes only what changed: its table as it is, and by the name of each input (as the model calls
    its changes) the files that were lost and gained since it was made."""

    before: Scan
    changes: Mapping[str, tuple[Scan, Scan]]


@dataclass(frozen=True)
class Wave:
    """What is made at once. `models` are in the order in which they read each other: views, then the tables that read through them."""

    models: tuple[Model, ...]
    inputs: Mapping[Relation, Scan]
    parts: Mapping[str, Part] = field(default_factory=dict)  # of the models that are made in part


@dataclass(frozen=True)
class Outcome:
    """What came of a wave, for as long as it is looked at."""

    ran: Sequence[Ran]
    cursor: Callable[[], duckdb.DuckDBPyConnection]  # a connection of one's own, in which each table that was made can be read
    example: Callable[[str], Sequence[Any] | None]  # the first row of a query in the engine's own words: what a test found


class Engine(Protocol):
    """Runs models. `in_part` says whether it can make only what changed of a table; if not, every table is made as a whole."""

    in_part: bool

    def making(self, wave: Wave) -> AbstractContextManager[Outcome]:
        """Make the models of a wave and run their tests; what was made is gone when the context ends."""

    def close(self) -> None:
        """Give back what it holds beyond a wave."""
