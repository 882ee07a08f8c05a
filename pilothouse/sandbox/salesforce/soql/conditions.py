"""Literals of a WHERE against the field they are compared with: Salesforce's type checks, and SQL that compares as it does.

Salesforce treats null as a value: `Industry != 'Energy'` finds the accounts without an industry. Its moments have no
more than milliseconds, the store's have microseconds: a comparison covers the whole millisecond, so that a client which
goes on from the timestamp that it was shown neither misses nor repeats a row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

from pilothouse.sandbox.company.salesforce import with_checksum
from pilothouse.sandbox.company.schema import Kind
from pilothouse.sandbox.company.store import Value
from pilothouse.sandbox.salesforce.errors import ApiError
from pilothouse.sandbox.salesforce.soql.dates import span
from pilothouse.sandbox.salesforce.soql.expressions import Expression, comparable
from pilothouse.sandbox.salesforce.soql.syntax import DateLiteral, DateText, DateTimeText, Literals, Number, Operator, Text

SQL = tuple[str, list[Value]]
_TYPE_NAMES: Final[dict[Kind, str]] = {
    "string": "string", "bool": "boolean", "int": "int", "decimal": "double", "double": "double", "date": "date", "datetime": "dateTime",
}  # fmt: skip
_BELOW: Final = "000Z"
_ABOVE: Final = "999Z"


@dataclass(frozen=True)
class Span:
    """The stored values that one literal stands for: from `first` to `last`, both included."""

    first: Value
    last: Value


def compare(left: Expression, operator: Operator, right: Literals, name: str, today: date) -> SQL:
    """`left operator right`."""
    sql = comparable(left)
    if operator == "LIKE":
        return _like(sql, left, right, name)
    if right is None:
        if operator not in {"=", "!="}:
            raise _mismatch(name, f"invalid operator on null value: {operator}")
        return f"{sql} IS {'NOT ' if operator == '!=' else ''}NULL", []
    if left.field.kind == "bool" and operator not in {"=", "!="}:
        raise _mismatch(name, f"invalid operator on boolean field: {operator}")
    covered = stands_for(left, right, name, today)
    return _RELATIONS[operator](sql, covered)


def stands_for(left: Expression, right: Literals, name: str, today: date) -> Span:
    """The stored values that the literal means for this field; ApiError INVALID_FIELD where its type is wrong."""
    kind = left.field.kind
    if isinstance(right, DateLiteral) and kind in {"date", "datetime"}:
        days = span(right.name, right.count, today)
        if days is None:
            raise ApiError(400, "MALFORMED_QUERY", f"unexpected token: '{right.name}'")
        return _days(*days, moments=kind == "datetime")
    if isinstance(right, Text) and kind == "string":
        text = right.value
        if left.identifies and len(text) == 15 and text.isascii():
            text = with_checksum(text)
        return Span(text, text)
    if isinstance(right, bool) and kind == "bool":
        return Span(int(right), int(right))
    if isinstance(right, Number) and kind in {"int", "decimal", "double"}:
        # SQLite takes no longer integer than this.
        whole = right.text.lstrip("+-").isdecimal() and len(right.text) <= 18
        number = int(right.text) if whole else float(right.text)
        return Span(number, number)
    if isinstance(right, DateText) and kind == "date":
        return _day(right, name)
    if isinstance(right, DateTimeText) and kind == "datetime":
        return _millisecond(right, name)
    enclosed = "should be" if kind == "string" else "should not be"
    raise _mismatch(
        name, f"value of filter criterion for field '{name}' must be of type {_TYPE_NAMES[kind]} and {enclosed} enclosed in quotes"
    )


def _equal(sql: str, covered: Span) -> SQL:
    if covered.first == covered.last:
        return f"{sql} = ?", [covered.first]
    return f"{sql} BETWEEN ? AND ?", [covered.first, covered.last]


def _different(sql: str, covered: Span) -> SQL:
    if covered.first == covered.last:
        return f"{sql} IS NOT ?", [covered.first]
    return f"({sql} IS NULL OR {sql} NOT BETWEEN ? AND ?)", [covered.first, covered.last]


_RELATIONS: Final[dict[Operator, Callable[[str, Span], SQL]]] = {
    "=": _equal,
    "!=": _different,
    "<": lambda sql, covered: (f"{sql} < ?", [covered.first]),
    "<=": lambda sql, covered: (f"{sql} <= ?", [covered.last]),
    ">": lambda sql, covered: (f"{sql} > ?", [covered.last]),
    ">=": lambda sql, covered: (f"{sql} >= ?", [covered.first]),
}


def _like(sql: str, left: Expression, right: Literals, name: str) -> SQL:
    if left.field.kind != "string" or left.identifies:
        raise _mismatch(name, f"invalid operator on {'id' if left.identifies else _TYPE_NAMES[left.field.kind]} field: LIKE")
    if not isinstance(right, Text):
        raise _mismatch(name, f"value of filter criterion for field '{name}' must be of type string and should be enclosed in quotes")
    return f"{sql} LIKE ? ESCAPE '\\'", [right.pattern]


def _days(first: date, after: date, *, moments: bool) -> Span:
    last = date.fromordinal(after.toordinal() - 1)
    if not moments:
        return Span(first.isoformat(), last.isoformat())
    return Span(f"{first.isoformat()}T00:00:00.000000Z", f"{last.isoformat()}T23:59:59.999999Z")


def _day(literal: DateText, name: str) -> Span:
    try:
        text = date.fromisoformat(literal.text).isoformat()
    except ValueError:
        raise _mismatch(name, f"invalid date: {literal.text}") from None
    return Span(text, text)


def _millisecond(literal: DateTimeText, name: str) -> Span:
    try:
        moment = datetime.fromisoformat(literal.text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise _mismatch(name, f"invalid dateTime: {literal.text}") from None
    shown = moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}"
    return Span(shown + _BELOW, shown + _ABOVE)


def _mismatch(name: str, message: str) -> ApiError:
    return ApiError(400, "INVALID_FIELD", f"{name}: {message}" if "field" not in message else message)
