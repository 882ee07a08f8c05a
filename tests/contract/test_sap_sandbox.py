"""The SAP connector against the sandbox's SAP server, while the company lives and the server misbehaves.

The truth is the company's own file: what the connector holds after any series of syncs must equal it.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest

from connectors.http import breaker
from connectors.sap.connector import SapConnector
from connectors.sap.options import SapOptions
from connectors.sap.streams import STREAMS, SapStream
from connectors.semantics import CURRENCY, KEY, LABEL, REFERENCE, TEXT, UNIT
from pilothouse.kernel.errors import CredentialsRejected, SourceContractChanged, SourceUnavailable
from pilothouse.kernel.streams import DEFECT, Watermark

TABLES = {
    "business_partner": "sap_BusinessPartner",
    "business_partner_address": "sap_BusinessPartnerAddress",
    "business_partner_tax_number": "sap_BusinessPartnerTaxNumber",
    "sales_order": "sap_SalesOrder",
    "sales_order_item": "sap_SalesOrderItem",
    "sales_order_partner": "sap_SalesOrderPartner",
    "outbound_delivery": "sap_OutbDeliveryHeader",
    "billing_document": "sap_BillingDocument",
    "journal_item": "sap_OperationalAcctgDocItemCube",
    "product": "sap_Product",
}


@dataclass
class Sandbox:
    """The process, its addresses, and the company's file."""

    home: Path
    endpoints: dict[str, str]
    credentials: dict[str, dict[str, str]]
    opened: list[SapConnector] = field(default_factory=list)

    def connect(self, **changes: Any) -> SapConnector:
        known = self.credentials["sap"]
        options = {"url": self.endpoints["sap"], "user": known["user"], "password": known["password"], "page_size": 500} | changes
        self.opened.append(SapConnector("s4", SapOptions(**options)))
        return self.opened[-1]

    def step(self, beats: int) -> None:
        self._ask("POST", "/clock/step", {"beats": beats})

    def fault(self, **fault: Any) -> None:
        self._ask("POST", "/faults", {"server": "sap", **fault})

    def faults(self) -> list[dict[str, Any]]:
        return list(self._ask("GET", "/faults", None).json())

    def mend(self) -> None:
        self._ask("DELETE", "/faults", None)

    def truth(self, stream: SapStream) -> set[tuple[str, ...]]:
        """The keys that exist."""
        with sqlite3.connect(f"file:{self.home}/company/company.sqlite?mode=ro", uri=True) as company:
            return {tuple(map(str, row)) for row in company.execute(f"SELECT {', '.join(stream.key)} FROM {TABLES[stream.name]}")}

    def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.credentials['admin']['token']}"}
        return httpx.request(method, self.endpoints["admin"] + path, json=body, headers=headers, timeout=60).raise_for_status()


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    home = tmp_path_factory.mktemp("sandbox")
    with (home / "log").open("wb") as log:
        command = [sys.executable, "-m", "pilothouse.sandbox", "--home", str(home), "--scale", "0.02", "--pace", "0", "--warehouse-url", ""]
        running = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            give_up = time.monotonic() + 90
            while not (home / "endpoints.json").exists():
                assert running.poll() is None, (home / "log").read_text()
                assert time.monotonic() < give_up, (home / "log").read_text()
                time.sleep(0.05)
            files = (json.loads((home / name).read_text()) for name in ("endpoints.json", "credentials.json"))
            yield Sandbox(home, *files)
        finally:
            running.terminate()
            running.wait(10)


@pytest.fixture
def sandbox(process: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    monkeypatch.setattr(breaker, "_shared", {})  # one test's failures do not open the circuit for the next
    yield process
    process.mend()
    while process.opened:
        process.opened.pop().close()


@dataclass
class Copy:
    """What a sync of one stream holds: the latest row of each key."""

    stream: SapStream
    rows: dict[tuple[str, ...], dict[str, Any]] = field(default_factory=dict)
    watermark: Watermark | None = None
    snapshots: int = 0

    def sync(self, connector: SapConnector, *, crash_after: int | None = None) -> None:
        """Read what changed, as the loading stage does: rows, tombstones, key diff, watermark."""
        seen: set[tuple[str, ...]] = set()
        whole = False
        for number, batch in enumerate(connector.read(self.stream, self.watermark)):
            if number == crash_after:
                return
            assert batch.synthetic
            table = batch.reader().read_all()
            assert table.column(DEFECT).null_count == table.num_rows
            for row in table.drop_columns([DEFECT]).to_pylist():
                seen.add(self._key(row))
                self.rows[self._key(row)] = row
            for row in batch.deleted.to_pylist() if batch.deleted is not None else []:
                self.rows.pop(self._key(row), None)
            self.watermark = batch.watermark if batch.watermark is not None else self.watermark
            whole = batch.snapshot
        self.snapshots += whole
        if self.stream.deletes == "keys":
            seen, whole = {self._key(row) for table in connector.keys(self.stream) for row in table.to_pylist()}, True
        if whole:
            self.rows = {key: row for key, row in self.rows.items() if key in seen}

    def _key(self, row: dict[str, Any]) -> tuple[str, ...]:
        return tuple(str(row[name]) for name in self.stream.key)


by_stream = pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)


