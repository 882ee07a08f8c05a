"""OData's primitive types as Arrow types, and the way of a JSON value into them.

Each type has two readers. `bulk` reads a whole column with Arrow's kernels and raises if any value does not fit; it
may refuse what is right, never take what is wrong. `value` reads one value, slowly, and says what is wrong with it.
Only a page that `bulk` refuses is read by `value`.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, urlsafe_b64decode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Context, Decimal, InvalidOperation
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

UTC_MICROSECONDS = pa.timestamp("us", tz="UTC")
FIRST_MS = -62_135_596_800_000  # 0001-01-01, the first day of Edm.DateTime and of Python
LAST_MS = 253_402_300_799_999  # the end of 9999
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WIDEST = 38  # digits of a decimal that Delta can hold
EXACT = Context(prec=2 * WIDEST)

_TICKS = re.compile(r"/Date\((-?\d{1,18})(?:[+-]\d{1,4})?\)/")
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,12}))?(Z|[+-]\d\d:\d\d)?")
_CLOCK_V2 = re.compile(r"PT(?:(\d{1,2})H)?(?:(\d{1,2})M)?(?:(\d{1,2})(?:\.(\d{1,12}))?S)?")
_DURATION = re.compile(r"(-)?P(?:(\d{1,6})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,8})(?:\.(\d{1,12}))?S)?)?")
_INTEGER = r"^[+-]?[0-9]+$"
_FLOAT = r"^(?:[+-]?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|-?INF|NaN)$"


class Misfit(ValueError):
    """A value that is not of its declared type; the message says what it should be."""


@dataclass(frozen=True)
class Codec:
    """How values of one Edm type are read. `wire` is the type in which the JSON reader hands over a column: text, or
    a number where the server writes numbers bare."""

    type: pa.DataType
    wire: Callable[[bool], pa.DataType]  # of "does this server write it as text"
    bulk: Callable[[pa.Array], pa.Array]
    value: Callable[[Any], Any]


def codec(edm: str, precision: int | None, scale: int | None, *, day: bool) -> Codec:
    """The codec of a primitive type; `day` tells that an Edm.DateTime holds just a date (sap:display-format)."""
    if edm in INTEGERS:
        return _integer(INTEGERS[edm])
    if edm in FLOATS:
        return _float(FLOATS[edm])
    if edm == "Edm.Decimal":
        return _decimal(precision, scale)
    if edm == "Edm.DateTime" and day:
        return Codec(pa.date32(), _text, _bulk_day_of_ticks, _day)
    return SIMPLE.get(edm, SIMPLE["Edm.String"])


def _text(_: bool) -> pa.DataType:  # noqa: FBT001 - the signature of `wire`
    return pa.string()


def _same(column: pa.Array) -> pa.Array:
    return column


def _all_match(column: pa.Array, pattern: str) -> None:
    # Arrow's casts take more than OData writes (0x1F, nan, " 1"); only what is surely right stays on the fast way.
    if pc.all(pc.match_substring_regex(column, pattern)).as_py() is False:
        raise pa.ArrowInvalid(f"a value does not match {pattern}")


def _string(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | Decimal):
        return str(value)
    raise Misfit("not a text")


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    raise Misfit("neither true nor false")


def _integer(kind: pa.DataType) -> Codec:
    bits = kind.bit_width
    signed = pa.types.is_signed_integer(kind)
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)

    def bulk(column: pa.Array) -> pa.Array:
        if pa.types.is_string(column.type):
            _all_match(column, _INTEGER)
        return column.cast(kind)

    def value(raw: Any) -> int:
        number = _number(raw)
        if number != number.to_integral_value():
            raise Misfit("not a whole number")
        if not low <= number <= high:
            raise Misfit(f"outside of {low} to {high}")
        return int(number)

    return Codec(kind, lambda textual: pa.string() if textual else kind, bulk, value)


def _float(kind: pa.DataType) -> Codec:
    def bulk(column: pa.Array) -> pa.Array:
        if pa.types.is_string(column.type):
            _all_match(column, _FLOAT)
        return column.cast(kind)

    def value(raw: Any) -> float:
        if raw in ("INF", "-INF", "NaN"):
            return float(raw.replace("INF", "inf"))
        return float(_number(raw))

    return Codec(kind, lambda textual: pa.string() if textual else kind, bulk, value)


def _decimal(precision: int | None, scale: int | None) -> Codec:
    digits = min(precision or WIDEST, WIDEST)
    # Without a declared scale V2 and V4 mean 0 if the precision is declared; a bare Edm.Decimal floats.
    places = min(scale if scale is not None else 0 if precision else 18, digits)
    kind = pa.decimal128(digits, places)
    quantum = Decimal(1).scaleb(-places)
    # The JSON reader checks the digits it was given, not those it fills in: 99999 passes for a decimal(5,2), and past 38
    # digits in all it wraps around. So it reads into what surely holds both, and the digits are checked here.
    wire = kind if digits + places <= WIDEST else pa.decimal256(digits, places)

    def bulk(column: pa.Array) -> pa.Array:
        column.validate(full=True)
        return column.cast(kind)

    def value(raw: Any) -> Decimal:
        number = _number(raw)
        try:
            exact = number.quantize(quantum, context=EXACT)
        except InvalidOperation as error:
            raise Misfit(f"not a decimal({digits},{places})") from error
        if exact != number or len(exact.as_tuple().digits) > digits:
            raise Misfit(f"not a decimal({digits},{places})")
        return exact

    return Codec(kind, lambda _: wire, bulk, value)


def _number(raw: Any) -> Decimal:
    if isinstance(raw, bool) or not isinstance(raw, int | Decimal | str):
        raise Misfit("not a number")
    if isinstance(raw, str) and not re.match(_FLOAT, raw, re.ASCII):
        raise Misfit("not a number")
    try:
        number = Decimal(raw)
    except InvalidOperation as error:  # an exponent beyond all bounds
        raise Misfit("not a number") from error
    if not number.is_finite():
        raise Misfit("not a finite number")
    return number


def _ticks(column: pa.Array) -> pa.Array:
    """The milliseconds of `/Date(ms)/` and `/Date(ms+0000)/`; the offset only says how to show them."""
    milliseconds = _digits_of_ticks(column).cast(pa.int64())
    least, most = pc.min_max(milliseconds).as_py().values()
    if least is not None and (least < FIRST_MS or most > LAST_MS):
        raise pa.ArrowInvalid("a date lies outside of years 1 to 9999")
    return milliseconds.cast(pa.timestamp("ms", tz="UTC"))


def _digits_of_ticks(column: pa.Array) -> pa.Array:
    # A regular expression costs ten times as much as cutting both ends off, and a page writes all its dates alike.
    suffix = "+0000)/" if (pc.first(column).as_py() or "").endswith("+0000)/") else ")/"
    if pc.all(pc.and_(pc.starts_with(column, "/Date("), pc.ends_with(column, suffix))).as_py() is not False:
        digits = pc.utf8_slice_codeunits(column, 6, -len(suffix))
        if pc.all(pc.ascii_is_decimal(pc.utf8_ltrim(digits, "-"))).as_py() is not False:
            return digits
    _all_match(column, r"^/Date\(-?[0-9]{1,18}(?:[+-][0-9]{1,4})?\)/$")
    return pc.struct_field(pc.extract_regex(column, r"^/Date\((?P<digits>-?[0-9]+)"), "digits")


def _looks_like_ticks(column: pa.Array) -> bool:
    first = pc.first(column).as_py()
    return first is None or first.startswith("/Date(")


def _bulk_moment(column: pa.Array) -> pa.Array:
    if _looks_like_ticks(column):
        return _ticks(column).cast(UTC_MICROSECONDS)
    if pc.all(pc.equal(pc.utf8_slice_codeunits(column, 10, 11), "T")).as_py() is False:
        raise pa.ArrowInvalid("a point in time without a T")  # Arrow's cast takes a space as well
    try:
        return column.cast(UTC_MICROSECONDS)
    except pa.ArrowInvalid:  # SAP writes seven fractional digits where the precision is 7; microseconds are what we keep
        return pc.replace_substring_regex(column, r"(\.[0-9]{6})[0-9]+", r"\1").cast(UTC_MICROSECONDS)


def _bulk_day_of_ticks(column: pa.Array) -> pa.Array:
    if _looks_like_ticks(column):
        return _ticks(column).cast(pa.timestamp("ms")).cast(pa.date32(), safe=False)
    return _bulk_day(column)


def _bulk_day(column: pa.Array) -> pa.Array:
    _all_match(column, r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")
    return column.cast(pa.date32())


def _moment(raw: Any) -> datetime:
    if not isinstance(raw, str):
        raise Misfit("not a point in time")
    if ticks := _TICKS.fullmatch(raw):
        milliseconds = int(ticks[1])
        if not FIRST_MS <= milliseconds <= LAST_MS:
            raise Misfit("outside of the years 1 to 9999")
        return EPOCH + timedelta(milliseconds=milliseconds)
    if (parts := _MOMENT.fullmatch(raw)) is None:
        raise Misfit("not a point in time")
    day, clock, fraction, zone = parts.groups()
    if zone is None:
        raise Misfit("a point in time without a time zone")
    try:
        moment = datetime.fromisoformat(
            f"{day}T{clock}.{_microseconds(fraction)}{zone}" if clock.count(":") == 2 else f"{day}T{clock}{zone}"
        )
        return moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Misfit(f"no such date or time ({error})") from error


def _local_moment(raw: Any) -> datetime:
    """An Edm.DateTime names no zone; V2's JSON gives it in UTC."""
    if isinstance(raw, str) and (parts := _MOMENT.fullmatch(raw)) is not None and parts[4] is None:
        return _moment(raw + "Z")
    return _moment(raw)


