"""Bearer tokens that are fetched when needed and renewed when the source forgets them.

Works for every OAuth 2 grant without a person: the form says which (client credentials, JWT bearer). A token is
renewed a minute before it ends, and once when the source answers 401 although it should still hold.
"""

from __future__ import annotations

import json
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Generator, Mapping
from typing import Any
from urllib.parse import urlencode

import httpx

from connectors.http.exchange import Request
from connectors.http.translation import Blame, excerpt, refused
from pilothouse.kernel.errors import CredentialsRejected, SourceContractChanged

MARGIN = 60.0
DEFAULT_LIFE = 900.0  # where the source does not say how long a token holds (Salesforce does not)


class TokenAuth(httpx.Auth):
    """`Authorization: Bearer ...` for httpx, from a token endpoint. Safe to share between threads."""

    def __init__(
        self,
        token_url: str,
        form: Callable[[], Mapping[str, str]],
        blame: Blame,
        *,
        basic: tuple[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._token_url = token_url
        self._form = form
        self._blame = blame
        self._basic = basic
        self._clock = clock
        self._lock = threading.Lock()
        self._answer: Mapping[str, Any] = {}
        self._ends = 0.0

    @property
    def answer(self) -> Mapping[str, Any]:
        """The token endpoint's last answer; vendors put more into it than a token (Salesforce: `instance_url`)."""
        return self._answer

    def forget(self) -> None:
        """Fetch a new token before the next request."""
        with self._lock:
            self._ends = 0.0

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """httpx's own protocol: yield requests, get responses."""
        token = yield from self._token(refuse=None)
        request.headers["Authorization"] = f"Bearer {token}"
        response = yield request
        if response.status_code == 401:
            token = yield from self._token(refuse=token)
            request.headers["Authorization"] = f"Bearer {token}"
            yield request

    def _token(self, refuse: str | None) -> Generator[httpx.Request, httpx.Response, str]:
        """The token that holds now; `refuse` is one that the source no longer takes."""
        with self._lock:
            held = str(self._answer.get("access_token", ""))
            if held and held != refuse and self._clock() < self._ends:
                return held
            response = yield self._ask()
            self._answer = self._read(response)
            life = self._answer.get("expires_in")
            seconds = float(life) if isinstance(life, int | float | str) and str(life).replace(".", "", 1).isdigit() else DEFAULT_LIFE
            self._ends = self._clock() + max(seconds - MARGIN, seconds / 2)
            return str(self._answer["access_token"])

    def _ask(self) -> httpx.Request:
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        if self._basic is not None:
            user, secret = self._basic
            headers["Authorization"] = "Basic " + b64encode(f"{user}:{secret}".encode()).decode()
        return httpx.Request("POST", self._token_url, headers=headers, content=urlencode(dict(self._form())))

    def _read(self, response: httpx.Response) -> Mapping[str, Any]:
        body = response.read()
        request = Request(url=self._token_url, method="POST")
        if response.status_code in (400, 401, 403):
            said = excerpt(body, response.headers.get("content-type", ""))
            raise CredentialsRejected(
                f"{self._blame.source}: the token endpoint {self._token_url} answered {response.status_code}: {said}",
                hint=f"check {self._blame.credential_settings()}",
            )
        if response.status_code >= 300:
            raise refused(response.status_code, response.headers, body, self._blame, request, self._token_url)
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or not answer.get("access_token"):
            raise SourceContractChanged(
                f"{self._blame.source}: the token endpoint {self._token_url} answered without an access_token",
                hint=f"check {self._blame.setting('token_url')}",
            )
        return answer