def test_after_any_series_of_syncs_every_copy_equals_the_company(sandbox: Sandbox) -> None:
    copies = [Copy(stream) for stream in STREAMS]
    for _ in range(3):
        for copy in copies:
            copy.sync(sandbox.connect())
            assert copy.rows.keys() == sandbox.truth(copy.stream), copy.stream.name
        sandbox.step(40)
    for copy in copies:
        copy.sync(sandbox.connect())
        fresh = Copy(copy.stream)
        fresh.sync(sandbox.connect())
        assert copy.rows.keys() == sandbox.truth(copy.stream), copy.stream.name
        assert copy.rows == fresh.rows, copy.stream.name
        assert copy.snapshots == (1 if copy.stream.delta else 0 if copy.stream.cursor else 4), copy.stream.name


def test_syncs_that_stop_in_the_middle_are_made_good_by_the_next(sandbox: Sandbox) -> None:
    copies = [Copy(stream) for stream in STREAMS]
    for crash_after in (1, 2, None):
        for copy in copies:
            copy.sync(sandbox.connect(batch_rows=20), crash_after=crash_after)
        if crash_after == 1:
            sandbox.step(20)
    for copy in copies:
        assert copy.rows.keys() == sandbox.truth(copy.stream), copy.stream.name


@by_stream
def test_every_field_of_a_stream_says_what_it_is(sandbox: Sandbox, stream: SapStream) -> None:
    schema = sandbox.connect().schema(stream)
    said = [dict(each.metadata or {}) for each in schema]
    assert tuple(each.name for each, words in zip(schema, said, strict=True) if KEY in words) == stream.key
    assert sum(LABEL in words for words in said) > len(said) / 2
    for words in said:
        assert {words[kind].decode() for kind in (UNIT, CURRENCY, TEXT) if kind in words} <= set(schema.names)


def test_an_amount_names_its_currency_and_a_reference_its_stream(sandbox: Sandbox) -> None:
    connector = sandbox.connect()
    streams = {stream.name: stream for stream in connector.streams()}
    order = connector.schema(streams["sales_order"]).field("TotalNetAmount")
    item = connector.schema(streams["sales_order_item"])
    assert order.type == pa.decimal128(16, 3)
    assert (order.metadata or {})[CURRENCY] == b"TransactionCurrency"
    assert (item.field("RequestedQuantity").metadata or {})[UNIT] == b"RequestedQuantitySAPUnit"
    assert (item.field("SalesOrder").metadata or {})[REFERENCE] == b"sales_order.SalesOrder"


def test_check_passes_with_a_password_and_with_oauth(sandbox: Sandbox) -> None:
    sandbox.connect().check()
    known = sandbox.credentials["sap"]
    oauth = {"token_url": "/sap/bc/sec/oauth2/token", "client_id": known["client_id"], "client_secret": known["client_secret"]}
    sandbox.connect(user=None, password=None, **oauth).check()


@pytest.mark.parametrize(
    ("wrong", "setting"),
    [
        ({"password": "wrong"}, "PILOTHOUSE_SOURCES__S4__PASSWORD"),
        (
            {"user": None, "password": None, "token_url": "/sap/bc/sec/oauth2/token", "client_id": "x", "client_secret": "wrong"},
            "PILOTHOUSE_SOURCES__S4__CLIENT_SECRET",
        ),
    ],
)
def test_wrong_credentials_name_their_setting(sandbox: Sandbox, wrong: dict[str, Any], setting: str) -> None:
    with pytest.raises(CredentialsRejected) as caught:
        sandbox.connect(**wrong).check()
    assert setting in caught.value.hint
    assert "wrong" not in str(caught.value)


