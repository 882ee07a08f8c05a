"""The path of a request: which set, which row, which navigation or property."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from pilothouse.sandbox.company.store import Row, Store, Value
from pilothouse.sandbox.sap.errors import bad_request, not_found, unknown_segment
from pilothouse.sandbox.sap.literals import stored
from pilothouse.sandbox.sap.services import Navigation
from pilothouse.sandbox.sap.sql import Sql
from pilothouse.sandbox.sap.views import View

_SEGMENT: Final = re.compile(r"^(?P<name>[A-Za-z_$][\w.$]*)(?:\((?P<key>.*)\))?$")
_PART: Final = re.compile(
    r"\s*(?:(?P<name>\w+)\s*=\s*)?(?P<value>'(?:[^']|'')*'|datetime(?:offset)?'[^']*'|guid'[^']*'|[^',\s]+)\s*(?:,|$)"
)


@dataclass(frozen=True)
class Target:
    """What a path points to.

    `row` is set when it points to one row; `restriction` when it points to the rows behind a navigation of `parent`.
    """

    view: View
    row: Row | None = None
    restriction: Sql | None = None
    single: bool = False
    given: Row | None = None  # fields that a row created here has from its parent
    tail: tuple[str, ...] = ()  # $count, a property, $value


def resolve(store: Store, root: View, segments: Sequence[str]) -> Target:
    """Follow the path from its entity set. Raises the 404 of the first segment that leads nowhere."""
    name, predicate = _segment(segments[0])
    entity_set = root.service.entity_set(name)
    if entity_set is None:
        raise unknown_segment(name)
    target = Target(replace(root, entity_set=entity_set))
    if predicate is not None:
        target = _keyed(store, target, predicate)
    for number, segment in enumerate(segments[1:], start=1):
        name, predicate = _segment(segment)
        navigation = target.view.entity_set.navigation(name) if target.row is not None else None
        if navigation is None:
            return _with_tail(target, tuple(segments[number:]))
        target = _followed(store, target, navigation)
        if predicate is not None:
            target = _keyed(store, target, predicate)
    return target


def key_of(view: View, values: Mapping[str, Value]) -> list[Value]:
    """The key of a row, in the order in which the store wants it."""
    return [values[name] for name in view.entity.key]


def _segment(text: str) -> tuple[str, str | None]:
    match = _SEGMENT.match(text)
    if match is None:
        raise unknown_segment(text)
    return match["name"], match["key"]


def _keyed(store: Store, target: Target, predicate: str) -> Target:
    view = target.view
    if predicate == "":
        return target
    key = _key(view, predicate, target.given or {})
    found = store.get(view.entity, key)
    if found is None:
        raise not_found(view.entity_set.name)
    return replace(target, row=found, restriction=_exactly(view, found), single=True)


def _key(view: View, predicate: str, given: Mapping[str, Value]) -> list[Value]:
    entity, shown = view.entity, {view.entity_set.renames.get(name, name): name for name in view.entity.key}
    values: dict[str, Value] = dict(given)
    position = 0
    while position < len(predicate):
        match = _PART.match(predicate, position)
        if match is None:
            raise bad_request(f"Invalid key predicate '({predicate})'")
        name = shown.get(match["name"]) if match["name"] else (entity.key[0] if len(entity.key) == 1 else None)
        if name is None:
            raise bad_request(f"Invalid key predicate '({predicate})' for '{view.entity_set.name}'")
        values[name] = stored(replace(entity.field(name), length=None), _value(match["value"]))
        position = match.end()
    if any(name not in values for name in entity.key):
        raise bad_request(f"The key predicate '({predicate})' does not name every key of '{view.entity_set.name}'")
    return key_of(view, values)


def _value(literal: str) -> str:
    text = literal[literal.index("'") :] if "'" in literal else literal
    return text[1:-1].replace("''", "'") if text.startswith("'") else text


def _followed(store: Store, target: Target, navigation: Navigation) -> Target:
    assert target.row is not None
    view = target.view.over(navigation.target)
    given = {there: target.row[here] for here, there in navigation.pairs}
    restriction = Sql(" AND ".join(f't0."{name}" IS ?' for name in given), tuple(given.values()))
    if navigation.many:
        return Target(view, restriction=restriction, given=given)
    names = [field.name for field in view.entity.fields]
    columns = ", ".join(f't0."{name}"' for name in names)
    found = next(store.rows(f"SELECT {columns} FROM {view.entity.table} t0 WHERE {restriction.text}", restriction.values), None)
    if found is None:
        raise not_found(navigation.name)
    return Target(view, row=dict(zip(names, found, strict=True)), restriction=restriction, single=True)


def _exactly(view: View, row: Row) -> Sql:
    return Sql(" AND ".join(f't0."{name}" = ?' for name in view.entity.key), tuple(key_of(view, row)))


def _with_tail(target: Target, tail: tuple[str, ...]) -> Target:
    if not target.single and tail == ("$count",):
        return replace(target, tail=tail)
    if target.single and tail[0] in target.view.columns and (len(tail) == 1 or tail[1:] == ("$value",)):
        return replace(target, tail=tail)
    raise unknown_segment(tail[0])
