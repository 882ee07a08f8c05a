"""Values as clients send them (JSON or CSV text) to values as the store holds them, checked as Salesforce checks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any, Final

from pilothouse.sandbox.company.salesforce import with_checksum
from pilothouse.sandbox.company.schema import Field, Kind
from pilothouse.sandbox.company.store import Value, timestamp
from pilothouse.sandbox.drift import Column
from pilothouse.sandbox.salesforce.errors import ApiError
from pilothouse.sandbox.salesforce.objects import is_identifier

_TRUE: Final = frozenset({"true", "1", "yes"})
_FALSE: Final = frozenset({"false", "0", "no", ""})


def stored(column: Column, given: Any) -> Value:
    """The value to store; ApiError names the field where it cannot be."""
    field = column.stored or column.field
    if isinstance(given, str):
        given = given.strip()
    if given is None or given == "":
        return _absent(column, field)
    if is_identifier(column):
        return record_key(given, column.name)
    return _READERS[field.kind](column, field, given)


def record_key(given: Any, name: str = "Id") -> str:
    """The 18-character form of an Id; ApiError MALFORMED_ID where it is none."""
    if isinstance(given, str) and given.isascii() and given.isalnum():
        if len(given) == 15:
            return with_checksum(given)
        if len(given) == 18 and with_checksum(given[:15]) == given:
            return given
    raise ApiError(400, "MALFORMED_ID", f"{name}: id value of incorrect type: {given}", [name])


def _absent(column: Column, field: Field) -> Value:
    if field.kind == "bool":
        return 0
    if not field.nullable:
        raise ApiError(400, "REQUIRED_FIELD_MISSING", f"Required fields are missing: [{column.name}]", [column.name])
    return None


def _text(column: Column, field: Field, given: Any) -> str:
    if not isinstance(given, str):
        raise _mistyped(column, "string", given)
    if field.length is not None and len(given) > field.length:
        message = f"{field.label or column.name}: data value too large: {given[:255]} (max length={field.length})"
        raise ApiError(400, "STRING_TOO_LONG", message, [column.name])
    return given


def _flag(column: Column, _: Field, given: Any) -> int:
    text = str(given).lower()
    if text not in _TRUE and text not in _FALSE:
        raise _mistyped(column, "boolean", given)
    return int(text in _TRUE)


def _whole(column: Column, _: Field, given: Any) -> int:
    number = _decimal(column, given)
    if number != number.to_integral_value():
        raise _mistyped(column, "int", given)
    if abs(number) >= 1 << 31:
        raise _outside(column, given)
    return int(number)


def _amount(column: Column, field: Field, given: Any) -> str:
    number = _decimal(column, given)
    scale = field.scale or 0
    if number.adjusted() >= (field.precision or 18) - scale:
        raise _outside(column, given)
    return str(number.quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP))


def _double(column: Column, _: Field, given: Any) -> float:
    return float(_decimal(column, given))


def _decimal(column: Column, given: Any) -> Decimal:
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        raise _mistyped(column, "double", given)
    try:
        number = Decimal(str(given))
    except InvalidOperation:
        raise _mistyped(column, "double", given) from None
    if not number.is_finite():
        raise _mistyped(column, "double", given)
    return number


def _day(column: Column, _: Field, given: Any) -> str:
    try:
        return date.fromisoformat(str(given)[:10]).isoformat()
    except ValueError:
        raise _mistyped(column, "date", given) from None


def _moment(column: Column, _: Field, given: Any) -> str:
    try:
        read = datetime.fromisoformat(str(given))
    except ValueError:
        raise _mistyped(column, "datetime", given) from None
    return timestamp(read if read.tzinfo else read.replace(tzinfo=UTC))


_READERS: Final[dict[Kind, Callable[[Column, Field, Any], Value]]] = {
    "string": _text,
    "bool": _flag,
    "int": _whole,
    "decimal": _amount,
    "double": _double,
    "date": _day,
    "datetime": _moment,
}


def _mistyped(column: Column, kind: str, given: Any) -> ApiError:
    shown = str(given)[:255]
    return ApiError(400, "JSON_PARSER_ERROR", f"Cannot deserialize instance of {kind} from value {shown} ({column.name})", [column.name])


def _outside(column: Column, given: Any) -> ApiError:
    return ApiError(400, "NUMBER_OUTSIDE_VALID_RANGE", f"{column.name}: value outside of valid range: {given}", [column.name])
