"""A person's word that a changed schema is meant. It is kept in the table's own log, so it cannot get lost apart from it."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa

from assets.platform import Platform
from pilothouse.kernel.database.locks import exclusively
from pilothouse.kernel.lake.commit import decode_schema
from quality.drift import Drift, classify


def differences(platform: Platform, source_name: str, stream_name: str) -> tuple[Drift, ...]:
    """How the source describes the stream now, against what it said at the last commit."""
    source = platform.source(source_name)
    stream = source.stream(stream_name)
    last = platform.lake.raw(source_name, stream_name).last_commit()
    if last is None or not last.contract:
        return ()
    with closing(source.connect()) as connector:
        return classify(decode_schema(last.contract), connector.schema(stream))


def accept(platform: Platform, source_name: str, stream_name: str) -> tuple[Drift, ...]:
    """Accept the differences there are now; the next sync reads on. Returns what was accepted."""
    platform.source(source_name).stream(stream_name)
    with exclusively(platform.database, f"sync {source_name}/{stream_name}", what=f"a sync of {source_name}/{stream_name}"):
        drifts = differences(platform, source_name, stream_name)
        table = platform.lake.raw(source_name, stream_name)
        last = table.last_commit()
        if drifts and last is not None:
            seen_at = max(datetime.now(UTC), datetime.fromisoformat(last.seen_at)).isoformat()
            words = tuple(drift.describe() for drift in drifts)
            platform.drift.require(table.name, drifts, frozenset(words))  # a person's word does not open what the policy blocks
            commit = replace(last, sequence=last.sequence + 1, batch_id=f"{last.batch_id}, accepted", accepted=words, seen_at=seen_at)
            table.append(pa.RecordBatchReader.from_batches(table.schema(), iter(())), commit)
        return drifts
