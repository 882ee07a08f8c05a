"""Writes to the SAP server: CSRF, ETags, deep inserts, and that every change reaches the log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pilothouse.sandbox.company import sap as entities
from tests.unit.sandbox.sap_scene import JOURNAL_V2, ORDERS_V2, ORDERS_V4, PARTNERS_V2, Scene, scene

ORDER = f"{ORDERS_V2}/A_SalesOrder('3')"


@pytest.fixture
def sap(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """For tests of what is refused: each says that nothing changed."""
    with scene(tmp_path_factory.mktemp("untouched")) as running:
        yield running
        assert running.store.last_change() == 0


def etag(sap: Scene, path: str = ORDER) -> str:
    return sap.get(path).headers["etag"]


def test_a_write_without_the_sessions_token_is_refused(sap: Scene) -> None:
    refused = sap.client.patch(ORDER, json={"DeliveryBlockReason": "01"}, headers={"if-match": "*"})
    assert refused.status_code == 403
    assert refused.headers["x-csrf-token"] == "Required"
    fetched = sap.get(ORDERS_V2, headers={"x-csrf-token": "Fetch"})
    sap.client.cookies.clear()
    stolen = {"if-match": "*", "x-csrf-token": fetched.headers["x-csrf-token"]}
    assert sap.client.patch(ORDER, json={}, headers=stolen).status_code == 403
    assert sap.store.last_change() == 0


def test_a_session_keeps_its_token(sap: Scene) -> None:
    first = sap.get(ORDERS_V2, headers={"x-csrf-token": "Fetch"})
    second = sap.client.head(ORDERS_V2, headers={"x-csrf-token": "fetch"})
    assert first.headers["x-csrf-token"] == second.headers["x-csrf-token"]
    assert "set-cookie" in first.headers
    assert "set-cookie" not in second.headers


@pytest.mark.parametrize("method", ["PATCH", "MERGE"])
def test_a_change_needs_the_current_etag(sap: Scene, method: str) -> None:
    before = etag(sap)
    assert sap.write(method, ORDER, {"DeliveryBlockReason": "01"}).status_code == 428
    changed = sap.write(method, ORDER, {"DeliveryBlockReason": "01"}, if_match=before)
    assert changed.status_code == 204
    assert changed.headers["etag"] == etag(sap) != before
    stale = sap.write(method, ORDER, {"DeliveryBlockReason": "02"}, if_match=before)
    assert stale.status_code == 412
    assert sap.get(ORDER).json()["d"]["DeliveryBlockReason"] == "01"
    (change,) = sap.store.changes(entities.SALES_ORDER)
    assert (change.operation, change.key) == ("update", ("3",))


def test_rows_without_a_change_time_have_an_etag_of_their_content(sap: Scene) -> None:
    path = f"{PARTNERS_V2}/A_BusinessPartner('101')"
    before = etag(sap, path)
    listed = sap.rows(f"{PARTNERS_V2}/A_BusinessPartner", _filter="BusinessPartner eq '101'", _select="BusinessPartner")
    assert listed[0]["__metadata"]["etag"] == before
    assert sap.write("PATCH", path, {"SearchTerm1": "NEW"}, if_match=before).status_code == 204
    assert etag(sap, path) != before
    assert sap.write("PATCH", path, {"SearchTerm1": "NEWER"}, if_match=before).status_code == 412


def test_a_deep_insert_creates_the_order_with_its_items(sap: Scene) -> None:
    body = {
        "SalesOrderType": "OR",
        "SoldToParty": "101",
        "RequestedDeliveryDate": "/Date(1772323200000)/",
        "TotalNetAmount": "99.9",
        "to_Item": [{"Material": "P1", "RequestedQuantity": "2"}, {"Material": "P2"}],
    }
    created = sap.write("POST", f"{ORDERS_V2}/A_SalesOrder", body)
    assert created.status_code == 201
    row = created.json()["d"]
    assert row["TotalNetAmount"] == "99.900"
    assert row["RequestedDeliveryDate"] == "/Date(1772323200000)/"
    assert [(item["SalesOrderItem"], item["Material"]) for item in row["to_Item"]["results"]] == [("10", "P1"), ("20", "P2")]
    read = sap.client.get(created.headers["location"])
    assert read.json()["d"]["SalesOrder"] == row["SalesOrder"]
    assert len(list(sap.store.changes(entities.SALES_ORDER_ITEM))) == 2
    assert len(list(sap.store.changes(entities.SALES_ORDER))) == 1


def test_a_deep_insert_is_all_or_nothing(untouched: Scene) -> None:
    body = {"SoldToParty": "101", "to_Item": [{"Material": "P1"}, {"Material": "M" * 99}]}
    refused = untouched.write("POST", f"{ORDERS_V2}/A_SalesOrder", body)
    assert refused.status_code == 400
    assert "Material" in refused.text


def test_v4_creates_and_changes_with_json_numbers(sap: Scene) -> None:
    created = sap.write(
        "POST", f"{ORDERS_V4}/SalesOrder", {"SoldToParty": "101", "TotalNetAmount": 1234567890123.123, "_Item": [{"Product": "P1"}]}
    )
    assert created.status_code == 201
    assert '"TotalNetAmount":1234567890123.123' in created.text
    path = f"{ORDERS_V4}/SalesOrder('{created.json()['SalesOrder']}')"
    changed = sap.write("PATCH", path, {"DeliveryBlockReason": "01"}, if_match=created.json()["@odata.etag"])
    assert changed.json()["DeliveryBlockReason"] == "01"
    assert sap.write("PATCH", path, {}, if_match="*", prefer="return=minimal").status_code == 204


def test_a_child_is_created_under_its_parent_and_moves_its_timestamp(sap: Scene) -> None:
    before = etag(sap)
    created = sap.write("POST", f"{ORDER}/to_Item", {"Material": "P9"})
    assert created.json()["d"]["SalesOrder"] == "3"
    assert created.json()["d"]["SalesOrderItem"] == "30"
    assert etag(sap) != before


def test_put_resets_what_it_leaves_out(sap: Scene) -> None:
    assert sap.write("PUT", ORDER, {"SoldToParty": "104"}, if_match="*").status_code == 204
    row = sap.get(ORDER).json()["d"]
    assert (row["SoldToParty"], row["PurchaseOrderByCustomer"], row["TotalNetAmount"]) == ("104", "", "0.000")


def test_delete_takes_the_items_along(sap: Scene) -> None:
    assert sap.write("DELETE", ORDER, if_match=etag(sap)).status_code == 204
    assert sap.get(ORDER).status_code == 404
    assert [change.key for change in sap.store.changes(entities.SALES_ORDER_ITEM)] == [("3", "10"), ("3", "20")]
    assert sap.rows(f"{ORDERS_V2}/A_SalesOrderItem", _filter="SalesOrder eq '3'") == []


def test_a_method_can_travel_inside_a_post(sap: Scene) -> None:
    tunnelled = sap.write("POST", ORDER, {"DeliveryBlockReason": "09"}, if_match="*", **{"x-http-method": "MERGE"})
    assert tunnelled.status_code == 204
    assert sap.get(ORDER).json()["d"]["DeliveryBlockReason"] == "09"


def test_an_unchanged_row_need_not_be_sent_again(sap: Scene) -> None:
    assert sap.get(ORDER, headers={"if-none-match": etag(sap)}).status_code == 304


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"Nothing": 1}, "Property Nothing"),
        ({"SalesOrder": "4"}, "part of the key"),
        ({"TotalNetAmount": "twelve"}, "TotalNetAmount"),
        ({"TotalNetAmount": "1.23456"}, "TotalNetAmount"),
        ({"TotalNetAmount": "99999999999999999"}, "TotalNetAmount"),
        ({"TransactionCurrency": "EUROS!"}, "TransactionCurrency"),
        ({"CompleteDeliveryIsDefined": "yes"}, "CompleteDeliveryIsDefined"),
        ({"RequestedDeliveryDate": "/Date(999999999999999999)/"}, "RequestedDeliveryDate"),
        ([1, 2], "an object is expected"),
    ],
)
def test_a_body_that_does_not_fit_changes_nothing(untouched: Scene, body: object, words: str) -> None:
    response = untouched.write("PATCH", ORDER, body, if_match="*")
    assert response.status_code == 400
    assert words in response.text


@pytest.mark.parametrize("items", ["many", [1], {"Material": "P1"}])
def test_a_deep_insert_takes_a_list_of_rows(untouched: Scene, items: object) -> None:
    response = untouched.write("POST", f"{ORDERS_V2}/A_SalesOrder", {"SoldToParty": "101", "to_Item": items})
    assert response.status_code == 400
    assert "to_Item" in response.text


def test_malformed_json_is_refused(untouched: Scene) -> None:
    fetched = untouched.get(ORDERS_V2, headers={"x-csrf-token": "Fetch"})
    headers = {"x-csrf-token": fetched.headers["x-csrf-token"], "if-match": "*"}
    assert untouched.client.patch(ORDER, content=b'{"a":', headers=headers).status_code == 400
    assert untouched.client.patch(ORDER, content=b'"\xff"', headers=headers).status_code == 400


def test_a_read_only_set_refuses_writes(untouched: Scene) -> None:
    path = f"{JOURNAL_V2}/A_OperationalAcctgDocItemCube"
    assert untouched.write("POST", path, {}).status_code == 405
    key = "(CompanyCode='1010',FiscalYear='2026',AccountingDocument='5',AccountingDocumentItem='1')"
    assert untouched.write("DELETE", f"{path}{key}", if_match="*").status_code == 405


def test_a_key_cannot_be_taken_twice(untouched: Scene) -> None:
    path = f"{ORDERS_V2}/A_SalesOrderItem"
    response = untouched.write("POST", path, {"SalesOrder": "3", "SalesOrderItem": "10"})
    assert response.status_code == 400
    assert "already exists" in response.text


def test_a_client_cannot_take_a_number_that_the_system_will_draw(untouched: Scene) -> None:
    response = untouched.write("POST", f"{ORDERS_V2}/A_SalesOrder", {"SalesOrder": "701"})
    assert response.status_code == 400
    assert "assigned by the system" in response.text
