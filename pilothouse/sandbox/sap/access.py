"""Who is asking: basic and OAuth2 logon, sessions, and the tokens that protect writes against cross-site requests."""

from __future__ import annotations

import base64
import binascii
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec

from pilothouse.sandbox.credentials import SapCredentials
from pilothouse.sandbox.sap.exchange import JSON, Request, Response

TOKEN_PATH: Final = "/sap/bc/sec/oauth2/token"  # noqa: S105 - a path
COOKIE: Final = "SAP_SESSIONID_S4H_100"
_CHALLENGE: Final = {"www-authenticate": 'Basic realm="SAP NetWeaver Application Server [S4H/100]"'}
_LOGON_FAILED: Final = b"<html><head><title>Logon Error Message</title></head><body><h1>Logon failed</h1></body></html>"
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass
class Access:
    """The door of the SAP server. Sessions and bearer tokens live in memory: a restart ends them, as in SAP."""

    credentials: SapCredentials
    session_seconds: float = 1800.0
    token_seconds: float = 3600.0
    _sessions: dict[str, tuple[str, float]] = field(default_factory=dict)  # id → (CSRF token, end)
    _bearers: dict[str, float] = field(default_factory=dict)  # token → end
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def refused(self, headers: Mapping[str, str]) -> Response | None:
        """401 unless the request comes with our user's password or a bearer token of ours."""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic" and self._is(given, self.credentials.user, self.credentials.password):
            return None
        if scheme.lower() == "bearer" and self._bears(given):
            return None
        return unauthorized()

    def token(self, request: Request) -> Response:
        """OAuth2 client credentials: a bearer token for the client's id and secret, in a header or in the form."""
        form = parse_qs(request.body.decode("utf-8", "replace"))
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if request.method != "POST" or form.get("grant_type") != ["client_credentials"]:
            return _oauth_error(400, "unsupported_grant_type")
        if scheme.lower() != "basic":
            pair = f"{form.get('client_id', [''])[0]}:{form.get('client_secret', [''])[0]}"
            given = base64.b64encode(pair.encode()).decode()
        if not self._is(given, self.credentials.client_id, self.credentials.client_secret):
            return _oauth_error(401, "invalid_client")
        made = secrets.token_urlsafe(32)
        with self._lock:
            self._bearers = {token: end for token, end in self._bearers.items() if end > time.monotonic()}
            self._bearers[made] = time.monotonic() + self.token_seconds
        answer = {"access_token": made, "token_type": "Bearer", "expires_in": int(self.token_seconds), "scope": "API_BUSINESS_PARTNER_0001"}
        return Response(200, msgspec.json.encode(answer), JSON, {"cache-control": "no-store"})

    def unprotected(self, request: Request) -> Response | None:
        """403 for a write without the CSRF token of its session."""
        if request.method in SAFE:
            return None
        session, given = _session(request.headers), request.headers.get("x-csrf-token", "")
        with self._lock:
            token, end = self._sessions.get(session, ("", 0.0))
        if token and end > time.monotonic() and secrets.compare_digest(token.encode(), given.encode()):
            return None
        return Response(403, b"CSRF token validation failed", "text/plain;charset=utf-8", {"x-csrf-token": "Required"})

    def fetched(self, request: Request) -> dict[str, str]:
        """The headers that hand out a CSRF token, where a read asks for one; a new session where it has none."""
        if request.method not in SAFE or request.headers.get("x-csrf-token", "").lower() != "fetch":
            return {}
        now = time.monotonic()
        with self._lock:
            self._sessions = {session: known for session, known in self._sessions.items() if known[1] > now}
            session = _session(request.headers)
            token, _ = self._sessions.get(session, ("", 0.0))
            cookie = {}
            if not token:
                session, token = secrets.token_urlsafe(24), secrets.token_urlsafe(18)
                cookie = {"set-cookie": f"{COOKIE}={session}; path=/; HttpOnly"}
            self._sessions[session] = (token, now + self.session_seconds)
        return {"x-csrf-token": token, **cookie}

    def expire(self) -> None:
        """End all sessions and bearer tokens."""
        with self._lock:
            self._sessions.clear()
            self._bearers.clear()

    def _bears(self, given: str) -> bool:
        with self._lock:
            return self._bearers.get(given, 0.0) > time.monotonic()

    @staticmethod
    def _is(given: str, name: str, secret: str) -> bool:
        try:
            sent = base64.b64decode(given, validate=True)
        except (binascii.Error, ValueError):
            return False
        return secrets.compare_digest(sent, f"{name}:{secret}".encode())


def unauthorized() -> Response:
    """401 as SAP's web server says it."""
    return Response(401, _LOGON_FAILED, "text/html;charset=utf-8", dict(_CHALLENGE))


def _session(headers: Mapping[str, str]) -> str:
    try:
        cookies: SimpleCookie = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    return cookies[COOKIE].value if COOKIE in cookies else ""


def _oauth_error(status: int, code: str) -> Response:
    answer: dict[str, Any] = {"error": code}
    return Response(status, msgspec.json.encode(answer), JSON, dict(_CHALLENGE) if status == 401 else {})
