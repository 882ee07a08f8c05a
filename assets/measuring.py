"""Brings the tables of graph analytics up to the marts they are computed from, and reads them for a person.

They are out of date when a mart says something else than it did, or when the code that computes them has changed; a note beside each
table tells what it was made of, as with the tables that SQL makes. Equal content is no new version.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from graph.analytics.tables import ANALYSED, INPUTS, Analysed
from pilothouse.kernel.errors import ConfigError
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.versions import Pinned, Versions

if TYPE_CHECKING:
    from pilothouse.tables.record import Record


@dataclass(frozen=True)
class Measured:
    """What became of one table."""

    table: Analysed
    pinned: Pinned
    changed: bool
    rows: int
    seconds: float
    versions: Versions


class Measuring:
    """Graph analytics over a lake."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def outdated(self) -> str | None:
        """A word for what the tables would be made of, where they are out of date; None where they are not, or cannot be made yet."""
        if not all(self._lake.table(name).exists() for name in INPUTS):
            return None
        record = self._record()
        return (
            None
            if self._fresh(record)
            else f"{record.code} {sorted((name, read.identity, read.content) for name, read in record.inputs.items())}"
        )

    def measure(self, *, anew: bool = False) -> Iterator[Measured]:
        """Make the tables, unless they are up to date; ConfigError where a mart has never been built."""
        from graph.analytics.firms import firm_tables
        from pilothouse.tables.record import Notes

        missing = next((name for name in INPUTS if not self._lake.table(name).exists()), None)
        if missing is not None:
            raise ConfigError(f"{missing} has not been built yet", hint="`pilothouse build` makes the marts that analytics read")
        record, began = self._record(), time.monotonic()
        read = tuple(sorted(Pinned("table", name, str(each.version), each.identity) for name, each in record.inputs.items()))
        if self._fresh(record) and not anew:
            for name, table in ANALYSED.items():
                here = self._lake.table(name)
                yield Measured(table, here.pinned(), changed=False, rows=here.rows(), seconds=0.0, versions=Versions(read))
            return
        frames = firm_tables({name: self._lake.table(name).scan(each.version) for name, each in record.inputs.items()})
        for name, frame in frames.items():
            here = self._lake.table(name)
            before = here.pinned() if here.exists() else None
            pinned = here.replace(frame.to_arrow().to_reader(), record.as_metadata(), key=ANALYSED[name].key)
            Notes(self._lake).write(here, record)
            written = () if pinned == before else (pinned,)
            took = time.monotonic() - began
            yield Measured(ANALYSED[name], pinned, changed=bool(written), rows=frame.height, seconds=took, versions=Versions(read, written))

    def of_firm(self, firm: str) -> dict[str, Any]:
        """What analytics say of one firm; ConfigError where there is none of that id."""
        return self._rows("graph/firm_measures", pl.col("firm_id") == firm, firm)[0]

    def alike(self, firm: str) -> list[dict[str, Any]]:
        """The firms that buy what a firm buys, the most alike first."""
        self.of_firm(firm)
        return self._rows("graph/firm_alike", pl.col("firm_id") == firm, None, "jaccard", "adamic_adar")

    def holdings(self, firm: str) -> list[dict[str, Any]]:
        """What a firm holds of others, the largest part first."""
        self.of_firm(firm)
        return self._rows("graph/firm_holdings", pl.col("owner_firm_id") == firm, None, "share")

    def _rows(self, name: str, wanted: pl.Expr, firm: str | None, *by: str) -> list[dict[str, Any]]:
        table = self._lake.table(name)
        if not table.exists():
            raise ConfigError(f"{name} has not been made yet", hint="`pilothouse graph measure` makes it")
        rows = table.scan().filter(wanted).collect()
        if firm is not None and rows.is_empty():
            raise ConfigError(f"there is no firm '{firm}'", hint="`pilothouse firm explain RECORD` tells the firm of a record")
        return (rows.sort(*by, ANALYSED[name].key[-1], descending=[*(True for _ in by), False]) if by else rows).to_dicts()

    def _record(self) -> Record:
        from graph.analytics.firms import version
        from pilothouse.tables.record import Record, reading

        return Record(version(), {name: reading(self._lake.table(name)) for name in INPUTS})

    def _fresh(self, record: Record) -> bool:
        from pilothouse.tables.record import Notes

        notes = Notes(self._lake)
        made = [notes.read(self._lake.table(name)) if self._lake.table(name).exists() else None for name in ANALYSED]
        return all(each is not None and each.same_as(record) for each in made)
