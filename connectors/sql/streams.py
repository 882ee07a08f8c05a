"""The streams of a warehouse: the bureau's tables by default, any table by configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from connectors.sql.options import SqlOptions, SqlTable
from pilothouse.kernel.streams import Cursor, Stream


@dataclass(frozen=True, kw_only=True)
class SqlStream(Stream):
    """A stream that is one table or view of the source's schema."""

    table: str


BUREAU = (
    SqlStream(
        name="credit_rating",
        table="credit_rating",
        key=("rating_id",),
        cursor=Cursor("updated_at"),
        deletes="keys",
        description="Ratings of firms by the credit bureau, each as of its day",
        owner="credit",
    ),
    SqlStream(
        name="exchange_rate",
        table="exchange_rate",
        key=("currency", "rate_date"),
        cursor=Cursor("updated_at"),
        deletes="keys",
        description="Daily reference rates: units of a currency for one euro",
        owner="treasury",
    ),
    SqlStream(
        name="industry_index",
        table="industry_index",
        key=("industry", "month"),
        description="Monthly output and insolvencies of each industry",
        owner="credit",
    ),
    SqlStream(
        name="ownership",
        table="ownership",
        key=("owner_id", "owned_id"),
        description="Which firm owns which, and how much of it",
        owner="credit",
    ),
)


def streams_of(options: SqlOptions) -> Sequence[SqlStream]:
    """The streams of one configured source, without asking it."""
    if options.streams is None:
        return BUREAU
    return tuple(_stream(name, table) for name, table in options.streams.items())


def _stream(name: str, declared: SqlTable) -> SqlStream:
    cursor = None if declared.cursor is None else Cursor(declared.cursor, declared.lag)
    return SqlStream(
        name=name,
        table=declared.table or name,
        key=declared.key,
        cursor=cursor,
        deletes=declared.deletes or ("snapshot" if cursor is None else "keys"),
        description=declared.description,
        owner=declared.owner,
        announces=declared.announces,
    )
