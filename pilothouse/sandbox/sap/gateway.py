"""One service: a request in, a response out. It knows OData; sessions, sockets and threads are `app.py`'s."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import msgspec

from pilothouse.sandbox.company.store import Row, Store
from pilothouse.sandbox.faults import Faults
from pilothouse.sandbox.sap import metadata_v2, metadata_v4
from pilothouse.sandbox.sap.errors import ODataError, bad_request, body, delta_gone, locked, not_allowed, not_authorized
from pilothouse.sandbox.sap.exchange import JSON, Request, Response
from pilothouse.sandbox.sap.pages import Page, changed, count, emptied, page
from pilothouse.sandbox.sap.query import Options, encoded, options, parameters
from pilothouse.sandbox.sap.resources import Target, key_of, resolve
from pilothouse.sandbox.sap.rows import Frame, address
from pilothouse.sandbox.sap.services import Service
from pilothouse.sandbox.sap.sql import Sql
from pilothouse.sandbox.sap.views import View
from pilothouse.sandbox.sap.writes import Writer, current_etag, parsed

MAXIMUM_PAGE: Final = 10_000


@dataclass(frozen=True)
class Gateway:
    """An OData service over the store. `page_size` is what it sends unless a client asks for less, or for more up to a limit."""

    service: Service
    store: Store
    faults: Faults
    page_size: int
    now: Callable[[], datetime]

    def answer(self, request: Request, origin: str) -> Response:
        """Serve one request. Never raises for what a client did."""
        try:
            return self._answer(request, origin)
        except ODataError as error:
            return Response(error.status, body(error, self.service), _type(self.service), {**_versions(self.service), **error.headers})

    def _answer(self, request: Request, origin: str) -> Response:
        segments = request.segments
        given = parameters(request.query)
        root = origin + self.service.path
        if not segments or segments == ["$metadata"]:
            if request.method not in {"GET", "HEAD"}:
                raise not_allowed(request.method, segments[0] if segments else "")
            return self._described(bool(segments), root)
        exact = "ieee754compatible=true" in request.headers.get("accept", "").lower()
        view = View(self.service, self.service.sets[0], self.faults, root, exact)
        target = resolve(self.store, view, segments)
        if request.method in {"GET", "HEAD"}:
            return _Read(self, request, target, given, options(given, self.service.version)).response()
        return self._written(request, target)

    def _described(self, metadata: bool, root: str) -> Response:  # noqa: FBT001 - one of two documents
        version = metadata_v2 if self.service.version == 2 else metadata_v4
        if metadata:
            return Response(200, version.metadata(self.service, self.faults).encode(), "application/xml", _versions(self.service))
        return Response(200, version.document(self.service, root), _type(self.service), _versions(self.service))

    def _written(self, request: Request, target: Target) -> Response:
        writer = Writer(self.store, self.now())
        method = request.method
        if self.faults.strike("sap", f"{self.service.path}/{request.path.lstrip('/')}", "locked_row"):
            raise locked(target.view.entity_set.name)
        if self.faults.strike("sap", f"{self.service.path}/{request.path.lstrip('/')}", "not_authorized"):
            raise not_authorized(target.view.entity_set.name)
        if method == "POST":
            tunnelled = request.headers.get("x-http-method", "").upper()
            if tunnelled not in {"MERGE", "PATCH", "PUT", "DELETE"}:
                return self._created(writer, request, target)
            method = tunnelled
        if_match = request.headers.get("if-match")
        if method == "DELETE":
            writer.delete(target, if_match)
            return Response(204, headers=_versions(self.service))
        if method not in {"PATCH", "MERGE", "PUT"}:
            raise not_allowed(method, target.view.entity_set.name)
        changed = writer.update(target, parsed(request.body), if_match, whole=method == "PUT")
        headers = {**_versions(self.service), "etag": current_etag(self.store, target.view, changed)}
        if self.service.version == 4 and request.preference("return") != "minimal":
            return self._one(target.view, changed, Options(), 200)
        return Response(204, headers=headers)

    def _created(self, writer: Writer, request: Request, target: Target) -> Response:
        if target.single or target.tail:
            raise not_allowed("POST", target.view.entity_set.name)
        body = parsed(request.body)
        created = writer.create(target.view, body, target.given)
        # What was created deep comes back deep.
        inline = {
            navigation.name: Options()
            for navigation in target.view.entity_set.navigations
            if isinstance(body.get(navigation.name), list | dict)
        }
        response = self._one(target.view, created, Options(expand=inline), 201)
        return replace(response, headers={**response.headers, "location": self.address(target.view, created)})

    def address(self, view: View, row: Row) -> str:
        """The absolute URL of a row."""
        return f"{view.root}/{address(view, key_of(view, row))}"

    def _one(self, view: View, found: Row, options: Options, status: int) -> Response:
        where = Sql(" AND ".join(f't0."{name}" = ?' for name in view.entity.key), tuple(key_of(view, found)))
        return self.single(view, where, options, status, etag=current_etag(self.store, view, found) if view.entity_set.writable else "")

    def single(self, view: View, where: Sql, options: Options, status: int, *, etag: str) -> Response:
        """One row as a response."""
        frame = Frame(view, options)
        statement = "SELECT " + frame.columns + f" FROM {view.entity.table} t0 WHERE " + where
        (text,) = frame.finished(self.store.rows(statement.text, statement.values))
        headers = {**_versions(self.service), **({"etag": etag} if etag else {})}
        if self.service.version == 2:
            return Response(status, b'{"d":' + text.encode() + b"}", JSON, headers)
        context = f'{{"@odata.context":{_quoted(f"$metadata#{view.entity_set.name}/$entity")}'
        return Response(status, f"{context}{',' if text != '{}' else ''}{text[1:]}".encode(), _type(self.service), headers)


@dataclass(frozen=True)
class _Read:
    """One GET of a set, a row, a property or a count."""

    gateway: Gateway
    request: Request
    target: Target
    given: dict[str, str]
    options: Options

    def response(self) -> Response:
        target, gateway = self.target, self.gateway
        if target.tail == ("$count",):
            number = count(gateway.store, target.view, self.options, target.restriction)
            return Response(200, str(number).encode(), "text/plain;charset=utf-8", _versions(gateway.service))
        self._check_format()
        if not target.single:
            return self._collection()
        assert target.row is not None
        assert target.restriction is not None
        etag = current_etag(gateway.store, target.view, target.row) if target.view.entity_set.writable else ""
        if etag and self.request.headers.get("if-none-match") == etag:
            return Response(304, headers={**_versions(gateway.service), "etag": etag})
        if target.tail:
            return self._property(target.tail)
        return gateway.single(target.view, target.restriction, self.options, 200, etag=etag)

    def _check_format(self) -> None:
        """Atom is what SAP sends to a client that does not ask for JSON; this server has JSON only, and says so."""
        wanted = self.given.get("$format", self.request.headers.get("accept", "*/*")).lower()
        if self.target.tail[1:] != ("$value",) and not any(kind in wanted for kind in ("json", "*/*", "application/*")):
            raise ODataError(406, "/IWBEP/CM_MGW_RT/014", f"The format '{wanted}' is not supported: ask for application/json")

    def _property(self, tail: Sequence[str]) -> Response:
        assert self.target.restriction is not None
        gateway, name = self.gateway, tail[0]
        one = gateway.single(self.target.view, self.target.restriction, Options(select=(name,)), 200, etag="")
        found = msgspec.json.decode(one.body)
        value = found["d"][name] if gateway.service.version == 2 else found[name]
        if len(tail) == 2:
            return Response(200, str(value).encode(), "text/plain;charset=utf-8", _versions(gateway.service))
        shown: dict[str, Any] = {"d": {name: value}} if gateway.service.version == 2 else {"@odata.context": "$metadata", "value": value}
        return Response(200, msgspec.json.encode(shown), _type(gateway.service), _versions(gateway.service))

    def _collection(self) -> Response:
        gateway, view, path = self.gateway, self.target.view, f"{self.gateway.service.path}/{self.request.path.lstrip('/')}"
        size, preferences = self._size()
        plain = self.target.restriction is None
        if gateway.faults.strike("sap", path, "empty_page"):
            found = emptied(gateway.store, self.options, track=plain and view.entity_set.delta and self._tracks())
        elif self.options.delta_token is not None:
            if not plain or not view.entity_set.delta or gateway.faults.strike("sap", path, "expired_delta"):
                raise delta_gone()
            found = changed(gateway.store, view, self.options, size)
        else:
            tracked = plain and view.entity_set.delta and self._tracks()
            found = page(gateway.store, view, self.options, self.target.restriction, size, track=tracked)
            if tracked and gateway.service.version == 4:
                preferences.append("odata.track-changes")
        if gateway.faults.strike("sap", path, "next_loop"):
            found = replace(found, next_token="", delta_token=None)
        headers = {**_versions(gateway.service), **({"preference-applied": ", ".join(preferences)} if preferences else {})}
        head, tail = self._v2(found) if gateway.service.version == 2 else self._v4(found)
        # Rows are copied once here: a page of 5,000 is eight megabytes, and each copy costs a tenth of its making.
        body = b"".join([head.encode(), ",".join(found.rows).encode(), tail.encode()])
        return Response(200, body, _type(gateway.service), headers)

    def _tracks(self) -> bool:
        """V4 tracks on request, V2 always; the next pages of a tracked read know from their token."""
        return self.gateway.service.version == 2 or self.request.preference("odata.track-changes") is not None

    def _size(self) -> tuple[int, list[str]]:
        wanted = self.request.preference("odata.maxpagesize")
        if wanted is None:
            return self.gateway.page_size, []
        if not re.fullmatch(r"0*[1-9][0-9]{0,17}", wanted):
            raise bad_request(f"Invalid preference odata.maxpagesize '{wanted}'")
        size = min(int(wanted), MAXIMUM_PAGE)
        return size, [f"odata.maxpagesize={size}"]

    def _link(self, token: str, *, delta: bool) -> str:
        """A link with the same options and the token in place of the position. Without a token it leads back here."""
        if not token:
            return encoded(self.given)
        moving = {"$skiptoken", "$deltatoken", "!deltatoken"} | ({"$skip", "$top", "$count", "$inlinecount"} if delta else set())
        kept = {name: value for name, value in self.given.items() if name not in moving}
        version = self.gateway.service.version
        if delta:
            return encoded({**kept, "$deltatoken": token} if version == 4 else {**kept, "!deltatoken": f"'{token}'"})
        if self.options.delta_token is not None:
            kept |= {"$deltatoken": self.options.delta_token} if version == 4 else {"!deltatoken": f"'{self.options.delta_token}'"}
        return encoded({**kept, "$skiptoken": token})

    def _v2(self, found: Page) -> tuple[str, str]:
        """What stands before the rows and after them."""
        counted = "" if found.count is None else f'"__count":"{found.count}",'
        base = f"{self.target.view.root}/{self.request.path.lstrip('/')}"
        return f'{{"d":{{{counted}"results":[', f"]{self._links(found, base, '__next', '__delta')}}}}}"

    def _v4(self, found: Page) -> tuple[str, str]:
        """What stands before the rows and after them. Links are relative to the request, as S/4HANA writes them."""
        delta = "/$delta" if self.options.delta_token is not None else ""
        selected = f"({','.join(self.options.select)})" if self.options.select else ""
        context = _quoted(f"$metadata#{self.target.view.entity_set.name}{selected}{delta}")
        counted = "" if found.count is None else f'"@odata.count":{found.count},'
        base = self.request.path.strip("/").rsplit("/", 1)[-1]
        tail = f"]{self._links(found, base, '@odata.nextLink', '@odata.deltaLink')}}}"
        return f'{{"@odata.context":{context},{counted}"value":[', tail

    def _links(self, found: Page, base: str, following: str, delta: str) -> str:
        links = ""
        if found.next_token is not None:
            links += f',"{following}":{_quoted(f"{base}?{self._link(found.next_token, delta=False)}")}'
        if found.delta_token is not None:
            links += f',"{delta}":{_quoted(f"{base}?{self._link(found.delta_token, delta=True)}")}'
        return links


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()


def _type(service: Service) -> str:
    return "application/json;charset=utf-8" if service.version == 2 else "application/json;odata.metadata=minimal;charset=utf-8"


def _versions(service: Service) -> dict[str, str]:
    return {"dataserviceversion": "2.0"} if service.version == 2 else {"odata-version": "4.0"}
