"""One OData service: its description, its clock and its pages."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from datetime import datetime, timedelta
from functools import cached_property

from connectors.http.client import HttpClient
from connectors.http.exchange import Request, Response, walk
from connectors.http.prefetch import prefetch
from connectors.sap.changes import clock_of
from connectors.sap.metadata import ServiceShape, parse_metadata
from connectors.sap.page import ODataPage, joined, open_page
from connectors.sap.pager import NextLink, Reached, SkipTop
from pilothouse.kernel.errors import SourceError

EXPIRED = frozenset({400, 404, 410})  # 410 by the standard; older gateways say the same with the other two


class DeltaExpired(SourceError):
    """The source no longer knows the delta link; only a full read can tell what changed since."""


class ODataService:
    """A service root below the client's base URL."""

    def __init__(self, client: HttpClient, root: str, *, stream_of: Mapping[str, str], ahead: int) -> None:
        self._client = client
        self._root = root.lstrip("/")
        self._stream_of = stream_of
        self._ahead = ahead
        self._read_at = 0.0

    @cached_property
    def shape(self) -> ServiceShape:
        """What the service says about itself. Asked for once a connection."""
        return parse_metadata(self._metadata.body, where=f"{self._client.source}: /{self._root}", stream_of=self._stream_of)

    def clock(self) -> datetime | None:
        """The source's own time now, as far as it tells it."""
        said = clock_of(self._metadata.headers.get("date"))
        return None if said is None else said + timedelta(seconds=time.monotonic() - self._read_at)

    def pages(self, request: Request, pager: NextLink | SkipTop, *, where: str) -> Generator[ODataPage, None, None]:
        """The pages from a request on, fetched ahead. A request whose `answers` name statuses is a delta link: those
        statuses are a DeltaExpired, and deletions are looked for."""
        tracking = bool(request.answers)

        def opened(response: Response) -> ODataPage:
            if response.status in request.answers:
                raise DeltaExpired(
                    f"{where}: the source answered the delta link with {response.status}", hint="the next sync reads in full again"
                )
            return open_page(response, self.shape.version, where=where, with_deletions=tracking)

        def fetch(each: Request) -> ODataPage:
            page = self._client.fetch(each, opened)
            return page if isinstance(pager, NextLink) else joined(page, Reached.of(each).marks)

        return prefetch(walk(request, pager, fetch, source=where), self._ahead)

    @cached_property
    def _metadata(self) -> Response:
        request = Request(url=f"{self._root}/$metadata", headers={"Accept": "application/xml"}, expects="xml")
        response = self._client.send(request)
        self._read_at = time.monotonic()
        return response