ORDER = next(stream for stream in STREAMS if stream.name == "sales_order")
ITEM = next(stream for stream in STREAMS if stream.name == "sales_order_item")
JOURNAL = next(stream for stream in STREAMS if stream.name == "journal_item")


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "unavailable", "count": 2},
        {"kind": "throttled", "count": 1, "seconds": 1},
        {"kind": "cut", "count": 2},
        {"kind": "latency", "count": 2, "seconds": 0.2},
        {"kind": "empty_page", "count": 2},
    ],
    ids=lambda fault: fault["kind"],
)
@pytest.mark.parametrize("stream", [ORDER, ITEM, JOURNAL], ids=lambda stream: stream.name)
def test_a_passing_fault_costs_time_and_no_row(sandbox: Sandbox, stream: SapStream, fault: dict[str, Any]) -> None:
    sandbox.fault(path=f"*{stream.entity_set}*", **fault)
    copy = Copy(stream)
    copy.sync(sandbox.connect())
    assert copy.rows.keys() == sandbox.truth(stream)
    assert [switched["struck"] for switched in sandbox.faults()] == [fault["count"]]


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ({"kind": "unauthorized"}, CredentialsRejected, "answered 401"),
        ({"kind": "html"}, SourceContractChanged, "an HTML page instead of"),
        ({"kind": "next_loop"}, SourceContractChanged, "points at itself|run in a circle"),
        ({"kind": "throttled", "seconds": 3600}, SourceUnavailable, "answered 429"),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else None,
)
def test_a_lasting_fault_is_one_clear_error(sandbox: Sandbox, fault: dict[str, Any], error: type[Exception], message: str) -> None:
    sandbox.fault(**fault)
    with pytest.raises(error, match=message):
        Copy(ORDER).sync(sandbox.connect())


def test_an_expired_delta_link_loses_neither_changes_nor_deletions(sandbox: Sandbox) -> None:
    copies = [Copy(ITEM), Copy(JOURNAL)]
    for copy in copies:
        copy.sync(sandbox.connect())
    sandbox.step(40)
    for copy in copies:
        sandbox.fault(kind="expired_delta", count=1)
        copy.sync(sandbox.connect())
        assert copy.snapshots == 2
        assert copy.rows.keys() == sandbox.truth(copy.stream)


def test_a_field_that_appears_is_read_and_one_that_vanishes_is_gone(sandbox: Sandbox) -> None:
    before = sandbox.connect().schema(ORDER).names
    sandbox.fault(kind="field_appears", entity="SalesOrder", field="YY1_Region", value="north")
    sandbox.fault(kind="field_vanishes", entity="SalesOrder", field="PaymentMethod")
    copy = Copy(ORDER)
    connector = sandbox.connect()
    copy.sync(connector)
    assert set(connector.schema(ORDER).names) == {*before, "YY1_Region"} - {"PaymentMethod"}
    assert {row["YY1_Region"] for row in copy.rows.values()} == {"north"}


def test_a_key_or_cursor_that_is_renamed_stops_the_stream_by_name(sandbox: Sandbox) -> None:
    sandbox.fault(kind="field_renamed", entity="SalesOrder", field="LastChangeDateTime", to="ChangedAt")
    with pytest.raises(SourceContractChanged, match="s4 / sales_order: property 'LastChangeDateTime' of A_SalesOrder is gone"):
        Copy(ORDER).sync(sandbox.connect())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TotalNetAmount", "a lot"),
        ("CreationDate", "/Date(99999999999999999)/"),
        ("TotalNetAmount", "99999999999999999999.000"),
        ("CompleteDeliveryIsDefined", "perhaps"),
    ],
)
def test_a_value_that_does_not_fit_is_a_defect_and_the_rest_of_its_row_is_kept(sandbox: Sandbox, name: str, value: str) -> None:
    sandbox.fault(kind="field_value", entity="SalesOrder", field=name, value=value)
    connector = sandbox.connect()
    table = pa.concat_tables(batch.reader().read_all() for batch in connector.read(ORDER, None))
    assert table.num_rows == len(sandbox.truth(ORDER))
    assert table.column(name).null_count == table.num_rows
    assert table.column("SalesOrder").null_count == 0
    assert all(f"{name}: " in defect and value in defect for defect in table.column(DEFECT).to_pylist())


def test_two_readers_of_one_stream_do_not_disturb_each_other(sandbox: Sandbox) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def sync(_: int) -> Copy:
        copy = Copy(ITEM)
        copy.sync(sandbox.connect())
        return copy

    with ThreadPoolExecutor(4) as pool:
        copies: list[Copy] = list(pool.map(sync, range(4)))
    assert all(copy.rows == copies[0].rows for copy in copies)
