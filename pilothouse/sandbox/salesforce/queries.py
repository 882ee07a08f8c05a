"""`query` and `queryAll`: SOQL over REST, answered in pages that all show the moment of the query."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Final

import msgspec

from pilothouse.sandbox.company.salesforce import with_checksum
from pilothouse.sandbox.faults import Faults
from pilothouse.sandbox.salesforce.calls import Answer, Call
from pilothouse.sandbox.salesforce.errors import ApiError
from pilothouse.sandbox.salesforce.objects import Objects
from pilothouse.sandbox.salesforce.soql.compiler import Compiled, compiled
from pilothouse.sandbox.salesforce.soql.parser import parse
from pilothouse.sandbox.salesforce.soql.rendering import count_statement, json_statement
from pilothouse.sandbox.salesforce.spool import Spool

SMALLEST_PAGE: Final = 200
LARGEST_PAGE: Final = 2000
_MOST_CURSORS: Final = 50
_ROWS_AT_ONCE: Final = 2000


@dataclass(frozen=True)
class _Cursor:
    id: str
    rows: Spool
    resource: str  # query or queryAll


@dataclass
class Queries:
    """Runs queries and remembers those that have more pages; the oldest is forgotten when there are too many."""

    objects: Objects
    faults: Faults
    now: Callable[[], datetime]
    _cursors: dict[str, _Cursor] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def compile(self, soql: str, *, deleted: bool) -> Compiled:
        """The query over the objects as they are now."""
        return compiled(parse(soql), soql, self.objects, self.now().date(), deleted=deleted)

    def run(self, call: Call, *, deleted: bool) -> Answer:
        """`GET query?q=...`: the first page."""
        soql = call.query.get("q")
        if soql is None:
            raise ApiError.malformed("A query string has to be specified")
        query = self.compile(soql, deleted=deleted)
        store = self.objects.store
        if query.counts:
            (number,) = next(store.rows(count_statement(query), query.parameters))
            return Answer(body=msgspec.json.encode({"totalSize": number, "done": True, "records": []}))
        rows = Spool(store.path.parent)
        for chunk in _chunks(store.rows(json_statement(query, call.base), query.parameters)):
            rows.write(chunk)
        cursor = _Cursor(with_checksum(f"0r8J8{secrets.token_hex(5)}"), rows, "queryAll" if deleted else "query")
        return self._page(call, cursor, 0)

    def more(self, call: Call, locator: str) -> Answer:
        """`GET query/<locator>`: a further page."""
        name, _, first = locator.rpartition("-")
        with self._lock:
            cursor = self._cursors.get(name)
        if cursor is None or not first.isdecimal() or int(first) > len(cursor.rows):
            raise ApiError(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        return self._page(call, cursor, int(first))

    def _page(self, call: Call, cursor: _Cursor, first: int) -> Answer:
        path = f"{call.base}/{'/'.join(call.rest)}"
        size = batch_size(call.headers.get("sforce-query-options", ""))
        following = first + size
        if self.faults.strike("salesforce", path, "empty_page"):
            size, following = 0, first
        elif self.faults.strike("salesforce", path, "next_loop"):
            following = first
        elif following >= len(cursor.rows):
            return self._answer(cursor, first, size, "")
        with self._lock:
            self._cursors[cursor.id] = cursor
            while len(self._cursors) > _MOST_CURSORS:
                del self._cursors[next(iter(self._cursors))]
        return self._answer(cursor, first, size, f"{call.base}/{cursor.resource}/{cursor.id}-{following}")

    def _answer(self, cursor: _Cursor, first: int, size: int, link: str) -> Answer:
        following = f',"nextRecordsUrl":"{link}"' if link else ""
        head = f'{{"totalSize":{len(cursor.rows)},"done":{"false" if link else "true"}{following},"records":['
        return Answer(body=b"".join((head.encode(), cursor.rows.read(first, size).removesuffix(b","), b"]}")))


def batch_size(options: str) -> int:
    """The page size that a `Sforce-Query-Options: batchSize=500` header asks for, within Salesforce's bounds."""
    for option in options.split(","):
        name, _, number = option.partition("=")
        if name.strip().lower() == "batchsize" and number.strip().isdecimal():
            return min(max(int(number), SMALLEST_PAGE), LARGEST_PAGE)
    return LARGEST_PAGE


def _chunks(rows: Iterator[tuple[object, ...]]) -> Iterator[list[bytes]]:
    while chunk := [f"{row[0]},".encode() for row in islice(rows, _ROWS_AT_ONCE)]:
        yield chunk
