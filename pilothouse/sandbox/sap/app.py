"""The SAP server as an ASGI application: sessions and faults around the gateways, requests served in threads.

SQLite builds pages outside Python's lock (see `rows.py`), so threads really work side by side; the event loop only
moves bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from pilothouse.sandbox.company.store import Store
from pilothouse.sandbox.credentials import SapCredentials
from pilothouse.sandbox.faults import App, Fault, Faults, FaultyWire, Receive, Refusal, Scope, Send
from pilothouse.sandbox.marking import Marked
from pilothouse.sandbox.sap.access import TOKEN_PATH, Access, unauthorized
from pilothouse.sandbox.sap.batch import Batch
from pilothouse.sandbox.sap.errors import ODataError, body, not_allowed
from pilothouse.sandbox.sap.exchange import Request, Response
from pilothouse.sandbox.sap.gateway import Gateway
from pilothouse.sandbox.sap.services import SERVICES, Service

MAXIMUM_BODY = 16 * 1024 * 1024


def sap_app(
    store: Store,
    credentials: SapCredentials,
    faults: Faults,
    *,
    services: Iterable[Service] = SERVICES,
    page_size: int = 1000,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> App:
    """The whole server."""
    access = Access(credentials)
    gateways = tuple(Gateway(service, store, faults, page_size, now) for service in services)

    def refusals(fault: Fault) -> Refusal | None:
        return _refusal(fault, access)

    return Marked(FaultyWire(Server(gateways, access), faults, "sap", refusals))


@dataclass(frozen=True)
class Server:
    """Reads requests, finds their service, writes responses."""

    gateways: tuple[Gateway, ...]
    access: Access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request, origin = await _request(scope, receive)
        if request is None:
            response = Response(413, b"Request entity too large", "text/plain")
        else:
            response = await asyncio.to_thread(self.answer, request, origin)
        headers = {"content-type": response.content_type, **response.headers} if response.body else dict(response.headers)
        headers["content-length"] = str(len(response.body))
        if response.status in {204, 304}:
            del headers["content-length"]
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": response.status, "headers": raw})
        content = b"" if scope["method"] == "HEAD" else response.body
        await send({"type": "http.response.body", "body": content, "more_body": False})

    def answer(self, request: Request, origin: str) -> Response:
        """Serve one request whose path is still the whole path."""
        if request.path == TOKEN_PATH:
            return self.access.token(request)
        refused = self.access.refused(request.headers)
        if refused is not None:
            return refused
        gateway = self._gateway(request.path)
        if gateway is None:
            error = ODataError(403, "/IWFND/MED/170", f"No service found for '{request.path}'")
            return Response(error.status, body(error, None))
        refused = self.access.unprotected(request)
        if refused is not None:
            return refused
        root = gateway.service.path
        inner = replace(request, path=request.path[len(root) :].lstrip("/"))
        response = _batch(gateway, inner, origin) if inner.path == "$batch" else gateway.answer(inner, origin)
        return replace(response, headers={**response.headers, **self.access.fetched(request)})

    def _gateway(self, path: str) -> Gateway | None:
        for gateway in self.gateways:
            root = gateway.service.path
            if path == root or path.startswith(f"{root}/"):
                return gateway
        return None


def _batch(gateway: Gateway, request: Request, origin: str) -> Response:
    batch = Batch(gateway.service.path, lambda part: gateway.answer(part, origin), gateway.store.writing)
    try:
        if request.method != "POST":
            raise not_allowed(request.method, "$batch")
        return batch.answer(request)
    except ODataError as error:
        return Response(error.status, body(error, gateway.service))


async def _request(scope: Scope, receive: Receive) -> tuple[Request | None, str]:
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    origin = f"{scope.get('scheme', 'http')}://{headers.get('host', 'localhost')}"
    pieces, size, more = [], 0, True
    while more:
        message = await receive()
        piece: bytes = message.get("body", b"")
        size += len(piece)
        if size > MAXIMUM_BODY:
            return None, origin
        pieces.append(piece)
        more = message.get("more_body", False)
    path = scope.get("raw_path") or scope["path"].encode()
    return Request(
        scope["method"], path.decode("latin-1").partition("?")[0], scope["query_string"].decode("latin-1"), headers, b"".join(pieces)
    ), origin


def _refusal(fault: Fault, access: Access) -> Refusal | None:
    """How SAP words a fault of the wire."""
    match fault.kind:
        case "unauthorized":
            response = unauthorized()
            return Refusal(401, response.body, {"content-type": response.content_type, **response.headers})
        case "throttled" | "request_limit":
            return Refusal(429, b"Too Many Requests", {"content-type": "text/plain", "retry-after": f"{fault.seconds:g}"})
        case "expired_session":
            access.expire()
            return None
        case _:
            page = b"<html><head><title>Service unavailable</title></head><body><h1>Server is overloaded or restarting</h1></body></html>"
            return Refusal(fault.status, page, {"content-type": "text/html"})
