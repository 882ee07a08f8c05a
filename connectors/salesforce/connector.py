"""A Salesforce org as a source: complete reads, changes by `SystemModstamp`, and deletions.

The watermark holds two moments: `changed`, the newest stamp that was there before the rows were read, and `deleted`,
until when the org's report of deletions was complete. Both are read again from `lag` before: a long transaction shows
its rows late, with the time at which it began.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

import pyarrow as pa
import structlog

from connectors.connector import Connector
from connectors.salesforce import bulk, soql
from connectors.salesforce.decode import from_records
from connectors.salesforce.deletions import Deletions, as_moment, deletions
from connectors.salesforce.describe import Description, describe
from connectors.salesforce.errors import names
from connectors.salesforce.options import SalesforceOptions
from connectors.salesforce.org import Org
from connectors.salesforce.query import LONGEST_QUERY, count, newest, pages
from connectors.salesforce.streams import SalesforceStream, streams_of
from pilothouse.kernel.errors import ConfigError, SourceError
from pilothouse.kernel.streams import Batch, Stream, Watermark

log = structlog.get_logger("connectors.salesforce")
_NOT_FOR_BULK: Final = ("INVALIDENTITY",)


@dataclass(frozen=True)
class _Plan:
    """What one read will do: from where (None: everything), what is gone, and the watermark that it earns."""

    start: datetime | date | None
    gone: Deletions | None
    watermark: Watermark | None


class SalesforceConnector(Connector):
    """An open line to one org."""

    def __init__(self, name: str, options: SalesforceOptions) -> None:
        self.name = name
        self._options = options
        self._streams = tuple(streams_of(options))
        self._objects = {stream.object: stream.name for stream in self._streams}
        self._org = Org(name, options)

    def check(self) -> None:
        """We can log in, and every object is there with its Id, its cursor and its way of finding deletions."""
        for stream in self._streams:
            self._described(stream)

    def streams(self) -> Sequence[Stream]:
        """The configured objects."""
        return self._streams

    def schema(self, stream: Stream) -> pa.Schema:
        """The object's fields in Arrow types, with labels, and lookups as references."""
        return self._described(_own(stream)).schema

    def read(self, stream: Stream, since: Watermark | None) -> Iterator[Batch]:
        """One batch: everything, or what changed and what is gone since the watermark."""
        declared = _own(stream)
        description = self._described(declared)
        plan = self._plan(declared, description, since)
        rows = self._rows(declared, description.read_schema, plan.start)
        yield Batch(
            rows=pa.RecordBatchReader.from_batches(description.read_schema, rows),
            watermark=plan.watermark,
            synthetic=description.synthetic,
            deleted=None if plan.gone is None else plan.gone.table,
            snapshot=plan.start is None,
        )

    def keys(self, stream: Stream) -> Iterator[pa.Table]:
        """The Ids of all records that exist now."""
        declared = _own(stream)
        fields = pa.schema([self._described(declared).schema.field("Id"), ("_defect", pa.string())])
        for batch in self._rows(declared, fields, None):
            yield pa.Table.from_batches([batch]).select(["Id"])

    def close(self) -> None:
        """Give connections back."""
        self._org.close()

    def _described(self, stream: SalesforceStream) -> Description:
        description = describe(self._org, stream, self._objects)
        if stream.deletes == "tombstones" and not description.replicateable:
            raise ConfigError(
                f"{self.name} / {stream.name}: Salesforce does not report deletions of {stream.object}",
                hint=f'set `streams.{stream.name}.deletes = "keys"` of [sources.{self.name}]',
            )
        return description

    def _plan(self, stream: SalesforceStream, description: Description, since: Watermark | None) -> _Plan:
        """Where to read from. The watermark is found before the rows are: what comes meanwhile belongs to the next read."""
        if stream.cursor is None:
            return _Plan(start=None, gone=None, watermark=None)
        known = since.position if since is not None and since.position.get("field") == stream.cursor.field else None
        latest = newest(self._org, stream.object, stream.cursor.field, _what(stream))
        asked_at = as_moment(soql.moment_of(description.asked_at))
        gone, start = None, None
        if known is not None and known.get("changed"):
            changed = soql.moment_of(str(known["changed"]))
            # Never above what is there: an org that was restored has rows older than the watermark.
            start = soql.before(changed if latest is None else min(changed, soql.moment_of(latest)), stream.cursor.lag)
            if stream.deletes == "tombstones":
                gone = self._gone(stream, description, as_moment(soql.moment_of(str(known["deleted"]))), asked_at)
                if gone is None:
                    log.warning("full read: the org no longer remembers deletions that far back", source=self.name, stream=stream.name)
                    start = None
        position = {"field": stream.cursor.field, "changed": latest or (None if known is None else known.get("changed"))}
        if stream.deletes == "tombstones":
            position["deleted"] = (asked_at if gone is None else gone.covered).isoformat()
        return _Plan(start=start, gone=gone, watermark=Watermark(position))

    def _gone(self, stream: SalesforceStream, description: Description, since: datetime, now: datetime) -> Deletions | None:
        assert stream.cursor is not None
        return deletions(self._org, stream.object, since - stream.cursor.lag, now, _what(stream), soft_deletes=description.soft_deletes)

    def _rows(self, stream: SalesforceStream, schema: pa.Schema, start: datetime | date | None) -> Iterator[pa.RecordBatch]:
        """The rows at or after a moment, by whichever interface suits their number."""
        condition = "" if stream.cursor is None else soql.since(stream.cursor.field, start)
        query = soql.select([name for name in schema.names if name != "_defect"], stream.object, condition)
        what = _what(stream)
        if len(query) > LONGEST_QUERY or count(self._org, stream.object, condition, what) >= self._options.bulk_threshold:
            try:
                yield from bulk.rows(self._org, query, schema, what, self._options.bulk_patience)
            except SourceError as error:
                if not names(_NOT_FOR_BULK, error):
                    raise
                log.info("the Bulk API does not know this object: read over REST", source=self.name, stream=stream.name)
            else:
                return
        for records in pages(self._org, query, what):
            yield from_records(records, schema)


def _own(stream: Stream) -> SalesforceStream:
    if not isinstance(stream, SalesforceStream):
        raise TypeError(f"{stream.name} is a {type(stream).__name__}, not a stream of a salesforce source")
    return stream


def _what(stream: SalesforceStream) -> str:
    return stream.name if stream.name == stream.object else f"{stream.name} ({stream.object})"
