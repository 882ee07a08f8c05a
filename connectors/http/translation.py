"""Every way in which HTTP fails, as one of our errors.

Each failure names the source, what happened and where, and the setting that mends it. What may pass by itself is a
SourceUnavailable; everything else would fail the same way again.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx

from connectors.http.exchange import Request
from connectors.http.retry import retry_after
from pilothouse.kernel.errors import CredentialsRejected, SourceContractChanged, SourceError, SourceUnavailable

TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
MEDIA_TYPES: Mapping[str, re.Pattern[str]] = {
    "json": re.compile(r"application/([\w.+-]+\+)?json"),
    "xml": re.compile(r"(application|text)/([\w.+-]+\+)?xml"),
    "csv": re.compile(r"(text/csv|application/csv|application/octet-stream|text/plain)"),
    "anything": re.compile(r""),
}
EXCERPT = 300


@dataclass(frozen=True, kw_only=True)
class Blame:
    """Who is talked about in an error: the source, and its settings that hints name."""

    source: str
    credentials: tuple[str, ...] = ("user", "password")

    def setting(self, *path: str) -> str:
        """The environment variable behind a setting of this source, such as PILOTHOUSE_SOURCES__S4__PASSWORD."""
        name = re.sub(r"[^A-Za-z0-9_]", "_", self.source)
        return "__".join(("PILOTHOUSE_SOURCES", name.upper(), *(part.upper() for part in path)))

    def credential_settings(self) -> str:
        """The settings that say who we are, as a list for people."""
        return " and ".join(self.setting(name) for name in self.credentials)


def translate(error: Exception, blame: Blame, url: str) -> SourceError:
    """The SourceError for what httpx, the TLS library or the operating system raised."""
    for kind, translation in TRANSLATIONS:
        if isinstance(error, kind):
            return translation(error, blame, _shown(url))
    raise TypeError(f"{type(error).__name__} is no HTTP failure") from error


def refused(status: int, headers: Mapping[str, str], body: bytes, blame: Blame, request: Request, url: str) -> SourceError:
    """The SourceError for a response whose status says no. `body` may be just its beginning."""
    said = excerpt(body, headers.get("content-type", ""))
    what = f"{blame.source}: {request.method} {_shown(url)} answered {status}{': ' + said if said else ''}"
    if status in TRANSIENT_STATUS:
        wish = retry_after(headers.get("retry-after"), datetime.now(UTC))
        hint = (
            "it asks for fewer requests: lower " + blame.setting("requests_per_minute") if status == 429 else "it may be down or restarting"
        )
        return SourceUnavailable(what, hint=hint, retry_after=wish)
    if status == 401:
        return CredentialsRejected(what, hint=f"check {blame.credential_settings()}")
    if status in (403, 407):
        return CredentialsRejected(what, hint=f"the user behind {blame.credential_settings()} lacks the authorisation for this")
    if 300 <= status < 400:
        target = headers.get("location", "elsewhere")
        return SourceContractChanged(f"{what} and points to {target}", hint=f"if the service moved there, set {blame.setting('url')} to it")
    if status in (404, 410):
        return SourceContractChanged(what, hint=f"it is not offered there (any more): check {blame.setting('url')} and the stream's path")
    return SourceContractChanged(what, hint="the source does not take this request; its own words say why")


def wrong_media_type(media_type: str, beginning: bytes, blame: Blame, request: Request, url: str) -> SourceError | None:
    """The error where a response is not of the kind asked for; None where it is."""
    if MEDIA_TYPES[request.expects].match(media_type.partition(";")[0].strip().lower()):
        return None
    is_page = "html" in media_type.lower() or beginning.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html"))
    got = "an HTML page" if is_page else f"content of type {media_type or 'unknown'!r}"
    said = excerpt(beginning, media_type)
    return SourceContractChanged(
        f"{blame.source}: {_shown(url)} answered with {got} instead of {request.expects}{': ' + said if said else ''}",
        hint=f"a login page or a proxy may stand before the service: check {blame.setting('url')} and {blame.credential_settings()}",
    )


def too_large(limit: int, blame: Blame, url: str) -> SourceError:
    """The error for a response that was cut off because it is larger than we take into memory."""
    return SourceContractChanged(
        f"{blame.source}: the response of {_shown(url)} is larger than {limit / 2**20:.0f} MiB and was not read to its end",
        hint=f"lower {blame.setting('page_size')}, leave the large field out of the stream, or raise {blame.setting('largest_response')}",
    )


def excerpt(body: bytes, media_type: str) -> str:
    """The beginning of a body as one line for people; tags are taken off a page."""
    text = body[: 20 * EXCERPT].decode("utf-8", errors="replace")
    if "html" in media_type.lower():
        text = re.sub(r"(?is)<(script|style).*?</\1>|<[^>]*>", " ", text)
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= EXCERPT else line[: EXCERPT - 1] + "…"


def _shown(url: str) -> str:
    """A URL without user, password and query values: queries can carry tokens and are long."""
    parts = re.sub(r"//[^/@]*@", "//", url)
    return parts.partition("?")[0]


Translation = Callable[[Exception, Blame, str], SourceError]


def _timeout(error: Exception, blame: Blame, url: str) -> SourceError:
    doing: Mapping[type[Exception], str] = {
        httpx.ConnectTimeout: "connecting",
        httpx.WriteTimeout: "sending",
        httpx.PoolTimeout: "waiting for a free connection",
    }
    return SourceUnavailable(
        f"{blame.source}: {url} did not answer in time ({doing.get(type(error), 'reading')})",
        hint=f"raise {blame.setting('timeout')} if it is slow by nature",
    )


def _tls(error: Exception, blame: Blame, url: str) -> SourceError:
    return CredentialsRejected(
        f"{blame.source}: the TLS certificate of {url} is not accepted: {error}",
        hint=f"set {blame.setting('verify')} to the certificate authority's PEM file",
    )


def _connection(error: Exception, blame: Blame, url: str) -> SourceError:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(cause):
            return _tls(error, blame, url)
        cause = cause.__cause__ or cause.__context__
    return SourceUnavailable(f"{blame.source}: no connection to {url}: {error}", hint=f"is it up, and is {blame.setting('url')} right?")


def _broken_off(error: Exception, blame: Blame, url: str) -> SourceError:
    return SourceUnavailable(
        f"{blame.source}: the connection to {url} broke off: {error}", hint="the network or the server cut it; the read is repeated"
    )


def _undecodable(error: Exception, blame: Blame, url: str) -> SourceError:
    return SourceUnavailable(
        f"{blame.source}: the response of {url} is damaged: {error}", hint="a proxy may have cut or changed its compressed body"
    )


def _bad_url(error: Exception, blame: Blame, url: str) -> SourceError:
    return SourceContractChanged(f"{blame.source}: {url!r} is no address that can be asked: {error}", hint=f"check {blame.setting('url')}")


def _redirects(error: Exception, blame: Blame, url: str) -> SourceError:
    return SourceContractChanged(f"{blame.source}: {url} redirects without end: {error}", hint=f"check {blame.setting('url')}")


def _proxy(error: Exception, blame: Blame, url: str) -> SourceError:
    return SourceUnavailable(f"{blame.source}: the proxy before {url} refuses: {error}", hint="check HTTPS_PROXY and NO_PROXY")


def _status(error: Exception, blame: Blame, url: str) -> SourceError:
    assert isinstance(error, httpx.HTTPStatusError)
    response = error.response
    # Only a library of the vendor raises it; its response may be unread.
    body = response.content if response.is_closed else b""
    return refused(response.status_code, response.headers, body, blame, Request(url=url, method=error.request.method), url)


def _misuse(error: Exception, blame: Blame, url: str) -> SourceError:
    return SourceError(
        f"{blame.source}: reading {url} went wrong on our side: {type(error).__name__}: {error}", hint="report it with this message"
    )


# From the particular to the general: the first match counts. A test walks all classes that httpx exports.
TRANSLATIONS: tuple[tuple[type[Exception], Translation], ...] = (
    (httpx.HTTPStatusError, _status),
    (httpx.TimeoutException, _timeout),
    (httpx.ProxyError, _proxy),
    (httpx.UnsupportedProtocol, _bad_url),
    (httpx.LocalProtocolError, _bad_url),
    (httpx.ConnectError, _connection),
    (httpx.NetworkError, _broken_off),
    (httpx.RemoteProtocolError, _broken_off),
    (httpx.DecodingError, _undecodable),
    (httpx.TooManyRedirects, _redirects),
    (httpx.HTTPError, _broken_off),
    (httpx.InvalidURL, _bad_url),
    (httpx.StreamError, _misuse),
    (httpx.CookieConflict, _misuse),
    (ssl.SSLError, _connection),
    (OSError, _connection),
)
FAILURES: tuple[type[Exception], ...] = tuple(kind for kind, _ in TRANSLATIONS)
