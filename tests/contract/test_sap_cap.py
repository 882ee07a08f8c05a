"""The SAP connector against servers that SAP wrote: CAP's OData V4 server, its V2 adapter, and on them the published
model of API_BUSINESS_PARTNER. Node packages come from `npm ci` in tests/contract/node_cap."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest

from connectors.sap.connector import SapConnector
from connectors.sap.options import SapOptions
from connectors.semantics import CURRENCY, KEY, LABEL, REFERENCE, TEXT, UNIT
from pilothouse.kernel.errors import SourceContractChanged
from pilothouse.kernel.streams import DEFECT, Watermark

PROJECT = Path(__file__).parent / "node_cap"
ORDERS = 2_500  # CAP serves pages of 1,000
START = datetime(2025, 1, 1, tzinfo=UTC)
VERSIONS = {"V4": "", "V2": "/odata/v2"}

Open = Callable[..., SapConnector]


@pytest.fixture(scope="module")
def cap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """CAP's server over a copy of the project, so that nothing is written into the repository."""
    modules = PROJECT / "node_modules"
    assert modules.is_dir(), f"run `npm ci` in {PROJECT}"
    home = tmp_path_factory.mktemp("cap")
    for name in ("package.json", "server.js"):
        shutil.copy(PROJECT / name, home)
    shutil.copytree(PROJECT / "srv", home / "srv")
    (home / "node_modules").symlink_to(modules)
    subprocess.run(["node", str(PROJECT / "prepare.js"), str(home / "srv" / "business-partner.json")], check=True, timeout=60)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (home / "log").open("wb")
    server = subprocess.Popen(
        ["node", str(modules / "@sap" / "cds" / "bin" / "serve.js"), "--port", str(port)],
        cwd=home,
        env={**os.environ, "ORDERS": str(ORDERS), "NO_COLOR": "1", "CDS_REQUIRES_AUTH_KIND": "mocked"},
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        _await_filled(server, home / "log")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)
        log.close()