def _day(raw: Any) -> date:
    if isinstance(raw, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", raw, re.ASCII):
        try:
            return date.fromisoformat(raw)
        except ValueError as error:
            raise Misfit(f"no such date ({error})") from error
    try:
        return _local_moment(raw).date()
    except Misfit as error:
        raise Misfit(str(error).replace("point in time", "date")) from error


def _plain_day(raw: Any) -> date:
    if isinstance(raw, str) and len(raw) == 10:
        return _day(raw)
    raise Misfit("not a date")


def _bulk_clock_v2(column: pa.Array) -> pa.Array:
    _all_match(column, r"^PT(?:[0-9]{1,2}H)?(?:[0-9]{1,2}M)?(?:[0-9]{1,2}S)?$")
    parts = pc.extract_regex(column, r"^PT(?:(?P<h>[0-9]+)H)?(?:(?P<m>[0-9]+)M)?(?:(?P<s>[0-9]+)S)?$")
    seconds: pa.Array = pa.scalar(0, pa.int64())
    for name, worth in (("h", 3600), ("m", 60), ("s", 1)):
        digits = pc.struct_field(parts, name)
        number = pc.if_else(pc.equal(digits, ""), "0", digits).cast(pa.int64())
        seconds = pc.add(seconds, pc.multiply(number, worth))
    if (pc.max(seconds).as_py() or 0) >= 86_400:
        raise pa.ArrowInvalid("a time of day beyond midnight")
    return pc.multiply(seconds, 1_000_000).cast(pa.time64("us"))


def _bulk_clock_v4(column: pa.Array) -> pa.Array:
    _all_match(column, r"^[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?$")
    return pc.binary_join_element_wise("1970-01-01", column, "T").cast(pa.timestamp("us")).cast(pa.time64("us"))


def _clock(raw: Any) -> time:
    if not isinstance(raw, str):
        raise Misfit("not a time of day")
    try:
        if parts := _CLOCK_V2.fullmatch(raw):
            hours, minutes, seconds = (int(part or 0) for part in parts.groups()[:3])
            return time(hours, minutes, seconds, int(_microseconds(parts[4])))
        if re.fullmatch(r"\d\d:\d\d(:\d\d(\.\d{1,12})?)?", raw, re.ASCII):
            return time.fromisoformat(raw[:15])
    except ValueError as error:
        raise Misfit(f"no such time of day ({error})") from error
    raise Misfit("not a time of day")


def _duration(raw: Any) -> timedelta:
    parts = _DURATION.fullmatch(raw) if isinstance(raw, str) else None
    if parts is None:
        raise Misfit("not a duration")
    days, hours, minutes, seconds = (int(part or 0) for part in parts.groups()[1:5])
    span = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds, microseconds=int(_microseconds(parts[6])))
    return -span if parts[1] else span


