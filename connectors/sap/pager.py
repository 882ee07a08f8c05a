"""From an OData page to the request for the next: by the server's own links, or by counting."""

from __future__ import annotations

from dataclasses import dataclass, replace

from connectors.http.exchange import Request
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
class Reached:
    """What a counted read holds on to: the rows of the page before, and how often it had to go back."""

    marks: frozenset[int] = frozenset()
    returns: int = 0

    @classmethod
    def of(cls, request: Request) -> Reached:
        """What the request was made with; of a first request nothing."""
        return request.known if isinstance(request.known, cls) else cls()


@dataclass(frozen=True)
class SkipTop:
    """Client-driven paging by $skip and $top, for services that would send everything in one response.

    Rows come in the order of the key or of the cursor, but counting alone would miss some: where a row is deleted that was read
    already, or moves to the end because it changed, all later ones move up. So each page begins with the last row of the one
    before. Where it does not, rows have moved, and the read goes back until it meets what it knows; what comes twice is left out.

    A server may cap a page below $top and name a next link then; counting what came is right in both cases.
    """

    most_returns: int = 1_000

    def next(self, request: Request, page: ODataPage) -> Request | None:
        """The request for what comes after the rows read so far."""
        top, skip = int(option(request.url, "$top") or 0), int(option(request.url, "$skip") or 0)
        reached = Reached.of(request)
        if skip and not page.joined:
            if reached.returns >= self.most_returns:
                raise SourceContractChanged(
                    f"{request.url}: the pages do not hang together, though they were asked for in order {reached.returns:,} times",
                    hint='does the service keep to $orderby? let it page by itself (paging = "server")',
                )
            back, known = max(0, skip - max(1, len(reached.marks) // 2)), replace(reached, returns=reached.returns + 1)
            return replace(request, url=with_option(request.url, "$skip", str(back)), known=known)
        if page.count == 0 or (page.count < top and page.next_link is None):
            return None
        # One row again, but never the same page: a page of one row has to be followed by the next.
        read = skip + max(1, page.count - 1)
        known = replace(reached, marks=page.marks if page.count > 1 else frozenset())
        return replace(request, url=with_option(request.url, "$skip", str(read)), known=known)