def _await_filled(server: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + 90
    while "server listening" not in log.read_text() or "filled" not in log.read_text():
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < give_up, log.read_text()
        time.sleep(0.1)


@pytest.fixture
def opened(cap: str) -> Iterator[Open]:
    connectors: list[SapConnector] = []

    def opened(stream: dict[str, Any], *others: dict[str, Any], **options: Any) -> SapConnector:
        names = [each["name"] for each in (stream, *others)]
        made = SapOptions(url=cap, user="alice", password="alice", streams=tuple(names), extra_streams=(stream, *others), **options)
        connectors.append(SapConnector("cap", made))
        return connectors[-1]

    yield opened
    for each in connectors:
        each.close()


def orders(version: str, **more: Any) -> dict[str, Any]:
    return {"name": "orders", "path": f"{VERSIONS[version]}/shop/Orders", "key": ["ID"], **more}


def customers(version: str) -> dict[str, Any]:
    return {"name": "customers", "path": f"{VERSIONS[version]}/shop/Customers", "key": ["code", "region"]}


def read(connector: SapConnector, since: Watermark | None = None) -> tuple[pa.Table, Watermark | None]:
    batches = list(connector.read(connector.streams()[0], since))
    tables = [batch.reader().read_all() for batch in batches[:-1]] if len(batches) > 1 else []
    return pa.concat_tables([*tables, batches[-1].reader().read_all()]), batches[-1].watermark


def read_streamed(connector: SapConnector) -> pa.Table:
    return pa.concat_tables([batch.reader().read_all() for batch in connector.read(connector.streams()[0], None)])


def order(n: int) -> dict[str, Any]:
    """The formula of server.js."""
    return {
        "ID": n,
        "customer_code": f"C{n % 7}",
        "customer_region": "N" if (n % 7) % 2 else "S",
        "net": None if n % 10 == 9 else Decimal(f"{n}.{n % 1000:03d}"),
        "currency": "EUR",
        "quantity": Decimal(n) / 8,
        "unit": "PC",
        "status": "ABC"[n % 3],
        "statusText": f'line one\nline "two" {n}',
        "changedAt": START + timedelta(milliseconds=61_001 * n),
        "orderedOn": (START + timedelta(days=n)).date(),
        "cutOff": (START + timedelta(seconds=61 * n)).time(),
        "rushed": n % 2 == 0,
        "weight": n / 4,
        "lines": n % 30_000,
        "serial": 9_000_000_000_000 + n,
        "token": f"00000000-0000-4000-8000-{n:012d}",
        "tags": f'["t{n % 3}","x"]' if n % 5 else "[]",
        DEFECT: None,
    }


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("paging", ["server", "client"])
def test_every_value_of_every_row_arrives(opened: Open, version: str, paging: str) -> None:
    rows = read_streamed(opened(orders(version), paging=paging, page_size=700)).sort_by("ID").to_pylist()
    assert len(rows) == ORDERS
    assert rows == [order(n) for n in range(ORDERS)]


@pytest.mark.parametrize("version", VERSIONS)
def test_what_cap_says_about_its_fields_is_kept(opened: Open, version: str) -> None:
    connector = opened(orders(version), customers(version))
    schema = connector.schema(connector.streams()[0])
    said = {field.name: dict(field.metadata or {}) for field in schema}
    assert said["ID"][KEY] == b"true"
    assert said["net"][LABEL] == b"Net amount"
    assert said["net"][CURRENCY] == b"currency"
    assert said["quantity"][UNIT] == b"unit"
    assert said["status"][TEXT] == b"statusText"
    assert (said["customer_code"][REFERENCE], said["customer_region"][REFERENCE]) == (b"customers.code", b"customers.region")
    assert schema.field("net").type == pa.decimal128(16, 3)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("field", ["changedAt", "orderedOn"])
def test_a_read_since_a_watermark_brings_the_changes_from_there_on(opened: Open, version: str, field: str) -> None:
    connector = opened(orders(version, cursor=field, lag="PT2H"), batch_rows=1000)
    batches = list(connector.read(connector.streams()[0], None))
    assert [batch.rows.num_rows for batch in batches if isinstance(batch.rows, pa.Table)] == [1000, 1000, 500]
    latest = order(999)[field] if field == "changedAt" else datetime.combine(order(999)[field], datetime.min.time(), UTC)
    present = datetime.now(UTC)
    first = batches[0].watermark
    assert first is not None
    cursor = datetime.fromisoformat(str(first.position["cursor"]))
    assert cursor == latest or (latest > present and cursor <= present + timedelta(days=2))

    later, _ = read(connector, first)

    start = cursor - timedelta(hours=2)
    since = start if field == "changedAt" else start.date()
    assert sorted(later.column("ID").to_pylist()) == [n for n in range(ORDERS) if order(n)[field] >= since]


@pytest.mark.parametrize("version", VERSIONS)
def test_all_keys_are_listed(opened: Open, version: str) -> None:
    connector = opened(orders(version, cursor="changedAt"), customers(version))
    one, two = connector.streams()
    assert sorted(key for table in connector.keys(one) for key in table.column("ID").to_pylist()) == list(range(ORDERS))
    assert pa.concat_tables(connector.keys(two)).num_rows == 7


@pytest.mark.parametrize("version", VERSIONS)
def test_check_is_content_with_cap_and_names_what_it_does_not_offer(opened: Open, version: str) -> None:
    opened(orders(version), customers(version)).check()
    with pytest.raises(SourceContractChanged, match=r"cap / orders: entity set 'Order' is gone from \$metadata; it offers 'Orders'"):
        opened(orders(version) | {"path": f"{VERSIONS[version]}/shop/Order"}).check()
    with pytest.raises(SourceContractChanged, match="answered 404"):
        opened(orders(version) | {"path": f"{VERSIONS[version]}/shap/Orders"}).check()


def test_a_server_without_delta_links_is_told(opened: Open) -> None:
    with pytest.raises(SourceContractChanged, match="brought no delta link"):
        read(opened(orders("V4", delta=True)))


def test_the_v2_adapter_names_another_host_in_its_links_and_is_followed_on_ours(cap: str) -> None:
    """What makes the read above hard: CAP calls itself localhost in absolute links, whatever we call it."""
    link = httpx.get(f"{cap}/odata/v2/shop/Orders?$format=json", auth=("alice", "alice")).json()["d"]["__next"]
    assert link.startswith("http://")


@pytest.mark.parametrize("version", VERSIONS)
def test_saps_own_business_partner_model_is_read(opened: Open, version: str) -> None:
    path = f"{VERSIONS[version]}/sap/opu/odata/sap/API_BUSINESS_PARTNER"
    partner = {"name": "business_partner", "path": f"{path}/A_BusinessPartner", "key": ["BusinessPartner"]}
    address = {"name": "address", "path": f"{path}/A_BusinessPartnerAddress", "key": ["BusinessPartner", "AddressID"]}
    connector = opened(partner | {"cursor": "LastChangeDate", "created": "CreationDate", "lag": "P1D"}, address)
    connector.check()

    table, watermark = read(connector)

    rows = {row["BusinessPartner"]: row for row in table.to_pylist()}
    assert len(rows) == 1_200
    assert table.column(DEFECT).null_count == 1_200
    seventh = rows["0000000007"]
    assert seventh["BusinessPartnerFullName"] == "Partner 7 ÄÖÜ"
    assert seventh["CreationDate"] == seventh["LastChangeDate"] == date(2025, 1, 8)
    assert seventh["CreationTime"] == (START + timedelta(seconds=61 * 7)).time()
    assert rows["0000000008"]["LastChangeDate"] is None

    later, _ = read(connector, watermark)

    latest = max(row["LastChangeDate"] for row in rows.values() if row["LastChangeDate"])
    since = latest - timedelta(days=1)
    expected = {
        key for key, row in rows.items() if row["CreationDate"] >= since or (row["LastChangeDate"] and row["LastChangeDate"] >= since)
    }
    assert set(later.column("BusinessPartner").to_pylist()) == expected
    assert any(rows[key]["LastChangeDate"] is None for key in expected)
    schema = connector.schema(connector.streams()[1])
    assert schema.names[:2] == ["BusinessPartner", "AddressID"]
