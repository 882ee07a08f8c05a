"""What people said about records: the same or different. A raw table like any other, so that it has versions and explains rows.

A pair's newest correction holds. It names records, not firms: firms come out of it, and change with the records.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

import polars as pl
import pyarrow as pa

from graph.resolution.clusters import Pair, refuse_contradictions
from pilothouse.kernel.errors import CommitConflict
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.lake.commit import Commit
from pilothouse.kernel.lake.identity import raw_schema, row_hashes, row_ids, stamp

SOURCE: Final = "pilothouse"
STREAM: Final = "firm_correction"
_KEY: Final = ("left_record", "right_record")
_CONTENT: Final = pa.schema(
    [
        pa.field("left_record", pa.string(), nullable=False, metadata={"label": "One record, as source:number"}),
        pa.field("right_record", pa.string(), nullable=False, metadata={"label": "The other"}),
        pa.field("verdict", pa.string(), nullable=False, metadata={"label": "same, different or withdrawn"}),
        pa.field("reason", pa.string(), metadata={"label": "Why, in the words of who said it"}),
        pa.field("said_by", pa.string(), nullable=False, metadata={"label": "Who said it"}),
        pa.field("said_at", pa.timestamp("us", "UTC"), nullable=False, metadata={"label": "When"}),
    ]
)

Verdict = Literal["same", "different", "withdrawn"]  # withdrawn: as if nobody had said anything


class Overtaken(Exception):
    """Somebody else said something about the pair meanwhile."""


@dataclass(frozen=True)
class Correction:
    """What somebody said about two records."""

    pair: Pair
    verdict: Verdict
    reason: str
    said_by: str
    said_at: datetime


class Corrections:
    """What was said so far."""

    def __init__(self, lake: Lake) -> None:
        self._table = lake.raw(SOURCE, STREAM)

    def ensure(self) -> None:
        """Let there be a table to be read, if an empty one."""
        if not self._table.exists():
            try:
                self._table.append(raw_schema(_CONTENT).empty_table().to_reader(), self._commit(1))
            except CommitConflict:  # somebody else did the same just now
                return

    def holding(self) -> list[Correction]:
        """What holds: the newest of each pair, in the order of the pairs, but for those that were withdrawn."""
        return [each for each in self._newest() if each.verdict != "withdrawn"]

    def newest(self, left: str, right: str) -> Correction | None:
        """What was said last about two records, withdrawn or not."""
        pair = (min(left, right), max(left, right))
        return next((each for each in self._newest() if each.pair == pair), None)

    def _newest(self) -> list[Correction]:
        if not self._table.exists():
            return []
        rows = self._table.scan().sort("_seen_at").unique(_KEY, keep="last").sort(_KEY).collect()
        return [
            Correction((row["left_record"], row["right_record"]), row["verdict"], row["reason"] or "", row["said_by"], row["said_at"])
            for row in rows.iter_rows(named=True)
        ]

    def say(self, left: str, right: str, verdict: Verdict, *, by: str, reason: str = "") -> Correction:
        """Note a correction; DataRejected where it contradicts another."""
        return self.say_all([(left, right)], verdict, by=by, reason=reason)[0]

    def say_all(self, of: Iterable[Pair], verdict: Verdict, *, by: str, reason: str = "") -> list[Correction]:
        """Note the same of several pairs, or of none where one contradicts."""
        self.ensure()
        return self._say(of, verdict, by, reason, self._table.last_commit())

    def say_after(self, known: datetime | None, left: str, right: str, verdict: Verdict, *, by: str, reason: str = "") -> Correction:
        """The same, unless somebody has spoken of the pair since its last correction that is known: Overtaken."""
        self.ensure()
        last = self._table.last_commit()  # before anything else is looked at: whoever says something in between takes its number
        newest = self.newest(left, right)
        if (newest.said_at if newest else None) != known:
            raise Overtaken
        return self._say([(left, right)], verdict, by, reason, last)[0]

    def _say(self, of: Iterable[Pair], verdict: Verdict, by: str, reason: str, last: Commit | None) -> list[Correction]:
        said = [Correction(pair, verdict, reason, by, datetime.now(UTC)) for pair in sorted({(min(each), max(each)) for each in of})]
        spoken_of = {each.pair for each in said}
        same, different = pairs([*(each for each in self.holding() if each.pair not in spoken_of), *said])
        refuse_contradictions(same, different)
        commit = self._commit(last.sequence + 1 if last else 1)
        self._table.append(self._rows(said, commit).to_reader(), commit)
        return said

    def _commit(self, sequence: int) -> Commit:
        return Commit(
            sequence=sequence,
            batch_id=f"{SOURCE}/{STREAM}/{sequence}",
            load_id=f"correction-{sequence}",
            watermark=None,
            seen_at=datetime.now(UTC).isoformat(),
            backfill=False,
            complete=True,
        )

    def _rows(self, said: Sequence[Correction], commit: Commit) -> pa.Table:
        rows = [(*each.pair, each.verdict, each.reason or None, each.said_by, each.said_at) for each in said]
        content = pa.table([*zip(*rows, strict=True)], schema=_CONTENT)
        frame = pl.DataFrame(content)
        return stamp(
            content,
            row_ids(frame, SOURCE, STREAM, _KEY),
            row_hashes(frame),
            change="upsert",
            changed_at=frame["said_at"],
            seen_at=datetime.fromisoformat(commit.seen_at),
            batch_id=commit.batch_id,
            synthetic=pl.repeat(value=False, n=len(said), eager=True),
        )


def pairs(corrections: list[Correction]) -> tuple[list[Pair], list[Pair]]:
    """The pairs that are the same, and those that are different."""
    return tuple(sorted(each.pair for each in corrections if each.verdict == verdict) for verdict in ("same", "different"))  # type: ignore[return-value]
