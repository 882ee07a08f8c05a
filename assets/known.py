"""What a raw table already holds, asked by a load: which of these rows are news, and which rows are gone.

A cursor stream asks only about the window of change times that its chunk covers: Delta's file statistics prune the
rest, so 100,000 changes against five million rows read a few files. A snapshot stream asks about everything, once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from pilothouse.kernel.lake import Table
from pilothouse.kernel.lake.current import current, newest
from pilothouse.kernel.lake.distinct import Distinct
from pilothouse.kernel.lake.hashing import Hashes

Mask = npt.NDArray[np.bool_]


class Known:
    """A raw table at one version, as far as a load must know it."""

    def __init__(self, table: Table, key: Sequence[str], *, windowed: bool) -> None:
        self._rows = table.scan() if table.exists() else None
        self._key = tuple(key)
        self._windowed = windowed
        self._everything: pl.DataFrame | None = None

    def unchanged(self, ids: Hashes, contents: Hashes, changed_at: pl.Series) -> Mask:
        """Which of these rows the table already holds, as their newest version, with equal content."""
        if self._rows is None or len(ids) == 0:
            return np.zeros(len(ids), dtype=bool)
        offered = pl.DataFrame({"_row_id": ids.as_binary(), "offered": contents.as_binary()})
        known = self._newest(changed_at)
        joined = offered.join(known, on="_row_id", how="left", maintain_order="left")
        return (
            joined.select((pl.col("_row_hash").eq_missing(pl.col("offered"))) & (pl.col("_change") == "upsert"))
            .to_series()
            .fill_null(value=False)
            .to_numpy()
        )

    def living(self, ids: Hashes) -> pl.DataFrame:
        """Those of these rows that exist now: `_row_id` and whether they are `_synthetic`."""
        if self._rows is None or len(ids) == 0:
            return pl.DataFrame(schema={"_row_id": pl.Binary, "_synthetic": pl.Boolean})
        asked = pl.DataFrame({"_row_id": ids.as_binary()})
        return current(self._rows.join(asked.lazy(), on="_row_id", how="semi"), ["_synthetic"]).collect()

    def count(self) -> int:
        """How many rows exist now."""
        if self._rows is None:
            return 0
        return int(current(self._rows, []).select(pl.len()).collect(engine="streaming").item())

    def missing_from(self, seen: Distinct) -> pl.DataFrame:
        """The keys of the rows that exist in the table and were not seen."""
        if self._rows is None:
            return pl.DataFrame()
        alive = current(self._rows, self._key).collect(engine="streaming")
        if alive.is_empty():
            return alive.select(self._key)
        return alive.filter(pl.Series(seen.missing_from(Hashes.of_binary(alive["_row_id"])))).select(self._key)

    def _newest(self, changed_at: pl.Series) -> pl.DataFrame:
        assert self._rows is not None
        columns = ("_row_hash", "_change")
        if not self._windowed:
            if self._everything is None:
                self._everything = newest(self._rows, columns).collect(engine="streaming")
            return self._everything
        if changed_at.null_count() == len(changed_at):
            return newest(self._rows, columns).collect(engine="streaming")
        # An older version outside the window is not the newest of a row that stands in it, so it cannot be equal.
        since = pl.col("_changed_at") >= changed_at.min()
        rows = self._rows.filter(since | pl.col("_changed_at").is_null()) if changed_at.null_count() else self._rows.filter(since)
        return newest(rows, columns).collect(engine="streaming")
