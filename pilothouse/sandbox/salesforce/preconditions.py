"""Requests that hold only while a record is as the client saw it: ETags of accounts, the second of the last change of all others."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

import msgspec

from pilothouse.sandbox.company.store import Row
from pilothouse.sandbox.salesforce.errors import ApiError
from pilothouse.sandbox.salesforce.objects import SObject

Precondition = Callable[[Row], None]


def marks(found: SObject, row: Row) -> dict[str, str]:
    """The headers that mark the state of a record. Salesforce gives an ETag to accounts alone."""
    changed = {"last-modified": format_datetime(_second(row), usegmt=True)} if row.get("LastModifiedDate") else {}
    return {**changed, **({"etag": _etag(row)} if found.name == "Account" else {})}


def precondition(found: SObject, headers: Mapping[str, str]) -> Precondition:
    """What a write must meet by its headers; 412 where the record does not."""
    match, since = headers.get("if-match"), headers.get("if-unmodified-since")
    moment = _moment(since) if since else None

    def check(row: Row) -> None:
        if match and found.name == "Account" and match.strip() != "*" and _etag(row) not in [tag.strip() for tag in match.split(",")]:
            raise _failed()
        if moment is not None and _second(row) > moment:
            raise _failed()

    return check


def _etag(row: Row) -> str:
    return f'"{hashlib.blake2b(msgspec.json.encode(row), digest_size=15).hexdigest()}"'


def _second(row: Row) -> datetime:
    return datetime.fromisoformat(str(row["LastModifiedDate"])).astimezone(UTC).replace(microsecond=0)


def _moment(value: str) -> datetime:
    try:
        return parsedate_to_datetime(value).astimezone(UTC)
    except (TypeError, ValueError):
        raise ApiError(400, "INVALID_HEADER", f"If-Unmodified-Since: not a date: {value}") from None


def _failed() -> ApiError:
    return ApiError(412, "PRECONDITION_FAILED", "the record is not in the state that the request asks for")
