"""What goes out and what comes back, as frozen values, and the step from one page to the next.

A pager is a pure function of a request and its page. It holds no state, so it can be tested by a table of cases,
retried after a crash and resumed in another process. What needs memory, such as noticing that links run in a
circle, is in `walk`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar

from pilothouse.kernel.errors import SourceContractChanged

Expected = Literal["json", "xml", "csv", "anything"]
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request. `url` is absolute or relative to the client's base; `answers` are error statuses that the caller
    wants to see as responses, such as 410 for an expired delta link; `known` is what a pager has to know when the page comes."""

    url: str
    method: str = "GET"
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    expects: Expected = "json"
    answers: frozenset[int] = frozenset()
    repeatable: bool | None = None  # None: by method
    known: Hashable = None

    @property
    def may_repeat(self) -> bool:
        """Whether sending it twice does the same as sending it once."""
        return self.method in IDEMPOTENT if self.repeatable is None else self.repeatable


@dataclass(frozen=True, kw_only=True)
class Response:
    """A whole response. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page, opened only as far as paging needs: how many rows, and the link to the next page as the source wrote it."""

    response: Response
    count: int
    next_link: str | None = None


PageT = TypeVar("PageT", bound=Page)
PageT_contra = TypeVar("PageT_contra", bound=Page, contravariant=True)


class Pager(Protocol[PageT_contra]):
    """A pure step from a page to the request for the next; None after the last."""

    def next(self, request: Request, page: PageT_contra) -> Request | None:
        """The request for the page after `page`, which answered `request`."""
        ...


def walk(
    first: Request, pager: Pager[PageT], fetch: Callable[[Request], PageT], *, source: str, most_empty: int = 100
) -> Generator[PageT, None, None]:
    """All pages from the first on. An empty page with a next link is lawful (a server filters after paging), but not
    without end: after `most_empty` in a row the read stops with an error, and so it does when a link comes back."""
    seen: set[int] = set()
    empty = 0
    request: Request | None = first
    while request is not None:
        mark = hash((request.url, tuple(sorted(request.params.items())), request.known))
        if mark in seen:
            raise SourceContractChanged(
                f"{source}: the next links run in a circle: page {len(seen) + 1} is asked for with {request.url!r} again",
                hint="the service pages wrongly; report it to its owner",
            )
        seen.add(mark)
        page = fetch(request)
        empty = empty + 1 if page.count == 0 else 0
        yield page
        request = pager.next(request, page)
        if request is not None and empty >= most_empty:
            raise SourceContractChanged(
                f"{source}: {empty} empty pages in a row, and each names a next one; the last was {page.response.url!r}",
                hint="the service pages wrongly; report it to its owner",
            )
