"""Server-driven paging and delta links.

A page starts behind the last key of the page before, found by index: the thousandth page costs what the first did, and rows
that come and go meanwhile neither shift the others nor repeat them. Delta links resume from a number of the store's
change log. Tokens are opaque to clients and say which store they belong to: one of another company is refused.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from pilothouse.sandbox.company.store import Store, Value
from pilothouse.sandbox.sap.errors import bad_request, delta_gone
from pilothouse.sandbox.sap.query import Options
from pilothouse.sandbox.sap.rows import Frame, address, ordering
from pilothouse.sandbox.sap.sql import Sql, both, joined
from pilothouse.sandbox.sap.views import View

_KEY: Final = 2  # where the key begins in `Frame.columns`
DELTA_VALIDITY: Final = 30 * 86400.0  # seconds; SAP's own delta logs are pruned by a job, monthly by default


@dataclass(frozen=True)
class Page:
    """Rows as JSON texts, and how to go on."""

    rows: list[str]
    next_token: str | None = None
    delta_token: str | None = None
    count: int | None = None


class Position(msgspec.Struct, array_like=True):
    """Where a page ended. `left`: rows still allowed by $top; `since`: the change number when the read began."""

    after: list[str | int | float | None]
    left: int | None
    count: int | None
    since: int | None
    again: int = 0  # tells links apart that lead to the same rows


class Since(msgspec.Struct, array_like=True):
    """Which changes a client has seen. `until` is set between two pages of one delta."""

    store: str
    issued: float
    change: int
    until: int | None = None
    again: int = 0


def encode(token: Position | Since) -> str:
    """A token as it travels in a link."""
    return base64.urlsafe_b64encode(msgspec.json.encode(token)).decode().rstrip("=")


def _decoded(text: str, kind: type[Any]) -> Any:
    return msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=kind)


def page(store: Store, view: View, options: Options, restriction: Sql | None, size: int, *, track: bool) -> Page:
    """One page of a set. `track`: its last page carries a delta token."""
    position = _position(options)
    if position is None:
        since = store.last_change() if track else None
        position = Position([], options.top, count(store, view, options, restriction) if options.count else None, since)
    frame, order = Frame(view, options), view.order(options.order, "t0")
    wanted = both(restriction, view.condition(options.filter, "t0"), _behind(order, position.after) if position.after else None)
    limit = size if position.left is None else min(size, position.left)
    columns = joined(", ", [frame.columns, *(term for term, _ in order)])
    source = f" FROM {view.entity.table} t0 WHERE " + wanted + ordering(order)
    # One row more than the page holds tells whether there is another page.
    source += Sql(" LIMIT ? OFFSET ?", (limit + 1, 0 if position.after else options.skip))
    statement = "SELECT " + columns + source
    found = list(store.rows(statement.text, statement.values))
    rows = frame.finished(columns[: -len(order)] for columns in found[:limit])
    left = None if position.left is None else position.left - len(rows)
    if len(found) > limit and left != 0:
        return Page(
            rows,
            next_token=encode(Position(list(found[limit - 1][-len(order) :]), left, position.count, position.since)),
            count=position.count,
        )
    delta = None if position.since is None or options.top is not None or options.skip else encode(_since(store, position.since))
    return Page(rows, delta_token=delta, count=position.count)


def changed(store: Store, view: View, options: Options, size: int) -> Page:
    """One page of what changed since the delta token: rows as they are now, and what is gone."""
    seen, frame = _seen(store, options), Frame(view, options)
    until = seen.until if seen.until is not None else store.last_change()
    key = " AND ".join(f"t0.\"{name}\" = json_extract(c.key, '$[{number}]')" for number, name in enumerate(view.entity.key))
    changes = Sql(
        "(SELECT key, MAX(seq) AS seq FROM changes WHERE entity = ? AND seq > ? AND seq <= ? GROUP BY key ORDER BY MAX(seq) LIMIT ?)",
        (view.entity.table, seen.change, until, size + 1),
    )
    columns = frame.columns + ", c.key, c.seq"
    matching = both(Sql(key), view.condition(options.filter, "t0"))
    statement = "SELECT " + columns + " FROM " + changes + f" c LEFT JOIN {view.entity.table} t0 ON " + matching + " ORDER BY c.seq"
    found = list(store.rows(statement.text, statement.values))
    present = iter(frame.finished(columns[:-2] for columns in found[:size] if columns[_KEY] is not None))
    rows = [next(present) if columns[_KEY] is not None else _removed(view, str(columns[-2])) for columns in found[:size]]
    if len(found) > size:
        last = found[size - 1][-1]
        assert isinstance(last, int)
        return Page(rows, next_token=encode(Since(seen.store, seen.issued, last, until)))
    return Page(rows, delta_token=encode(_since(store, until)))


def emptied(store: Store, options: Options, *, track: bool) -> Page:
    """A page without rows whose link leads, under another token, to the rows it should have had."""
    token: Position | Since
    if options.delta_token is not None:
        token = _seen(store, options)
    else:
        token = _position(options) or Position([], options.top, None, store.last_change() if track else None)
    token.again += 1
    return Page([], next_token=encode(token))


def count(store: Store, view: View, options: Options, restriction: Sql | None) -> int:
    """How many rows there are, whatever $top and $skip say."""
    statement = f"SELECT COUNT(*) FROM {view.entity.table} t0 WHERE " + both(restriction, view.condition(options.filter, "t0"))
    (number,) = next(store.rows(statement.text, statement.values))
    assert isinstance(number, int)
    return number


def _position(options: Options) -> Position | None:
    if options.skip_token is None:
        return None
    try:
        position = _decoded(options.skip_token, Position)
    except (ValueError, msgspec.MsgspecError) as error:
        raise bad_request("Invalid value of query option '$skiptoken'") from error
    assert isinstance(position, Position)
    if position.left is not None and position.left < 0:
        raise bad_request("Invalid value of query option '$skiptoken'")
    return position


def _seen(store: Store, options: Options) -> Since:
    try:
        seen = _decoded(options.skip_token or options.delta_token or "", Since)
    except (ValueError, msgspec.MsgspecError) as error:
        raise delta_gone() from error
    assert isinstance(seen, Since)
    known = seen.store == _identity(store) and store.forgotten() <= seen.change <= store.last_change()
    if not known or time.time() - seen.issued > DELTA_VALIDITY:
        raise delta_gone()
    return seen


def _since(store: Store, change: int) -> Since:
    return Since(_identity(store), time.time(), change)


def _identity(store: Store) -> str:
    """What tells this company's change log from that of another one under the same address."""
    known = store.fact("sap.delta.identity")
    if known is None:
        known = base64.b32encode(time.time_ns().to_bytes(8)).decode().rstrip("=")
        store.set_fact("sap.delta.identity", known)
    return known


