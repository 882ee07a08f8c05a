"""From an OData page to the request for the next: by the server's own links, or by counting."""

from __future__ import annotations

from dataclasses import dataclass, replace

from connectors.http import Request
from connectors.sap.page import ODataPage
from connectors.sap.query import option, resolved, with_option
from pilothouse.kernel.errors import SourceContractChanged


@dataclass(frozen=True)
class NextLink:
    """Server-driven paging: the link is opaque and is followed as it is written."""

    def next(self, request: Request, page: ODataPage) -> Request | None:
        """The request for the linked page."""
        if page.next_link is None:
            return None
        url = resolved(request.url, page.next_link)
        if url == resolved(request.url, request.url):
            raise SourceContractChanged(f"{request.url}: the next link points at itself", hint="report it to the service's owner")
        return replace(request, url=url)


@dataclass(frozen=True)
class SkipTop:
    """Client-driven paging by $skip and $top, for services that would send everything in one response.

    A server may cap a page below $top and name a next link then; counting what came is right in both cases. Rows are
    asked for in the order of the key, so that a page boundary means the same in both requests.
    """

    def next(self, request: Request, page: ODataPage) -> Request | None:
        """The request for what comes after the rows read so far."""
        top = int(option(request.url, "$top") or 0)
        if page.count == 0 or (page.count < top and page.next_link is None):
            return None
        read = int(option(request.url, "$skip") or 0) + page.count
        return replace(request, url=with_option(request.url, "$skip", str(read)))
