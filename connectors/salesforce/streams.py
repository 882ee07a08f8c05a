"""The streams of a Salesforce org: four standard objects by default, any object by configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from connectors.salesforce.options import SalesforceObject, SalesforceOptions
from pilothouse.kernel.streams import Cursor, Stream

CHANGED = Cursor("SystemModstamp", lag=timedelta(minutes=10))  # a long transaction shows its rows late, with the time it began


@dataclass(frozen=True, kw_only=True)
class SalesforceStream(Stream):
    """A stream that is one object of the org."""

    object: str


STANDARD = (
    SalesforceStream(
        name="account",
        object="Account",
        key=("Id",),
        cursor=CHANGED,
        deletes="tombstones",
        description="Firms as sales knows them: customers, prospects, partners",
        owner="sales",
    ),
    SalesforceStream(
        name="contact",
        object="Contact",
        key=("Id",),
        cursor=CHANGED,
        deletes="tombstones",
        description="People at those firms",
        owner="sales",
    ),
    SalesforceStream(
        name="opportunity",
        object="Opportunity",
        key=("Id",),
        cursor=CHANGED,
        deletes="tombstones",
        description="Deals, from first talk to won or lost",
        owner="sales",
    ),
    SalesforceStream(
        name="case",
        object="Case",
        key=("Id",),
        cursor=CHANGED,
        deletes="tombstones",
        description="Support cases and complaints",
        owner="support",
    ),
)


def streams_of(options: SalesforceOptions) -> Sequence[SalesforceStream]:
    """The streams of one configured org, without asking it."""
    if options.streams is None:
        return STANDARD
    return tuple(_stream(name, declared) for name, declared in options.streams.items())


def _stream(name: str, declared: SalesforceObject) -> SalesforceStream:
    cursor = None if declared.cursor is None else Cursor(declared.cursor, declared.lag)
    return SalesforceStream(
        name=name,
        object=declared.object,
        key=("Id",),
        cursor=cursor,
        deletes=declared.deletes or ("snapshot" if cursor is None else "tombstones"),
        description=declared.description,
        owner=declared.owner,
        announces=declared.announces,
    )
