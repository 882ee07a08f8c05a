"""Bulk API 2.0: the whole result of a large query as a stream of record batches.

Salesforce runs the query as a job of its own and keeps the result for days; we fetch it page by page, each page by
the locator that came with the one before. So a session may end, or a page may be cut, and the read goes on from the
same locator: nothing is skipped, nothing comes twice. Pages are sized by what rows weigh, and parsed by two threads
while the next one is on its way, so memory stays the same from ten thousand rows to ten million.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import structlog

from connectors.http.prefetch import prefetch
from connectors.salesforce.decode import from_csv
from connectors.salesforce.errors import job_failed
from connectors.salesforce.org import Org
from connectors.salesforce.query import Scope
from pilothouse.kernel.errors import SourceContractChanged, SourceError, SourceUnavailable

log = structlog.get_logger("connectors.salesforce")

FIRST_PAGE_ROWS: Final = 10_000
MOST_PAGE_ROWS: Final = 250_000
PAGE_BYTES: Final = 8 * 2**20
PARSERS: Final = 2
AHEAD: Final = 1
_FIRST_LOOK, _LONGEST_PAUSE = 0.1, 10.0
_DONE: Final = "JobComplete"
_OVER: Final = {"Failed", "Aborted"}


@dataclass(frozen=True)
class ResultPage:
    """One page of a result as it came."""

    body: bytes
    rows: int | None  # how many Salesforce says it holds


def rows(org: Org, soql: str, schema: pa.Schema, what: str, patience: float, scope: Scope = "query") -> Iterator[pa.RecordBatch]:
    """The rows of a query in the types of `schema`, in the order in which Salesforce gives them."""
    where = f"{org.source} / {what}"
    with _job(org, soql, what, scope) as job:
        _await(org, job, what, patience)
        with closing(prefetch(result_pages(org, job, what), AHEAD)) as pages:
            yield from _in_parallel(pages, lambda page: from_csv(page.body, schema, page.rows, where))


def result_pages(org: Org, job: str, what: str) -> Iterator[ResultPage]:
    """The pages of a finished job's result."""
    locator, size, seen = "", FIRST_PAGE_ROWS, set[str]()
    while True:
        params = {"maxRecords": str(size)} | ({"locator": locator} if locator else {})
        response = org.call("GET", f"jobs/query/{job}/results", what, params=params, expects="csv")
        number = response.headers.get("sforce-numberofrecords", "")
        page = ResultPage(response.body, int(number) if number.isdigit() else None)
        yield page
        locator = response.headers.get("sforce-locator", "null")
        if locator in {"", "null"}:
            return
        if locator in seen:
            raise SourceContractChanged(
                f"{org.source} / {what}: the result of bulk job {job} runs in a circle at locator {locator!r}",
                hint="report it to Salesforce",
            )
        seen.add(locator)
        size = next_size(size, len(page.body), page.rows)


def next_size(size: int, weight: int, count: int | None) -> int:
    """How many rows to ask for next, so that a page weighs about `PAGE_BYTES`."""
    if not count:
        return size
    return min(max(PAGE_BYTES * count // max(weight, 1), 1), MOST_PAGE_ROWS)


@contextmanager
def _job(org: Org, soql: str, what: str, scope: Scope) -> Iterator[str]:
    """A query job, which is taken away afterwards: an org keeps results for a week, and their number is limited."""
    asked = {"operation": scope, "query": soql, "contentType": "CSV", "columnDelimiter": "COMMA", "lineEnding": "LF"}
    answer = org.decoded(org.call("POST", "jobs/query", what, body=asked), what)
    job = str(answer.get("id") or "")
    if not job:
        raise SourceContractChanged(f"{org.source} / {what}: a bulk job was made without an id", hint="a proxy may rewrite the answer")
    completed = False
    try:
        yield job
        completed = True
    finally:
        _take_away(org, job, what, completed=completed)


def _take_away(org: Org, job: str, what: str, *, completed: bool) -> None:
    try:
        state = None if completed else org.json(f"jobs/query/{job}", what)[0].get("state")
        if state not in {None, _DONE, *_OVER}:
            org.call("PATCH", f"jobs/query/{job}", what, body={"state": "Aborted"})
        org.call("DELETE", f"jobs/query/{job}", what, expects="anything")
    except SourceError as error:
        # The rows are read, or their own error is on its way; Salesforce removes the job after a week.
        log.info("bulk job left behind", source=org.source, job=job, reason=error.message)


def _await(org: Org, job: str, what: str, patience: float) -> None:
    """Wait until the job's result is ready."""
    deadline = time.monotonic() + patience
    pause = _FIRST_LOOK
    waiting = threading.Event()
    while True:
        answer: dict[str, Any] = org.json(f"jobs/query/{job}", what)[0]
        state = str(answer.get("state"))
        if state == _DONE:
            return
        if state in _OVER:
            raise job_failed(state, str(answer.get("errorMessage") or ""), org.blame, what)
        if time.monotonic() + pause > deadline:
            raise SourceUnavailable(
                f"{org.source} / {what}: bulk job {job} is {state} after {patience:.0f} s",
                hint=f"raise {org.blame.setting('bulk_patience')} if the org is busy by nature",
            )
        waiting.wait(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)


def _in_parallel(pages: Iterator[ResultPage], parse: Callable[[ResultPage], pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Parsed pages in their order, at most one more in work than there are threads."""
    with ThreadPoolExecutor(PARSERS, thread_name_prefix="bulk-parse") as pool:
        working: deque[Future[pa.RecordBatch]] = deque()
        for page in pages:
            working.append(pool.submit(parse, page))
            if len(working) > PARSERS:
                yield working.popleft().result()
        while working:
            yield working.popleft().result()
