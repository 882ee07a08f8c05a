"""Several records of one request: `composite/sobjects` and `composite/tree`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pilothouse.sandbox.salesforce.calls import Answer, Call, answered
from pilothouse.sandbox.salesforce.errors import ApiError
from pilothouse.sandbox.salesforce.objects import Objects, SObject
from pilothouse.sandbox.salesforce.records import Records, Writer, keyed
from pilothouse.sandbox.salesforce.undoing import undoable
from pilothouse.sandbox.salesforce.values import record_key

_MOST: Final = 200
_MOST_READ: Final = 2000
_HALTED: Final = {
    "statusCode": "ALL_OR_NONE_OPERATION_ROLLED_BACK",
    "message": "Record rolled back because not all records were valid and the request was using AllOrNone header",
    "fields": [],
}


@dataclass(frozen=True)
class Collections:
    """Runs a write per record, all or none where that is asked for."""

    objects: Objects
    records: Records

    def create(self, call: Call) -> Answer:
        """`POST composite/sobjects`."""
        content, writer = call.json_object(), writer_of(call)
        return self._each(content, lambda record: self._created(record, writer))

    def update(self, call: Call) -> Answer:
        """`PATCH composite/sobjects`."""
        content, writer = call.json_object(), writer_of(call)

        def one(record: Mapping[str, Any]) -> dict[str, Any]:
            key, values = keyed(record)
            self.records.update(self._object(record), key, values, writer)
            return _done(key)

        return self._each(content, one)

    def upsert(self, call: Call, name: str, external: str) -> Answer:
        """`PATCH composite/sobjects/X/ExternalId__c`."""
        content, writer, found = call.json_object(), writer_of(call), self.objects.get(name)

        def one(record: Mapping[str, Any]) -> dict[str, Any]:
            rest = {field: value for field, value in record.items() if field.lower() != external.lower()}
            value = next((value for field, value in record.items() if field.lower() == external.lower()), None)
            if value is None:
                raise ApiError(400, "MISSING_ARGUMENT", f"{external} not specified")
            key, created = self.records.upsert(found, external, str(value), rest, writer)
            return {**_done(key), "created": created}

        return self._each(content, one)

    def delete(self, call: Call) -> Answer:
        """`DELETE composite/sobjects?ids=...`."""
        writer = writer_of(call)
        keys = [key for key in call.query.get("ids", "").split(",") if key]

        def one(record: Mapping[str, Any]) -> dict[str, Any]:
            key = record_key(record["id"])
            self.records.delete(self._by_prefix(key), key, writer)
            return _done(key)

        whole = call.query.get("allOrNone", "false").lower() == "true"
        return self._each({"allOrNone": whole, "records": [{"id": key} for key in keys]}, one)

    def read(self, call: Call, name: str) -> Answer:
        """`GET composite/sobjects/X?ids=...&fields=...`, or POST with the same in the body."""
        content = call.json_object() if call.method == "POST" else {key: call.query.get(key, "").split(",") for key in ("ids", "fields")}
        keys, names = content.get("ids") or [], content.get("fields") or []
        if not isinstance(keys, list) or not isinstance(names, list) or len(keys) > _MOST_READ:
            raise ApiError.malformed(f"ids and fields are lists, of {_MOST_READ} ids at most")
        found = self.objects.get(name)
        fields = [field for field in names if field]
        rendered = self.records.read_many(found, [record_key(key) for key in keys], fields, call.base)
        return Answer(body=b"[" + b",".join(rendered) + b"]")

    def tree(self, call: Call, name: str) -> Answer:
        """`POST composite/tree/X`: records with their children, all or none."""
        writer, records = writer_of(call), call.json_object().get("records")
        created: list[dict[str, Any]] = []
        failed: list[dict[str, Any]] = []
        with undoable(self.objects.store) as undo:
            for reference, outcome in self._grown(self.objects.get(name), _list(records), {}, writer):
                if isinstance(outcome, str):
                    created.append({"referenceId": reference, "id": outcome})
                else:
                    failed.append({"referenceId": reference, "errors": [outcome.outcome]})
            if failed:
                undo()
        if failed:
            return answered({"hasErrors": True, "results": failed}, status=400)
        return answered({"hasErrors": False, "results": created}, status=201)

    def _grown(
        self, found: SObject, records: Sequence[Any], parent: Mapping[str, str], writer: Writer
    ) -> Iterable[tuple[str, str | ApiError]]:
        for record in records:
            attributes = record.get("attributes", {}) if isinstance(record, dict) else {}
            reference = str(attributes.get("referenceId", ""))
            children = {name: value["records"] for name, value in record.items() if isinstance(value, dict) and "records" in value}
            values = {name: value for name, value in record.items() if name not in children}
            try:
                key = self.records.create(found, {**values, **parent}, writer)
            except ApiError as error:
                yield reference, error
                continue
            yield reference, key
            for below in children.values():
                for child in _list(below):
                    inner = self._object(child)
                    yield from self._grown(inner, [child], {f"{found.name}Id": key}, writer)

    def _created(self, record: Mapping[str, Any], writer: Writer) -> dict[str, Any]:
        return _done(self.records.create(self._object(record), record, writer))

    def _each(self, content: Mapping[str, Any], one: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Answer:
        records = _list(content.get("records"))
        if len(records) > _MOST:
            raise ApiError(400, "EXCEEDED_MAX_SIZE_REQUEST", f"cannot process more than {_MOST} records at once")
        with undoable(self.objects.store) as undo:
            outcomes = [_attempted(one, record) for record in records]
            if content.get("allOrNone") and not all(outcome["success"] for outcome in outcomes):
                undo()
                outcomes = [outcome if not outcome["success"] else {"success": False, "errors": [_HALTED]} for outcome in outcomes]
        return answered(outcomes)

    def _object(self, record: Any) -> SObject:
        attributes = record.get("attributes") if isinstance(record, dict) else None
        name = attributes.get("type") if isinstance(attributes, dict) else None
        found = self.objects.find(str(name)) if name else None
        if found is None:
            raise ApiError(400, "INVALID_TYPE", f"sObject type '{name}' is not supported.")
        return found

    def _by_prefix(self, key: str) -> SObject:
        for found in self.objects.all():
            if key.startswith(found.prefix):
                return found
        raise ApiError(400, "MALFORMED_ID", f"malformed id {key}")


def writer_of(call: Call) -> Writer:
    """Who writes by this call."""
    return Writer(call.session.user_id, f"{call.base}/{'/'.join(call.rest)}")


def _attempted(one: Callable[[Mapping[str, Any]], dict[str, Any]], record: Any) -> dict[str, Any]:
    try:
        if not isinstance(record, dict):
            raise ApiError.malformed("a record is a JSON object")
        return one(record)
    except ApiError as error:
        return {"success": False, "errors": [error.outcome]}


def _done(key: str) -> dict[str, Any]:
    return {"id": key, "success": True, "errors": []}


def _list(records: Any) -> list[Any]:
    if not isinstance(records, list):
        raise ApiError.malformed("records must be a list")
    return records
