"""One org over its REST API: judged answers, a session that renews itself, and a quota that is left for others."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal
from urllib.parse import quote

import msgspec

from connectors.http.client import HttpClient
from connectors.http.exchange import Request, Response
from connectors.http.translation import Blame
from connectors.salesforce.errors import AN_HOUR, ANSWERS, judged
from connectors.salesforce.options import SalesforceOptions
from connectors.salesforce.sessions import SessionAuth, login
from pilothouse.kernel.errors import SourceContractChanged, SourceUnavailable

SYNTHETIC: Final = "x-pilothouse-synthetic"
LARGEST_RESPONSE: Final = 512 * 2**20  # a page of a bulk result; pages are sized by what their rows weigh
_USAGE: Final = re.compile(r"api-usage=(\d+)/(\d+)")
# Numbers with a point stay text: a float in between would change amounts.
_JSON: Final = msgspec.json.Decoder(float_hook=str)


class Quota:
    """How many of the org's daily requests are gone, as Salesforce says with each answer; a share of them is not ours."""

    def __init__(self, blame: Blame, share_of_others: float) -> None:
        self._blame = blame
        self._share = share_of_others
        self._lock = threading.Lock()
        self._used = 0
        self._limit: int | None = None

    def note(self, header: str | None) -> None:
        """Remember a `Sforce-Limit-Info` header."""
        found = _USAGE.search(header or "")
        if found is not None:
            with self._lock:
                self._used, self._limit = int(found[1]), int(found[2])

    def check(self) -> None:
        """Raise before a request would take what is left for others."""
        with self._lock:
            if self._limit is None or self._used < self._limit * (1 - self._share):
                return
            raise SourceUnavailable(
                f"{self._blame.source}: {self._used} of the org's {self._limit} daily API requests are used,"
                f" and {self._share:.0%} of them are left for others",
                hint=f"wait for a quieter hour, or lower {self._blame.setting('api_share')}",
                retry_after=AN_HOUR,
            )


class Org:
    """The org's REST API. Logs in with the first request. Safe to use from several threads."""

    def __init__(self, source: str, options: SalesforceOptions) -> None:
        self.source = source
        self.blame = Blame(source=source, credentials=options.credentials)
        self.base = f"/services/data/v{options.api_version}"
        self._options = options
        self._quota = Quota(self.blame, options.api_share)
        self._opening = threading.Lock()
        self._login_client = self._client_of(options.url, None)
        self._auth = SessionAuth(lambda: login(self._login_client, options))
        self._opened: HttpClient | None = None

    def call(
        self,
        method: Literal["GET", "POST", "PATCH", "DELETE"],
        path: str,
        what: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        expects: Literal["json", "csv", "anything"] = "json",
        wanted: frozenset[int] = frozenset(),
    ) -> Response:
        """One request below `/services/data/vNN.0` (or to an absolute path), answered or raised; a refusal by one of the statuses
        `wanted` is an answer. All we send may be repeated: a query job that is made twice costs a job, not a row."""
        query = "?" + "&".join(f"{name}={quote(value, safe='')}" for name, value in params.items()) if params else ""
        request = Request(
            url=(path if path.startswith("/") else f"{self.base}/{path}") + query,
            method=method,
            headers={"Accept": "text/csv" if expects == "csv" else "application/json", **(headers or {})},
            body=None if body is None else json.dumps(body).encode(),
            expects=expects,
            answers=ANSWERS,
            repeatable=True,
        )
        if body is not None:
            request = replace(request, headers={**request.headers, "Content-Type": "application/json"})
        return self.send(request, what, wanted)

    def send(self, request: Request, what: str, wanted: frozenset[int] = frozenset()) -> Response:
        """The response to a request, or the SourceError that its refusal stands for."""
        self._quota.check()
        return self._client.fetch(request, lambda response: self._judged(response, request, what, wanted))

    def json(self, path: str, what: str, params: Mapping[str, str] | None = None) -> tuple[dict[str, Any], Response]:
        """The object that a GET answers with, and the response it came in."""
        response = self.call("GET", path, what, params=params)
        return self.decoded(response, what), response

    def decoded(self, response: Response, what: str) -> dict[str, Any]:
        """A response's JSON object."""
        try:
            answer = _JSON.decode(response.body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            message = f"{self.source} / {what}: {response.url.partition('?')[0]} answered with broken JSON: {error}"
            if response.body.rstrip().endswith((b"}", b"]")):
                raise SourceContractChanged(message, hint="a proxy may rewrite what Salesforce says") from error
            raise SourceUnavailable(message, hint="the answer was cut; the read starts again") from error
        if not isinstance(answer, dict):
            raise SourceContractChanged(
                f"{self.source} / {what}: {response.url.partition('?')[0]} answered with {type(answer).__name__} instead of an object",
                hint=f"is {self.blame.setting('url')} the address of a Salesforce org?",
            )
        return answer

    def close(self) -> None:
        """Give connections back."""
        self._login_client.close()
        if self._opened is not None:
            self._opened.close()

    @property
    def _client(self) -> HttpClient:
        with self._opening:
            if self._opened is None:
                self._opened = self._client_of(self._auth.session().instance_url, self._auth)
            return self._opened

    def _client_of(self, url: str, auth: SessionAuth | None) -> HttpClient:
        return HttpClient(
            self.source,
            url,
            auth=auth,
            verify=self._options.verify,
            timeout=self._options.timeout,
            largest_response=LARGEST_RESPONSE,
            blame=self.blame,
        )

    def _judged(self, response: Response, request: Request, what: str, wanted: frozenset[int]) -> Response:
        self._quota.note(response.headers.get("sforce-limit-info"))
        if response.status >= 300 and response.status not in wanted:
            raise judged(response, request, self.blame, what)
        return response


def is_synthetic(response: Response) -> bool:
    """Whether the server says that its rows are made up."""
    return response.headers.get(SYNTHETIC, "").lower() == "true"


def server_time(response: Response) -> datetime:
    """What time it is where the rows are; our own clock where the server does not say."""
    try:
        said = parsedate_to_datetime(response.headers["date"])
    except (KeyError, ValueError, TypeError):
        return datetime.now(UTC)
    return said if said.tzinfo else said.replace(tzinfo=UTC)
