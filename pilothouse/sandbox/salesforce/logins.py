"""The ways in: OAuth 2.0 grants (client credentials, JWT bearer, password, refresh) and the SOAP login of older tools."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import unescape
from typing import Any, Final
from xml.sax.saxutils import escape

from pilothouse.sandbox.credentials import SalesforceCredentials
from pilothouse.sandbox.salesforce.calls import Answer, answered
from pilothouse.sandbox.salesforce.sessions import ORGANIZATION_ID, Session, Sessions

MY_DOMAIN: Final = "pilothouse.my.salesforce.com"
AUDIENCES: Final = ("https://login.salesforce.com", "https://test.salesforce.com")
_JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_LONGEST_ASSERTION: Final = 180  # seconds until `exp`, plus as much for clocks that differ
_SOAP: Final = "text/xml;charset=UTF-8"
_MOST_REFRESH_TOKENS: Final = 1000


class GrantRefused(Exception):
    """OAuth's own error: a code and a description."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(f"{error}: {description}")
        self.error = error
        self.description = description


@dataclass
class Logins:
    """Checks who comes and opens sessions for the integration user."""

    credentials: SalesforceCredentials
    sessions: Sessions
    user_id: str
    _refresh_tokens: dict[str, None] = field(default_factory=dict)

    def token(self, form: Mapping[str, str], authorization: str, origin: str) -> Answer:
        """`POST /services/oauth2/token`. `origin` is the address under which the client reached us."""
        grants = {
            "client_credentials": self._client_credentials,
            _JWT_BEARER: self._jwt_bearer,
            "password": self._password,
            "refresh_token": self._refresh,
        }
        try:
            grants.get(form.get("grant_type", ""), _unsupported)({**form, **_basic(authorization)})
        except GrantRefused as refusal:
            return answered({"error": refusal.error, "error_description": refusal.description}, status=400)
        session = self.sessions.open(self.user_id)
        refresh = form.get("grant_type") == "password"
        return answered(self._granted(session, instance_of(origin), refresh=refresh), headers={"cache-control": "no-store"})

    def revoke(self, form: Mapping[str, str]) -> Answer:
        """`POST /services/oauth2/revoke`."""
        token = form.get("token", "")
        if self._refresh_tokens.pop(token, 0) == 0 and not self.sessions.end(token):
            return answered({"error": "unsupported_token_type", "error_description": "this token type is not supported"}, status=400)
        return Answer(status=200)

    def who(self, session: Session, origin: str) -> Answer:
        """`GET /services/oauth2/userinfo`, and the identity address of a token."""
        return answered(
            {
                "sub": self._identity(instance_of(origin)),
                "id": self._identity(instance_of(origin)),
                "user_id": session.user_id,
                "organization_id": ORGANIZATION_ID,
                "preferred_username": self.credentials.username,
                "username": self.credentials.username,
                "active": True,
                "urls": {"rest": f"{instance_of(origin)}/services/data/v{{version}}/"},
            }
        )

    def soap(self, envelope: str, version: str, origin: str) -> Answer:
        """`POST /services/Soap/u/NN.0`: login and logout, the two calls that REST clients make there."""
        if _element(envelope, "logout") is not None or re.search(r"<(?:\w+:)?logout[\s/>]", envelope):
            self.sessions.end(_element(envelope, "sessionId") or "")
            return _envelope("<logoutResponse/>")
        username, password = _element(envelope, "username"), _element(envelope, "password")
        if username is None or password is None:
            return _fault("UNSUPPORTED_API_VERSION", "This server answers login and logout only; use the REST API.")
        if not self._knows(username, password):
            return _fault("INVALID_LOGIN", "Invalid username, password, security token; or user locked out.")
        session = self.sessions.open(self.user_id)
        return _envelope(self._login_result(session, version, instance_of(origin)))

    def _client_credentials(self, form: Mapping[str, str]) -> None:
        self._client(form)

    def _password(self, form: Mapping[str, str]) -> None:
        self._client(form)
        if not self._knows(form.get("username", ""), form.get("password", "")):
            raise GrantRefused("invalid_grant", "authentication failure")

    def _refresh(self, form: Mapping[str, str]) -> None:
        self._client(form)
        if form.get("refresh_token", "") not in self._refresh_tokens:
            raise GrantRefused("invalid_grant", "expired access/refresh token")

    def _client(self, form: Mapping[str, str]) -> None:
        if not _same(form.get("client_id", ""), self.credentials.client_id):
            raise GrantRefused("invalid_client_id", "client identifier invalid")
        if not _same(form.get("client_secret", ""), self.credentials.client_secret):
            raise GrantRefused("invalid_client", "invalid client credentials")

    def _jwt_bearer(self, form: Mapping[str, str]) -> None:
        import jwt

        try:
            claims = jwt.decode(
                form.get("assertion", ""),
                self.credentials.public_key,
                algorithms=["RS256"],
                audience=AUDIENCES,
                options={"require": ["iss", "sub", "aud", "exp"]},
            )
        except jwt.ExpiredSignatureError:
            raise GrantRefused("invalid_grant", "expired authorization code") from None
        except jwt.InvalidAudienceError:
            raise GrantRefused("invalid_grant", "audience is invalid") from None
        except jwt.InvalidTokenError:
            raise GrantRefused("invalid_grant", "invalid assertion") from None
        if int(claims["exp"]) > time.time() + 2 * _LONGEST_ASSERTION:
            raise GrantRefused("invalid_grant", "the assertion may be valid for three minutes at most")
        if not _same(str(claims["iss"]), self.credentials.client_id):
            raise GrantRefused("invalid_client_id", "client identifier invalid")
        if claims["sub"] != self.credentials.username:
            raise GrantRefused("invalid_grant", "user hasn't approved this consumer")

    def _knows(self, username: str, password: str) -> bool:
        """The password, with or without the security token behind it: the sandbox is within the trusted network."""
        known = self.credentials
        right = _same(password, known.password) or _same(password, known.password + known.security_token)
        return username == known.username and right

    def _granted(self, session: Session, instance: str, *, refresh: bool) -> dict[str, Any]:
        granted = {
            "access_token": session.id,
            "instance_url": instance,
            "id": self._identity(instance),
            "token_type": "Bearer",
            "issued_at": str(int(time.time() * 1000)),
            "scope": "api",
            "signature": base64.b64encode(secrets.token_bytes(32)).decode(),
        }
        if refresh:
            token = f"5Aep861{secrets.token_urlsafe(48)}"
            self._refresh_tokens[token] = None
            if len(self._refresh_tokens) > _MOST_REFRESH_TOKENS:
                del self._refresh_tokens[next(iter(self._refresh_tokens))]
            granted["refresh_token"] = token
        return granted

    def _identity(self, instance: str) -> str:
        return f"{instance}/id/{ORGANIZATION_ID}/{self.user_id}"

    def _login_result(self, session: Session, version: str, instance: str) -> str:
        address = f"{instance}/services/Soap/u/{version}/{ORGANIZATION_ID[:15]}"
        return (
            f"<loginResponse><result><metadataServerUrl>{escape(address.replace('/u/', '/m/'))}</metadataServerUrl>"
            f"<passwordExpired>false</passwordExpired><sandbox>false</sandbox><serverUrl>{escape(address)}</serverUrl>"
            f"<sessionId>{escape(session.id)}</sessionId><userId>{self.user_id}</userId><userInfo>"
            f"<organizationId>{ORGANIZATION_ID}</organizationId><organizationName>Pilothouse</organizationName>"
            f"<sessionSecondsValid>{int(self.sessions.life.total_seconds())}</sessionSecondsValid><userId>{self.user_id}</userId>"
            f"<userName>{escape(self.credentials.username)}</userName><userTimeZone>GMT</userTimeZone></userInfo></result></loginResponse>"
        )


