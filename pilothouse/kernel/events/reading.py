"""The two statements that every reader uses. They need two snapshots, so they must not share a repeatable-read transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from pilothouse.kernel.events.event import Event

_from_json = msgspec.json.Decoder().decode  # a third of the time that the driver's own decoding takes
_ROWS = "SELECT id, topic, key, payload::text, correlation_id, at FROM pilothouse.events WHERE id > :after AND id <= :through"
_MATCHING = " AND (topic = ANY(:names) OR topic LIKE ANY(:patterns))"


def horizon(connection: sa.Connection) -> int:
    """The id up to which no event can appear any more."""
    return int(connection.scalar(sa.text("SELECT pilothouse.events_horizon()")) or 0)


def rows_between(connection: sa.Connection, after: int, through: int, limit: int, topics: Sequence[str]) -> list[Event]:
    """Events with after < id <= through, in order."""
    values: dict[str, object] = {"after": after, "through": through, "limit": limit}
    if topics:
        values |= {
            "names": [topic for topic in topics if not topic.endswith(".*")],
            "patterns": [_pattern(t) for t in topics if t.endswith(".*")],
        }
    query = f"{_ROWS}{_MATCHING if topics else ''} ORDER BY id LIMIT :limit"
    rows: Sequence[Any] = connection.execute(sa.text(query), values).all()
    return [Event(topic, key, _from_json(payload), correlation_id, at, number) for number, topic, key, payload, correlation_id, at in rows]


def _pattern(topic: str) -> str:
    literal = topic.removesuffix("*").replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"{literal}%"
