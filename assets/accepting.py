"""A person's word that a changed schema is meant. It is kept in the table's own log, so it cannot get lost apart from it."""

from __future__ import annotations

from contextlib import AbstractContextManager, closing
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa

from assets.platform import Platform
from assets.refusing import note_drift
from pilothouse.kernel.database.locks import exclusively
from pilothouse.kernel.errors import ConfigError
from pilothouse.kernel.lake import Commit, Table
from pilothouse.kernel.lake.commit import decode_schema
from pilothouse.kernel.lake.notes import Overtaken
from quality.drift import Drift, classify
from quality.refusals import Refusals, digest


def differences(platform: Platform, source_name: str, stream_name: str) -> tuple[Drift, ...]:
    """How the source describes the stream now, against what it said at the last commit."""
    source = platform.source(source_name)
    stream = source.stream(stream_name)
    last = platform.lake.raw(source_name, stream_name).last_commit()
    if last is None or not last.contract:
        return ()
    with closing(source.connect()) as connector:
        return classify(decode_schema(last.contract), connector.schema(stream))


def accept(platform: Platform, source_name: str, stream_name: str, *, by: str, seen: str = "") -> tuple[Drift, ...]:
    """Accept the differences there are now; the next sync reads on. Returns what was accepted. `seen` is the digest of those that are
    meant: Overtaken where the source says something else by now."""
    platform.source(source_name).stream(stream_name)
    with _alone(platform, source_name, stream_name):
        drifts = differences(platform, source_name, stream_name)
        table = platform.lake.raw(source_name, stream_name)
        last, words = table.last_commit(), tuple(drift.describe() for drift in drifts)
        if last is not None:
            note_drift(platform, source_name, stream_name, drifts, frozenset(last.accepted), by=by)
        if seen and digest(words) != seen:
            raise Overtaken
        if drifts and last is not None:
            platform.drift.require(table.name, drifts, frozenset(words))  # a person's word does not open what the policy blocks
            if last.accepted != words:
                _commit(table, last, words, "accepted")
            Refusals(platform.lake).settle(source_name, stream_name, "accepted", by=by)
        return drifts


def take_back(platform: Platform, source_name: str, stream_name: str, *, by: str, seen: str) -> None:
    """Accept no longer what was accepted; ConfigError where rows were loaded by it, which no word takes out again."""
    with _alone(platform, source_name, stream_name):
        table = platform.lake.raw(source_name, stream_name)
        last = table.last_commit()
        if last is not None and last.accepted and digest(last.accepted) != seen:
            raise Overtaken
        if last is None or not last.accepted:
            raise ConfigError(
                f"{table.name}: rows were loaded since the change was accepted",
                hint="they stand in a table that is only appended to; have the source go back, and the next sync reads what it says then",
            )
        _commit(table, last, (), "not accepted")
        Refusals(platform.lake).settle(source_name, stream_name, "refused", by=by)


def _commit(table: Table, last: Commit, accepted: tuple[str, ...], said: str) -> None:
    """A commit without rows that says what is accepted from now on."""
    seen_at = max(datetime.now(UTC), datetime.fromisoformat(last.seen_at)).isoformat()
    commit = replace(last, sequence=last.sequence + 1, batch_id=f"{last.batch_id}, {said}", accepted=accepted, seen_at=seen_at)
    table.append(pa.RecordBatchReader.from_batches(table.schema(), iter(())), commit)


def _alone(platform: Platform, source_name: str, stream_name: str) -> AbstractContextManager[None]:
    name = f"{source_name}/{stream_name}"
    return exclusively(platform.database, f"sync {name}", what=f"a sync of {name}")
