"""Sessions: who we are to the org, found out when needed and again when Salesforce forgets us.

A session ends without notice: after its time, or when an administrator ends it, in the middle of a bulk job too. The
request that meets a 401 logs in again and is repeated; what runs in the org (a job, a query locator) does not belong
to the session and goes on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import httpx
import msgspec

from connectors.http.client import HttpClient
from connectors.http.exchange import Request, Response
from connectors.http.translation import Blame
from connectors.salesforce.options import SalesforceOptions
from pilothouse.kernel.errors import ConfigError, CredentialsRejected, SourceContractChanged, SourceUnavailable

_TOKEN_PATH: Final = "/services/oauth2/token"  # noqa: S105 - an address
_JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_ASSERTION_LIFE: Final = 150  # Salesforce takes assertions of three minutes at most


@dataclass(frozen=True)
class Session:
    """A session id, and the address of the org that it is good for."""

    token: str
    instance_url: str


class SessionAuth(httpx.Auth):
    """`Authorization: Bearer <session id>`, renewed once where it is no longer known. Safe to share between threads."""

    def __init__(self, login: Callable[[], Session]) -> None:
        self._login = login
        self._lock = threading.Lock()
        self._session: Session | None = None

    def session(self, refuse: str | None = None) -> Session:
        """The session that holds; `refuse` is one that Salesforce no longer takes."""
        with self._lock:
            if self._session is None or self._session.token == refuse:
                self._session = self._login()
            return self._session

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """httpx's own protocol: yield requests, get responses."""
        token = self.session().token
        request.headers["Authorization"] = f"Bearer {token}"
        response = yield request
        if response.status_code == 401:
            # Not closed here: httpx reads it to its end before it sends the next.
            request.headers["Authorization"] = f"Bearer {self.session(refuse=token).token}"
            yield request


def login(client: HttpClient, options: SalesforceOptions) -> Session:
    """A new session by whatever grant is configured. `client` reaches the login URL."""
    if options.auth == "password" and not options.client_id:
        return _soap_login(client.blame, options)
    form = {"client_credentials": _client_credentials, "jwt": _assertion, "password": _password}[options.auth](client.blame, options)
    request = Request(
        url=_TOKEN_PATH,
        method="POST",
        headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
        body=urlencode(form).encode(),
        repeatable=True,
        answers=frozenset({400, 401, 403}),
    )
    return client.fetch(request, lambda response: _granted(response, client.blame, options))


def _client_credentials(_: Blame, options: SalesforceOptions) -> Mapping[str, str]:
    return {"grant_type": "client_credentials", "client_id": options.client_id, "client_secret": _secret(options.client_secret)}


def _password(_: Blame, options: SalesforceOptions) -> Mapping[str, str]:
    return {
        "grant_type": "password",
        "client_id": options.client_id,
        "client_secret": _secret(options.client_secret),
        "username": options.username,
        "password": _secret(options.password) + _secret(options.security_token),
    }


def _assertion(blame: Blame, options: SalesforceOptions) -> Mapping[str, str]:
    import jwt

    assert options.private_key_file is not None
    claims = {"iss": options.client_id, "sub": options.username, "aud": _audience(options), "exp": int(time.time()) + _ASSERTION_LIFE}
    try:
        assertion = jwt.encode(claims, options.private_key_file.read_bytes(), algorithm="RS256")
    except (OSError, ValueError, TypeError, jwt.PyJWTError) as error:
        raise ConfigError(
            f"{blame.source}: {str(options.private_key_file)!r} holds no usable RSA private key: {error}",
            hint=f"set {blame.setting('private_key_file')} to the PEM file whose certificate is in the connected app",
        ) from error
    return {"grant_type": _JWT_BEARER, "assertion": assertion}


def _audience(options: SalesforceOptions) -> str:
    if options.audience:
        return options.audience
    host = urlsplit(options.url).hostname or ""
    is_test = host == "test.salesforce.com" or ".sandbox." in host
    return "https://test.salesforce.com" if is_test else "https://login.salesforce.com"


def _granted(response: Response, blame: Blame, options: SalesforceOptions) -> Session:
    try:
        answer: Any = msgspec.json.decode(response.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        answer = None
    said = answer if isinstance(answer, dict) else {}
    if response.status != 200:
        raise CredentialsRejected(
            f"{blame.source}: login refused: {said.get('error', response.status)}: {said.get('error_description', 'no reason given')}",
            hint=f"check {blame.credential_settings()}, and that the connected app allows auth = {options.auth!r}",
        )
    if not said.get("access_token"):
        raise SourceContractChanged(
            f"{blame.source}: {response.url} answered without an access token",
            hint=f"is {blame.setting('url')} the address of a Salesforce org?",
        )
    return Session(token=str(said["access_token"]), instance_url=str(said.get("instance_url") or options.url))


def _soap_login(blame: Blame, options: SalesforceOptions) -> Session:
    """User name, password and security token alone, for orgs without a connected app."""
    import requests
    from requests.adapters import HTTPAdapter
    from simple_salesforce.exceptions import SalesforceAuthenticationFailed
    from simple_salesforce.login import SalesforceLogin

    verify = options.verify if isinstance(options.verify, bool) else str(options.verify)

    class Strict(HTTPAdapter):
        """simple-salesforce sets no timeout and would wait for a silent server for ever; and requests lets an
        environment variable (REQUESTS_CA_BUNDLE) overrule the authorities that its session was told to trust."""

        def send(self, request: requests.PreparedRequest, **how: Any) -> requests.Response:  # type: ignore[override]
            return super().send(request, **{**how, "timeout": options.timeout, "verify": verify})

    with requests.Session() as session:
        session.mount("https://", Strict())
        session.mount("http://", Strict())
        try:
            token, host = SalesforceLogin(
                username=options.username,
                password=_secret(options.password),
                security_token=_secret(options.security_token),
                scratch_url=options.url,
                session=session,
                sf_version=options.api_version,
            )
        except SalesforceAuthenticationFailed as error:
            raise CredentialsRejected(
                f"{blame.source}: login refused: {error.code}: {error.message}", hint=f"check {blame.credential_settings()}"
            ) from error
        except requests.exceptions.SSLError as error:
            raise CredentialsRejected(
                f"{blame.source}: the TLS certificate of {options.url} is not accepted: {error}",
                hint=f"set {blame.setting('verify')} to the certificate authority's PEM file",
            ) from error
        except (requests.RequestException, OSError) as error:
            raise SourceUnavailable(
                f"{blame.source}: no login at {options.url}: {error}", hint=f"is it up, and is {blame.setting('url')} right?"
            ) from error
    return Session(token=token, instance_url=f"{urlsplit(options.url).scheme}://{host}")


def _secret(value: Any) -> str:
    return "" if value is None else str(value.get_secret_value())
