"""Single records: read, create, update, upsert, delete. Every write is one logged change of the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pilothouse.sandbox.company.numbering import key_of
from pilothouse.sandbox.company.store import Row, Store, Value, timestamp
from pilothouse.sandbox.drift import Column
from pilothouse.sandbox.faults import Faults
from pilothouse.sandbox.salesforce.derivations import derived
from pilothouse.sandbox.salesforce.errors import ApiError
from pilothouse.sandbox.salesforce.objects import Objects, SObject, is_external_id
from pilothouse.sandbox.salesforce.preconditions import Precondition, marks
from pilothouse.sandbox.salesforce.soql.compiler import Compiled, Record, no_such_column
from pilothouse.sandbox.salesforce.soql.expressions import of_column
from pilothouse.sandbox.salesforce.soql.rendering import json_statement
from pilothouse.sandbox.salesforce.values import record_key, stored


@dataclass(frozen=True)
class Writer:
    """Who writes, and the path of the request, which faults are aimed at."""

    user_id: str
    path: str


@dataclass(frozen=True)
class Records:
    """The records of all objects."""

    objects: Objects
    faults: Faults
    now: Callable[[], datetime]

    @property
    def _store(self) -> Store:
        return self.objects.store

    def read(self, found: SObject, key: str, names: Sequence[str], base: str) -> bytes:
        """The record as JSON, all fields or those named."""
        self._present(found, key)
        rendered = self.read_many(found, [key], names, base)
        return rendered[0]

    def read_many(self, found: SObject, keys: Sequence[str], names: Sequence[str], base: str) -> list[bytes]:
        """The records with these Ids as JSON, in this order; `null` for one that does not exist."""
        columns = [self._column(found, name) for name in names] or list(found.columns)
        values = {column.name: of_column(column, "t0") for column in columns}
        source = f' FROM {found.entity.table} AS t0 WHERE t0."Id" = ?'
        alive = ' AND t0."IsDeleted" = 0' if found.soft_deletes else ""
        query = Compiled(object=found, outputs=(), record=Record(found, "t0", dict(values)), source=source + alive, parameters=())
        statement = json_statement(query, base)
        return [str(next(self._store.rows(statement, [key]), ("null",))[0]).encode() for key in keys]

    def find(self, found: SObject, external: str, value: str) -> list[str]:
        """The Ids of the records that an external id field points at."""
        column = self._external(found, external)
        stored_value = stored(column, value)
        alive = ' AND "IsDeleted" = 0' if found.soft_deletes else ""
        sql = f'SELECT "Id" FROM {found.entity.table} WHERE {_quoted_name(str(column.source))} = ? COLLATE NOCASE{alive} ORDER BY "Id"'
        return [str(key) for (key,) in self._store.rows(sql, [stored_value])]

    def create(self, found: SObject, given: Mapping[str, Any], writer: Writer) -> str:
        """A new record; returns its Id."""
        self._unlocked(writer)
        at = self.now()
        values = self._values(found, given)
        with self._store.writing():
            self._references(found, values)
            row = self._new_row(found, values, writer, timestamp(at))
            missing = [field.name for field in found.entity.fields if not field.nullable and row.get(field.name) is None]
            if missing:
                raise ApiError(400, "REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(missing)}]", missing)
            self._store.insert(found.entity, row, at)
        return str(row["Id"])

    def marks(self, found: SObject, key: str) -> dict[str, str]:
        """The headers that mark the record's state."""
        return marks(found, self._present(found, key))

    def update(
        self, found: SObject, key: str, given: Mapping[str, Any], writer: Writer, precondition: Precondition = lambda _: None
    ) -> None:
        """Change fields of a record that meets the precondition."""
        self._unlocked(writer)
        at = self.now()
        values = self._values(found, given)
        with self._store.writing():
            before = self._present(found, key)
            precondition(before)
            self._references(found, values)
            changes = {**values, **derived(found.name, before, values, timestamp(at)), **_touched(found, writer, timestamp(at))}
            self._store.update(found.entity, [key], changes, at)

    def upsert(self, found: SObject, external: str, value: str, given: Mapping[str, Any], writer: Writer) -> tuple[str, bool]:
        """Update the record that the external id points at, or create it: its Id, and whether it is new."""
        with self._store.writing():
            keys = self.find(found, external, value)
            if len(keys) > 1:
                raise ApiError(300, "DUPLICATE_VALUE", f"{external} {value}: more than one record found: {', '.join(keys)}", [external])
            if keys:
                self.update(found, keys[0], given, writer)
                return keys[0], False
            return self.create(found, {**given, self._external(found, external).name: value}, writer), True

    def delete(self, found: SObject, key: str, writer: Writer) -> None:
        """Put a record into the recycle bin."""
        self._unlocked(writer)
        if not found.soft_deletes:
            raise ApiError(400, "INSUFFICIENT_ACCESS_OR_READONLY", f"entity type {found.name} does not support delete")
        at = self.now()
        with self._store.writing():
            self._present(found, key)
            self._store.update(found.entity, [key], {"IsDeleted": 1, **_touched(found, writer, timestamp(at))}, at)

    def erase(self, found: SObject, key: str, writer: Writer) -> None:
        """Remove a record for good, from the recycle bin too."""
        self._unlocked(writer)
        if not found.soft_deletes:
            raise ApiError(400, "INSUFFICIENT_ACCESS_OR_READONLY", f"entity type {found.name} does not support delete")
        try:
            self._store.delete(found.entity, [key], self.now())
        except KeyError:
            raise ApiError(404, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id") from None

    def _unlocked(self, writer: Writer) -> None:
        if self.faults.strike("salesforce", writer.path, "locked_row"):
            raise ApiError(400, "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record or 1 records", [])
        if self.faults.strike("salesforce", writer.path, "not_authorized"):
            raise ApiError(403, "INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id", [])

    def _present(self, found: SObject, key: str) -> Row:
        row = self._store.get(found.entity, [key])
        if row is None:
            raise ApiError.not_found("Provided external ID field does not exist or is not accessible: " + key)
        if row.get("IsDeleted"):
            raise ApiError(404, "ENTITY_IS_DELETED", "entity is deleted", [])
        return row

    def _column(self, found: SObject, name: str) -> Column:
        column = found.column(name)
        if column is None:
            raise ApiError(400, "INVALID_FIELD", no_such_column(found, name))
        return column

    def _external(self, found: SObject, name: str) -> Column:
        column = found.column(name)
        if column is None or not (is_external_id(column) or column.name == "Id"):
            raise ApiError.not_found(f"Provided external ID field does not exist or is not accessible: {name}")
        return column

    def _values(self, found: SObject, given: Mapping[str, Any]) -> Row:
        values: Row = {}
        for name, value in given.items():
            if name == "attributes":
                continue
            column = found.column(name)
            if column is None:
                raise ApiError(400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {found.name}")
            if not found.writable(column):
                message = f"Unable to create/update fields: {column.name}. Please check the security settings of this field."
                raise ApiError(400, "INVALID_FIELD_FOR_INSERT_UPDATE", message, [column.name])
            values[str(column.source)] = stored(column, value)
        return values

    def _references(self, found: SObject, values: Mapping[str, Value]) -> None:
        for field in found.entity.fields:
            key = values.get(field.name)
            if not field.reference or key is None:
                continue
            parent = self.objects.get(field.reference.partition(".")[0])
            row = self._store.get(parent.entity, [key])
            if row is None or row.get("IsDeleted"):
                raise ApiError(400, "INVALID_CROSS_REFERENCE_KEY", f"{field.name}: invalid cross reference id", [field.name])

    def _new_row(self, found: SObject, values: Row, writer: Writer, at: str) -> Row:
        number = self._store.next_number(found.entity.table)
        known = {field.name for field in found.entity.fields}
        row: Row = {field.name: 0 for field in found.entity.fields if field.kind == "bool"}
        system = {
            "OwnerId": writer.user_id, "CreatedById": writer.user_id, "LastModifiedById": writer.user_id,
            "CreatedDate": at, "LastModifiedDate": at, "SystemModstamp": at,
        }  # fmt: skip
        row.update({name: value for name, value in system.items() if name in known})
        if found.name == "Case":
            row["CaseNumber"] = f"{number:08d}"
        return {**row, **values, **derived(found.name, None, values, at), "Id": key_of(found.entity, number)}


def keyed(given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The Id inside of a record, and the record without it."""
    rest = dict(given)
    name = next((name for name in rest if name.lower() == "id"), None)
    if name is None:
        raise ApiError(400, "MISSING_ARGUMENT", "Id not specified in an update call")
    return record_key(rest.pop(name)), rest


def _touched(found: SObject, writer: Writer, at: str) -> Row:
    known = {field.name for field in found.entity.fields}
    touched: Row = {"LastModifiedById": writer.user_id, "LastModifiedDate": at, "SystemModstamp": at}
    return {name: value for name, value in touched.items() if name in known}


def _quoted_name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
