"""What goes into the graph and what comes out, as plain Python.

Two traps of the driver (6.4) are closed here. It computes the offset of a `ZoneInfo` by handing the C code a value of another
layout than it expects: a crash of the process, or a moment that is silently an hour off. And ArcadeDB forgets the zone of a
stored moment, so a moment goes in as UTC and comes out as UTC, and one without a zone is refused: nobody could say when it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from pilothouse.kernel.errors import GraphError

_AS_THEY_ARE = frozenset({type(None), bool, int, float, str, bytes, date, timedelta})
_INT64 = 1 << 63


def stored(value: Any, where: str) -> Any:
    """A parameter as the driver may have it; GraphError names the parameter that no graph can hold."""
    kind = type(value)
    if kind is int and not -_INT64 <= value < _INT64:
        raise GraphError(f"{where}: {value} does not fit into 64 bits", hint="give it as text")
    if kind in _AS_THEY_ARE:
        return value
    if isinstance(value, datetime):
        return _moment(value, where)
    if isinstance(value, str | bytes):
        return value
    if isinstance(value, Mapping):
        return {str(name): stored(item, f"{where}.{name}") for name, item in value.items()}
    if isinstance(value, Iterable):
        return [stored(item, f"{where}[{place}]") for place, item in enumerate(value)]
    hint = "give it as float, or as text where every digit counts" if isinstance(value, Decimal) else "give a text or a number"
    raise GraphError(f"{where}: a graph has no value of type {kind.__name__}", hint=hint)


def _moment(value: datetime, where: str) -> datetime:
    if value.tzinfo is None:
        raise GraphError(f"{where}: {value.isoformat()} has no time zone", hint="say which: .replace(tzinfo=UTC) if it is UTC")
    return value.astimezone(UTC)


def told(value: Any, *, zoneless_is_utc: bool) -> Any:
    """A value of an answer as plain Python: moments in UTC, nodes and edges as mappings, a path as a list of both."""
    if type(value) in _AS_THEY_ARE:
        return value
    if isinstance(value, dict):
        return {name: told(item, zoneless_is_utc=zoneless_is_utc) for name, item in value.items()}
    if type(value).__module__ == "neo4j.time":  # a duration is a tuple, too
        return _native(value, zoneless_is_utc=zoneless_is_utc)
    if isinstance(value, list | tuple):
        return [told(item, zoneless_is_utc=zoneless_is_utc) for item in value]
    return told(_unfolded(value), zoneless_is_utc=zoneless_is_utc)


def _native(value: Any, *, zoneless_is_utc: bool) -> Any:
    """A value of the driver's own time types as one of Python's."""
    if not hasattr(value, "to_native"):  # a duration; one with months has no fixed length, and stays ISO 8601
        span = timedelta(days=value.days, seconds=value.seconds, microseconds=value.nanoseconds // 1000)
        return str(value.iso_format()) if value.months else span
    native = value.to_native()
    if not isinstance(native, datetime):
        return native
    if native.tzinfo is None:
        return native.replace(tzinfo=UTC) if zoneless_is_utc else native
    return native.astimezone(UTC)


def _unfolded(value: Any) -> Any:
    """A path as its nodes and edges in turn; a node or an edge as its properties, with its labels or its type."""
    if hasattr(value, "relationships"):
        pairs = zip(value.relationships, value.nodes[1:], strict=True)
        return [value.nodes[0], *(step for pair in pairs for step in pair)]
    kind = {"_labels": sorted(value.labels)} if hasattr(value, "labels") else {"_type": value.type}
    return kind | dict(value.items())
