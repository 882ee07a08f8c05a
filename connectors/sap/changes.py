"""Reading by change timestamp: where a read starts, and how far it has come.

Three clocks can betray us. Sources commit out of order, so each read starts a lag before the last watermark. A row
can carry a date in the future, so a watermark never passes the source's own present: else all changes until that day
would be skipped. And a source's clock can be set back: our own clock says how long ago the last read was, and the
read starts there instead.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime

import pyarrow as pa
import pyarrow.compute as pc

from pilothouse.kernel.streams import Watermark


@dataclass(frozen=True, kw_only=True)
class Position:
    """How far a stream has been read: the latest change seen, and when that was by the source's clock and by ours."""

    cursor: datetime
    source_clock: datetime | None
    our_clock: datetime

    @classmethod
    def of(cls, watermark: Watermark | None) -> Position | None:
        """The position in a watermark; None where a read has to start from the beginning."""
        if watermark is None or not watermark.position.get("cursor"):
            return None
        said = watermark.position
        source = said.get("source_clock")
        cursor = _read(said["cursor"])
        return cls(cursor=cursor, source_clock=_read(source) if source else None, our_clock=_read(said.get("our_clock") or said["cursor"]))

    def watermark(self) -> Watermark:
        """The position as the JSON that travels with the rows."""
        source = self.source_clock.isoformat() if self.source_clock else None
        return Watermark({"cursor": self.cursor.isoformat(), "source_clock": source, "our_clock": self.our_clock.isoformat()})


def start_of_read(last: Position, lag: timedelta, *, source_clock: datetime | None, our_clock: datetime) -> datetime:
    """The earliest change timestamp that may be new."""
    start = last.cursor
    if source_clock is not None and last.source_clock is not None and source_clock < last.source_clock:
        elapsed = max(our_clock - last.our_clock, timedelta(0))
        start = min(start, source_clock - elapsed)
    return start - lag


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The change timestamps of a read so far. A value: each batch of rows makes the next."""

    begun: Position | None
    source_clock: datetime | None
    our_clock: datetime
    latest: datetime | None = None
    in_order: bool = True

    def after(self, column: pa.Array | pa.ChunkedArray) -> Progress:
        """The progress once the rows with these change timestamps are read too."""
        known = column.drop_null()
        if len(known) == 0:
            return self
        least, most = (_moment(value) for value in pc.min_max(known).as_py().values())
        rising = pc.all(pc.less_equal(known.slice(0, len(known) - 1), known.slice(1))).as_py() is not False
        in_order = self.in_order and rising and (self.latest is None or least >= self.latest)
        return replace(self, latest=most if self.latest is None else max(most, self.latest), in_order=in_order)

    def reached(self, *, by_day: bool) -> Position | None:
        """The position that is true once all rows so far are durable; never before the one the read began with."""
        if self.latest is None:
            return self.begun
        cursor = self.latest
        if self.source_clock is not None:
            # A date can be tomorrow's already in the source's own time zone.
            present = self.source_clock + timedelta(days=1 if by_day else 0)
            cursor = min(cursor, present)
        if self.begun is not None and cursor <= self.begun.cursor:
            return self.begun
        return Position(cursor=cursor, source_clock=self.source_clock, our_clock=self.our_clock)


def clock_of(headers_date: str | None) -> datetime | None:
    """The source's clock, from a Date header."""
    if headers_date is None:
        return None
    try:
        when = parsedate_to_datetime(headers_date)
    except (ValueError, OverflowError):
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def _moment(value: date | datetime) -> datetime:
    return value if isinstance(value, datetime) else datetime(value.year, value.month, value.day, tzinfo=UTC)


def _read(text: str | float | None) -> datetime:
    when = datetime.fromisoformat(str(text))
    return when if when.tzinfo else when.replace(tzinfo=UTC)
