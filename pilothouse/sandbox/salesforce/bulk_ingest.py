"""Ingest jobs of Bulk API 2.0: a CSV file in, three CSV files out (what succeeded, what failed and why, what was not tried)."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Final

from pilothouse.sandbox.salesforce.bulk import ENDED, Dialect, Job, Jobs
from pilothouse.sandbox.salesforce.calls import CSV, NO_CONTENT, Answer, Call, answered
from pilothouse.sandbox.salesforce.errors import ApiError
from pilothouse.sandbox.salesforce.objects import Objects, SObject, is_external_id
from pilothouse.sandbox.salesforce.records import Records, Writer, keyed
from pilothouse.sandbox.salesforce.spool import Spool

OPERATIONS: Final = ("insert", "update", "upsert", "delete", "hardDelete")
LARGEST: Final = 150_000_000  # bytes, Salesforce's own limit once they are base64
_ROWS_AT_ONCE: Final = 200
_NULL: Final = "#N/A"


@dataclass(frozen=True)
class _Outcome:
    """What became of one row: the Id of its record and whether that is new, or what was wrong."""

    row: tuple[str, ...]
    key: str = ""
    created: str = ""
    error: str = ""


@dataclass(kw_only=True)
class IngestJob(Job):
    """Rows to write, and the three files that say what became of them."""

    object: SObject
    external_id: str
    succeeded: Spool
    failed: Spool
    untried: Spool
    content: bytes = b""
    header: tuple[str, ...] = ()

    def described(self) -> dict[str, Any]:
        """The job as its resource shows it."""
        processed = {
            "numberRecordsProcessed": len(self.succeeded) + len(self.failed),
            "numberRecordsFailed": len(self.failed),
            "retries": 0,
            "totalProcessingTime": self.milliseconds,
            "apiActiveProcessingTime": self.milliseconds,
            "apexProcessingTime": 0,
        }
        return {
            **super().described(),
            "jobType": "V2Ingest",
            "contentUrl": f"services/data/v{self.version}/jobs/ingest/{self.id}/batches",
            **({"externalIdFieldName": self.external_id} if self.external_id else {}),
            **({} if self.state == "Open" else processed),
        }


@dataclass(frozen=True)
class IngestJobs:
    """`jobs/ingest`."""

    objects: Objects
    records: Records
    jobs: Jobs[IngestJob] = field(repr=False)

    def create(self, call: Call) -> Answer:
        """`POST jobs/ingest`."""
        content = call.json_object()
        operation, name = content.get("operation"), str(content.get("object", ""))
        if operation not in OPERATIONS:
            raise ApiError.malformed(f"operation: one of {', '.join(OPERATIONS)}, not {operation}")
        if content.get("contentType", "CSV") != "CSV":
            raise ApiError.malformed("contentType: CSV")
        found = self.objects.find(name)
        if found is None:
            raise ApiError(400, "INVALIDENTITY", f"Unable to find object: {name}")
        external = str(content.get("externalIdFieldName", "")) if operation == "upsert" else ""
        if operation == "upsert":
            _check_external(found, external)
        now, folder = self.jobs.now(), self.objects.store.path.parent
        job = IngestJob(
            id=self.jobs.new_id(), operation=operation, object_name=found.name, dialect=Dialect.of(content),
            user_id=call.session.user_id, version=call.version, created=now, changed=now, state="Open",
            object=found, external_id=external, succeeded=Spool(folder), failed=Spool(folder), untried=Spool(folder),
        )  # fmt: skip
        self.jobs.add(job)
        return answered(job.described())

    def upload(self, call: Call, key: str) -> Answer:
        """`PUT jobs/ingest/<id>/batches`: the rows, once."""
        job = self.jobs.get(key)
        if job.state != "Open":
            raise ApiError(400, "INVALIDJOBSTATE", f"Job must be open to take data: {job.state}")
        if job.content:
            message = f"Found multiple contents for job: <{job.id}>, please 'Close' / 'Abort' / 'Delete' the current Job"
            raise ApiError(400, "INVALIDJOB", f"{message} then create a new Job and make sure you only do 'PUT' once on a given Job.")
        if len(call.body) > LARGEST:
            raise ApiError(413, "REQUEST_ENTITY_TOO_LARGE", f"A job takes {LARGEST} bytes at most")
        job.content = call.body
        return Answer(status=201)

    def change(self, call: Call, key: str) -> Answer:
        """`PATCH jobs/ingest/<id>`: start or abort it."""
        job, state = self.jobs.get(key), call.json_object().get("state")
        if state not in {"UploadComplete", "Aborted"}:
            raise ApiError.malformed(f"a job can be set to UploadComplete or Aborted, not to {state}")
        if state == "UploadComplete" and job.state != "Open":
            raise ApiError(400, "INVALIDJOBSTATE", f"Closing already {job.state} Job not allowed")
        if not self.jobs.change(job, state):
            raise ApiError(400, "INVALIDJOBSTATE", f"Aborting already Completed Job not allowed: {job.state}")
        shown = job.described()
        if state == "UploadComplete":
            self.jobs.start(job, self._write)
        return answered(shown)

    def list(self) -> Answer:
        """`GET jobs/ingest`."""
        return answered({"done": True, "records": [job.described() for job in self.jobs.all()], "nextRecordsUrl": None})

    def show(self, key: str) -> Answer:
        """`GET jobs/ingest/<id>`."""
        return answered(self.jobs.get(key).described())

    def delete(self, key: str) -> Answer:
        """`DELETE jobs/ingest/<id>`."""
        self.jobs.remove(self.jobs.get(key))
        return NO_CONTENT

    def successful(self, key: str) -> Answer:
        """`GET jobs/ingest/<id>/successfulResults`."""
        job = self._ended(key)
        return _file(job, ("sf__Id", "sf__Created"), job.succeeded)

    def failed(self, key: str) -> Answer:
        """`GET jobs/ingest/<id>/failedResults`."""
        job = self._ended(key)
        return _file(job, ("sf__Id", "sf__Error"), job.failed)

    def unprocessed(self, key: str) -> Answer:
        """`GET jobs/ingest/<id>/unprocessedrecords`."""
        job = self._ended(key)
        return _file(job, (), job.untried)

    def _ended(self, key: str) -> IngestJob:
        job = self.jobs.get(key)
        if job.state not in ENDED:
            raise ApiError(400, "INVALIDJOBSTATE", f"Job has not ended: {job.state}")
        return job

    def _write(self, job: IngestJob) -> None:
        header, rows = _read(job)
        job.header = tuple(header)
        write = self._operation(job)
        while chunk := list(islice(rows, _ROWS_AT_ONCE)):
            with self.objects.store.writing():
                # Asked inside: the job may have been aborted while it waited for its turn to write.
                if job.state in ENDED:
                    job.untried.write([_line(job, row) for row in chunk])
                    continue
                outcomes = [_attempted(write, job.header, row) for row in chunk]
            job.succeeded.write([_line(job, (done.key, done.created, *done.row)) for done in outcomes if not done.error])
            job.failed.write([_line(job, (done.key, done.error, *done.row)) for done in outcomes if done.error])
        job.content = b""

    def _operation(self, job: IngestJob) -> Callable[[Mapping[str, Any]], tuple[str, bool]]:
        """What is done with one row: returns the record's Id, and whether it is new."""
        writer = Writer(job.user_id, f"/services/data/v{job.version}/jobs/ingest/{job.id}")
        found, records = job.object, self.records

        def update(row: Mapping[str, Any]) -> tuple[str, bool]:
            key, values = keyed(row)
            records.update(found, key, values, writer)
            return key, False

        def upsert(row: Mapping[str, Any]) -> tuple[str, bool]:
            name = next((name for name in row if name.lower() == job.external_id.lower()), None)
            if name is None:
                raise ApiError(400, "MISSING_ARGUMENT", f"{job.external_id} not specified")
            rest = {field_name: value for field_name, value in row.items() if field_name != name}
            if name.lower() == "id":
                return update(row)
            return records.upsert(found, name, str(row[name]), rest, writer)

        def remove(row: Mapping[str, Any]) -> tuple[str, bool]:
            key, _ = keyed(row)
            (records.erase if job.operation == "hardDelete" else records.delete)(found, key, writer)
            return key, False

        writes: dict[str, Callable[[Mapping[str, Any]], tuple[str, bool]]] = {
            "insert": lambda row: (records.create(found, row, writer), True),
            "update": update,
            "upsert": upsert,
            "delete": remove,
            "hardDelete": remove,
        }
        return writes[job.operation]


