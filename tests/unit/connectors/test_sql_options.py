"""What a sql source may be told, and which streams follow from it."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.sql import KIND, SqlOptions
from connectors.sql.connector import SqlConnector
from connectors.sql.streams import streams_of

URL = "postgresql://user:very-secret@localhost/db"


def options(**values: Any) -> SqlOptions:
    return SqlOptions.model_validate({"url": URL, **values})


def test_the_bureau_is_read_by_default() -> None:
    streams = {stream.name: stream for stream in KIND.streams(options())}
    assert {name: (stream.key, stream.deletes) for name, stream in streams.items()} == {
        "credit_rating": (("rating_id",), "keys"),
        "exchange_rate": (("currency", "rate_date"), "keys"),
        "industry_index": (("industry", "month"), "snapshot"),
        "ownership": (("owner_id", "owned_id"), "snapshot"),
    }


def test_a_configured_table_becomes_a_stream() -> None:
    table = {"table": "orders_v", "key": ["id"], "cursor": "changed", "lag": "PT1H", "announces": {"insert": "order.created"}}
    (stream,) = streams_of(options(streams={"order": table}))
    assert (stream.name, stream.table, stream.key, stream.deletes) == ("order", "orders_v", ("id",), "keys")
    assert stream.cursor is not None
    assert (stream.cursor.field, stream.cursor.lag) == ("changed", timedelta(hours=1))
    assert stream.announces == {"insert": "order.created"}


def test_a_table_without_a_name_of_its_own_is_called_like_its_stream() -> None:
    (stream,) = streams_of(options(streams={"firm": {"key": ["id"], "deletes": "never"}}))
    assert (stream.table, stream.cursor, stream.deletes) == ("firm", None, "never")


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "mysql://u:very-secret@h/db"},
        {"url": "very-secret"},
        {"streams": {}},
        {"streams": {"t": {"key": []}}},
        {"streams": {"t": {"key": ["id"], "deletes": "keys"}}},
        {"streams": {"t": {"key": ["id"], "cursor": "c", "deletes": "snapshot"}}},
        {"streams": {"t": {"key": ["id"], "cursor": "c", "lag": "-PT1S"}}},
        {"readers": 0},
        {"unknown": 1},
    ],
)
def test_a_wrong_setting_is_refused_without_saying_the_secret(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        options(**wrong)
    assert "very-secret" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg", "postgresql+psycopg2"])
def test_the_urls_of_other_tools_are_understood(scheme: str) -> None:
    connector = SqlConnector("bureau", options(url=f"{scheme}://user:pass@localhost:5433/db?sslmode=require"))
    assert "host=localhost" in connector._dsn
    assert "port=5433" in connector._dsn
    assert "sslmode=require" in connector._dsn


def test_naming_the_kind_loads_no_driver() -> None:
    code = (
        "import sys, connectors.sql, connectors.salesforce\n"
        "print([m for m in ('psycopg', 'adbc_driver_manager', 'simple_salesforce', 'httpx', 'requests', 'polars') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
