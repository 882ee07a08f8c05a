"""One event, and its bytes as PostgreSQL's binary COPY wants them.

The bytes are made here and not by the driver: a group of events becomes one join, at 2 to 3 microseconds an event, so
that one process can feed the server as fast as it takes events in (`bench/events.py`).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Any

import msgspec

from pilothouse.kernel.errors import DatabaseError

COLUMNS = "id, batch, at, key, payload, topic, correlation_id"
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_START = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
_ROW = struct.Struct(">hiqi16s")  # seven fields; the id and its length, the batch and its length
_time = struct.Struct(">iqi").pack  # and the length of the key, which comes next
_length = struct.Struct(">i").pack
_json = msgspec.json.Encoder()


class Event(msgspec.Struct, frozen=True):
    """Something that happened, to `key`, of kind `topic` (`order.created`). `id` is 0 until the log gives it one."""

    topic: str
    key: str
    payload: Mapping[str, Any] = msgspec.field(default_factory=dict)
    correlation_id: str = ""
    at: datetime = msgspec.field(default_factory=partial(datetime.now, UTC))
    id: int = 0


def encoded(event: Event) -> bytes:
    """The event's fields after id and batch. DatabaseError names an event that PostgreSQL could not hold.

    Checked before it joins a group: one bad event would take its neighbours down with it.
    """
    try:
        since = event.at - _EPOCH
        topic, key, correlation_id = _repeated(event.topic), event.key.encode(), _repeated(event.correlation_id)
        payload = _json.encode(event.payload)
    except (AttributeError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise DatabaseError(f"event {event.topic!r} of {event.key!r}: cannot be stored ({error})", hint=_HINT) from error
    if not event.topic or b"\0" in key or payload[:1] != b"{":
        raise DatabaseError(f"event {event.topic!r} of {event.key!r}: cannot be stored (no topic, no object, or a NUL)", hint=_HINT)
    microseconds = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    return b"".join((_time(8, microseconds, len(key)), key, _length(len(payload)), payload, topic, correlation_id))


@lru_cache(1024)
def _repeated(text: str) -> bytes:
    """A field whose value comes again and again."""
    field = text.encode()
    if b"\0" in field:
        raise ValueError("a NUL")
    return _length(len(field)) + field


_HINT = "an event has a topic, a key, a payload that is plain JSON, and a time with a zone"


def copied(rows: Sequence[bytes], ids: Sequence[int], batch: bytes) -> bytes:
    """A whole COPY stream of encoded events under their ids."""
    row = _ROW.pack
    parts = [part for number, fields in zip(ids, rows, strict=True) for part in (row(7, 8, number, 16, batch), fields)]
    return b"".join((_START, *parts, _END))
