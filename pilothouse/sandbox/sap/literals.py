"""Values as OData writes them in URLs and bodies, and as the store keeps them.

V2 spells types out (`datetime'2026-01-31T00:00:00'`, `100.50M`) and wraps moments in bodies (`/Date(1769817600000)/`); V4
writes ISO. The store wants fixed forms, because its text order must be time order.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from pilothouse.sandbox.company.schema import Field
from pilothouse.sandbox.company.store import Value, timestamp
from pilothouse.sandbox.sap.errors import ODataError, bad_value

_WRAPPED = re.compile(r"^/Date\((-?\d+)(?:[+-]\d{4})?\)/$")
_FRACTION = re.compile(r"\.(\d{6})\d+")  # SAP writes seven digits of a second, Python reads six
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parsed_moment(text: str) -> datetime:
    """A moment from any of its spellings; UTC where none is said. ValueError where it is none."""
    wrapped = _WRAPPED.match(text)
    if wrapped:
        try:
            return _EPOCH + timedelta(milliseconds=int(wrapped[1]))
        except OverflowError as error:
            raise ValueError(text) from error
    moment = datetime.fromisoformat(_FRACTION.sub(r".\1", text))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def stored(field: Field, value: Any) -> Value:
    """A value of a JSON body or a URL literal in the form in which the store keeps this field."""
    if value is None:
        if not field.nullable:
            raise bad_value(f"Property {field.name} must not be null")
        return None
    try:
        return _STORED[field.kind](field, value)
    except (ValueError, InvalidOperation, TypeError, OverflowError) as error:
        raise _unfit(field, value) from error


def _unfit(field: Field, value: Any) -> ODataError:
    return bad_value(f"Property {field.name} has invalid value '{value}'")


def _string(field: Field, value: Any) -> Value:
    if not isinstance(value, str):
        raise TypeError(value)
    if field.length is not None and len(value) > field.length:
        raise ValueError(value)
    return value


def _bool(_: Field, value: Any) -> Value:
    if not isinstance(value, bool):
        raise TypeError(value)
    return int(value)


def _int(_: Field, value: Any) -> Value:
    if isinstance(value, bool):
        raise TypeError(value)
    return int(value)


def _decimal(field: Field, value: Any) -> Value:
    if isinstance(value, bool):
        raise TypeError(value)
    number = Decimal(str(value))
    scale = field.scale or 0
    rounded = round(number, scale)
    if rounded != number or len(rounded.as_tuple().digits) > (field.precision or 38):
        raise ValueError(value)
    return f"{rounded:f}"


def _double(_: Field, value: Any) -> Value:
    return float(value)


def _date(_: Field, value: Any) -> Value:
    if isinstance(value, str) and len(value) == 10:
        return date.fromisoformat(value).isoformat()
    return parsed_moment(value).date().isoformat()


def _datetime(_: Field, value: Any) -> Value:
    return timestamp(parsed_moment(value))


_STORED = {
    "string": _string,
    "bool": _bool,
    "int": _int,
    "decimal": _decimal,
    "double": _double,
    "date": _date,
    "datetime": _datetime,
}
