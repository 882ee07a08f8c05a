"""Queries over REST, 2,000 rows a page: for what is small, and for the questions that a read asks first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from connectors.http.exchange import Page, Request, walk
from connectors.http.prefetch import prefetch
from connectors.salesforce.errors import ANSWERS
from connectors.salesforce.org import Org
from pilothouse.kernel.errors import SourceContractChanged

Scope = Literal["query", "queryAll"]  # queryAll sees the recycle bin too
PAGE_ROWS: Final = 2000  # the most that Salesforce gives
AHEAD: Final = 2
LONGEST_QUERY: Final = 12_000  # characters; an address of 16 kB is refused


@dataclass(frozen=True, kw_only=True)
class QueryPage(Page):
    """One page of records."""

    records: Sequence[Mapping[str, Any]] = field(default=())


@dataclass(frozen=True)
class NextRecords:
    """Salesforce's paging: an opaque `nextRecordsUrl` until the answer is done."""

    def next(self, request: Request, page: QueryPage) -> Request | None:
        """The request for the page after this one."""
        link = page.next_link
        return None if link is None else Request(url=link, headers=request.headers, answers=request.answers)


def pages(org: Org, soql: str, what: str, scope: Scope = "query") -> Iterator[Sequence[Mapping[str, Any]]]:
    """The records of a query, page by page, the next ones fetched meanwhile."""
    from urllib.parse import urlencode

    first = Request(
        url=f"{org.base}/{scope}/?{urlencode({'q': soql})}",
        headers={"Accept": "application/json", "Sforce-Query-Options": f"batchSize={PAGE_ROWS}"},
        answers=ANSWERS,
    )

    def fetch(request: Request) -> QueryPage:
        response = org.send(request, what)
        answer = org.decoded(response, what)
        records = answer.get("records")
        if not isinstance(records, list):
            raise SourceContractChanged(f"{org.source} / {what}: an answer to a query holds no records", hint="a proxy may rewrite it")
        link = None if answer.get("done", True) else answer.get("nextRecordsUrl")
        return QueryPage(response=response, count=len(records), next_link=link, records=records)

    for page in prefetch(walk(first, NextRecords(), fetch, source=f"{org.source} / {what}"), AHEAD):
        yield page.records


def count(org: Org, table: str, condition: str, what: str) -> int:
    """How many records there are."""
    answer, _ = org.json("query/", what, {"q": f"SELECT COUNT() FROM {table}{f' WHERE {condition}' if condition else ''}"})
    return int(answer["totalSize"])


def newest(org: Org, table: str, cursor: str, what: str) -> str | None:
    """The highest value of a cursor field; None in an empty object."""
    soql = f"SELECT {cursor} FROM {table} WHERE {cursor} != null ORDER BY {cursor} DESC LIMIT 1"
    answer, _ = org.json("query/", what, {"q": soql})
    records = answer.get("records") or []
    return str(records[0][cursor]) if records else None
