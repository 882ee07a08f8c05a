"""Reads of the SAP server, over HTTP: options, shapes and numbers of both OData versions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilothouse.sandbox.company.sap import SALES_ORDER
from tests.unit.sandbox.sap_scene import (
    DELIVERIES_V2,
    ORDERS,
    ORDERS_V2,
    ORDERS_V4,
    PARTNERS_V2,
    PRODUCTS_V4,
    START,
    Scene,
    filled,
    page_of,
    scene,
)


@pytest.fixture(scope="module")
def sap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene(tmp_path_factory.mktemp("sap"), page_size=10) as running:
        yield running


def test_every_response_says_that_it_is_synthetic(sap: Scene) -> None:
    for path in (ORDERS_V2, f"{ORDERS_V2}/$metadata", f"{ORDERS_V2}/A_SalesOrder", f"{ORDERS_V2}/Nothing", "/elsewhere"):
        assert sap.get(path).headers["x-pilothouse-synthetic"] == "true"
    assert sap.client.get(ORDERS_V2, auth=("nobody", "x")).headers["x-pilothouse-synthetic"] == "true"


def test_service_documents_list_the_sets(sap: Scene) -> None:
    assert sap.get(f"{DELIVERIES_V2}/").json() == {"d": {"EntitySets": ["A_OutbDeliveryHeader", "A_OutbDeliveryItem"]}}
    assert [entry["name"] for entry in sap.get(PRODUCTS_V4).json()["value"]] == ["Product"]


def test_v2_writes_values_as_sap_does(sap: Scene) -> None:
    row = sap.get(f"{ORDERS_V2}/A_SalesOrder('3')").json()["d"]
    changed = START + timedelta(minutes=3, microseconds=3)
    assert row["TotalNetAmount"] == "30.500"
    assert row["CreationDate"] == f"/Date({int(START.timestamp() * 1000)})/"
    assert row["LastChangeDateTime"] == f"/Date({int(changed.timestamp() * 1000)}+0000)/"
    assert row["CompleteDeliveryIsDefined"] is False
    assert row["DeliveryBlockReason"] is None
    root = f"{sap.client.base_url}{ORDERS_V2}".replace("//sap", "/sap")
    assert row["__metadata"]["uri"] == f"{root}/A_SalesOrder('3')"
    assert row["__metadata"]["type"] == "API_SALES_ORDER_SRV.A_SalesOrderType"
    assert row["to_Item"] == {"__deferred": {"uri": f"{root}/A_SalesOrder('3')/to_Item"}}


def test_v4_writes_values_as_sap_does(sap: Scene) -> None:
    response = sap.get(f"{ORDERS_V4}/SalesOrder('3')")
    row = response.json()
    assert '"TotalNetAmount":30.500' in response.text  # a number, with all its digits
    assert row["CreationDate"] == "2026-01-01"
    assert row["LastChangeDateTime"] == "2026-01-01T00:03:00.000003Z"
    assert row["@odata.context"] == "$metadata#SalesOrder/$entity"
    assert row["@odata.etag"] == response.headers["etag"]
    exact = sap.get(f"{ORDERS_V4}/SalesOrder('3')", headers={"accept": "application/json;IEEE754Compatible=true"}).json()
    assert exact["TotalNetAmount"] == "30.500"


@pytest.mark.parametrize("path", [f"{ORDERS_V2}/A_SalesOrder", f"{ORDERS_V4}/SalesOrder"])
@pytest.mark.parametrize("order", ["", "TotalNetAmount desc", "DeliveryBlockReason,TotalNetAmount desc", "DeliveryBlockReason desc"])
def test_pages_bring_every_row_once_in_order(sap: Scene, path: str, order: str) -> None:
    options: dict[str, str] = {"_orderby": order} if order else {}
    rows = sap.all_rows(path, 4, **options)
    assert len(rows) == ORDERS
    assert len({row["SalesOrder"] for row in rows}) == ORDERS
    amounts = [float(row["TotalNetAmount"]) for row in rows]
    if order == "TotalNetAmount desc":
        assert amounts == sorted(amounts, reverse=True)
    blocked = [row["DeliveryBlockReason"] is not None for row in rows]
    if order.startswith("DeliveryBlockReason,"):
        assert blocked == sorted(blocked)
        assert amounts[: blocked.count(False)] == sorted(amounts[: blocked.count(False)], reverse=True)
    if order == "DeliveryBlockReason desc":
        assert blocked == sorted(blocked, reverse=True)


def test_a_page_is_as_long_as_the_server_or_the_client_wants(sap: Scene) -> None:
    rows, link, _ = page_of(sap.get(f"{ORDERS_V2}/A_SalesOrder"))
    assert len(rows) == 10
    assert link is not None
    assert link.startswith(str(sap.client.base_url))
    response = sap.get(f"{ORDERS_V4}/SalesOrder", headers={"prefer": "odata.maxpagesize=7"})
    assert len(response.json()["value"]) == 7
    assert response.headers["preference-applied"] == "odata.maxpagesize=7"
    assert response.json()["@odata.nextLink"].startswith("SalesOrder?")


@pytest.mark.parametrize("size", ["0", "-1", "many", "²", "9" * 30])
def test_a_page_size_that_makes_no_sense_is_refused(sap: Scene, size: str) -> None:
    refused = sap.client.get(f"{ORDERS_V4}/SalesOrder", headers=[(b"prefer", f"odata.maxpagesize={size}".encode("latin-1"))])
    assert refused.status_code == 400


def test_rows_that_come_and_go_between_pages_move_no_other_row(tmp_path: Path) -> None:
    with scene(tmp_path, page_size=10) as own:
        first, link, _ = page_of(own.get(f"{ORDERS_V2}/A_SalesOrder"))
        own.store.delete(SALES_ORDER, [first[0]["SalesOrder"]], datetime.now(UTC))
        own.store.insert(SALES_ORDER, filled(SALES_ORDER, SalesOrder="0"), datetime.now(UTC))
        assert link is not None
        rest, _ = own.follow(own.client.get(link))
        assert len({row["SalesOrder"] for row in first + rest}) == len(first) + len(rest) == ORDERS


def test_top_and_skip_hold_over_pages(sap: Scene) -> None:
    rows = sap.all_rows(f"{ORDERS_V2}/A_SalesOrder", 4, _orderby="TotalNetAmount", _skip=3, _top=9)
    assert [row["SalesOrder"] for row in rows] == [str(number) for number in range(4, 13)]
    assert sap.rows(f"{ORDERS_V4}/SalesOrder", _top=0) == []


def test_counts_ignore_paging_and_follow_the_filter(sap: Scene) -> None:
    wanted = "DeliveryBlockReason eq '01'"
    assert sap.get(f"{ORDERS_V2}/A_SalesOrder", _inlinecount="allpages", _top=1).json()["d"]["__count"] == str(ORDERS)
    assert sap.get(f"{ORDERS_V4}/SalesOrder", _count="true", _top=1, _filter=wanted).json()["@odata.count"] == 12
    assert sap.get(f"{ORDERS_V2}/A_SalesOrder/$count", _filter=wanted).text == "12"
    assert sap.get(f"{ORDERS_V2}/A_SalesOrder('1')/to_Item/$count").text == "2"


def test_select_leaves_out_what_was_not_asked_for(sap: Scene) -> None:
    (row,) = sap.rows(f"{ORDERS_V2}/A_SalesOrder", _select="SalesOrder,TotalNetAmount", _top=1)
    assert set(row) == {"__metadata", "SalesOrder", "TotalNetAmount"}
    (row,) = sap.rows(f"{ORDERS_V4}/SalesOrder", _select="SalesOrder", _top=1)
    assert set(row) == {"@odata.etag", "SalesOrder"}


def test_v2_expands_by_paths(sap: Scene) -> None:
    (row,) = sap.rows(f"{ORDERS_V2}/A_SalesOrder", _expand="to_Item/to_SalesOrder", _select="SalesOrder,to_Item/Material", _top=1)
    assert [item["Material"] for item in row["to_Item"]["results"]] == ["P10", "P20"]
    (full,) = sap.rows(f"{ORDERS_V2}/A_SalesOrder", _expand="to_Item/to_SalesOrder,to_Partner", _filter="SalesOrder eq '7'")
    assert full["to_Item"]["results"][0]["to_SalesOrder"]["TotalNetAmount"] == "70.500"
    assert full["to_Partner"]["results"][0]["PartnerFunction"] == "AG"


def test_v4_expands_with_options(sap: Scene) -> None:
    expand = "_Item($select=Product;$filter=Product eq 'P20';$count=true;$expand=_SalesOrder($select=TotalNetAmount)),_Partner($top=0)"
    row = sap.rows(f"{ORDERS_V4}/SalesOrder", _expand=expand, _filter="SalesOrder eq '7'")[0]
    assert row["_Item@odata.count"] == 1
    assert row["_Item"][0]["Product"] == "P20"
    assert row["_Item"][0]["_SalesOrder"]["TotalNetAmount"] == 70.5
    assert row["_Partner"] == []


def test_navigation_leads_from_a_row_to_its_neighbours(sap: Scene) -> None:
    items = sap.rows(f"{ORDERS_V2}/A_SalesOrder('4')/to_Item")
    assert [item["SalesOrderItem"] for item in items] == ["10", "20"]
    back = sap.get(f"{ORDERS_V2}/A_SalesOrder('4')/to_Item(SalesOrder='4',SalesOrderItem='20')/to_SalesOrder").json()["d"]
    assert back["SalesOrder"] == "4"
    assert sap.get(f"{ORDERS_V2}/A_SalesOrder('4')/TotalNetAmount/$value").text == "40.500"
    assert sap.get(f"{ORDERS_V4}/SalesOrder('4')/TotalNetAmount").json()["value"] == 40.5


def test_a_key_with_every_awkward_character_is_found_by_its_own_address(sap: Scene) -> None:
    rows = sap.rows("/sap/opu/odata/sap/API_PRODUCT_SRV/A_Product")
    assert [sap.client.get(row["__metadata"]["uri"]).json()["d"]["Product"] for row in rows] == ["A/0 'x'", "A/1 'x'", "A/2 'x'"]


def test_a_service_publishes_its_own_field_names(sap: Scene) -> None:
    assert "Material" in sap.rows(f"{ORDERS_V2}/A_SalesOrderItem", _filter="Material eq 'P10'")[0]
    assert "Product" in sap.rows(f"{ORDERS_V4}/SalesOrderItem", _filter="Product eq 'P10'")[0]


def test_umlauts_survive(sap: Scene) -> None:
    row = sap.rows(f"{PARTNERS_V2}/A_BusinessPartner", _filter="BusinessPartnerFullName eq 'Müller 3'")[0]
    assert row["BusinessPartnerFullName"] == "Müller 3"


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        (f"{ORDERS_V2}/A_Nothing", 404, "segment 'A_Nothing'"),
        (f"{ORDERS_V2}/A_SalesOrder('99')", 404, "not found for key"),
        (f"{ORDERS_V2}/A_SalesOrder('1')/to_Nothing", 404, "to_Nothing"),
        (f"{ORDERS_V2}/A_SalesOrderItem('1')", 400, "key predicate"),
        (f"{ORDERS_V2}/A_SalesOrder?$select=Nothing", 400, "Property Nothing not found"),
        (f"{ORDERS_V2}/A_SalesOrder?$orderby=Nothing", 400, "Property Nothing not found"),
        (f"{ORDERS_V2}/A_SalesOrder?$expand=to_Nothing", 400, "to_Nothing"),
        (f"{ORDERS_V2}/A_SalesOrder?$apply=x", 400, "$apply"),
        (f"{ORDERS_V2}/A_SalesOrder?$top=-1", 400, "$top"),
        (f"{ORDERS_V2}/A_SalesOrder?$top=²", 400, "$top"),
        (f"{ORDERS_V2}/A_SalesOrder?$skip={'9' * 5000}", 400, "$skip"),
        (f"{ORDERS_V2}/A_SalesOrder?$top=1&$top=2", 400, "twice"),
        (f"{ORDERS_V2}/A_SalesOrder?$skiptoken=rubbish", 400, "$skiptoken"),
        (f"{ORDERS_V4}/SalesOrder?$expand=_Item($top=1", 400, "Unbalanced"),
        ("/sap/opu/odata/sap/NO_SUCH_SRV/", 403, "No service found"),
    ],
)
def test_nonsense_gets_saps_error_body(sap: Scene, path: str, status: int, words: str) -> None:
    response = sap.client.get(path)
    assert response.status_code == status
    error = response.json()["error"]
    assert error["code"]
    message = error["message"] if isinstance(error["message"], str) else error["message"]["value"]
    assert words in message
    assert isinstance(error["message"], str) == ("odata4" in path)
    assert error["innererror"]["transactionid"]


@pytest.mark.parametrize(("option", "accept"), [("atom", "application/json"), (None, "application/atom+xml")])
def test_a_client_that_wants_atom_is_told_that_there_is_json_only(sap: Scene, option: str | None, accept: str) -> None:
    options = {"_format": option} if option else {}
    refused = sap.get(f"{ORDERS_V2}/A_SalesOrder", headers={"accept": accept}, **options)
    assert refused.status_code == 406
    assert "ask for application/json" in refused.text


_awkward = st.text(alphabet="ASaleOrdrto_Itm()$'=,/%2 17&?\u00e4;.!", max_size=40)
_names = st.sampled_from(
    ["$filter", "$orderby", "$select", "$expand", "$top", "$skip", "$skiptoken", "$count", "$deltatoken", "!deltatoken", "x"]
)


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([f"{ORDERS_V2}/A_SalesOrder", f"{ORDERS_V4}/SalesOrder", f"{ORDERS_V4}/"]),
    _awkward,
    st.dictionaries(_names, _awkward, max_size=3),
)
def test_no_address_is_worse_than_a_refusal(sap: Scene, start: str, path: str, options: dict[str, str]) -> None:
    response = sap.client.get(quote(start + path, safe="/()$%"), params=options)
    assert response.status_code in {200, 304, 400, 403, 404, 406, 410}


def test_head_answers_without_a_body(sap: Scene) -> None:
    response = sap.client.head(f"{ORDERS_V2}/A_SalesOrder")
    assert response.status_code == 200
    assert response.content == b""