def instance_of(origin: str) -> str:
    """The address where the org's data is: My Domain for clients that came to a login host, else where they came to."""
    scheme, _, host = origin.partition("://")
    name = host.partition(":")[0]
    if name.endswith(".salesforce.com") and not name.endswith(".my.salesforce.com"):
        return f"{scheme}://{host.replace(name, MY_DOMAIN)}"
    return origin


def _unsupported(_: Mapping[str, str]) -> None:
    raise GrantRefused("unsupported_grant_type", "grant type not supported")


def _basic(authorization: str) -> dict[str, str]:
    """Client id and secret of a Basic header, which OAuth allows in place of the form's fields."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return {}
    try:
        client, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise GrantRefused("invalid_client", "invalid client credentials") from None
    return {"client_id": client, "client_secret": secret}


def _same(given: str, known: str) -> bool:
    return secrets.compare_digest(given.encode(), known.encode())


def _element(envelope: str, name: str) -> str | None:
    """An element's text. A parser would also expand entities that a stranger declares; two texts do not need one."""
    found = re.search(rf"<(?:\w+:)?{name}(?:\s[^>]*)?>([^<]*)</", envelope)
    return None if found is None else unescape(found[1])


def _envelope(content: str, status: int = 200) -> Answer:
    body = (
        '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"'
        ' xmlns="urn:partner.soap.sforce.com" xmlns:sf="urn:fault.partner.soap.sforce.com"'
        f' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>{content}</soapenv:Body></soapenv:Envelope>'
    )
    return Answer(status=status, body=body.encode(), content_type=_SOAP)


def _fault(code: str, message: str) -> Answer:
    detail = (
        f'<detail><sf:LoginFault xsi:type="sf:LoginFault"><sf:exceptionCode>{code}</sf:exceptionCode>'
        f"<sf:exceptionMessage>{escape(message)}</sf:exceptionMessage></sf:LoginFault></detail>"
    )
    return _envelope(
        f"<soapenv:Fault><faultcode>sf:{code}</faultcode><faultstring>{code}: {escape(message)}</faultstring>{detail}</soapenv:Fault>", 500
    )
