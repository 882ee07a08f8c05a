"""The Salesforce server as an ASGI application: logins, sessions, limits and faults around the data API.

Requests are answered in a few threads, because SQLite works outside of Python's lock; the event loop only moves bytes.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

import msgspec

from pilothouse.sandbox.company.salesforce import record_id
from pilothouse.sandbox.company.store import Store
from pilothouse.sandbox.credentials import SalesforceCredentials
from pilothouse.sandbox.faults import App, Fault, Faults, FaultyWire, Receive, Refusal, Scope, Send
from pilothouse.sandbox.marking import Marked
from pilothouse.sandbox.salesforce.bulk_ingest import LARGEST
from pilothouse.sandbox.salesforce.calls import Answer, Call, answered, refused
from pilothouse.sandbox.salesforce.errors import ApiError
from pilothouse.sandbox.salesforce.logins import Logins
from pilothouse.sandbox.salesforce.objects import Objects
from pilothouse.sandbox.salesforce.routes import Routes
from pilothouse.sandbox.salesforce.sessions import Session, Sessions
from pilothouse.sandbox.salesforce.usage import Usage, limit_exceeded

VERSIONS: Final = range(50, 65)  # of the API
_THREADS: Final = 6
_DATA: Final = re.compile(r"/services/data/v(\d+\.0)(/.*)?")
_SOAP: Final = re.compile(r"/services/Soap/[uc]/(\d+\.0)(?:/\w+)?")
_SMALL: Final = 1024  # bytes; compressing less costs more than it saves


@dataclass(frozen=True, kw_only=True)
class OrgSettings:
    """What an administrator of a real org would set."""

    session_life: timedelta = timedelta(hours=2)
    daily_requests: int = 100_000


def salesforce_app(
    store: Store,
    credentials: SalesforceCredentials,
    faults: Faults,
    settings: OrgSettings | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> App:
    """The whole server."""
    settings = settings or OrgSettings()
    sessions = Sessions(settings.session_life)
    usage = Usage(settings.daily_requests, now)
    logins = Logins(credentials, sessions, _integration_user(store))
    server = Server(logins, sessions, usage, Routes(Objects(store, faults), faults, usage, now))

    def refusals(fault: Fault) -> Refusal | None:
        if fault.kind == "expired_session":
            # Nobody is known any more: the request itself finds out, and so does every other session.
            sessions.end_all()
            return None
        return _refusal(fault)

    return Marked(FaultyWire(server, faults, "salesforce", refusals))


class Server:
    """Reads requests, checks the session, writes answers."""

    def __init__(self, logins: Logins, sessions: Sessions, usage: Usage, routes: Routes) -> None:
        self._logins = logins
        self._sessions = sessions
        self._usage = usage
        self._routes = routes
        self._threads = ThreadPoolExecutor(_THREADS, "salesforce")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        body = await _body(receive)
        if body is None:
            answer = refused(_too_large())
        else:
            answer = await self._threaded(self._packed, scope, headers, body)
        if isinstance(answer.body, bytes):
            await send(_start(answer, {"content-length": str(len(answer.body))} if answer.status != 204 else {}))
            await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.body})
            return
        await send(_start(answer, {}))
        pieces = iter(answer.body)
        while (piece := await self._threaded(next, pieces, None)) is not None:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _threaded(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    def _packed(self, scope: Scope, headers: Mapping[str, str], body: bytes) -> Answer:
        try:
            answer = self._answer(scope, headers, _unpacked(body, headers.get("content-encoding", "")))
        except ApiError as error:
            answer = refused(error)
        return _compressed(answer, headers.get("accept-encoding", ""))

    def _answer(self, scope: Scope, headers: Mapping[str, str], body: bytes) -> Answer:
        path: str = scope["path"]
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        origin = f"{scope.get('scheme', 'https')}://{headers.get('host', 'localhost')}"
        if path.startswith(("/services/oauth2/", "/id/")):
            return self._identified(path, scope["method"], {**query, **_form(headers, body)}, headers, origin)
        soap = _SOAP.fullmatch(path.rstrip("/"))
        if soap is not None:
            return self._logins.soap(body.decode("utf-8", "replace"), soap[1], origin)
        if path.rstrip("/") == "/services/data":
            return answered([_version(number) for number in VERSIONS])
        data = _DATA.fullmatch(path)
        if data is None or int(float(data[1])) not in VERSIONS:
            return refused(ApiError.not_found())
        raw = scope.get("raw_path", path.encode()).decode("latin-1")
        rest = tuple(unquote(part) for part in raw.partition(data[1])[2].split("/") if part)
        return self._counted(scope["method"], data[1], rest, query, headers, body)

    def _counted(
        self, method: str, version: str, rest: tuple[str, ...], query: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> Answer:
        """A call of the data API: for a session only, and within the day's limit."""
        session = self._session(headers)
        if session is None:
            return _unknown_session()
        try:
            self._usage.count()
            call = Call(method=method, version=version, rest=rest, session=session, query=query, headers=headers, body=body)
            answer = self._routes.dispatch(call)
        except ApiError as error:
            answer = refused(error)
        return replace(answer, headers={**answer.headers, "sforce-limit-info": self._usage.header()})

    def _identified(self, path: str, method: str, form: Mapping[str, str], headers: Mapping[str, str], origin: str) -> Answer:
        if path == "/services/oauth2/token" and method == "POST":
            return self._logins.token(form, headers.get("authorization", ""), origin)
        if path == "/services/oauth2/revoke":
            return self._logins.revoke(form)
        if path == "/services/oauth2/userinfo" or path.startswith("/id/"):
            session = self._session(headers)
            return _unknown_session() if session is None else self._logins.who(session, origin)
        return refused(ApiError.not_found())

    def _session(self, headers: Mapping[str, str]) -> Session | None:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        return self._sessions.find(token.strip()) if scheme.lower() in {"bearer", "oauth"} else None


