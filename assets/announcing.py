"""Changes become events, exactly once: an outbox whose box is the raw table itself.

A commit of rows and an append to the event log are two systems, and a crash fits between them. So nothing is announced
while rows are written. Afterwards the commits not yet announced are read back, and their events go into the log in one
transaction with the mark of how far we got; whoever finds an older mark, another sync or a sensor, goes on from there.

Rows of the first full load are history, not news: they move the mark and tell nobody. Version 0 always belongs to it, so
a new mark starts there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from pilothouse.kernel.database.schema import announcements
from pilothouse.kernel.events import Event
from pilothouse.kernel.lake import Commit, Table
from pilothouse.kernel.lake.current import newest
from pilothouse.kernel.streams import Stream

if TYPE_CHECKING:
    from assets.platform import Platform


def announce(platform: Platform, source: str, stream: Stream) -> int:
    """Announce what the stream's raw table holds beyond the mark; returns how many events that were."""
    table = platform.lake.raw(source, stream.name)
    if not stream.announces or not table.exists():
        return 0
    identity = table.pinned().identity
    with platform.database.begin() as connection:
        connection.execute(insert(announcements).values(table_id=identity, version=0).on_conflict_do_nothing())
        mark = connection.scalar(sa.select(announcements.c.version).where(announcements.c.table_id == identity).with_for_update())
        told = 0
        for version, commit in table.commits(after=mark or 0):
            events = [] if commit.backfill else list(_events(table, version, commit, source, stream))
            if events:
                platform.events.append_in(connection, events)
            told += len(events)
            mark = version
        connection.execute(
            sa.update(announcements).where(announcements.c.table_id == identity).values(version=mark, announced_at=sa.func.now())
        )
    return told


def _events(table: Table, version: int, commit: Commit, source: str, stream: Stream) -> Iterator[Event]:
    """The events of one commit. They point to rows and do not carry them: payloads in tables, pointers in events."""
    columns = ["_row_id", "_change", "_changed_at", *stream.key]
    rows = table.scan(version).filter(pl.col("_batch_id") == commit.batch_id).select(columns).collect()
    before = _living_before(table, version, rows)
    for row in rows.iter_rows(named=True):
        kind = "delete" if row["_change"] == "delete" else "upsert" if row["_row_id"] in before else "insert"
        topic = stream.announces.get(kind) or (stream.announces.get("upsert") if kind == "insert" else None)  # type: ignore[call-overload]
        if topic is None:
            continue
        key = {name: row[name] for name in stream.key}
        yield Event(
            topic=topic,
            key="/".join(str(value) for value in key.values()),
            payload={
                "source": source,
                "stream": stream.name,
                "key": json.loads(json.dumps(key, default=str)),
                "row_id": row["_row_id"].hex(),
                "table": table.name,
                "version": version,
                "change": kind,
                "changed_at": row["_changed_at"].isoformat() if row["_changed_at"] else None,
            },
            correlation_id=commit.correlation_id,
            at=datetime.fromisoformat(commit.seen_at),
        )


def _living_before(table: Table, version: int, rows: pl.DataFrame) -> set[bytes]:
    """Which of these rows existed in the version before: they change, the others are new."""
    if version == 0 or rows.is_empty():
        return set()
    known = table.scan(version - 1).join(rows.lazy().select("_row_id").unique(), on="_row_id", how="semi")
    alive = newest(known, ["_change"]).filter(pl.col("_change") != "delete").select("_row_id").collect(engine="streaming")
    return set(alive["_row_id"])
