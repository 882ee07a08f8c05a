"""One OData response, opened only as far as paging and decoding need: rows stay bytes, links stay text."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from connectors.http.exchange import Page, Response
from pilothouse.kernel.errors import SourceContractChanged, SourceError, SourceUnavailable

SYNTHETIC_HEADER = "x-pilothouse-synthetic"
DELETION_MARKS = (b'"@removed"', b'"@odata.removed"', b"$deletedEntity")


@dataclass(frozen=True, kw_only=True)
class ODataPage(Page):
    """One page: its rows and its deletions as JSON bytes, and where to go on now (`next_link`) or later (`delta_link`)."""

    rows: Sequence[bytes | msgspec.Raw] = field(repr=False)
    deletions: Sequence[bytes] = ()
    delta_link: str | None = None
    marks: frozenset[int] = field(default=frozenset(), repr=False)  # of all rows that came; asked for where pages are counted
    joined: bool = True  # whether it begins with a row that the page before has brought

    @property
    def synthetic(self) -> bool:
        """Whether the server says that its rows are invented."""
        return self.response.headers.get(SYNTHETIC_HEADER, "").strip().lower() == "true"


class _Results(msgspec.Struct):
    results: list[msgspec.Raw]
    next_link: str | None = msgspec.field(name="__next", default=None)
    delta_link: str | None = msgspec.field(name="__delta", default=None)


class _V2(msgspec.Struct):
    d: _Results


class _V4(msgspec.Struct):
    value: list[msgspec.Raw]
    next_link: str | None = msgspec.field(name="@odata.nextLink", default=None)
    delta_link: str | None = msgspec.field(name="@odata.deltaLink", default=None)


_V2_DECODER = msgspec.json.Decoder(_V2)
_V4_DECODER = msgspec.json.Decoder(_V4)


def open_page(response: Response, version: int, *, where: str, with_deletions: bool = False) -> ODataPage:
    """The page in a response; deletions are looked for only where a delta link was followed. A body that ends too
    early is transient (a connection was cut); one that is no OData page at all is a changed contract."""
    body = _utf8(response, where)
    try:
        page: _Results | _V4 = _V4_DECODER.decode(body) if version == 4 else _V2_DECODER.decode(body).d
    except msgspec.DecodeError as error:
        raise _unreadable(body, error, where) from error
    except UnicodeDecodeError as error:
        raise SourceContractChanged(
            f"{where}: a page holds a name that is not UTF-8: {error}", hint="report it to the service's owner"
        ) from error
    rows = page.results if isinstance(page, _Results) else page.value
    live, deletions = _split(map(bytes, rows)) if with_deletions else (rows, [])
    return ODataPage(
        response=Response(status=response.status, headers=response.headers, body=b"", url=response.url),
        count=len(rows),
        next_link=page.next_link or None,
        delta_link=page.delta_link or None,
        rows=live,
        deletions=deletions,
    )


def joined(page: ODataPage, before: frozenset[int]) -> ODataPage:
    """The page without the rows that the page before has brought, and whether it goes on from there."""
    marks = [hash(bytes(row)) for row in page.rows]
    rows = [row for row, mark in zip(page.rows, marks, strict=True) if mark not in before]
    return replace(page, rows=rows, marks=frozenset(marks), joined=not before or (bool(marks) and marks[0] in before))


def _split(rows: Iterable[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Rows and deletions apart."""
    live: list[bytes] = []
    deletions: list[bytes] = []
    for row in rows:
        (deletions if _is_deletion(row) else live).append(row)
    return live, deletions


def _is_deletion(row: bytes) -> bool:
    if not any(mark in row for mark in DELETION_MARKS):
        return False
    # A row's text may hold a mark by chance: only the row's own names and its context count.
    fields = msgspec.json.decode(row, type=dict[str, msgspec.Raw])
    context = bytes(fields.get("@odata.context", msgspec.Raw(b""))).rstrip(b'"')
    return "@removed" in fields or "@odata.removed" in fields or context.endswith(b"$deletedEntity")


def _utf8(response: Response, where: str) -> bytes:
    """The body as UTF-8: a byte order mark goes, and another charset that the server declares is converted."""
    body = response.body.removeprefix(codecs.BOM_UTF8)
    declared = response.headers.get("content-type", "").lower().partition("charset=")[2].partition(";")[0].strip(" \"'")
    if declared in ("", "utf-8", "utf8"):
        return body
    try:
        return body.decode(declared).encode()
    except (LookupError, UnicodeDecodeError) as error:
        raise SourceContractChanged(
            f"{where}: a page is not in its declared charset {declared!r}: {error}", hint="report it to the service's owner"
        ) from error


def _unreadable(body: bytes, error: msgspec.DecodeError, where: str) -> SourceError:
    if "truncated" in str(error) and not _is_json(body):
        return SourceUnavailable(
            f"{where}: a page ends in the middle, after {len(body)} bytes", hint="the connection was cut; the page is read again"
        )
    return SourceContractChanged(
        f"{where}: a page is no OData page: {error}", hint="the service answers otherwise than its $metadata says; report it to its owner"
    )


def _is_json(body: bytes) -> bool:
    # The fast parser also calls a document truncated that ends in half a surrogate pair.
    try:
        json.loads(body)
    except ValueError:
        return False
    return True