def _behind(order: Sequence[tuple[Sql, bool]], after: Sequence[Value]) -> Sql:
    """Rows that sort behind the values `after`. SQLite sorts nulls first, or last where the order descends."""
    if len(order) != len(after):
        raise bad_request("Invalid value of query option '$skiptoken'")
    if None not in after and not any(descending for _, descending in order):
        # The same in one comparison, which SQLite can begin in the middle of an index.
        return "(" + joined(", ", (term for term, _ in order)) + ") > (" + Sql(", ".join("?" * len(after)), tuple(after)) + ")"
    (term, descending), value = order[0], after[0]
    later = _later(term, value, descending=descending)
    if len(order) == 1:
        return later
    same = "(" + term + Sql(" IS ?", (value,)) + " AND " + _behind(order[1:], after[1:]) + ")"
    return "(" + later + " OR " + same + ")"


def _later(term: Sql, value: Value, *, descending: bool) -> Sql:
    if descending:
        return Sql("0") if value is None else "(" + term + Sql(" < ?", (value,)) + " OR " + term + " IS NULL)"
    return "(" + term + " IS NOT NULL)" if value is None else "(" + term + Sql(" > ?", (value,)) + ")"


def _removed(view: View, key: str) -> str:
    """A deleted row as a delta tells it: V4's `@removed`; in V2's JSON the deleted-entity context that SAP's own libraries write."""
    values = msgspec.json.decode(key, type=list[str | int | float | None])
    if view.service.version == 2:
        context = f"$metadata#{view.entity_set.name}/$deletedEntity"
        return msgspec.json.encode({"@odata.context": context, "id": f"{view.root}/{address(view, values)}"}).decode()
    named = dict(zip(view.key_names, values, strict=True))
    return msgspec.json.encode({"@removed": {"reason": "deleted"}, "@id": address(view, values), **named}).decode()
