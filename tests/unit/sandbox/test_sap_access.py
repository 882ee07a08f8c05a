"""Who gets into the SAP server, and for how long."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from pilothouse.sandbox.credentials import SapCredentials
from pilothouse.sandbox.sap.access import TOKEN_PATH, Access
from pilothouse.sandbox.sap.exchange import Request
from tests.unit.sandbox.sap_scene import ORDERS_V2, Scene, scene

KNOWN = SapCredentials("TESTER", "secret", "client", "hidden")


@pytest.fixture(scope="module")
def sap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene(tmp_path_factory.mktemp("sap")) as running:
        yield running


def stranger(sap: Scene) -> httpx.Client:
    return httpx.Client(base_url=sap.client.base_url)


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "Basic " + base64.b64encode(b"TESTER:wrong").decode(),
        "Basic " + base64.b64encode(b"tester:secret:more").decode(),
        "Basic !!!",
        "Basic",
        "Bearer nobody-gave-this",
        "Digest x",
    ],
)
def test_a_stranger_gets_saps_logon_page(sap: Scene, authorization: str | None) -> None:
    with stranger(sap) as client:
        response = client.get(ORDERS_V2, headers={"authorization": authorization} if authorization else {})
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Basic realm=")
    assert "Logon failed" in response.text


def test_oauth_clients_get_a_token_in_either_way(sap: Scene) -> None:
    with stranger(sap) as client:
        by_header = client.post(TOKEN_PATH, data={"grant_type": "client_credentials"}, auth=(KNOWN.client_id, KNOWN.client_secret))
        form = {"grant_type": "client_credentials", "client_id": KNOWN.client_id, "client_secret": KNOWN.client_secret}
        by_form = client.post(TOKEN_PATH, data=form)
        for answer in (by_header.json(), by_form.json()):
            assert answer["token_type"] == "Bearer"
            assert answer["expires_in"] == 3600
            headers = {"authorization": f"Bearer {answer['access_token']}"}
            assert client.get(ORDERS_V2, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": "client_credentials", "client_id": "client", "client_secret": "guess"}, 401, "invalid_client"),
        ({"grant_type": "client_credentials"}, 401, "invalid_client"),
    ],
)
def test_oauth_refuses_in_its_own_words(sap: Scene, form: dict[str, str], status: int, error: str) -> None:
    with stranger(sap) as client:
        response = client.post(TOKEN_PATH, data=form)
    assert response.status_code == status
    assert response.json()["error"] == error


def test_an_expired_session_ends_tokens_and_bearers(tmp_path: Path) -> None:
    with scene(tmp_path) as own, stranger(own) as client:
        form = {"grant_type": "client_credentials", "client_id": KNOWN.client_id, "client_secret": KNOWN.client_secret}
        bearer = {"authorization": f"Bearer {client.post(TOKEN_PATH, data=form).json()['access_token']}"}
        token = own.get(ORDERS_V2, headers={"x-csrf-token": "Fetch"}).headers["x-csrf-token"]
        own.switch_on(kind="expired_session", count=1)
        assert client.get(ORDERS_V2, headers=bearer).status_code == 401
        refused = own.client.post(f"{ORDERS_V2}/A_SalesOrder", json={}, headers={"x-csrf-token": token})
        assert refused.status_code == 403


def test_sessions_and_bearers_end_by_themselves() -> None:
    access = Access(KNOWN, session_seconds=0, token_seconds=0)
    granted = access.token(Request("POST", TOKEN_PATH, body=b"grant_type=client_credentials&client_id=client&client_secret=hidden"))
    token = granted.body.decode().split('"')[3]
    assert access.refused({"authorization": f"Bearer {token}"}) is not None
    fetched = access.fetched(Request("GET", "/", headers={"x-csrf-token": "fetch"}))
    cookie = fetched["set-cookie"].partition(";")[0]
    late = access.unprotected(Request("POST", "/", headers={"x-csrf-token": fetched["x-csrf-token"], "cookie": cookie}))
    assert late is not None
    assert late.status == 403


def test_a_body_without_end_is_cut_off(sap: Scene) -> None:
    response = sap.client.post(f"{ORDERS_V2}/$batch", content=(b"x" * 1024 * 1024 for _ in range(20)))
    assert response.status_code == 413
