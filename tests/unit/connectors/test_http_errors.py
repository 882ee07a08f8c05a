"""Every way in which httpx, TLS or the operating system can fail is one of our errors."""

from __future__ import annotations

import inspect
import ssl

import httpx
import pytest

from connectors.http.translation import FAILURES, Blame, excerpt, translate
from pilothouse.kernel.errors import CredentialsRejected, SourceContractChanged, SourceError, SourceUnavailable

EXCEPTIONS = sorted(
    (kind for name in httpx.__all__ if inspect.isclass(kind := getattr(httpx, name)) and issubclass(kind, Exception)),
    key=lambda kind: kind.__name__,
)
PERMANENT = {"UnsupportedProtocol", "LocalProtocolError", "TooManyRedirects", "InvalidURL"}
OURS = {"StreamError", "StreamConsumed", "StreamClosed", "ResponseNotRead", "RequestNotRead", "CookieConflict"}
URL = "https://me:hush@host.example/path?token=hush"


def raised(kind: type[Exception]) -> Exception:
    request = httpx.Request("GET", URL)
    if kind is httpx.HTTPStatusError:
        return httpx.HTTPStatusError("503", request=request, response=httpx.Response(503, request=request))
    return kind("what it said") if "message" in inspect.signature(kind).parameters else kind()


def test_httpx_exports_the_exceptions_that_this_test_walks() -> None:
    assert len(EXCEPTIONS) >= 25


@pytest.mark.parametrize("kind", EXCEPTIONS, ids=lambda kind: kind.__name__)
def test_every_exception_of_httpx_is_mapped(kind: type[Exception]) -> None:
    assert issubclass(kind, FAILURES)

    error = translate(raised(kind), Blame(source="s4"), URL)

    name = kind.__name__
    expected = SourceContractChanged if name in PERMANENT else SourceError if name in OURS else SourceUnavailable
    assert type(error) is expected
    assert error.message.startswith("s4: ")
    assert error.hint
    assert "hush" not in str(error)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ssl.SSLCertVerificationError("self-signed"), CredentialsRejected),
        (ssl.SSLError("WRONG_VERSION_NUMBER"), SourceUnavailable),
        (ConnectionResetError("reset"), SourceUnavailable),
        (TimeoutError("late"), SourceUnavailable),
        (OSError(24, "too many open files"), SourceUnavailable),
    ],
    ids=lambda value: type(value).__name__,
)
def test_failures_below_httpx_are_mapped(error: Exception, expected: type[SourceError]) -> None:
    assert type(translate(error, Blame(source="s4"), URL)) is expected


def test_what_is_no_http_failure_is_not_disguised_as_one() -> None:
    with pytest.raises(TypeError, match="ZeroDivisionError"):
        translate(ZeroDivisionError(), Blame(source="s4"), URL)


def test_a_setting_is_named_as_the_environment_spells_it() -> None:
    assert Blame(source="plant-3").setting("page_size") == "PILOTHOUSE_SOURCES__PLANT_3__PAGE_SIZE"


def test_an_excerpt_is_one_short_line_whatever_the_bytes() -> None:
    assert excerpt(b"\xff\x00a\n\n b" + b"x" * 1000, "").startswith("� a b")
    assert len(excerpt(b"y" * 100_000, "")) == 300
