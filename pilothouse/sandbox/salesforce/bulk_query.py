"""Query jobs of Bulk API 2.0: a result written once as CSV, from one moment, and handed out in pages."""

from __future__ import annotations

import base64
import binascii
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final

from pilothouse.sandbox.salesforce.bulk import ENDED, Dialect, Job, Jobs
from pilothouse.sandbox.salesforce.calls import CSV, NO_CONTENT, Answer, Call, answered
from pilothouse.sandbox.salesforce.errors import ApiError
from pilothouse.sandbox.salesforce.queries import Queries
from pilothouse.sandbox.salesforce.soql.compiler import Compiled
from pilothouse.sandbox.salesforce.soql.rendering import csv_header, csv_statement
from pilothouse.sandbox.salesforce.spool import Spool

_DEFAULT_PAGE: Final = 100_000
_ROWS_AT_ONCE: Final = 2000


@dataclass(kw_only=True)
class QueryJob(Job):
    """A query, and the lines that it has found so far."""

    query: Compiled
    lines: Spool

    def described(self) -> dict[str, Any]:
        """The job as its resource shows it."""
        ended = {"numberRecordsProcessed": len(self.lines), "retries": 0, "totalProcessingTime": self.milliseconds}
        return {**super().described(), "jobType": "V2Query", **(ended if self.state in ENDED else {})}


@dataclass(frozen=True)
class QueryJobs:
    """`jobs/query`."""

    queries: Queries
    jobs: Jobs[QueryJob] = field(repr=False)

    def create(self, call: Call) -> Answer:
        """`POST jobs/query`."""
        content = call.json_object()
        operation = content.get("operation")
        if operation not in {"query", "queryAll"}:
            raise ApiError.malformed(f"operation: query or queryAll, not {operation}")
        query = self.queries.compile(str(content.get("query", "")), deleted=operation == "queryAll")
        _supported(query)
        now = self.jobs.now()
        job = QueryJob(
            id=self.jobs.new_id(), operation=operation, object_name=query.object.name, dialect=Dialect.of(content),
            user_id=call.session.user_id, version=call.version, created=now, changed=now, state="UploadComplete",
            query=query, lines=Spool(self.queries.objects.store.path.parent),
        )  # fmt: skip
        self.jobs.add(job)
        shown = job.described()
        self.jobs.start(job, self._fill)
        return answered(shown)

    def list(self) -> Answer:
        """`GET jobs/query`."""
        return answered({"done": True, "records": [job.described() for job in self.jobs.all()], "nextRecordsUrl": None})

    def show(self, key: str) -> Answer:
        """`GET jobs/query/<id>`."""
        return answered(self.jobs.get(key).described())

    def change(self, call: Call, key: str) -> Answer:
        """`PATCH jobs/query/<id>`: abort it."""
        job, state = self.jobs.get(key), call.json_object().get("state")
        if state != "Aborted":
            raise ApiError.malformed(f"a query job can be aborted, not set to {state}")
        if not self.jobs.change(job, "Aborted"):
            raise ApiError(400, "INVALIDJOBSTATE", f"Aborting already Completed Job not allowed: {job.state}")
        return answered(job.described())

    def delete(self, key: str) -> Answer:
        """`DELETE jobs/query/<id>`."""
        self.jobs.remove(self.jobs.get(key))
        return NO_CONTENT

    def results(self, call: Call, key: str) -> Answer:
        """`GET jobs/query/<id>/results?maxRecords=...&locator=...`."""
        job = self.jobs.get(key)
        if job.state != "JobComplete":
            raise ApiError(400, "INVALIDJOBSTATE", f"Job must be in state JobComplete to get results: {job.state}")
        first = _position(call.query.get("locator", ""), job)
        asked = call.query.get("maxRecords", str(_DEFAULT_PAGE))
        if not asked.isdecimal() or int(asked) == 0:
            raise ApiError(400, "INVALID_VALUE", f"maxRecords: a number of at least 1, not {asked}")
        following = min(first + int(asked), len(job.lines))
        headers = {
            "sforce-numberofrecords": str(following - first),
            "sforce-locator": _locator(following) if following < len(job.lines) else "null",
        }
        return Answer(body=_page(job, first, following - first), content_type=CSV, headers=headers)

    def _fill(self, job: QueryJob) -> None:
        path = self.queries.objects.store.path
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=60)) as connection:
            # Lines are bytes from the start to the socket: decoding and encoding them would halve the speed.
            connection.text_factory = bytes
            statement = csv_statement(job.query, job.dialect.separator, job.dialect.line_end)
            with closing(connection.execute(statement, job.query.parameters)) as cursor:
                while job.state not in ENDED and (chunk := cursor.fetchmany(_ROWS_AT_ONCE)):
                    job.lines.write([line for (line,) in chunk])


def _page(job: QueryJob, first: int, count: int) -> Iterator[bytes]:
    pieces = job.lines.pieces(first, count)
    yield csv_header(job.query, job.dialect.separator, job.dialect.line_end).encode() + next(pieces, b"")
    yield from pieces


def _supported(query: Compiled) -> None:
    if query.counts or query.record is None:
        raise ApiError(400, "FEATURENOTENABLED", "Aggregate Relationships not supported in Bulk Query")
    if query.offset:
        raise ApiError(400, "FEATURENOTENABLED", "OFFSET not supported in Bulk Query")


def _locator(position: int) -> str:
    return base64.urlsafe_b64encode(str(position).encode()).decode().rstrip("=")


def _position(locator: str, job: QueryJob) -> int:
    if not locator or locator == "null":
        return 0
    try:
        position = int(base64.urlsafe_b64decode(locator + "=" * (-len(locator) % 4)))
    except (binascii.Error, ValueError):
        position = -1
    if not 0 <= position <= len(job.lines):
        raise ApiError(400, "INVALID_LOCATOR", f"Invalid locator: {locator}")
    return position
