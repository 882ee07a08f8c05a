"""Writes: bodies checked against the declaration, ETags against the row, and every change through the store, so that it is logged."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from pilothouse.sandbox.company.numbering import counted, new_key
from pilothouse.sandbox.company.numbering import key_of as numbered_key
from pilothouse.sandbox.company.schema import Entity, Field
from pilothouse.sandbox.company.store import Row, Store, Value, timestamp
from pilothouse.sandbox.sap.errors import bad_request, bad_value, not_allowed, precondition_failed, precondition_required, unknown_property
from pilothouse.sandbox.sap.literals import stored
from pilothouse.sandbox.sap.resources import Target, key_of
from pilothouse.sandbox.sap.rows import tag, version_of
from pilothouse.sandbox.sap.services import Navigation
from pilothouse.sandbox.sap.views import View

Body = dict[str, Any]
_ITEM_STEP: Final = 10  # SAP numbers items 10, 20, 30, so that one fits between


def parsed(body: bytes) -> Body:
    """The JSON object of a request's body. Numbers keep their digits."""
    try:
        found = _DECODER.decode(body)
    except (msgspec.MsgspecError, InvalidOperation, UnicodeDecodeError) as error:
        raise bad_request(f"Malformed request body: {error}") from error
    content = found.get("d", found) if isinstance(found, dict) else None
    if not isinstance(content, dict):
        raise bad_request("Malformed request body: an object is expected")
    return content


_DECODER: Final = msgspec.json.Decoder(float_hook=Decimal)


def current_etag(store: Store, view: View, row: Row) -> str:
    """The ETag of the row as it is now."""
    keys = " AND ".join(f't0."{name}" = ?' for name in view.entity.key)
    (version,) = next(store.rows(f"SELECT {version_of(view)} FROM {view.entity.table} t0 WHERE {keys}", key_of(view, row)))
    return tag(view, version)


