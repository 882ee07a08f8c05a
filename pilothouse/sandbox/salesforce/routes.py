"""Which function answers which address behind `/services/data/vNN.0`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pilothouse.sandbox.faults import Faults
from pilothouse.sandbox.salesforce import composite, describe, replication
from pilothouse.sandbox.salesforce.bulk import Jobs
from pilothouse.sandbox.salesforce.bulk_ingest import IngestJobs
from pilothouse.sandbox.salesforce.bulk_query import QueryJobs
from pilothouse.sandbox.salesforce.calls import NO_CONTENT, Answer, Call, answered, refused
from pilothouse.sandbox.salesforce.errors import ApiError
from pilothouse.sandbox.salesforce.objects import Objects
from pilothouse.sandbox.salesforce.preconditions import precondition
from pilothouse.sandbox.salesforce.queries import Queries
from pilothouse.sandbox.salesforce.records import Records
from pilothouse.sandbox.salesforce.several import Collections, writer_of
from pilothouse.sandbox.salesforce.usage import Usage
from pilothouse.sandbox.salesforce.values import record_key

Route = Callable[[Call, tuple[str, ...]], Answer]

_RESOURCES: Final = ("composite", "jobs", "limits", "query", "queryAll", "sobjects")


@dataclass(frozen=True)
class _Routed:
    """One address: its parts, where `*` takes any one part, and what answers each method."""

    parts: tuple[str, ...]
    methods: dict[str, Route]

    def match(self, rest: tuple[str, ...]) -> tuple[str, ...] | None:
        """What the stars took; None where the address is another."""
        if len(rest) != len(self.parts):
            return None
        pairs = list(zip(self.parts, rest, strict=True))
        if any(part not in {"*", given} for part, given in pairs):
            return None
        return tuple(given for part, given in pairs if part == "*")


class Routes:
    """All resources of the data API."""

    def __init__(self, objects: Objects, faults: Faults, usage: Usage, now: Callable[[], datetime]) -> None:
        self._objects = objects
        self._usage = usage
        self._now = now
        self._queries = Queries(objects, faults, now)
        self._records = Records(objects, faults, now)
        self._several = Collections(objects, self._records)
        self._query_jobs = QueryJobs(self._queries, Jobs(now))
        self._ingest_jobs = IngestJobs(objects, self._records, Jobs(now))
        self._routes = [*self._reading(), *self._writing(), *self._composed(), *self._bulk()]

    def dispatch(self, call: Call) -> Answer:
        """Answer a call. Never raises for what a client did."""
        try:
            return self._answer(call)
        except ApiError as error:
            return refused(error)

    def _answer(self, call: Call) -> Answer:
        for route in self._routes:
            taken = route.match(call.rest)
            if taken is None:
                continue
            answer = route.methods.get(call.method)
            if answer is None:
                allowed = ", ".join(route.methods)
                raise ApiError(405, "METHOD_NOT_ALLOWED", f"HTTP Method '{call.method}' not allowed. Allowed are {allowed}")
            return answer(call, taken)
        raise ApiError.not_found()

    def _reading(self) -> list[_Routed]:
        queries, objects = self._queries, self._objects
        return [
            _Routed((), {"GET": lambda call, _: answered({name: f"{call.base}/{name}" for name in _RESOURCES})}),
            _Routed(("limits",), {"GET": lambda _, __: answered(self._usage.limits())}),
            _Routed(("query",), {"GET": lambda call, _: queries.run(call, deleted=False)}),
            _Routed(("queryAll",), {"GET": lambda call, _: queries.run(call, deleted=True)}),
            _Routed(("query", "*"), {"GET": lambda call, taken: queries.more(call, *taken)}),
            _Routed(("queryAll", "*"), {"GET": lambda call, taken: queries.more(call, *taken)}),
            _Routed(("sobjects",), {"GET": lambda call, _: answered(describe.global_describe(objects, call.base))}),
            _Routed(("sobjects", "*", "describe"), {"GET": self._describe}),
            _Routed(("sobjects", "*", "deleted"), {"GET": self._deleted}),
            _Routed(("sobjects", "*", "updated"), {"GET": self._updated}),
        ]

    def _writing(self) -> list[_Routed]:
        return [
            _Routed(("sobjects", "*"), {"GET": self._summary, "POST": self._create}),
            _Routed(("sobjects", "*", "*"), {"GET": self._read, "PATCH": self._update, "DELETE": self._delete}),
            _Routed(
                ("sobjects", "*", "*", "*"),
                {"GET": self._read_external, "PATCH": self._upsert, "DELETE": self._delete_external},
            ),
        ]

    def _composed(self) -> list[_Routed]:
        several, store = self._several, self._objects.store
        resources = ("batch", "sobjects", "tree")
        return [
            _Routed(
                ("composite",),
                {
                    "GET": lambda call, _: answered({name: f"{call.base}/composite/{name}" for name in resources}),
                    "POST": lambda call, _: composite.composite(call, store, self.dispatch),
                },
            ),
            _Routed(("composite", "batch"), {"POST": lambda call, _: composite.batch(call, self.dispatch)}),
            _Routed(
                ("composite", "sobjects"),
                {
                    "POST": lambda call, _: several.create(call),
                    "PATCH": lambda call, _: several.update(call),
                    "DELETE": lambda call, _: several.delete(call),
                },
            ),
            _Routed(
                ("composite", "sobjects", "*"),
                {"GET": lambda call, taken: several.read(call, *taken), "POST": lambda call, taken: several.read(call, *taken)},
            ),
            _Routed(("composite", "sobjects", "*", "*"), {"PATCH": lambda call, taken: several.upsert(call, *taken)}),
            _Routed(("composite", "tree", "*"), {"POST": lambda call, taken: several.tree(call, *taken)}),
        ]

    def _bulk(self) -> list[_Routed]:
        reads, writes = self._query_jobs, self._ingest_jobs
        results: dict[str, Callable[[str], Answer]] = {
            "successfulResults": writes.successful,
            "failedResults": writes.failed,
            "unprocessedrecords": writes.unprocessed,
            "unprocessedRecords": writes.unprocessed,  # simple-salesforce writes it so, and Salesforce answers
        }
        return [
            _Routed(("jobs", "query"), {"GET": lambda _, __: reads.list(), "POST": lambda call, _: reads.create(call)}),
            _Routed(("jobs", "query", "*"), _job(reads)),
            _Routed(("jobs", "query", "*", "results"), {"GET": lambda call, taken: reads.results(call, *taken)}),
            _Routed(("jobs", "ingest"), {"GET": lambda _, __: writes.list(), "POST": lambda call, _: writes.create(call)}),
            _Routed(("jobs", "ingest", "*"), _job(writes)),
            _Routed(("jobs", "ingest", "*", "batches"), {"PUT": lambda call, taken: writes.upload(call, *taken)}),
            *(_Routed(("jobs", "ingest", "*", name), {"GET": _file(show)}) for name, show in results.items()),
        ]

    def _describe(self, call: Call, taken: tuple[str, ...]) -> Answer:
        return answered(describe.full_describe(self._objects.get(*taken), self._objects, call.base))

    def _deleted(self, call: Call, taken: tuple[str, ...]) -> Answer:
        now, found = self._now(), self._objects.get(*taken)
        return answered(replication.deleted(self._objects.store, found, self._window(call, now), now))

    def _updated(self, call: Call, taken: tuple[str, ...]) -> Answer:
        now, found = self._now(), self._objects.get(*taken)
        return answered(replication.updated(self._objects.store, found, self._window(call, now), now))

    def _window(self, call: Call, now: datetime) -> replication.Window:
        return replication.Window.of(call.query, replication.earliest_available(self._objects.store, now))

    def _summary(self, call: Call, taken: tuple[str, ...]) -> Answer:
        return answered({"objectDescribe": describe.summary(self._objects.get(*taken), call.base), "recentItems": []})

    def _create(self, call: Call, taken: tuple[str, ...]) -> Answer:
        found = self._objects.get(*taken)
        key = self._records.create(found, call.json_object(), writer_of(call))
        return answered({"id": key, "success": True, "errors": []}, 201, {"location": f"{call.base}/sobjects/{found.name}/{key}"})

    def _read(self, call: Call, taken: tuple[str, ...]) -> Answer:
        found, key = self._objects.get(taken[0]), record_key(taken[1])
        return Answer(body=self._records.read(found, key, _named(call), call.base), headers=self._records.marks(found, key))

    def _update(self, call: Call, taken: tuple[str, ...]) -> Answer:
        found, key = self._objects.get(taken[0]), record_key(taken[1])
        self._records.update(found, key, call.json_object(), writer_of(call), precondition(found, call.headers))
        return NO_CONTENT

    def _delete(self, call: Call, taken: tuple[str, ...]) -> Answer:
        found, key = self._objects.get(taken[0]), record_key(taken[1])
        self._records.delete(found, key, writer_of(call))
        return NO_CONTENT

    def _read_external(self, call: Call, taken: tuple[str, ...]) -> Answer:
        found, key = self._objects.get(taken[0]), self._only(call, taken)
        return Answer(body=self._records.read(found, key, _named(call), call.base))

    def _delete_external(self, call: Call, taken: tuple[str, ...]) -> Answer:
        found, key = self._objects.get(taken[0]), self._only(call, taken)
        self._records.delete(found, key, writer_of(call))
        return NO_CONTENT

    def _upsert(self, call: Call, taken: tuple[str, ...]) -> Answer:
        found = self._objects.get(taken[0])
        key, created = self._records.upsert(found, taken[1], taken[2], call.json_object(), writer_of(call))
        return answered({"id": key, "success": True, "errors": [], "created": created}, 201 if created else 200)

    def _only(self, call: Call, taken: tuple[str, ...]) -> str:
        """The one record that an external id points at."""
        found = self._objects.get(taken[0])
        keys = self._records.find(found, taken[1], taken[2])
        if not keys:
            raise ApiError.not_found()
        if len(keys) > 1:
            raise ApiError(300, "DUPLICATE_VALUE", ", ".join(f"{call.base}/sobjects/{found.name}/{key}" for key in keys))
        return keys[0]


def _named(call: Call) -> list[str]:
    return [name.strip() for name in call.query.get("fields", "").split(",") if name.strip()]


def _job(jobs: QueryJobs | IngestJobs) -> dict[str, Route]:
    return {
        "GET": lambda _, taken: jobs.show(*taken),
        "PATCH": lambda call, taken: jobs.change(call, *taken),
        "DELETE": lambda _, taken: jobs.delete(*taken),
    }


def _file(show: Callable[[str], Answer]) -> Route:
    return lambda _, taken: show(*taken)
