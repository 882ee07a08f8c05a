"""What a salesforce source may be told, and which streams follow from it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.salesforce import KIND, SalesforceOptions
from connectors.salesforce.streams import streams_of

COMPLETE = {"url": "https://acme.my.salesforce.com/", "client_id": "app", "client_secret": "very-secret"}


def options(**values: Any) -> SalesforceOptions:
    return SalesforceOptions.model_validate({**COMPLETE, **values})


def test_four_standard_objects_are_read_by_default() -> None:
    streams = streams_of(options())
    assert [(stream.name, stream.object, stream.key, stream.deletes) for stream in streams] == [
        ("account", "Account", ("Id",), "tombstones"),
        ("contact", "Contact", ("Id",), "tombstones"),
        ("opportunity", "Opportunity", ("Id",), "tombstones"),
        ("case", "Case", ("Id",), "tombstones"),
    ]
    assert {stream.cursor.field for stream in streams if stream.cursor} == {"SystemModstamp"}
    assert KIND.streams(options()) == streams


def test_a_configured_object_becomes_a_stream() -> None:
    invoice = {"object": "Invoice__c", "lag": "PT1H", "deletes": "keys", "announces": {"insert": "invoice.created"}}
    (stream,) = streams_of(options(streams={"invoice": invoice}))
    assert (stream.object, stream.deletes) == ("Invoice__c", "keys")
    assert stream.cursor is not None
    assert stream.cursor.lag == timedelta(hours=1)
    (snapshot,) = streams_of(options(streams={"rate": {"object": "Rate__c", "cursor": None}}))
    assert (snapshot.cursor, snapshot.deletes) == (None, "snapshot")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"url": "acme.my.salesforce.com"}, "must be the org's URL"),
        ({"url": "http://acme.my.salesforce.com"}, "must be https"),
        ({"api_version": "sixty"}, "api_version"),
        ({"api_share": 1}, "api_share"),
        ({"streams": {}}, "at least one"),
        ({"streams": {"t": {"object": "A; DROP"}}}, "object"),
        ({"streams": {"t": {"object": "A", "cursor": None, "deletes": "keys"}}}, "needs a cursor"),
        ({"streams": {"t": {"object": "A", "deletes": "snapshot"}}}, "contradicts the cursor"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_a_wrong_setting_is_refused_without_saying_the_secret(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said) as caught:
        options(**wrong)
    assert "very-secret" not in str(caught.value)


def test_a_local_org_may_speak_plain_http() -> None:
    assert options(url="http://127.0.0.1:8080").url == "http://127.0.0.1:8080"


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"client_secret": None}, ("client_secret",)),
        ({"auth": "jwt"}, ("username", "private_key_file")),
        ({"auth": "password", "username": "u"}, ("password",)),
        ({"auth": "password", "username": "u", "password": "very-secret", "client_secret": None}, ("client_secret",)),
        ({}, ()),
    ],
)
def test_what_the_chosen_login_needs_is_named_and_streams_are_known_without_it(given: dict[str, Any], missing: tuple[str, ...]) -> None:
    chosen = options(**given)
    assert chosen.missing() == missing
    assert streams_of(chosen)
