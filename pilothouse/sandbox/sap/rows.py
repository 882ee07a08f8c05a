"""Rows as JSON, built by SQLite itself.

A page is one statement whose result is finished JSON text: SQLite's `json_object` runs in C and outside Python's lock, so
90,000 to 150,000 rows a second leave it on one core, and two requests do not wait for each other. Python would build the
same rows ten times slower. $expand becomes a correlated subquery of the same shape.

What is the same for all rows of a page but for an address and an ETag (`__metadata`, deferred links) is no work for
SQLite: `Frame` writes it once and puts the two in for each row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Final
from urllib.parse import quote

import msgspec

from pilothouse.sandbox.company.store import Value
from pilothouse.sandbox.drift import Column
from pilothouse.sandbox.sap.query import Options
from pilothouse.sandbox.sap.services import Navigation
from pilothouse.sandbox.sap.sql import Sql, both, joined, quoted
from pilothouse.sandbox.sap.views import View

_ADDRESS: Final = "\ue000"  # private-use characters: they stand in a frame where a row's own values go
_TAG: Final = "\ue001"


@dataclass(frozen=True)
class Frame:
    """The outermost rows of a response: the columns to select as `t0`, and what makes them a row's JSON object."""

    view: View
    options: Options

    @cached_property
    def columns(self) -> Sql:
        """Properties as a JSON object, the row's version, the parts of its key."""
        key = ", ".join(f't0."{name}"' for name in self.view.entity.key)
        return _object(list(_members(self.view, self.options, "t0", 0))) + f", {version_of(self.view)}, {key}"

    def finished(self, rows: Iterable[Sequence[Value]]) -> list[str]:
        """The rows from their columns, as JSON texts."""
        pieces = [piece.split(_ADDRESS) for piece in self._head.split(_TAG)]
        if pieces == [[""]]:
            return [str(row[0]) for row in rows]
        before, after = pieces[0], pieces[-1]
        place = self._address
        if len(pieces) == 1:
            return [_joined(place(row[2:]).join(before), row[0]) for row in rows]
        tagged = self._tag
        if self.view.service.version == 4:
            return [_joined(f"{before[0]}{tagged(row[1])}{after[0]}", row[0]) for row in rows]
        found = []
        for text, version, *key in rows:
            where = place(key)
            found.append(_joined(f"{where.join(before)}{tagged(version)}{where.join(after)}", text))
        return found

    def _tag(self, version: Value) -> str:
        return tag(self.view, version).replace('"', '\\"')

    @cached_property
    def _address(self) -> Callable[[Sequence[Value]], str]:
        return partial(address, self.view)

    @cached_property
    def _head(self) -> str:
        """What comes before the properties, without the closing brace; nothing where there is nothing to say."""
        view, tagged = self.view, self.view.entity_set.writable
        if view.service.version == 4:
            return f'{{"@odata.etag":"{_TAG}"' if tagged else ""
        place = f"{view.root}/{_ADDRESS}"
        head: dict[str, Any] = {"__metadata": {"id": place, "uri": place, "type": view.label, **({"etag": _TAG} if tagged else {})}}
        for navigation in _deferred(view, self.options):
            head[navigation.name] = {"__deferred": {"uri": f"{place}/{navigation.name}"}}
        return msgspec.json.encode(head).decode()[:-1]


def _joined(head: str, text: Value) -> str:
    return f"{head}}}" if text == "{}" else f"{head},{str(text)[1:]}"


def version_of(view: View) -> str:
    """What tells one state of a row from the next, as SQL over `t0`: when it changed, or its content."""
    if view.stamp is not None:
        return f't0."{view.stamp}"'
    if not view.entity_set.writable:
        return "NULL"
    return "json_array(" + ", ".join(f't0."{field.name}"' for field in view.entity.fields) + ")"


def tag(view: View, version: Value) -> str:
    """The ETag of a row with this version."""
    if view.stamp is None:
        return f'W/"{hashlib.blake2b(str(version).encode(), digest_size=10).hexdigest().upper()}"'
    return f"W/\"datetimeoffset'{version}'\"" if view.service.version == 2 else f'W/"SADL-{version}"'


def address(view: View, key: Sequence[Value]) -> str:
    """The address of a row within its service."""
    parts = [value if type(value) is str and value.isalnum() and value.isascii() else _escaped_in_url(value) for value in key]
    return view.address_form % tuple(parts)


def _escaped_in_url(value: Value) -> str:
    return quote(value.replace("'", "''"), safe="") if isinstance(value, str) else str(value)


def _inner_address(view: View, alias: str) -> str:
    """The same as SQL text, for a row inside another."""
    entity = view.entity
    pieces = []
    for name in entity.key:
        raw = f'{alias}."{name}"'
        value = f"'''' || {_escaped(raw)} || ''''" if entity.field(name).kind == "string" else raw
        pieces.append(value if len(entity.key) == 1 else f"{quoted(view.entity_set.renames.get(name, name) + '=')} || {value}")
    return f"{quoted(view.entity_set.name + '(')} || " + " || ',' || ".join(pieces) + " || ')'"


def _object(members: list[tuple[str, Sql]]) -> Sql:
    return "json_object(" + joined(", ", (f"{quoted(name)}, " + value for name, value in members)) + ")"


