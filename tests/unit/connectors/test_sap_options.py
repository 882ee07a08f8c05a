"""What pilothouse.toml may say about an SAP source."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.connector import ConnectorKind
from connectors.sap import KIND
from connectors.sap.options import SapOptions
from connectors.sap.streams import STREAMS, SapStream

BASIC: dict[str, Any] = {"url": "https://s4.example:44300", "user": "COMM", "password": "hush-hush"}
OWN = {"name": "my_orders", "path": "/sap/opu/odata/sap/ZORDERS_SRV/Orders", "key": ["Id"]}


def test_the_kind_is_found_under_its_name_and_lists_all_streams() -> None:
    assert isinstance(KIND, ConnectorKind)
    assert KIND.name == "sap"
    assert [stream.name for stream in KIND.streams(SapOptions(**BASIC))] == [stream.name for stream in STREAMS]


def test_every_stream_is_described_and_says_how_deletes_become_known() -> None:
    for stream in STREAMS:
        assert stream.description
        assert stream.label
        assert stream.owner
        expected = "tombstones" if stream.delta else "keys" if stream.cursor else "snapshot"
        assert stream.deletes == expected, stream.name


def test_a_path_is_a_service_and_an_entity_set() -> None:
    stream = next(each for each in STREAMS if each.name == "outbound_delivery")
    assert (stream.service, stream.entity_set) == ("/sap/opu/odata/sap/API_OUTBOUND_DELIVERY_SRV;v=0002", "A_OutbDeliveryHeader")


def test_streams_can_be_chosen_and_added_and_replaced() -> None:
    chosen = SapOptions(**BASIC, streams=["product", "my_orders"], extra_streams=[OWN])
    assert [stream.name for stream in chosen.selected()] == ["product", "my_orders"]
    replaced = SapOptions(**BASIC, streams=["product"], extra_streams=[{**OWN, "name": "product"}])
    assert [stream.path for stream in replaced.selected()] == [OWN["path"]]


@pytest.mark.parametrize(
    ("more", "deletes", "lag"),
    [
        ({}, "snapshot", None),
        ({"cursor": "At"}, "keys", timedelta(minutes=5)),
        ({"delta": True}, "tombstones", None),
        ({"cursor": "At", "lag": "PT1H", "deletes": "never"}, "never", timedelta(hours=1)),
    ],
)
def test_an_extra_stream_finds_deletes_as_its_kind_of_read_allows(more: dict[str, Any], deletes: str, lag: timedelta | None) -> None:
    (stream,) = SapOptions(**BASIC, streams=["my_orders"], extra_streams=[{**OWN, **more}]).selected()
    assert isinstance(stream, SapStream)
    assert stream.deletes == deletes
    assert (stream.cursor.lag if stream.cursor else None) == lag


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"client_id": "x"}, "give one of the two"),
        ({"url": "s4.example"}, "url"),
        ({"streams": ["sales_ordr"]}, "no stream is called 'sales_ordr'; there are billing_document"),
        ({"pagesize": 5}, "pagesize"),
        ({"page_size": 0}, "page_size"),
        ({"sap_client": "1"}, "sap_client"),
        ({"extra_streams": [OWN, OWN]}, "declared twice"),
        ({"extra_streams": [{**OWN, "cursor": "At", "delta": True}]}, "not both"),
        ({"extra_streams": [{**OWN, "cursor": "At", "deletes": "snapshot"}]}, "brings changes only"),
        ({"extra_streams": [{**OWN, "created": "At"}]}, "stands in for a `cursor`"),
        ({"extra_streams": [{**OWN, "key": []}]}, "key"),
        ({"extra_streams": [{**OWN, "path": "Orders"}]}, "path"),
    ],
)
def test_a_wrong_option_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message) as caught:
        SapOptions(**{**BASIC, **change})
    assert "hush" not in str(caught.value)


def test_a_password_is_not_shown() -> None:
    assert "hush" not in repr(SapOptions(**BASIC))


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({}, ("user", "password")),
        ({"user": "me"}, ("password",)),
        ({"password": "hush-hush"}, ("user",)),
        ({"client_id": "x", "client_secret": "hush-hush"}, ("token_url",)),
        ({"user": "me", "password": "hush-hush"}, ()),
    ],
)
def test_what_it_takes_to_log_on_is_named_and_streams_are_known_without_it(given: dict[str, Any], missing: tuple[str, ...]) -> None:
    options = SapOptions(url="https://s4.example", **given)
    assert options.missing() == missing
    assert options.selected()
