"""Compaction and retention of a table: what nothing points to goes, what a pin names stays readable.

A version stays readable while its files and its log entries do. Files are held back by vacuum's `keep_versions`; log
entries are cut only below the oldest version that is pinned, young, or carries the newest watermark, because a watermark
lives in its commit and losing it would read the whole source again.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pilothouse.kernel.lake.files import FILE_BYTES, discard_unfinished
from pilothouse.kernel.lake.table import Table
from pilothouse.kernel.lake.translation import translated

_LONGEST_WRITE = timedelta(days=1)  # a file that no version names may be part of one that still goes on
_SMALL_FILES = 8  # so many small files of one table are worth one rewrite


@dataclass(frozen=True)
class Kept:
    """What upkeep did: files merged by compaction, files removed, versions kept for a pin."""

    compacted: int = 0
    removed: int = 0
    pinned: int = 0

    def __add__(self, other: Kept) -> Kept:
        return Kept(self.compacted + other.compacted, self.removed + other.removed, self.pinned + other.pinned)

    def __radd__(self, other: int) -> Kept:
        return self


def tend(table: Table, *, keep: timedelta, pinned: AbstractSet[int] = frozenset(), now: datetime | None = None) -> Kept:
    """Compact the table, and expire versions older than `keep` that are not pinned."""
    now = now or datetime.now(UTC)
    compacted = _compact(table)
    history = table.history()
    cutoff = now - keep
    expired = [entry["version"] for entry in history if datetime.fromtimestamp(entry["timestamp"] / 1000, UTC) < cutoff]
    held = sorted(set(pinned) & {entry["version"] for entry in history})
    with translated(table.uri):
        removed = table.delta().vacuum(
            retention_hours=max(0, int(keep.total_seconds() // 3600)),
            dry_run=False,
            enforce_retention_duration=False,
            keep_versions=held or None,
            full=keep >= _LONGEST_WRITE,  # also what no version names: files of a write that was killed
        )
    discard_unfinished(table.uri, before=now - max(keep, _LONGEST_WRITE))
    if expired:
        _cut_log(table, oldest_needed=min([*held, _last_watermark(table), max(expired) + 1]), now=now)
    return Kept(compacted, len(removed), len(held))


def _compact(table: Table) -> int:
    sizes = table.delta().get_add_actions(flatten=True)
    small = sum(1 for size in sizes.column("size_bytes").to_pylist() if size < FILE_BYTES // 4) if sizes.num_rows else 0
    if small < _SMALL_FILES:
        return 0
    with translated(table.uri):
        return int(table.delta().optimize.compact(target_size=FILE_BYTES)["numFilesRemoved"])


def _last_watermark(table: Table) -> int:
    versions = [version for version, _ in table.commits()]
    return versions[-1] if versions else table.version()


def _cut_log(table: Table, *, oldest_needed: int, now: datetime) -> None:
    """Remove log entries before the oldest version that must stay readable, after a checkpoint has taken their sum."""
    entry = next((entry for entry in table.history() if entry["version"] == oldest_needed), None)
    if entry is None or oldest_needed == 0:
        return
    age = now - datetime.fromtimestamp(entry["timestamp"] / 1000, UTC)
    delta = table.delta()
    with translated(table.uri):
        delta.create_checkpoint()
        delta.alter.set_table_properties({"delta.logRetentionDuration": f"interval {int(age.total_seconds()) + 3600} seconds"})
        table.delta().cleanup_metadata()
