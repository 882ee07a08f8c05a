"""Reads SAP over OData: complete, by change timestamp, or by delta link.

Whatever the way, pages are fetched ahead, decoded in a second thread and handed on in bounded pieces. A read that can
be resumed is cut into batches that carry a watermark; one that cannot (a snapshot) is one streamed batch.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain

import pyarrow as pa
import structlog

from connectors.connector import Connector
from connectors.http.exchange import Request
from connectors.http.prefetch import prefetch
from connectors.sap.changes import Position, Progress, start_of_read
from connectors.sap.connection import opened
from connectors.sap.decode import PageDecoder
from connectors.sap.metadata import EntityShape
from connectors.sap.options import SapOptions
from connectors.sap.page import ODataPage
from connectors.sap.pager import NextLink, SkipTop
from connectors.sap.query import address, literal, resolved
from connectors.sap.service import EXPIRED, DeltaExpired, ODataService
from connectors.sap.streams import SapStream
from connectors.sap.tombstones import deleted_rows
from pilothouse.kernel.errors import ConfigError, SourceContractChanged
from pilothouse.kernel.streams import Batch, Stream, Watermark, batch_of

FRESH = timedelta(days=1)  # a delta link younger than this is kept where nothing changed, so that nothing is written

log = structlog.get_logger("connectors.sap")


@dataclass(frozen=True)
class _Rows:
    """One decoded page."""

    page: ODataPage
    batch: pa.RecordBatch


class SapConnector(Connector):
    """An open line to one S/4HANA, or to any other server of OData V2 or V4."""

    def __init__(self, source: str, options: SapOptions) -> None:
        self.name = source
        self._options = options
        self._streams = {each.name: each for each in options.selected()}
        self._client = opened(source, options)
        self._services: dict[str, ODataService] = {}

    def check(self) -> None:
        """Ask each service for its description, and each stream for one key: a user can know the one without the other."""
        for stream in self._streams.values():
            request = Request(url=address(stream.path.lstrip("/"), {"$top": "1", "$select": ",".join(stream.key)}))
            self._shape(stream)
            with closing(self._service(stream).pages(request, NextLink(), where=self._where(stream))) as pages:
                next(pages, None)

    def streams(self) -> Sequence[SapStream]:
        """The streams that the options select."""
        return tuple(self._streams.values())

    def schema(self, stream: Stream) -> pa.Schema:
        """The entity set's description in $metadata, as Arrow types."""
        return self._shape(self._own(stream)).schema()

    def read(self, stream: Stream, since: Watermark | None) -> Iterator[Batch]:
        """What changed since the watermark, or everything."""
        own = self._own(stream)
        if own.delta:
            yield from self._by_delta(own, since)
        elif own.cursor is not None:
            yield from self._by_cursor(own, since)
        else:
            yield from self._snapshot(own)

    def keys(self, stream: Stream) -> Iterator[pa.Table]:
        """All keys that exist now, page by page."""
        own = self._own(stream)
        shape = self._shape(own)
        keyed = EntityShape(name=shape.name, properties=tuple(prop for name in own.key if (prop := shape.named(name)) is not None))
        with closing(self._decoded(own, keyed, self._first(own, select=own.key, order=own.key))) as decoded:
            for rows in decoded:
                yield pa.Table.from_batches([rows.batch]).select(list(own.key))

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    # -- the three ways of reading ---------------------------------------------------------------------------------

    def _snapshot(self, stream: SapStream) -> Iterator[Batch]:
        """Everything there is, as one streamed batch."""
        shape = self._shape(stream)
        order = stream.key if self._options.paging == "client" else ()
        with closing(self._decoded(stream, shape, self._first(stream, order=order))) as decoded:
            first = next(decoded)
            batches = (rows.batch for rows in chain([first], self._of_one_kind(stream, first, decoded)))
            yield batch_of(first.batch.schema, batches, None, synthetic=first.page.synthetic, snapshot=True)

    def _by_cursor(self, stream: SapStream, since: Watermark | None) -> Iterator[Batch]:
        """What changed at or after the watermark less the lag, oldest first, so that a broken read goes on where it was."""
        assert stream.cursor is not None
        shape, service = self._shape(stream), self._service(stream)
        field = shape.named(stream.cursor.field)
        assert field is not None
        by_day = pa.types.is_date(field.codec.type)
        begun = Position.of(since)
        progress = Progress(begun=begun, source_clock=service.clock(), our_clock=datetime.now(UTC))
        start = None
        if begun is not None:
            start = start_of_read(begun, stream.cursor.lag, source_clock=progress.source_clock, our_clock=progress.our_clock)
        request = self._first(stream, since=self._changed_since(stream, shape, start), order=(field.name, *stream.key))
        # Rows that never changed have no cursor and come first or last, as the source likes: until the end nothing is sure.
        resumable = stream.created is None
        with closing(self._decoded(stream, shape, request)) as decoded:
            for piece, last in self._pieces(stream, decoded):
                table = pa.Table.from_batches([rows.batch for rows in piece])
                progress = progress.after(table.column(field.name))
                reached = progress.reached(by_day=by_day) if last or (resumable and progress.in_order) else begun
                watermark = since if reached is begun else reached.watermark() if reached is not None else None
                if watermark is None and not last:
                    watermark = Watermark({})  # a batch before this one may have claimed more than turned out to be true
                yield Batch(rows=table, watermark=watermark, synthetic=piece[0].page.synthetic)

    def _by_delta(self, stream: SapStream, since: Watermark | None) -> Iterator[Batch]:
        """What the source's delta link brings; everything where there is none yet, or where the source forgot it."""
        link = since.position.get("delta") if since is not None else None
        if isinstance(link, str):
            try:
                yield from self._delta(stream, Request(url=link, answers=EXPIRED, headers=self._preferences()), since)
            except DeltaExpired as error:
                log.warning("delta link expired: the stream is read in full", source=self.name, stream=stream.name, reason=error.message)
            else:
                return
        yield from self._delta(stream, self._first(stream, track=True), None)

    def _delta(self, stream: SapStream, request: Request, since: Watermark | None) -> Iterator[Batch]:
        shape = self._shape(stream)
        where = self._where(stream)
        changed = 0
        with closing(self._decoded(stream, shape, request)) as decoded:
            for piece, last in self._pieces(stream, decoded):
                table = pa.Table.from_batches([rows.batch for rows in piece])
                gone = [deletion for rows in piece for deletion in rows.page.deletions]
                changed += table.num_rows + len(gone)
                yield Batch(
                    rows=table,
                    watermark=self._delta_watermark(stream, request, piece[-1].page, since, changed=changed > 0) if last else None,
                    synthetic=piece[0].page.synthetic,
                    deleted=deleted_rows(gone, shape, stream.key, where=where) if gone else None,
                    snapshot=not request.answers,
                )

    def _delta_watermark(
        self, stream: SapStream, request: Request, page: ODataPage, since: Watermark | None, *, changed: bool
    ) -> Watermark:
        if page.delta_link is None:
            raise SourceContractChanged(
                f"{self._where(stream)}: the last page brought no delta link",
                hint="the service does not track changes (any more): declare the stream anew, with a cursor or as a snapshot",
            )
        now = datetime.now(UTC)
        if since is not None and not changed:
            issued = since.position.get("issued")
            if isinstance(issued, str) and now - datetime.fromisoformat(issued) < FRESH:
                return since
        return Watermark({"delta": resolved(request.url, page.delta_link), "issued": now.isoformat()})

    # -- requests and pages ----------------------------------------------------------------------------------------

    def _first(
        self, stream: SapStream, *, select: Sequence[str] = (), since: str = "", order: Sequence[str] = (), track: bool = False
    ) -> Request:
        """The request for a stream's first page."""
        options = {"$select": ",".join(select), "$filter": since, "$orderby": ",".join(order)}
        if self._options.paging == "client" and not track:
            options["$top"] = str(self._options.page_size)
        return Request(url=address(stream.path.lstrip("/"), options), headers=self._preferences(track=track))

    def _preferences(self, *, track: bool = True) -> Mapping[str, str]:
        asked = (["odata.track-changes"] if track else []) + [f"odata.maxpagesize={self._options.page_size}"]
        return {"Prefer": ", ".join(asked)}

    def _changed_since(self, stream: SapStream, shape: EntityShape, start: datetime | None) -> str:
        if start is None or stream.cursor is None:
            return ""
        version, where = self._service(stream).shape.version, self._where(stream)
        names = [stream.cursor.field, *([stream.created] if stream.created else [])]
        fields = [field for name in names if (field := shape.named(name)) is not None]
        return " or ".join(f"{field.name} ge {literal(start, field, version, where=where)}" for field in fields)

    def _decoded(self, stream: SapStream, shape: EntityShape, request: Request) -> Generator[_Rows, None, None]:
        """The pages from a request on, decoded in a thread of their own."""
        decoder = PageDecoder(shape, self._service(stream).shape.version)
        by_count = self._options.paging == "client" and "$top=" in request.url
        pages = self._service(stream).pages(request, SkipTop() if by_count else NextLink(), where=self._where(stream))

        def decoded() -> Iterator[_Rows]:
            with closing(pages) as open_pages:
                for page in open_pages:
                    yield _Rows(page, decoder.decode(page.rows))

        # A piece ahead: while one is being committed, the next is decoded.
        return prefetch(decoded(), max(1, self._options.batch_rows // self._options.page_size) if self._options.prefetch else 0)

    def _pieces(self, stream: SapStream, decoded: Iterator[_Rows]) -> Iterator[tuple[list[_Rows], bool]]:
        """Pages in pieces of about `batch_rows` rows, and whether a piece is the last. There is always a last one."""
        first = next(decoded)
        piece, count = [first], first.page.count
        for rows in self._of_one_kind(stream, first, decoded):
            if count >= self._options.batch_rows:
                yield piece, False
                piece, count = [], 0
            piece.append(rows)
            count += rows.page.count
        yield piece, True

    def _of_one_kind(self, stream: SapStream, first: _Rows, decoded: Iterator[_Rows]) -> Iterator[_Rows]:
        """The pages, as long as they are as real or as invented as the first."""
        for rows in decoded:
            if rows.page.synthetic != first.page.synthetic:
                raise SourceContractChanged(
                    f"{self._where(stream)}: one read brings invented rows and real ones", hint="do two servers stand behind one address?"
                )
            yield rows

    # -- what is known about streams -------------------------------------------------------------------------------

    def _own(self, stream: Stream) -> SapStream:
        if stream.name not in self._streams:
            raise ConfigError(f"{self.name}: there is no stream {stream.name!r}", hint=f"it offers {', '.join(self._streams)}")
        return self._streams[stream.name]

    def _shape(self, stream: SapStream) -> EntityShape:
        needed = [*stream.key, *([stream.cursor.field] if stream.cursor else []), *([stream.created] if stream.created else [])]
        return self._service(stream).shape.entity(stream.entity_set, needed=needed, where=self._where(stream))

    def _service(self, stream: SapStream) -> ODataService:
        if stream.service not in self._services:
            own = {each.entity_set: each.name for each in self._streams.values() if each.service == stream.service}
            # V2 and V4 publish one table as A_SalesOrder and SalesOrder: a reference across them is one all the same.
            others = {each.entity_set.removeprefix("A_"): each.name for each in self._streams.values()}
            stream_of = others | own
            self._services[stream.service] = ODataService(self._client, stream.service, stream_of=stream_of, ahead=self._options.prefetch)
        return self._services[stream.service]

    def _where(self, stream: SapStream) -> str:
        return f"{self.name} / {stream.name}"