def _members(view: View, options: Options, alias: str, level: int) -> Iterator[tuple[str, Sql]]:
    """The properties of a row and what is expanded in it."""
    selected = view.selected(options)
    for column in view.columns.values():
        if column.name in selected:
            yield column.name, _value(view, column, alias)
    for navigation in view.entity_set.navigations:
        if navigation.name in options.expand:
            yield from _expanded(view, navigation, options.expand[navigation.name], alias, level)


def _deferred(view: View, options: Options) -> Iterator[Navigation]:
    """The navigations that V2 shows as links."""
    selected = view.selected(options)
    return (
        navigation for navigation in view.entity_set.navigations if navigation.name in selected and navigation.name not in options.expand
    )


def _inner_object(view: View, options: Options, alias: str, level: int) -> Sql:
    """A row inside another: SQLite builds all of it. Its ETag is left out where that would be a hash, which SQLite cannot make."""
    stamp = f'{alias}."{view.stamp}"' if view.stamp is not None and view.entity_set.writable else None
    members = list(_members(view, options, alias, level))
    if view.service.version == 4:
        tagged = [("@odata.etag", Sql(f"""'W/"SADL-' || {stamp} || '"'"""))] if stamp else []
        return _object(tagged + members)
    path = _inner_address(view, alias)
    full = Sql(f"? || {path}", (f"{view.root}/",))
    head = [("id", full), ("uri", full), ("type", Sql(quoted(view.label)))]
    if stamp:
        head.append(("etag", Sql(f"""'W/"datetimeoffset''' || {stamp} || '''"'""")))
    for navigation in _deferred(view, options):
        link = Sql(f"? || {path} || {quoted('/' + navigation.name)}", (f"{view.root}/",))
        members.append((navigation.name, _object([("__deferred", _object([("uri", link)]))])))
    return _object([("__metadata", _object(head)), *members])


def _expanded(view: View, navigation: Navigation, options: Options, alias: str, level: int) -> Iterator[tuple[str, Sql]]:
    target, inner = view.over(navigation.target), f"t{level + 1}"
    pairs = " AND ".join(f'{inner}."{there}" = {alias}."{here}"' for here, there in navigation.pairs)
    source = f" FROM {target.entity.table} {inner} WHERE " + both(Sql(pairs), target.condition(options.filter, inner))
    one = _inner_object(target, options, inner, level + 1)
    if not navigation.many:
        yield navigation.name, "json((SELECT " + one + source + " LIMIT 1))"
        return
    limit = Sql(" LIMIT ? OFFSET ?", (-1 if options.top is None else options.top, options.skip))
    rows = "(SELECT " + one + " AS item" + source + ordering(target.order(options.order, inner)) + limit + ")"
    array = "json((SELECT json_group_array(json(item)) FROM " + rows + "))"
    if options.count:
        yield f"{navigation.name}@odata.count", "(SELECT COUNT(*)" + source + ")"
    yield navigation.name, "json_object('results', " + array + ")" if view.service.version == 2 else array


def ordering(order: list[tuple[Sql, bool]]) -> Sql:
    """An ORDER BY."""
    return " ORDER BY " + joined(", ", (term + (" DESC" if descending else "") for term, descending in order))


def _value(view: View, column: Column, alias: str) -> Sql:
    if column.constant is not None:
        return Sql("json(?)", (column.constant,))
    raw = f'{alias}."{column.source}"'
    if column.stored is not None:
        raw = _cast(raw, column)
    return Sql(_V2[column.field.kind].format(raw) if view.service.version == 2 else _v4(column, view.exact_numbers).format(raw))


def _cast(raw: str, column: Column) -> str:
    """A stored value as another type says it, for a field that a drift has retyped."""
    assert column.stored is not None
    match column.field.kind:
        case "string":
            return f"CAST({raw} AS TEXT)"
        case "int" | "bool":
            return f"CAST({raw} AS INTEGER)"
        case "double":
            return f"CAST({raw} AS REAL)"
        case "decimal":
            return f"printf('%.2f', {raw})"
        case "date":
            return f"substr({raw}, 1, 10)"
        case "datetime":
            return f"substr({raw}, 1, 10) || 'T00:00:00.000000Z'"


_BOOL: Final = "json(CASE {0} WHEN 0 THEN 'false' WHEN 1 THEN 'true' END)"
_V2: Final = {
    "string": "{0}",
    "bool": _BOOL,
    "int": "{0}",
    "decimal": "{0}",
    "double": "CAST({0} AS TEXT)",
    # printf, because turning a number into text and joining it takes SQLite twice as long; it writes null as 0.
    "date": "iif({0} IS NULL, NULL, printf('/Date(%d)/', unixepoch({0}) * 1000))",
    "datetime": "iif({0} IS NULL, NULL, printf('/Date(%d+0000)/', unixepoch(substr({0}, 1, 19)) * 1000 + substr({0}, 21, 3)))",
}


def _v4(column: Column, exact: bool) -> str:  # noqa: FBT001 - two ways to write one type
    if column.field.kind == "bool":
        return _BOOL
    return "json({0})" if column.field.kind == "decimal" and not exact else "{0}"


def _escaped(raw: str) -> str:
    """A key's text in a URL. Most keys are letters and digits: one look tells."""
    chained = raw
    for plain, code in (("%", "%25"), ("'", "%27%27"), (" ", "%20"), ("/", "%2F"), ("?", "%3F"), ("#", "%23"), ("&", "%26"), ("+", "%2B")):
        chained = f"replace({chained}, {quoted(plain)}, {quoted(code)})"
    return f"iif({raw} GLOB '*[^A-Za-z0-9._-]*', {chained}, {raw})"
