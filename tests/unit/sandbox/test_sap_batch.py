"""$batch: parts answered like requests of their own, change sets all or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from pilothouse.sandbox.company import sap as entities
from tests.unit.sandbox.sap_scene import ORDERS, ORDERS_V2, ORDERS_V4, Scene, scene


@pytest.fixture
def sap(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene(tmp_path_factory.mktemp("untouched")) as running:
        yield running
        assert running.store.last_change() == 0


def read(url: str) -> str:
    return f"Content-Type: application/http\nContent-Transfer-Encoding: binary\n\nGET {url} HTTP/1.1\nAccept: application/json\n\n"


def change(method: str, url: str, body: str = "", content_id: str = "", **headers: str) -> str:
    lines = "".join(f"{name.replace('_', '-')}: {value}\n" for name, value in {"Content_Type": "application/json", **headers}.items())
    outer = f"Content-ID: {content_id}\n" if content_id else ""
    return f"Content-Type: application/http\nContent-Transfer-Encoding: binary\n{outer}\n{method} {url} HTTP/1.1\n{lines}\n{body}\n"


def change_set(*parts: str) -> str:
    return "Content-Type: multipart/mixed; boundary=inner\n\n" + "".join(f"--inner\n{part}\n" for part in parts) + "--inner--\n"


def sent(sap: Scene, *parts: str, path: str = ORDERS_V2) -> httpx.Response:
    fetched = sap.get(path, headers={"x-csrf-token": "Fetch"})
    body = ("".join(f"--outer\n{part}\n" for part in parts) + "--outer--\n").replace("\n", "\r\n")
    headers = {"content-type": "multipart/mixed; boundary=outer", "x-csrf-token": fetched.headers["x-csrf-token"]}
    return sap.client.post(f"{path}/$batch", content=body.encode(), headers=headers)


def test_reads_are_answered_in_order(untouched: Scene) -> None:
    response = sent(untouched, read("A_SalesOrder('3')?$select=SalesOrder"), read(f"{ORDERS_V2}/A_SalesOrder/$count"), read("A_Nothing"))
    assert response.status_code == 202
    assert response.headers["content-type"].startswith("multipart/mixed; boundary=")
    parts = response.text.split("HTTP/1.1 ")[1:]
    assert [part[:3] for part in parts] == ["200", "200", "404"]
    assert '"SalesOrder":"3"' in parts[0]
    assert f"\r\n\r\n{ORDERS}\r\n" in parts[1]


def test_a_change_set_changes_all(sap: Scene) -> None:
    response = sent(
        sap,
        change_set(
            change("POST", "A_SalesOrder", '{"SoldToParty": "101"}', content_id="1"),
            change("POST", "$1/to_Item", '{"Material": "P1"}', content_id="2"),
            change("MERGE", "A_SalesOrder('3')", '{"DeliveryBlockReason": "01"}', If_Match="*"),
        ),
        read("A_SalesOrder/$count"),
    )
    assert [part[:3] for part in response.text.split("HTTP/1.1 ")[1:]] == ["201", "201", "204", "200"]
    assert "Content-ID: 2" in response.text
    assert f"\r\n\r\n{ORDERS + 1}\r\n" in response.text
    (item,) = sap.store.changes(entities.SALES_ORDER_ITEM)
    assert item.key[0] not in {None, "3"}


def test_a_change_set_that_fails_changes_nothing_and_says_why_once(sap: Scene) -> None:
    response = sent(
        sap,
        change_set(
            change("MERGE", "A_SalesOrder('3')", '{"DeliveryBlockReason": "01"}', If_Match="*"),
            change("MERGE", "A_SalesOrder('4')", '{"DeliveryBlockReason": "01"}'),
        ),
        read("A_SalesOrder('4')"),
    )
    assert [part[:3] for part in response.text.split("HTTP/1.1 ")[1:]] == ["428", "200"]
    assert sap.store.last_change() == 0


def test_v4_takes_json_batches_with_atomicity_groups(sap: Scene) -> None:
    fetched = sap.get(ORDERS_V4, headers={"x-csrf-token": "Fetch"})
    requests = [
        {"id": "a", "method": "GET", "url": "SalesOrder('3')?$select=SalesOrder"},
        {"id": "b", "atomicityGroup": "g", "method": "POST", "url": "SalesOrder", "body": {"SoldToParty": "101"}},
        {"id": "c", "atomicityGroup": "g", "method": "PATCH", "url": "SalesOrder('3')", "body": {}, "headers": {"If-Match": 'W/"old"'}},
        {"id": "d", "method": "GET", "url": "SalesOrder/$count"},
    ]
    token = {"x-csrf-token": fetched.headers["x-csrf-token"]}
    answers = sap.client.post(f"{ORDERS_V4}/$batch", json={"requests": requests}, headers=token).json()["responses"]
    assert [(answer["id"], answer["status"]) for answer in answers] == [("a", 200), ("b", 412), ("c", 412), ("d", 200)]
    assert answers[0]["body"]["SalesOrder"] == "3"
    assert answers[3]["body"] == str(ORDERS)
    assert sap.store.last_change() == 0


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("text/plain", "x", 415),
        ("multipart/mixed", "x", 415),
        ("multipart/mixed; boundary=outer", "nothing", 400),
        ("multipart/mixed; boundary=outer", "--outer\r\n\r\nGET A_SalesOrder HTTP/1.1\r\n\r\n", 400),  # never closed
        ("multipart/mixed; boundary=outer", "--outer\r\n\r\nDELETE A_SalesOrder('3') HTTP/1.1\r\n\r\n\r\n--outer--", 400),
        ("multipart/mixed; boundary=outer", "--outer\r\n\r\nGET\r\n\r\n\r\n--outer--", 400),
        ("application/json", "{", 400),
        ("application/json", '{"requests": [{"id": "1"}]}', 400),
    ],
)
def test_a_batch_that_cannot_be_read_is_refused(untouched: Scene, content_type: str, body: str, status: int) -> None:
    fetched = untouched.get(ORDERS_V2, headers={"x-csrf-token": "Fetch"})
    headers = {"content-type": content_type, "x-csrf-token": fetched.headers["x-csrf-token"]}
    assert untouched.client.post(f"{ORDERS_V2}/$batch", content=body, headers=headers).status_code == status
