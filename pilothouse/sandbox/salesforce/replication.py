"""`sobjects/X/deleted` and `sobjects/X/updated`: which records left or changed between two moments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pilothouse.sandbox.company.store import Store, timestamp
from pilothouse.sandbox.salesforce.errors import ApiError
from pilothouse.sandbox.salesforce.objects import SObject

KEPT: Final = timedelta(days=30)
_MOST: Final = 600_000


@dataclass(frozen=True)
class Window:
    """The moments asked for, the first included, the last not."""

    start: datetime
    end: datetime

    @classmethod
    def of(cls, query: Mapping[str, str], earliest: datetime) -> Window:
        """From `?start=...&end=...`; ApiError INVALID_REPLICATION_DATE where the org does not remember that far back."""
        start, end = _moment(query, "start"), _moment(query, "end")
        if start >= end:
            raise ApiError(400, "INVALID_REPLICATION_DATE", "endDate before startDate")
        if start < earliest:
            raise ApiError(400, "INVALID_REPLICATION_DATE", f"startDate cannot be more than {KEPT.days} days ago")
        return cls(start, end)


def earliest_available(store: Store, now: datetime) -> datetime:
    """Since when the org knows every deletion: thirty days, or less where the log had to forget."""
    kept = now - KEPT
    if not store.forgotten():
        return kept
    oldest = next(store.rows("SELECT at FROM changes ORDER BY seq LIMIT 1"), None)
    return max(kept, datetime.fromisoformat(str(oldest[0])) if oldest else now)


def deleted(store: Store, found: SObject, window: Window, now: datetime) -> dict[str, Any]:
    """Records in the recycle bin, and records that are gone for good."""
    if not found.soft_deletes:
        raise ApiError(400, "INVALID_TYPE", f"object type not replicateable: {found.name}")
    bounds = [timestamp(window.start), timestamp(window.end)]
    # json_each: the log keeps a key as a JSON list, here of the Id alone.
    sql = (
        f'SELECT "Id", "SystemModstamp" FROM {found.entity.table} WHERE "IsDeleted" = 1 AND "SystemModstamp" >= ? AND "SystemModstamp" < ?'
        " UNION ALL SELECT json_extract(key, '$[0]'), at FROM changes"
        " WHERE entity = ? AND operation = 'delete' AND at >= ? AND at < ? ORDER BY 2, 1"
    )
    rows = store.rows(sql, [*bounds, found.entity.table, *bounds])
    records = [{"id": key, "deletedDate": _shown(str(at))} for key, at in rows]
    if len(records) > _MOST:
        raise ApiError(400, "EXCEEDED_ID_LIMIT", "too many deleted records; ask for a shorter time")
    earliest = timestamp(earliest_available(store, now))
    covered = timestamp(min(window.end, now))
    return {"deletedRecords": records, "earliestDateAvailable": _shown(earliest), "latestDateCovered": _shown(covered)}


def updated(store: Store, found: SObject, window: Window, now: datetime) -> dict[str, Any]:
    """Records that were created or changed and still exist."""
    alive = ' AND "IsDeleted" = 0' if found.soft_deletes else ""
    sql = (
        f'SELECT "Id" FROM {found.entity.table} WHERE "SystemModstamp" >= ? AND "SystemModstamp" < ?{alive} ORDER BY "SystemModstamp", "Id"'
    )
    keys = [key for (key,) in store.rows(sql, [timestamp(window.start), timestamp(window.end)])]
    if len(keys) > _MOST:
        raise ApiError(400, "EXCEEDED_ID_LIMIT", "too many updated records; ask for a shorter time")
    return {"ids": keys, "latestDateCovered": _shown(timestamp(min(window.end, now)))}


def _moment(query: Mapping[str, str], name: str) -> datetime:
    given = query.get(name)
    if given is None:
        raise ApiError(400, "MISSING_ARGUMENT", f"{name} is required")
    try:
        # A plus sign that was not escaped arrives as a blank.
        read = datetime.fromisoformat(given.replace(" ", "+"))
    except ValueError:
        raise ApiError(400, "INVALID_REPLICATION_DATE", f"{name}: not a date and time: {given}") from None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def _shown(at: str) -> str:
    return f"{at[:23]}+0000"
