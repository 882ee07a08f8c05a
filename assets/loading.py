"""One load of one stream into the lake: read since the watermark, check, keep what is new, commit.

It is the same for every source, and knows nothing of Dagster. The order of durable steps makes any crash harmless:

1. rejected rows reach quarantine (a retry finds them there and adds nothing);
2. rows and watermark land in one commit of the raw table (a retry starts from the new watermark). Where a batch takes more than
   one commit, as deletions come after rows, the last one carries its watermark (a retry reads the batch again);
3. changes become events (`assets/announcing.py`), from commits not yet announced, in one transaction with that mark.

Unchanged content writes nothing: rows read again within a cursor's lag, or by a full snapshot, are recognised by hash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import chain, pairwise

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import structlog

from assets.holding import Holding, clashing
from assets.known import Known
from connectors.connector import Connector
from pilothouse.kernel.lake import Commit, Lake, Table
from pilothouse.kernel.lake.commit import decode_schema, encode_schema
from pilothouse.kernel.lake.distinct import Distinct, Repeats
from pilothouse.kernel.lake.files import delta_schema
from pilothouse.kernel.lake.hashing import Hashes
from pilothouse.kernel.lake.identity import raw_schema, row_hashes, row_ids, stamp
from pilothouse.kernel.log import current_correlation_id
from pilothouse.kernel.streams import Batch, Stream, Watermark
from pilothouse.kernel.versions import Pinned
from quality.drift import Drift, DriftPolicy, classify
from quality.gate import Gate
from quality.report import Report
from quality.rule import Rule

CHUNK_ROWS = 100_000  # large enough for vectors, small enough for a flat memory: a dozen chunks are in hand at any moment
REJECTED_ROWS = 10_000  # held back rows come in commits of at least so many, or at the end of their batch
_FEW = 64  # so few rows are left out by slicing around them
_MOMENT = pl.Datetime("us", "UTC")
_WATERMARK_AGE = timedelta(hours=6)  # a watermark alone is committed this rarely, so that idle streams leave no trail

log = structlog.get_logger()


@dataclass
class Load:
    """What one load did."""

    source: str
    stream: str
    arrived: int = 0
    upserts: int = 0
    deletes: int = 0
    unchanged: int = 0
    rejected: int = 0
    commits: int = 0
    events: int = 0
    backfill: bool = False
    synthetic: bool = False
    drift: tuple[str, ...] = ()
    table: Pinned | None = None
    report: Report | None = None

    @property
    def held_by(self) -> tuple[Rule, ...]:
        """The rules that held rows back."""
        results = self.report.results if self.report is not None else ()
        return tuple(result.rule for result in results if result.on_failure == "quarantine" and result.unexpected)


class Loader:
    """Loads one stream of one source. Every load starts from what the table itself says was read last."""

    def __init__(
        self,
        lake: Lake,
        connector: Connector,
        stream: Stream,
        rules: Sequence[Rule] = (),
        *,
        drift: DriftPolicy | None = None,
        without: Sequence[str] = (),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        load_id: str = "",
    ) -> None:
        self.table = lake.raw(connector.name, stream.name)
        self._connector = connector
        self._stream = stream
        self._now = now
        self.gate = Gate(rules, stream.key, complete=stream.deletes == "snapshot", without=without)
        self._holding = Holding(lake, connector.name, stream.name)
        self._last = self.table.last_commit()
        self._empty = self._last is None  # so that nothing can have vanished
        self._sequence = self._last.sequence if self._last else 0
        self._schema = connector.schema(stream)
        self._stored = delta_schema(raw_schema(self._schema))
        self._policy = drift or DriftPolicy()
        self._load_id = load_id or f"{connector.name}-{stream.name}-{now():%Y%m%dT%H%M%S%f}"
        backfill = self._last is None or (self._last.backfill and not self._last.complete)
        self._result = Load(connector.name, stream.name, backfill=backfill)

    def run(self) -> Load:
        """Bring the table up to the source. Raises an error of ours; whatever was committed before it stays."""
        self._meet_drift()
        since = Watermark(self._last.watermark) if self._last and self._last.watermark is not None else None
        seen = Distinct()
        snapshot = False
        watermark = since
        for batch in self._connector.read(self._stream, since):
            snapshot = snapshot or batch.snapshot or self._stream.deletes == "snapshot"
            self._result.synthetic = self._result.synthetic or batch.synthetic
            # What was seen tells what vanished. A first load that was broken off has left rows that may be gone by now.
            asked = snapshot and not self._empty
            deletions = batch.deleted if batch.deleted is not None and batch.deleted.num_rows else None
            reached = watermark if asked else batch.watermark  # a snapshot is read once what vanished is committed as well
            self._commit(self._upserts(batch, seen if asked else None), reached if deletions is None else watermark)
            if deletions is not None:
                self._commit(self._tombstones(pl.DataFrame(pl.from_arrow(deletions))), reached)
            watermark = batch.watermark or watermark
        if not self._empty:
            self._commit(self._vanished(seen, snapshot=snapshot), watermark)
        if self._result.backfill and self.table.exists():
            self._append(iter(()), watermark, complete=True)
        self._result.table = self.table.pinned() if self.table.exists() else None
        return self._result

    @cached_property
    def drifts(self) -> tuple[Drift, ...]:
        """How the source describes itself now, against what it said at the last commit before this load."""
        return classify(decode_schema(self._last.contract), self._schema) if self._last and self._last.contract else ()

    @cached_property
    def accepted(self) -> frozenset[str]:
        """Which differences a person accepted since that commit, in words."""
        return frozenset(self._last.accepted if self._last else ())

    def _meet_drift(self) -> None:
        """Raise for differences that may not pass; let the table take up those that do."""
        self._policy.require(self.table.name, self.drifts, self.accepted)
        self._result.drift = tuple(drift.describe() for drift in self.drifts)
        if any(drift.kind in ("widened", "retyped") for drift in self.drifts):
            assert self._last is not None
            self.table.retype(self._schema, self._last)
            self._last = self.table.last_commit()
            self._sequence = self._last.sequence if self._last else 0

    def _commit(self, rows: Iterator[pa.RecordBatch], watermark: Watermark | None) -> None:
        """One Delta commit for these rows; none where there are no rows and the watermark can wait."""
        first = next(rows, None)
        if first is None and not self._stale(watermark):
            return
        self._append(rows if first is None else chain([first], rows), watermark)

    def _append(self, rows: Iterator[pa.RecordBatch], watermark: Watermark | None, *, complete: bool = False) -> None:
        commit = Commit(
            sequence=self._sequence + 1,
            batch_id=self._batch_id,
            load_id=self._load_id,
            watermark=dict(watermark.position) if watermark else None,
            seen_at=self._seen_at.isoformat(),
            backfill=self._result.backfill,
            complete=complete,
            contract=encode_schema(self._schema),
            correlation_id=current_correlation_id(),
        )
        self.table.append(pa.RecordBatchReader.from_batches(self._stored, rows), commit)
        self._sequence, self._last = commit.sequence, commit
        self._result.commits += 1

    @property
    def _batch_id(self) -> str:
        return f"{self._connector.name}/{self._stream.name}/{self._sequence + 1}"

    @property
    def _seen_at(self) -> datetime:
        """Now, but always after the last commit: our own clock may go back, the order of versions may not."""
        now = self._now()
        return now if self._last is None else max(now, datetime.fromisoformat(self._last.seen_at) + timedelta(microseconds=1))

    def _stale(self, watermark: Watermark | None) -> bool:
        if watermark is None or (self._last is not None and self._last.watermark == dict(watermark.position)):
            return False
        if self._result.commits:
            return True  # what this load has written was read up to here
        return self._last is None or self._now() - datetime.fromisoformat(self._last.seen_at) > _WATERMARK_AGE

    def _upserts(self, batch: Batch, seen: Distinct | None) -> Iterator[pa.RecordBatch]:
        """The batch's rows that are news, stamped; what is rejected goes to quarantine on the way."""
        known = Known(self.table, self._stream.key, windowed=self._stream.cursor is not None)
        versions = None if batch.distinct else Distinct()
        seen_at, batch_id = self._seen_at, self._batch_id
        waiting: list[pl.DataFrame] = []

        def hold() -> None:  # in one commit for many chunks, yet always before the commit that this batch becomes
            if waiting:
                self._holding.add(pl.concat(waiting), batch_id=batch_id, at=seen_at, synthetic=batch.synthetic)
                waiting.clear()

        for arrived in chunks(batch.reader(), CHUNK_ROWS):
            chunk = pl.DataFrame(pl.from_arrow(arrived))
            split = self.gate.split(chunk)
            rows = split.passed
            ids, contents = self._ids(rows), row_hashes(rows)
            changed_at = self._changed_at(rows)
            repeats = Repeats.none(rows.height) if versions is None else versions.offer(self._version_ids(ids, changed_at), contents)
            clashes = repeats.again & ~repeats.same
            rejected = split.rejected
            if clashes.any():
                rejected = pl.concat([rejected, clashing(rows.filter(clashes), self._stream.key)])
            waiting.append(rejected)
            if sum(frame.height for frame in waiting) >= REJECTED_ROWS:
                hold()
            if seen is not None:
                seen.offer(ids, contents)
                if not split.rejected.is_empty():  # a row that is held back still exists: it must not look vanished
                    there = self._ids(chunk.drop_nulls(list(self._stream.key)))
                    seen.offer(there, there)
            fresh = ~(repeats.again | known.unchanged(ids, contents, changed_at))
            self._result.arrived += chunk.height
            self._result.rejected += chunk.height - rows.height + int(clashes.sum())
            self._result.unchanged += int((~fresh).sum() - clashes.sum())
            self._result.upserts += int(fresh.sum())
            if fresh.any():
                news = split.kept.to_numpy().copy()
                news[news] = fresh
                stamped = stamp(
                    _where(arrived, news),
                    ids.take(fresh),
                    contents.take(fresh),
                    change="upsert",
                    changed_at=changed_at.filter(fresh),
                    seen_at=seen_at,
                    batch_id=batch_id,
                    synthetic=pl.repeat(batch.synthetic, int(fresh.sum()), dtype=pl.Boolean, eager=True),
                )
                yield from self._as_stored(stamped)
        hold()
        self._result.report = self.gate.finish()
        self._result.report.require(f"{self._connector.name}/{self._stream.name}")

    def _tombstones(self, deleted: pl.DataFrame) -> Iterator[pa.RecordBatch]:
        """Tombstones for these keys, as far as their rows exist. Each is as synthetic as the row it ends."""
        gone = deleted.unique(self._stream.key, maintain_order=True)
        ids = self._ids(gone)
        alive = Known(self.table, self._stream.key, windowed=False).living(ids)
        found = pl.DataFrame({"_row_id": ids.as_binary()}).join(alive, on="_row_id", how="left", maintain_order="left")
        exists = found["_synthetic"].is_not_null()
        gone, keys = gone.filter(exists), gone.filter(exists).select(self._stream.key)
        if gone.is_empty():
            return
        stamped = stamp(
            keys.to_arrow().cast(pa.schema([self._schema.field(name) for name in self._stream.key])),
            ids.take(exists.to_numpy()),
            row_hashes(keys),
            change="delete",
            changed_at=gone["_changed_at"] if "_changed_at" in gone.columns else pl.repeat(None, gone.height, dtype=_MOMENT, eager=True),
            seen_at=self._seen_at,
            batch_id=self._batch_id,
            synthetic=found.filter(exists)["_synthetic"],
        )
        self._result.deletes += gone.height
        yield from self._as_stored(stamped)

    def _vanished(self, seen: Distinct, *, snapshot: bool) -> Iterator[pa.RecordBatch]:
        """Tombstones for rows that the source no longer has, where absence tells."""
        if not snapshot:
            if self._stream.deletes != "keys":
                return
            known = Known(self.table, self._stream.key, windowed=False)
            if self._connector.count(self._stream) == known.count():
                return  # every insert has been read, so equal counts leave no room for a deletion
            seen = Distinct()
            for keys in self._connector.keys(self._stream):
                frame = pl.DataFrame(pl.from_arrow(keys)).select(self._stream.key)
                ids = self._ids(frame)
                seen.offer(ids, ids)
        missing = Known(self.table, self._stream.key, windowed=False).missing_from(seen)
        if not missing.is_empty():
            yield from self._tombstones(missing)

    def _ids(self, rows: pl.DataFrame) -> Hashes:
        return row_ids(rows, self._connector.name, self._stream.name, self._stream.key)

    def _changed_at(self, rows: pl.DataFrame) -> pl.Series:
        """When the source says that each row changed, as far as it says so."""
        if self._stream.cursor is None:
            return pl.repeat(None, rows.height, dtype=_MOMENT, eager=True)
        zone = getattr(self._schema.field(self._stream.cursor.field).type, "tz", None)
        moment = rows[self._stream.cursor.field].cast(pl.Datetime("us", zone))
        return moment if zone == "UTC" else moment.dt.convert_time_zone("UTC") if zone else moment.dt.replace_time_zone("UTC")

    def _version_ids(self, ids: Hashes, changed_at: pl.Series) -> Hashes:
        """Two versions of one row in one read are told apart by when the source changed them."""
        if self._stream.cursor is None:
            return ids
        moments = changed_at.cast(pl.Int64).fill_null(-1).to_numpy().astype("uint64")
        return Hashes(ids.high ^ (moments * 0x9E3779B97F4A7C15), ids.low)

    def _as_stored(self, rows: pa.Table) -> Iterator[pa.RecordBatch]:
        """The rows under the schema that the source declared, with null for what a row (or a tombstone) lacks."""
        columns = [
            rows.column(field.name).cast(field.type) if field.name in rows.schema.names else pa.nulls(rows.num_rows, field.type)
            for field in self._stored
        ]
        yield from pa.Table.from_arrays(columns, schema=self._stored).to_batches(max_chunksize=CHUNK_ROWS)


def chunks(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.Table]:
    """Record batches of any size as tables of about as many rows."""
    waiting: list[pa.RecordBatch] = []
    height = 0
    for batch in batches:
        waiting.append(batch)
        height += batch.num_rows
        if height >= rows:
            yield pa.Table.from_batches(waiting)
            waiting, height = [], 0
    if height:
        yield pa.Table.from_batches(waiting)


def _where(rows: pa.Table, wanted: npt.NDArray[np.bool_]) -> pa.Table:
    """The wanted rows. Where nearly all are, they are what lies between the others, and nothing is copied."""
    gaps = np.flatnonzero(~wanted)
    if len(gaps) > _FEW:
        return rows.filter(pa.array(wanted))
    edges = [-1, *gaps.tolist(), rows.num_rows]
    return pa.concat_tables([rows.slice(first + 1, last - first - 1) for first, last in pairwise(edges)])


__all__ = ["CHUNK_ROWS", "Load", "Loader", "Table", "chunks"]
