"""What Pilothouse itself takes down: raw tables `raw/pilothouse/<stream>`, with versions and row identities like those of any source.

They are only appended to. The newest note about a thing holds, and the past stays readable: a decision that read an older one can still
be explained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import polars as pl
import pyarrow as pa

from pilothouse.kernel.errors import CommitConflict
from pilothouse.kernel.lake.commit import Commit
from pilothouse.kernel.lake.identity import raw_schema, row_hashes, row_ids, stamp
from pilothouse.kernel.lake.lake import Lake

SOURCE: Final = "pilothouse"
_TRIES: Final = 20  # of one note: each lost race is another's note, and there are not more writers than that at once

Note = Mapping[str, Any]


class Overtaken(Exception):
    """Somebody else noted something about the same thing meanwhile."""


class Notes:
    """The notes of one kind. `key` names what a note is about, `moment` the column that says when it was taken."""

    def __init__(self, lake: Lake, stream: str, content: pa.Schema, *, key: tuple[str, ...], moment: str) -> None:
        self.table = lake.raw(SOURCE, stream)
        self._stream = stream
        self._content = content
        self._key = key
        self._moment = moment

    def ensure(self) -> None:
        """Let there be a table to be read, if an empty one."""
        if not self.table.exists():
            try:
                self.table.append(raw_schema(self._content).empty_table().to_reader(), self._commit(None))
            except CommitConflict:  # somebody else did the same just now
                return

    def newest(self) -> list[dict[str, Any]]:
        """The newest note about each thing, in the order of their keys."""
        if not self.table.exists():
            return []
        return self.table.scan().sort("_seen_at").unique(self._key, keep="last").sort(self._key).collect().to_dicts()

    def about(self, *key: str) -> dict[str, Any] | None:
        """The newest note about one thing."""
        return next((each for each in self.newest() if tuple(each[name] for name in self._key) == key), None)

    def add(self, notes: Sequence[Note], after: Commit | None, *, synthetic: bool = False) -> None:
        """Take these down as the one commit that follows `after`; CommitConflict where somebody else was faster."""
        commit = self._commit(after)
        content = pa.Table.from_pylist([dict(each) for each in notes], schema=self._content)
        frame = pl.DataFrame(content)
        rows = stamp(
            content,
            row_ids(frame, SOURCE, self._stream, self._key),
            row_hashes(frame),
            change="upsert",
            changed_at=frame[self._moment],
            seen_at=datetime.fromisoformat(commit.seen_at),
            batch_id=commit.batch_id,
            synthetic=pl.repeat(value=synthetic, n=len(notes), eager=True),
        )
        self.table.append(rows.to_reader(), commit)

    def add_whoever_else_does(self, note: Note, *, synthetic: bool = False) -> None:
        """Take one down that contradicts no other: whoever loses the race for a number takes the next one."""
        for _ in range(_TRIES):
            with suppress(CommitConflict):
                self.add([note], self.table.last_commit(), synthetic=synthetic)
                return
        self.add([note], self.table.last_commit(), synthetic=synthetic)

    def add_after(self, known: datetime | None, note: Note) -> None:
        """Take one down, unless something was noted about the same thing since the moment that is known: Overtaken."""
        for _ in range(_TRIES):
            last = self.table.last_commit()  # before anything else is looked at: whoever notes something in between takes its number
            newest = self.about(*(note[name] for name in self._key))
            if (newest[self._moment] if newest else None) != known:
                raise Overtaken
            with suppress(CommitConflict):  # it may have been about something else
                self.add([note], last)
                return
        raise Overtaken

    def _commit(self, after: Commit | None) -> Commit:
        sequence, now = (after.sequence + 1 if after else 1), datetime.now(UTC)
        seen_at = max(now, datetime.fromisoformat(after.seen_at) + timedelta(microseconds=1)) if after else now
        return Commit(
            sequence=sequence,
            batch_id=f"{SOURCE}/{self._stream}/{sequence}",
            load_id=f"{self._stream}-{sequence}",
            watermark=None,
            seen_at=seen_at.isoformat(),
            backfill=False,
            complete=True,
        )
