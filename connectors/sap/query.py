"""Addresses and literals of OData, which differ between V2 and V4."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import parse_qsl, quote, urljoin, urlsplit, urlunsplit

from connectors.sap.metadata import Property
from pilothouse.kernel.errors import SourceContractChanged

READABLE = "$'(),:*/;!@-._~"


def address(path: str, options: Mapping[str, str]) -> str:
    """A path with its query. Spaces become %20: some gateways take a `+` for a plus sign."""
    query = "&".join(f"{name}={quote(value, safe=READABLE)}" for name, value in options.items() if value)
    return f"{path}?{query}" if query else path


def option(url: str, name: str) -> str | None:
    """One query option of an address."""
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True)).get(name)


def with_option(url: str, name: str, value: str) -> str:
    """The address with one query option replaced or added; the others stay as they are written."""
    parts = urlsplit(url)
    others = [pair for pair in parts.query.split("&") if pair and pair.partition("=")[0] not in (name, quote(name))]
    return urlunsplit(parts._replace(query="&".join([*others, f"{name}={quote(value, safe=READABLE)}"])))


def resolved(request_url: str, link: str) -> str:
    """Where a link leads, as an address like the request's.

    V4 links may be relative to the request. Of an absolute link only what follows the service counts: behind a gateway
    a server writes the host and path it knows itself by, which cannot be reached from outside, and our credentials go
    to one host only.
    """
    parts = urlsplit(urljoin(request_url, link))
    folder = urlsplit(request_url).path.rpartition("/")[0].strip("/")
    _, service, rest = parts.path.partition(f"/{folder}/")
    path = f"{folder}/{rest}" if service and not request_url.startswith(("/", "http")) else parts.path
    return urlunsplit(("", "", path, parts.query, ""))


def literal(moment: datetime, prop: Property, version: int, *, where: str) -> str:
    """A point in time as the type of the property wants it written in a filter."""
    day, clock = f"{moment:%Y-%m-%d}", f"{moment:%H:%M:%S}" + (f".{moment.microsecond:06d}" if moment.microsecond else "")
    if prop.edm == "Edm.DateTime":
        return f"datetime'{day}T{'00:00:00' if prop.day else clock}'"
    if prop.edm == "Edm.DateTimeOffset":
        return f"{day}T{clock}Z" if version == 4 else f"datetimeoffset'{day}T{clock}Z'"
    if prop.edm == "Edm.Date":
        return day
    raise SourceContractChanged(
        f"{where}: {prop.name} is of type {prop.native_type} and does not tell when a row changed",
        hint="declare a field of type Edm.DateTimeOffset, Edm.DateTime or Edm.Date as cursor, or none",
    )
