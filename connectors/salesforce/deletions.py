"""Which records are gone since a moment, hard deletes included.

Salesforce remembers deletions for a while: `getDeleted` reports them for up to 30 days, at its own pace
(`latestDateCovered`), and the recycle bin (queryAll) shows soft deletes at once. Both are asked; a record that was
taken out of the bin since is left alone. Where the question reaches further back than the org remembers, there is no
answer but a complete read, and None says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import pyarrow as pa

from connectors.salesforce import soql
from connectors.salesforce.errors import names
from connectors.salesforce.org import Org
from connectors.salesforce.query import pages
from pilothouse.kernel.errors import SourceContractChanged, SourceError

SCHEMA: Final = pa.schema([("Id", pa.string()), ("_changed_at", pa.timestamp("us", "UTC"))])
REMEMBERED: Final = timedelta(days=30)
SLICE: Final = timedelta(days=7)
SHORTEST: Final = timedelta(minutes=1)  # Salesforce cuts both ends to minutes and wants one between them
AHEAD: Final = timedelta(seconds=5)
IDS_A_QUERY: Final = 400  # 18 characters each, in an address of at most 16 kB

_FORGOTTEN: Final = ("INVALID_REPLICATION_DATE",)
_TOO_MANY: Final = ("EXCEEDED_ID_LIMIT",)


@dataclass(frozen=True)
class Deletions:
    """Deleted keys with their moments, and until when the org's report is complete."""

    table: pa.Table
    covered: datetime


@dataclass(frozen=True)
class _Report:
    """What the org says about a window: who left, and until when that is all."""

    gone: Mapping[str, datetime]
    covered: datetime
    end: datetime

    def followed_by(self, later: _Report) -> _Report:
        """Two windows as one. A later one cannot make good what is still missing from the earlier."""
        covered = self.covered if self.covered < self.end else later.covered
        return _Report({**self.gone, **later.gone}, covered, later.end)


def deletions(org: Org, table: str, since: datetime, now: datetime, what: str, *, soft_deletes: bool) -> Deletions | None:
    """What was deleted since a moment; None where the org does not remember that far back."""
    if now - since > REMEMBERED:
        return None
    # First up to a little ahead: the org's clock reaches us by a header that is seconds old. An org that will not look
    # ahead refuses in the same words as one that has forgotten, so it is asked again up to now.
    reported = _reported_since(org, table, since, now + AHEAD, what)
    if reported is None:
        reported = _reported_since(org, table, since, now, what)
    if reported is None:
        return None
    binned = dict(_recycle_bin(org, table, since, what)) if soft_deletes else {}
    gone = _still_gone(org, table, {key: at for key, at in reported.gone.items() if key not in binned}, what) | binned
    rows = pa.table([list(gone), list(gone.values())], schema=SCHEMA)
    return Deletions(table=rows, covered=min(reported.covered, now))


def _reported_since(org: Org, table: str, since: datetime, until: datetime, what: str) -> _Report | None:
    """All that getDeleted says; None where the org does not remember that far back."""
    whole: _Report | None = None
    for start, end in slices(since, until):
        part = _reported(org, table, start, end, what)
        if part is None:
            return None
        whole = part if whole is None else whole.followed_by(part)
    return whole


def slices(since: datetime, now: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The span in windows of whole minutes that touch each other and cover it."""
    start = since.astimezone(UTC).replace(second=0, microsecond=0)
    last = max(now.astimezone(UTC), start + SHORTEST)
    while start < last:
        end = min(start + SLICE, last)
        if end - start < SHORTEST:
            start = end - SHORTEST
        yield start, end
        start = end


def _reported(org: Org, table: str, start: datetime, end: datetime, what: str) -> _Report | None:
    """What getDeleted says about a window, in halves where that is too much at once; None where it has forgotten."""
    try:
        answer, _ = org.json(f"sobjects/{table}/deleted/", what, {"start": start.isoformat(), "end": end.isoformat()})
    except SourceError as error:
        if names(_FORGOTTEN, error):
            return None
        middle = (start + (end - start) / 2).replace(second=0, microsecond=0)
        if not names(_TOO_MANY, error) or middle - start < SHORTEST:
            raise
        first = _reported(org, table, start, middle, what)
        second = None if first is None else _reported(org, table, middle, end, what)
        return None if first is None or second is None else first.followed_by(second)
    earliest = answer.get("earliestDateAvailable")
    if earliest and _moment(earliest) > start:
        return None
    records: Sequence[Mapping[str, Any]] = answer.get("deletedRecords") or ()
    return _Report({str(r["id"]): _moment(r["deletedDate"]) for r in records}, _moment(answer["latestDateCovered"]), end)


def _recycle_bin(org: Org, table: str, since: datetime, what: str) -> Iterator[tuple[str, datetime]]:
    query = soql.select(["Id", "SystemModstamp"], table, "IsDeleted = true", soql.since("SystemModstamp", since))
    for records in pages(org, query, what, "queryAll"):
        for record in records:
            yield str(record["Id"]), _moment(record["SystemModstamp"])


def _still_gone(org: Org, table: str, gone: Mapping[str, datetime], what: str) -> dict[str, datetime]:
    """Those that do not exist: a record can be taken out of the recycle bin after its deletion was reported."""
    ids = list(gone)
    alive: set[str] = set()
    for first in range(0, len(ids), IDS_A_QUERY):
        for records in pages(org, soql.select(["Id"], table, soql.among(ids[first : first + IDS_A_QUERY])), what):
            alive.update(str(record["Id"]) for record in records)
    return {key: at for key, at in gone.items() if key not in alive}


def _moment(text: Any) -> datetime:
    moment = soql.moment_of(str(text))
    if isinstance(moment, datetime):
        return moment
    raise SourceContractChanged(f"Salesforce gave {text!r} where a moment was due", hint="the API version may have changed")


def as_moment(moment: datetime | date) -> datetime:
    """A moment from a moment or a day: its beginning."""
    return moment if isinstance(moment, datetime) else datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