def _read(job: IngestJob) -> tuple[list[str], Iterator[tuple[str, ...]]]:
    try:
        text = job.content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ApiError(400, "INVALIDBATCH", f"The file is not UTF-8: {error}") from None
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=job.dialect.separator)
    header = next(reader, [])
    if not header:
        raise ApiError(400, "INVALIDBATCH", "Failed to parse CSV: the file has no header")
    return header, (tuple(row) for row in reader if row)


def _attempted(write: Callable[[Mapping[str, Any]], tuple[str, bool]], header: Sequence[str], row: tuple[str, ...]) -> _Outcome:
    if len(row) != len(header):
        return _Outcome(row, error=f"INVALID_CSV_LINE:{len(row)} values for {len(header)} columns:--")
    # In Bulk API an empty value leaves the field alone; #N/A empties it.
    values = {name: None if value == _NULL else value for name, value in zip(header, row, strict=True) if value != ""}
    try:
        key, created = write(values)
    except ApiError as error:
        return _Outcome(row, error=f"{error.code}:{error.message}:{', '.join(error.fields or ())} --")
    return _Outcome(row, key, str(created).lower())


def _check_external(found: SObject, name: str) -> None:
    column = found.column(name)
    if column is None or not (is_external_id(column) or column.name == "Id"):
        raise ApiError(400, "INVALIDJOB", f"Field name provided, {name} does not match an External ID, Salesforce Id, or indexed field")


def _line(job: IngestJob, values: Sequence[str]) -> bytes:
    escaped = (value.replace('"', '""') for value in values)
    return (job.dialect.separator.join(f'"{value}"' for value in escaped) + job.dialect.line_end).encode()


def _file(job: IngestJob, lead: tuple[str, ...], rows: Spool) -> Answer:
    return Answer(body=chain([_line(job, (*lead, *job.header))], rows.pieces(0, len(rows))), content_type=CSV)
