"""The one way in which connectors speak HTTP: retried, budgeted, broken off in time, and failing in our words.

A response is read as a stream and refused above a limit, because one 300 MB value must not take a worker down.
Requests go to the base URL's own host only: a next link must not carry our credentials elsewhere. Redirects are not
followed for the same reason.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

import httpx
import structlog

from connectors.http.breaker import CircuitBreaker, breaker_of
from connectors.http.budget import RequestBudget
from connectors.http.exchange import Request, Response
from connectors.http.retry import Retry
from connectors.http.translation import FAILURES, Blame, refused, too_large, translate, wrong_media_type
from pilothouse.kernel.errors import ConfigError, SourceContractChanged, SourceError

T = TypeVar("T")
LARGEST_RESPONSE = 64 * 2**20
BEGINNING = 8192

log = structlog.get_logger("connectors.http")


class HttpClient:
    """A connection to one source. Safe to use from several threads; `close` wakes those that wait for a retry."""

    def __init__(
        self,
        source: str,
        base_url: str,
        *,
        auth: httpx.Auth | tuple[str, str] | None = None,
        verify: bool | str | Path = True,
        headers: Mapping[str, str] | None = None,
        timeout: float = 60.0,
        retry: Retry | None = None,
        breaker: CircuitBreaker | None = None,
        budget: RequestBudget | None = None,
        largest_response: int = LARGEST_RESPONSE,
        blame: Blame | None = None,
    ) -> None:
        self.source = source
        self.blame = blame or Blame(source=source)
        self.base_url = base_url.rstrip("/") + "/"
        self.budget = budget or RequestBudget(source)
        self._origin = _origin(self.base_url)
        self._retry = retry or Retry()
        self._breaker = breaker or breaker_of(source, self._origin)
        self._largest = largest_response
        self._closed = threading.Event()
        self._http = httpx.Client(
            auth=auth,
            verify=_tls(verify, self.blame) if self._origin.startswith("https:") else False,  # links lead nowhere else
            headers={"User-Agent": "pilothouse", "Accept-Encoding": "gzip", **(headers or {})},
            timeout=httpx.Timeout(timeout, connect=min(timeout, 15.0)),
            follow_redirects=False,
            limits=httpx.Limits(max_connections=16, max_keepalive_connections=8, keepalive_expiry=30.0),
        )

    def send(self, request: Request) -> Response:
        """The whole response. Raises a SourceError for everything that is not a success or among `request.answers`."""
        return self.fetch(request, lambda response: response)

    def fetch(self, request: Request, opened: Callable[[Response], T]) -> T:
        """The response, opened by `opened`; where that raises a transient error, such as for a body that was cut, the
        request is repeated like after any other transient failure."""
        return self._repeating(request, lambda: opened(self._receive(request)))

    @contextmanager
    def stream(self, request: Request) -> Iterator[tuple[Response, Iterator[bytes]]]:
        """The response (its body empty) and its pieces as they come, decompressed and without a limit of size. Opening
        is retried; a failure while reading is a SourceUnavailable, and the caller knows from where to go on."""
        answer = self._repeating(request, lambda: self._open(request))
        try:
            yield _head(answer), self._watched(self._pieces(answer, request))
        finally:
            answer.close()

    def close(self) -> None:
        """Give the connections back."""
        self._closed.set()
        self._http.close()

    def _repeating(self, request: Request, attempt: Callable[[], T]) -> T:
        """What `attempt` returns, tried as often as it is of use."""
        started = time.monotonic()
        tries = 0
        while True:
            tries += 1
            self._breaker.before()
            self._wait(self.budget.take())
            try:
                result = attempt()
            except SourceError as error:
                self._tell_breaker(error)
                pause = self._retry.pause(tries, error, time.monotonic() - started) if request.may_repeat else None
                if pause is None:
                    raise
                log.warning(
                    "request repeated", source=self.source, url=request.url, attempt=tries, pause=round(pause, 2), error=error.message
                )
                self._wait(pause)
            else:
                self._breaker.succeeded()
                return result

    def _tell_breaker(self, error: SourceError) -> None:
        # A source that says 404 is alive: only silence and "come back later" count.
        if error.transient:
            self._breaker.failed()
        else:
            self._breaker.succeeded()

    def _receive(self, request: Request) -> Response:
        """One attempt at a whole response."""
        answer = self._open(request)
        try:
            if int(answer.headers.get("content-length") or 0) > self._largest:
                raise too_large(self._largest, self.blame, str(answer.url))
            pieces, size = [], 0
            for piece in self._pieces(answer, request):
                pieces.append(piece)
                size += len(piece)
                if size > self._largest:
                    raise too_large(self._largest, self.blame, str(answer.url))
        finally:
            answer.close()
        head = _head(answer)
        return Response(status=head.status, headers=head.headers, url=head.url, body=b"".join(pieces))

    def _open(self, request: Request) -> httpx.Response:
        """A response whose head is good and whose body is unread."""
        url = self._address(request.url)
        try:
            built = self._http.build_request(
                request.method, url, params=dict(request.params) or None, headers=dict(request.headers), content=request.body
            )
            answer = self._http.send(built, stream=True)
        except FAILURES as error:
            raise translate(error, self.blame, url) from error
        objection = self._objection(answer, request)
        if objection is not None:
            answer.close()
            raise objection
        return answer

    def _objection(self, answer: httpx.Response, request: Request) -> SourceError | None:
        """Why a response is not what was asked for, judged by its head; None where it is."""
        url = str(answer.url)
        if answer.status_code in request.answers:
            return None
        if not answer.is_success:
            return refused(answer.status_code, answer.headers, self._beginning(answer, request), self.blame, request, url)
        media_type = answer.headers.get("content-type", "")
        if not media_type or wrong_media_type(media_type, b"", self.blame, request, url) is None:
            return None  # a server that names no type is taken at its word by the parser
        return wrong_media_type(media_type, self._beginning(answer, request), self.blame, request, url)

    def _beginning(self, answer: httpx.Response, request: Request) -> bytes:
        """The first bytes of a body, for an error message; what can be had of it."""
        body = b""
        try:
            for piece in self._pieces(answer, request):
                body += piece
                if len(body) >= BEGINNING:
                    break
        except SourceError as error:
            log.info("no error text", source=self.source, reason=error.message)
        return body[:BEGINNING]

    def _pieces(self, answer: httpx.Response, request: Request) -> Generator[bytes, None, None]:
        try:
            yield from answer.iter_bytes()
        except FAILURES as error:
            raise translate(error, self.blame, self._address(request.url)) from error

    def _watched(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        try:
            yield from pieces
        except SourceError as error:
            self._tell_breaker(error)
            raise

    def _address(self, url: str) -> str:
        try:
            address = urljoin(self.base_url, url)
            origin = _origin(address)
        except ValueError as error:
            raise translate(httpx.InvalidURL(str(error)), self.blame, url) from error
        if origin != self._origin:
            raise SourceContractChanged(
                f"{self.source}: a link leads to {origin}, away from {self._origin}; our credentials do not go there",
                hint=f"if the service moved, set {self.blame.setting('url')} to its new address",
            )
        return address

    def _wait(self, seconds: float) -> None:
        if seconds > 0 and self._closed.wait(seconds):
            raise SourceError(f"{self.source}: the connection was closed while a request waited for its turn", hint="sync again")


def _head(answer: httpx.Response) -> Response:
    return Response(status=answer.status_code, headers={k.lower(): v for k, v in answer.headers.items()}, body=b"", url=str(answer.url))


def _origin(url: str) -> str:
    """Scheme, host and port; the default port is spelled out, so that `https://a` and `https://a:443` are one."""
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    return f"{parts.scheme}://{(parts.hostname or '').lower()}:{port}"


def _tls(verify: bool | str | Path, blame: Blame) -> ssl.SSLContext | bool:  # noqa: FBT001 - httpx's own convention
    """What httpx checks certificates against: the system's authorities, those of a PEM file, or nothing at all."""
    if isinstance(verify, bool):
        return ssl.create_default_context() if verify else False
    try:
        return ssl.create_default_context(cafile=str(verify))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"{blame.source}: no certificate authority can be read from {str(verify)!r}: {error}",
            hint=f"set {blame.setting('verify')} to a PEM file",
        ) from error