def _integration_user(store: Store) -> str:
    """The user who logs in: the first of the org, who owns what has no other owner."""
    found = next(store.rows('SELECT MIN("Id") FROM salesforce_User'), (None,))[0]
    return str(found or record_id("User", 1))


def _refusal(fault: Fault) -> Refusal | None:
    errors = {
        "unauthorized": ApiError(401, "INVALID_SESSION_ID", "Session expired or invalid"),
        "throttled": ApiError(429, "TOO_MANY_REQUESTS", "Too many requests; try again later"),
        "unavailable": ApiError(fault.status, "SERVER_UNAVAILABLE", "The server is temporarily unavailable"),
        "request_limit": limit_exceeded(),
    }
    error = errors.get(fault.kind)
    if error is None:
        return None
    headers = {"content-type": "application/json;charset=UTF-8"}
    if fault.kind == "throttled":
        headers["retry-after"] = f"{fault.seconds:g}"
    return Refusal(error.status, error.body(), headers)


def _unknown_session() -> Answer:
    answer = refused(ApiError(401, "INVALID_SESSION_ID", "Session expired or invalid"))
    return replace(answer, headers={"www-authenticate": "Token"})


def _version(number: int) -> dict[str, str]:
    season, year = divmod(number - 50, 3)[::-1]
    label = f"{('Winter', 'Spring', 'Summer')[season]} '{21 + year}"
    return {"label": label, "url": f"/services/data/v{number}.0", "version": f"{number}.0"}


def _form(headers: Mapping[str, str], body: bytes) -> dict[str, str]:
    kind = headers.get("content-type", "")
    if kind.startswith("application/json"):
        try:
            content = msgspec.json.decode(body)
        except msgspec.DecodeError:
            return {}
        return {str(name): str(value) for name, value in content.items()} if isinstance(content, dict) else {}
    return dict(parse_qsl(body.decode("latin-1"), keep_blank_values=True))


async def _body(receive: Receive) -> bytes | None:
    """The request's body; None where it is too long."""
    pieces, size, more = [], 0, True
    while more:
        message = await receive()
        piece: bytes = message.get("body", b"")
        size += len(piece)
        if size <= LARGEST:
            pieces.append(piece)
        more = message.get("more_body", False)
    return None if size > LARGEST else b"".join(pieces)


def _too_large() -> ApiError:
    return ApiError(413, "REQUEST_ENTITY_TOO_LARGE", f"A request takes {LARGEST} bytes at most")


def _unpacked(body: bytes, encoding: str) -> bytes:
    """A body as it was before its sender compressed it. A small one that unpacks to gigabytes is stopped at the limit."""
    if encoding.strip().lower() in {"", "identity"}:
        return body
    if encoding.strip().lower() != "gzip":
        raise ApiError(415, "UNSUPPORTED_MEDIA_TYPE", f"Content-Encoding: gzip, not {encoding}")
    from isal import isal_zlib

    unpacker = isal_zlib.decompressobj(31)
    try:
        content: bytes = unpacker.decompress(body, LARGEST + 1)
    except isal_zlib.IsalError as error:  # type: ignore[misc]  # its stubs take the class for one of its instances
        raise ApiError.malformed("the body is no gzip, whatever its Content-Encoding says") from error
    if len(content) > LARGEST:
        raise _too_large()
    if not unpacker.eof:
        raise ApiError.malformed("the gzip of the body breaks off")
    return content


def _start(answer: Answer, length: Mapping[str, str]) -> dict[str, Any]:
    kind = {"content-type": answer.content_type} if answer.status != 204 and answer.body != b"" else {}
    headers = {**kind, **length, **answer.headers}
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "http.response.start", "status": answer.status, "headers": raw}


def _compressed(answer: Answer, accepted: str) -> Answer:
    offers = {offer.partition(";")[0].strip().lower() for offer in accepted.split(",") if "q=0" not in offer.replace("q=0.", "")}
    if "gzip" not in offers or (isinstance(answer.body, bytes) and len(answer.body) < _SMALL):
        return answer
    from isal import igzip

    headers = {**answer.headers, "content-encoding": "gzip", "vary": "accept-encoding"}
    if isinstance(answer.body, bytes):
        return replace(answer, body=igzip.compress(answer.body, 1), headers=headers)
    return replace(answer, body=_zipped(answer.body), headers=headers)


def _zipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    from isal import isal_zlib

    packer = isal_zlib.compressobj(1, isal_zlib.DEFLATED, 31)
    for piece in pieces:
        packed = packer.compress(piece)
        if packed:
            yield packed
    yield packer.flush()
