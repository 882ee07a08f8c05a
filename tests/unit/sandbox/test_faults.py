"""Faults strike where, how often and how they were told to; the same on either server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError

from pilothouse.sandbox.faults import Fault, Faults
from tests.unit.sandbox.sap_scene import ORDERS, ORDERS_V2, ORDERS_V4, PARTNERS_V2, Scene, page_of, scene

SET = f"{ORDERS_V2}/A_SalesOrder"


@pytest.fixture
def sap(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path, page_size=10) as running:
        yield running


def test_a_fault_strikes_its_path_and_no_other_as_often_as_it_should() -> None:
    faults = Faults()
    faults.switch_on(Fault(kind="throttled", server="sap", path="/a/*", count=2))
    struck = [faults.strike("sap", path, "throttled") is not None for path in ("/b", "/a/1", "/a/2", "/a/3")]
    assert struck == [False, True, True, False]
    assert faults.strike("salesforce", "/a/1", "throttled") is None
    (known,) = faults.list()
    assert (known.struck, known.exhausted) == (2, True)


def test_a_probability_strikes_the_same_requests_for_the_same_seed() -> None:
    def run(seed: int) -> list[bool]:
        faults = Faults(seed)
        faults.switch_on(Fault(kind="cut", probability=0.3))
        return [faults.strike("sap", "/", "cut") is not None for _ in range(200)]

    assert run(7) == run(7) != run(8)
    assert 30 < sum(run(7)) < 90


def test_a_fault_can_be_cleared() -> None:
    faults = Faults()
    number = faults.switch_on(Fault(kind="html")).number
    faults.switch_off(number)
    with pytest.raises(KeyError):
        faults.switch_off(number)
    faults.switch_on(Fault(kind="html"))
    faults.switch_off()
    assert faults.list() == ()


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "nonsense"},
        {"kind": "cut", "count": 0},
        {"kind": "cut", "probability": 2},
        {"kind": "unavailable", "status": 200},
        {"kind": "cut", "surprise": 1},
        {"kind": "field_vanishes", "entity": "SalesOrder"},
        {"kind": "field_renamed", "entity": "SalesOrder", "field": "SoldToParty"},
        {"kind": "field_retyped", "entity": "SalesOrder", "field": "SoldToParty", "to": "colour"},
        {"kind": "field_vanishes", "entity": "SalesOrder", "field": "SoldToParty", "count": 1},
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(fault: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Fault.model_validate(fault)


@pytest.mark.parametrize(
    ("fault", "status", "header"),
    [
        ({"kind": "unauthorized"}, 401, ("www-authenticate", 'Basic realm="SAP NetWeaver Application Server [S4H/100]"')),
        ({"kind": "throttled", "seconds": 7}, 429, ("retry-after", "7")),
        ({"kind": "unavailable"}, 503, ("content-type", "text/html")),
        ({"kind": "unavailable", "status": 502}, 502, ("content-type", "text/html")),
        ({"kind": "html"}, 200, ("content-type", "text/html; charset=utf-8")),
    ],
)
def test_a_fault_of_the_wire_is_worded_as_sap_would_and_passes(
    sap: Scene, fault: dict[str, object], status: int, header: tuple[str, str]
) -> None:
    sap.switch_on(**fault, count=1)
    response = sap.get(SET)
    assert response.status_code == status
    assert response.headers[header[0]] == header[1]
    assert response.headers["x-pilothouse-synthetic"] == "true"
    assert len(sap.rows(SET)) == 10


def test_latency_delays_and_adds_up(sap: Scene) -> None:
    sap.switch_on(kind="latency", seconds=0.15, count=1)
    sap.switch_on(kind="latency", seconds=0.15, count=1)
    began = time.monotonic()
    assert sap.get(SET).status_code == 200
    assert time.monotonic() - began >= 0.3


def test_a_cut_connection_leaves_half_a_page(sap: Scene) -> None:
    sap.switch_on(kind="cut", count=1)
    received: list[bytes] = []
    with sap.client.stream("GET", SET) as response, pytest.raises(httpx.RemoteProtocolError):
        received.extend(response.iter_raw())
    assert response.status_code == 200
    assert 0 < len(b"".join(received)) < int(response.headers["content-length"])
    assert len(sap.rows(SET)) == 10


@pytest.mark.parametrize("path", [SET, f"{ORDERS_V4}/SalesOrder"])
@pytest.mark.parametrize("hit", [0, 1])
def test_an_empty_page_leads_on_and_loses_nothing(sap: Scene, path: str, hit: int) -> None:
    first = sap.get(path)
    if hit == 0:
        sap.switch_on(kind="empty_page", count=1)
        first = sap.get(path)
        assert page_of(first)[0] == []
    else:
        sap.switch_on(kind="empty_page", count=1)
    rows, _ = sap.follow(first)
    assert len({row["SalesOrder"] for row in rows}) == len(rows) == ORDERS


def test_an_empty_page_does_not_lose_a_delta(sap: Scene) -> None:
    sap.switch_on(kind="empty_page", count=2)
    rows, delta = sap.follow(sap.get(f"{ORDERS_V4}/SalesOrder", headers={"prefer": "odata.track-changes"}))
    assert len(rows) == ORDERS
    assert delta is not None
    sap.switch_on(kind="empty_page", count=1)
    assert sap.follow(sap.client.get(delta))[0] == []


def test_a_loop_leads_back_to_where_it_was(sap: Scene) -> None:
    sap.switch_on(kind="next_loop")
    first = sap.get(SET, _top=3)
    rows, link, _ = page_of(first)
    assert link is not None
    assert page_of(sap.client.get(link)) == (rows, link, None)


def test_a_new_field_shows_in_schema_and_rows(sap: Scene) -> None:
    sap.switch_on(kind="field_appears", entity="SalesOrder", field="ZZ_Priority", to="int", value=5)
    assert '<Property Name="ZZ_Priority" Type="Edm.Int32"' in sap.get(f"{ORDERS_V2}/$metadata").text
    assert sap.rows(SET, _top=1, _filter="ZZ_Priority eq 5", _orderby="ZZ_Priority")[0]["ZZ_Priority"] == 5


def test_a_vanished_field_is_unknown_everywhere(sap: Scene) -> None:
    sap.switch_on(kind="field_vanishes", entity="SalesOrder", field="TotalNetAmount")
    assert "TotalNetAmount" not in sap.get(f"{ORDERS_V2}/$metadata").text
    assert "TotalNetAmount" not in sap.rows(SET)[0]
    assert sap.get(SET, _select="TotalNetAmount").status_code == 400
    sap.faults.switch_off()
    assert "TotalNetAmount" in sap.rows(SET)[0]


def test_a_renamed_field_keeps_its_values(sap: Scene) -> None:
    sap.switch_on(kind="field_renamed", entity="SalesOrder", field="SoldToParty", to="Customer")
    row = sap.rows(SET, _filter="Customer eq '103'", _top=1)[0]
    assert row["Customer"] == "103"
    assert "SoldToParty" not in row


@pytest.mark.parametrize(
    ("field", "to", "edm", "value"),
    [
        ("TotalNetAmount", "string", "Edm.String", "10.500"),
        ("TotalNetAmount", "int", "Edm.Int32", 10),
        ("TotalNetAmount", "double", "Edm.Double", "10.5"),
        ("LastChangeDateTime", "date", "Edm.DateTime", "/Date(1767225600000)/"),
        ("CreationDate", "datetime", "Edm.DateTimeOffset", "/Date(1767225600000+0000)/"),
        ("SoldToParty", "decimal", "Edm.Decimal", "101.00"),
    ],
)
def test_a_retyped_field_is_of_its_new_type(sap: Scene, field: str, to: str, edm: str, value: object) -> None:
    sap.switch_on(kind="field_retyped", entity="SalesOrder", field=field, to=to)
    assert f'<Property Name="{field}" Type="{edm}"' in sap.get(f"{ORDERS_V2}/$metadata").text
    assert sap.get(f"{SET}('1')").json()["d"][field] == value


@pytest.mark.parametrize("value", ["/Date(99999999999999999)/", None, 17, "snow ☃", "x" * 100_000])
def test_rows_can_carry_what_their_schema_forbids(sap: Scene, value: object) -> None:
    sap.switch_on(kind="field_value", entity="BusinessPartner", field="CreationDate", value=value)
    assert sap.rows(f"{PARTNERS_V2}/A_BusinessPartner")[0]["CreationDate"] == value
    assert '<Property Name="CreationDate" Type="Edm.DateTime"' in sap.get(f"{PARTNERS_V2}/$metadata").text
