"""SOQL text: the few queries that a sync asks. Names come from declarations and describe, values are checked here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final

_ID: Final = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")


def select(names: Sequence[str], table: str, *conditions: str, order: str = "") -> str:
    """SELECT ... FROM ... WHERE ... ORDER BY; empty conditions fall away."""
    where = " AND ".join(condition for condition in conditions if condition)
    return f"SELECT {', '.join(names)} FROM {table}{f' WHERE {where}' if where else ''}{f' ORDER BY {order}' if order else ''}"


def since(field: str, moment: datetime | date | None) -> str:
    """The condition for what changed at or after a moment; none for all."""
    return "" if moment is None else f"{field} >= {literal(moment)}"


def among(ids: Iterable[str]) -> str:
    """The condition for records of these Ids. Ids that are none cannot reach the query."""
    return f"Id IN ({', '.join(repr(known) for known in ids if _ID.fullmatch(known))})"


def literal(moment: datetime | date) -> str:
    """A moment or a day as SOQL writes it: without quotes, moments in UTC."""
    if isinstance(moment, datetime):
        return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    return moment.isoformat()


def moment_of(text: str) -> datetime | date:
    """A moment or a day as Salesforce or a watermark writes it."""
    if len(text) == 10:
        return date.fromisoformat(text)
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def before(moment: datetime | date, lag: timedelta) -> datetime | date:
    """The moment `lag` earlier; of a day, the day on which that lies."""
    if isinstance(moment, datetime):
        return moment - lag
    return (datetime(moment.year, moment.month, moment.day, tzinfo=UTC) - lag).date()
