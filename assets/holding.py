"""The loader's hand on a stream's quarantine: rejections reach it before the rows they came with are committed.

A rejection is known by what it is, not by when it came: a bad row that a source shows again on every read, or that a
retry brings back after a crash, is held once.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cached_property

import polars as pl
import pyarrow as pa

from pilothouse.kernel.lake import Commit, Lake
from pilothouse.kernel.log import current_correlation_id
from quality import quarantine
from quality.gate import REJECTED
from quality.rows import as_json

KEY_IS_UNIQUE = "key is unique"


def clashing(rows: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    """Rejections for rows whose key came before in the same read, with other content and no later change time."""
    keys = as_json(rows.select(key))
    return pl.DataFrame(
        {"key": keys, "rule": [KEY_IS_UNIQUE] * rows.height, "column": [", ".join(key)] * rows.height, "value": keys, "row": as_json(rows)},
        schema=REJECTED,
    )


class Holding:
    """Rejected rows of one stream on their way into `quarantine/<source>/<stream>`."""

    def __init__(self, lake: Lake, source: str, stream: str) -> None:
        self.table = lake.quarantine(source, stream)
        self._source = source
        self._stream = stream

    def add(self, rejected: pl.DataFrame, *, batch_id: str, at: datetime, synthetic: bool) -> int:
        """Hold these rejections (columns of `quality.gate.REJECTED`); returns how many were not held before."""
        if rejected.is_empty():
            return 0
        records = quarantine.records(rejected, source=self._source, stream=self._stream, batch_id=batch_id, synthetic=synthetic, at=at)
        frame = pl.DataFrame(pl.from_arrow(records)).unique("id", keep="first", maintain_order=True)
        fresh = frame.filter(~pl.col("id").is_in(list(self._held)))
        if fresh.is_empty():
            return 0
        self.append(fresh.to_arrow().cast(quarantine.SCHEMA), batch_id=batch_id, at=at)
        self._held.update(fresh["id"])
        return fresh.height

    def prune(self, before: datetime) -> int:
        """Let go of rejections that are older than a moment, released or not; returns how many records went."""
        last = self.table.last_commit()
        if last is None:
            return 0
        history = self.table.scan()
        staying = quarantine.staying(history, since=before)
        gone = self.table.rows() - int(staying.select(pl.len()).collect().item())
        if gone:
            self.table.prune(staying, last)
        return gone

    def append(self, records: pa.Table, *, batch_id: str, at: datetime) -> None:
        """Append records (rejections or releases) as one commit."""
        last = self.table.last_commit()
        commit = Commit(
            sequence=last.sequence + 1 if last else 1,
            batch_id=batch_id,
            load_id=batch_id,
            watermark=None,
            seen_at=at.isoformat(),
            backfill=False,
            correlation_id=current_correlation_id(),
        )
        self.table.append(records.to_reader(), commit)

    @cached_property
    def _held(self) -> set[str]:
        return set(self.table.scan().select("id").collect().to_series()) if self.table.exists() else set()