def _microseconds(fraction: str | None) -> str:
    return (fraction or "").ljust(6, "0")[:6]


def _binary(raw: Any) -> bytes:
    if not isinstance(raw, str):
        raise Misfit("not base64")
    padded = raw + "=" * (-len(raw) % 4)  # V4 leaves the padding off
    try:
        return urlsafe_b64decode(padded) if "-" in raw or "_" in raw else b64decode(padded, validate=True)
    except ValueError as error:
        raise Misfit("not base64") from error


def _each(kind: pa.DataType, value: Callable[[Any], Any]) -> Callable[[pa.Array], pa.Array]:
    """A bulk reader for what Arrow has no kernel for."""

    def bulk(column: pa.Array) -> pa.Array:
        return pa.array([None if text is None else value(text) for text in column.to_pylist()], kind)

    return bulk


def _json_text(raw: Any) -> str:
    return json.dumps(raw, default=str, ensure_ascii=False, separators=(",", ":"))


JSON_TEXT = Codec(pa.string(), _text, _same, _json_text)  # objects and lists; always read by `value`
INTEGERS = {"Edm.Byte": pa.uint8(), "Edm.SByte": pa.int8(), "Edm.Int16": pa.int16(), "Edm.Int32": pa.int32(), "Edm.Int64": pa.int64()}
FLOATS = {"Edm.Single": pa.float32(), "Edm.Double": pa.float64()}
SIMPLE = {
    "Edm.String": Codec(pa.string(), _text, _same, _string),
    "Edm.Guid": Codec(pa.string(), _text, _same, _string),
    "Edm.Boolean": Codec(pa.bool_(), lambda _: pa.bool_(), _same, _boolean),
    "Edm.DateTime": Codec(UTC_MICROSECONDS, _text, _bulk_moment, _local_moment),
    "Edm.DateTimeOffset": Codec(UTC_MICROSECONDS, _text, _bulk_moment, _moment),
    "Edm.Date": Codec(pa.date32(), _text, _bulk_day, _plain_day),
    "Edm.Time": Codec(pa.time64("us"), _text, _bulk_clock_v2, _clock),
    "Edm.TimeOfDay": Codec(pa.time64("us"), _text, _bulk_clock_v4, _clock),
    "Edm.Duration": Codec(pa.duration("us"), _text, _each(pa.duration("us"), _duration), _duration),
    "Edm.Binary": Codec(pa.binary(), _text, _each(pa.binary(), _binary), _binary),
}