@dataclass(frozen=True)
class Writer:
    """Writes of one moment."""

    store: Store
    now: datetime

    def create(self, view: View, body: Body, given: Mapping[str, Value] | None = None, *, deep: bool = False) -> Row:
        """A new row, and the rows under it that a deep insert brings; `deep` says it is such a row. Returns it as stored."""
        if not view.entity_set.writable:
            raise not_allowed("POST", view.entity_set.name)
        children = _children(view, body)
        entity = view.entity
        values: Row = {**_defaults(entity), **_values(view, body), **(given or {})}
        with self.store.writing():
            self._numbered(entity, values)
            values |= self._stamps(entity, created=True)
            try:
                self.store.insert(entity, values, self.now)
            except sqlite3.IntegrityError as error:
                raise bad_value(
                    f"{entity.label or entity.name} {'/'.join(str(values[name]) for name in entity.key)} already exists"
                ) from error
            for navigation, bodies in children:
                for child in bodies:
                    self.create(view.over(navigation.target), child, {there: values[here] for here, there in navigation.pairs}, deep=True)
            if not deep:
                self._touch_parents(view, values)
        return values

    def update(self, target: Target, body: Body, if_match: str | None, *, whole: bool) -> Row:
        """Change a row; `whole` (PUT) resets what the body leaves out. Returns the row as stored."""
        view, row = self._writable(target, "PATCH")
        given = _values(view, body)
        for name in view.entity.key:
            if given.pop(name, row[name]) != row[name]:
                raise bad_value(f"Property {name} is part of the key and cannot be changed")
        kept = {*view.entity.key, view.entity.created}
        base = {name: value for name, value in _defaults(view.entity).items() if name not in kept} if whole else {}
        with self.store.writing():
            self._check(view, row, if_match)
            values = {**base, **given, **self._stamps(view.entity, created=False)}
            if values:
                self.store.update(view.entity, key_of(view, row), values, self.now)
            self._touch_parents(view, row)
        return {**row, **values}

    def delete(self, target: Target, if_match: str | None) -> None:
        """Remove a row, and the rows that belong to it."""
        view, row = self._writable(target, "DELETE")
        with self.store.writing():
            self._check(view, row, if_match)
            for navigation in view.entity_set.navigations:
                if navigation.many:
                    self._delete_children(view.over(navigation.target), {there: row[here] for here, there in navigation.pairs})
            self.store.delete(view.entity, key_of(view, row), self.now)
            self._touch_parents(view, row)

    def _writable(self, target: Target, method: str) -> tuple[View, Row]:
        if target.row is None or target.tail or not target.view.entity_set.writable:
            raise not_allowed(method, target.view.entity_set.name)
        return target.view, target.row

    def _check(self, view: View, row: Row, if_match: str | None) -> None:
        if if_match is None:
            raise precondition_required()
        if if_match.strip() != "*" and current_etag(self.store, view, row) not in [tag.strip() for tag in if_match.split(",")]:
            raise precondition_failed()

    def _delete_children(self, view: View, fields: Mapping[str, Value]) -> None:
        where = " AND ".join(f'"{name}" IS ?' for name in fields)
        columns = ", ".join(f'"{name}"' for name in view.entity.key)
        for key in list(self.store.rows(f"SELECT {columns} FROM {view.entity.table} WHERE {where}", list(fields.values()))):
            self.store.delete(view.entity, key, self.now)

    def _touch_parents(self, view: View, row: Mapping[str, Value]) -> None:
        """A change to an item changes its document: SAP moves the header's timestamp, and so tells its readers."""
        for navigation in view.entity_set.navigations:
            parent = view.over(navigation.target).entity
            values = self._stamps(parent, created=False)
            key = [row[here] for here, _ in navigation.pairs]
            if not navigation.many and values and self.store.get(parent, key) is not None:
                self.store.update(parent, key, values, self.now)

    def _stamps(self, entity: Entity, *, created: bool) -> Row:
        """What the system itself fills in: when the row was created and changed."""
        names = {entity.changed, "LastChangeDate", entity.created if created else None}
        moment = timestamp(self.now)
        stamped = [field for field in entity.fields if field.name in names]
        return {field.name: moment[:10] if field.kind == "date" else moment for field in stamped}

    def _numbered(self, entity: Entity, values: Row) -> None:
        """Draw the next number for a key that the client left to the system."""
        missing = [name for name in entity.key if values.get(name) in {None, ""}]
        if len(entity.key) == 1 and counted(entity):
            if not missing and _of_number_range(entity, values[entity.key[0]]):
                raise bad_value(f"{entity.label} {values[entity.key[0]]}: the number is assigned by the system")
            if missing:
                values[missing[0]] = new_key(self.store, entity)
            return
        if not missing:
            return
        name, under = missing[0], {name: values[name] for name in entity.key if name not in missing}
        if len(missing) > 1 or not name.endswith(("Item", "ID")):
            raise bad_value(f"Property {name} is part of the key and must be given")
        where = " AND ".join(f'"{parent}" IS ?' for parent in under)
        (highest,) = next(self.store.rows(f'SELECT MAX(CAST("{name}" AS INTEGER)) FROM {entity.table} WHERE {where}', list(under.values())))
        values[name] = str(int(highest or 0) // _ITEM_STEP * _ITEM_STEP + _ITEM_STEP)


def _of_number_range(entity: Entity, key: Value) -> bool:
    """Whether the system itself gives out keys of this form: a client that took one would collide with the next one drawn."""
    prefix = numbered_key(entity, 0).rstrip("0")
    return isinstance(key, str) and key.startswith(prefix) and key.removeprefix(prefix).isdigit()


def _values(view: View, body: Body) -> Row:
    """The body's properties as the store keeps them."""
    values: Row = {}
    for name, value in body.items():
        if name.startswith(("__", "@")) or "@" in name or view.entity_set.navigation(name) is not None:
            continue
        column = view.columns.get(name)
        if column is None:
            raise unknown_property(name, view.entity_set.type_name)
        if column.source is not None:
            values[column.source] = stored(replace(view.entity.field(column.source), name=name), value)
    return values


def _children(view: View, body: Body) -> Sequence[tuple[Navigation, list[Body]]]:
    found = []
    for navigation in view.entity_set.navigations:
        inline = body.get(navigation.name)
        if isinstance(inline, dict) and "results" in inline:
            inline = inline["results"]
        if inline is None or (isinstance(inline, dict) and "__deferred" in inline):
            continue
        if not navigation.many or not isinstance(inline, list) or not all(isinstance(item, dict) for item in inline):
            raise bad_request(f"Navigation property '{navigation.name}' cannot be created with its parent")
        found.append((navigation, inline))
    return found


def _defaults(entity: Entity) -> Row:
    """ABAP knows no null for most types: a field that nobody fills is initial."""
    return {field.name: _initial(field) for field in entity.fields if field.name not in entity.key}


def _initial(field: Field) -> Value:
    match field.kind:
        case "string":
            return ""
        case "bool":
            return 0
        case "decimal":
            return f"{Decimal(0):.{field.scale or 0}f}"
        case _:
            return None
