"""Whether a raw table is what it must be: its current rows are the source's, no version stands in it twice, and the event log
holds what its history says, no event more and none less.

The source is read once more, in full, by a fresh connection that knows of no watermark. The events are worked out anew from the
table's rows, not from its commits as the announcer does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing

import polars as pl

from assets.platform import Platform
from pilothouse.kernel.lake import Table
from pilothouse.kernel.lake.current import current
from pilothouse.kernel.lake.identity import row_hashes, row_ids
from pilothouse.kernel.streams import Change, Stream
from quality.gate import Gate

SHOWN = 3


def faults(platform: Platform, source: str, stream_name: str) -> list[str]:
    """What is wrong with one stream, in words; nothing where all is well."""
    stream = platform.source(source).stream(stream_name)
    table = platform.lake.raw(source, stream_name)
    name = f"{source}/{stream_name}"
    found = [*_differences(platform, source, stream, table), *_doubled(table), *_told_wrongly(platform, source, stream, table)]
    return [f"{name}: {fault}" for fault in found]


def _differences(platform: Platform, source: str, stream: Stream, table: Table) -> Iterator[str]:
    truth, rejected = _truth(platform, source, stream)
    held = current(table.scan(), ["_row_hash"]).collect() if table.exists() else pl.DataFrame(schema=truth.schema)
    kept: dict[bytes, bytes] = {row: content for row, content in held.iter_rows() if row not in rejected}
    real: dict[bytes, bytes] = dict(truth.iter_rows())
    for what, ids in (
        ("missing", real.keys() - kept.keys()),
        ("not in the source any more", kept.keys() - real.keys()),
        ("other than in the source", {row for row in real.keys() & kept.keys() if real[row] != kept[row]}),
    ):
        if ids:
            yield f"{len(ids)} of {len(real)} rows {what}, such as {', '.join(row.hex() for row in sorted(ids)[:SHOWN])}"


def _truth(platform: Platform, source: str, stream: Stream) -> tuple[pl.DataFrame, set[bytes]]:
    """Identity and content of every row that the source has, and the identities of those that its rules hold back."""
    gate = Gate(platform.rules(source, stream.name), stream.key, complete=stream.deletes == "snapshot")
    passed, rejected = [], set[bytes]()
    with closing(platform.source(source).connect()) as connector:
        for batch in connector.read(stream, None):
            arrived = pl.DataFrame(pl.from_arrow(batch.reader().read_all()))
            rows = gate.split(arrived).passed
            ids = row_ids(rows, source, stream.name, stream.key).as_binary()
            passed.append(pl.DataFrame({"_row_id": ids, "_row_hash": row_hashes(rows).as_binary()}))
            rejected |= set(row_ids(arrived, source, stream.name, stream.key).as_binary()) - set(ids)
    return pl.concat(passed), rejected


def _doubled(table: Table) -> Iterator[str]:
    """The same version of a row, twice running."""
    if not table.exists():
        return
    history = table.scan().select("_row_id", "_row_hash", "_change", "_seen_at", "_changed_at").collect()
    ordered = history.sort("_row_id", "_seen_at", "_changed_at")
    same = [pl.col(name) == pl.col(name).shift() for name in ("_row_id", "_row_hash", "_change")]
    twice = ordered.filter(pl.all_horizontal(same)).height
    if twice:
        yield f"{twice} versions stand in the table twice"


def _told_wrongly(platform: Platform, source: str, stream: Stream, table: Table) -> Iterator[str]:
    if not stream.announces or not table.exists():
        return
    owed = Counter(_owed(stream, table))
    told = Counter(_told(platform, source, stream.name))
    for what, events in (("lost", owed - told), ("told once too often", told - owed)):
        if events:
            yield f"{events.total()} events {what}, such as {', '.join(f'{topic} of {row}' for topic, row in list(events)[:SHOWN])}"


def _owed(stream: Stream, table: Table) -> Iterator[tuple[str, str]]:
    """Topic and row of every event that the table's history amounts to. What the first full load brought is history."""
    backfilled = {commit.batch_id for _, commit in table.commits() if commit.backfill}
    rows = table.scan().select("_row_id", "_change", "_batch_id", "_seen_at", "_changed_at").collect().sort("_seen_at", "_changed_at")
    alive: set[bytes] = set()
    for row, change, batch, *_ in rows.iter_rows():
        kind: Change = "delete" if change == "delete" else "upsert" if row in alive else "insert"
        (alive.discard if kind == "delete" else alive.add)(row)
        topic = _topic(stream.announces, kind)
        if batch not in backfilled and topic is not None:
            yield topic, row.hex()


def _topic(announces: Mapping[Change, str], kind: Change) -> str | None:
    return announces.get(kind) or (announces.get("upsert") if kind == "insert" else None)


def _told(platform: Platform, source: str, stream: str) -> Iterator[tuple[str, str]]:
    last = 0
    while events := platform.events.read(after=last, limit=5_000):
        last = events[-1].id
        for event in events:
            if event.payload["source"] == source and event.payload["stream"] == stream:
                yield event.topic, str(event.payload["row_id"])
