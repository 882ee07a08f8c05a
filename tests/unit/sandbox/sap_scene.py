"""A small SAP system on loopback: the real application over the real entities, with rows a test can count by hand."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urljoin

import httpx

from pilothouse.sandbox.company import sap
from pilothouse.sandbox.company.schema import Entity, Field
from pilothouse.sandbox.company.store import Row, Store, Value, timestamp
from pilothouse.sandbox.credentials import SapCredentials
from pilothouse.sandbox.faults import App, Fault, Faults
from pilothouse.sandbox.sap.app import sap_app
from pilothouse.sandbox.server import HOST, Listener, bound

START = datetime(2026, 1, 1, tzinfo=UTC)
ORDERS = 25
ORDERS_V2 = "/sap/opu/odata/sap/API_SALES_ORDER_SRV"
PARTNERS_V2 = "/sap/opu/odata/sap/API_BUSINESS_PARTNER"
JOURNAL_V2 = "/sap/opu/odata/sap/API_OPLACCTGDOCITEMCUBE_SRV"
DELIVERIES_V2 = "/sap/opu/odata/sap/API_OUTBOUND_DELIVERY_SRV;v=0002"
ORDERS_V4 = "/sap/opu/odata4/sap/api_salesorder/srvd_a2x/sap/salesorder/0001"
PRODUCTS_V4 = "/sap/opu/odata4/sap/api_product/srvd_a2x/sap/product/0002"


def filled(entity: Entity, **values: Value) -> Row:
    """A row with a plain value in every field that is not given."""
    return {field.name: values.get(field.name, _plain(field)) for field in entity.fields}


def _plain(field: Field) -> Value:
    plain: dict[str, Value] = {"string": "X", "bool": 0, "int": 1, "double": 0.5, "date": "2026-01-01", "datetime": timestamp(START)}
    if field.name.endswith("UUID"):
        return "00000000-0000-4000-8000-000000000001"
    return f"{1:.{field.scale or 0}f}" if field.kind == "decimal" else plain[field.kind]


def order(number: int) -> Row:
    """Order `number`: its amount is ten times its number, it changed that many minutes after the start."""
    return filled(
        sap.SALES_ORDER,
        SalesOrder=str(number),
        SoldToParty=f"10{number % 5}",
        TotalNetAmount=f"{number * 10}.500",
        TransactionCurrency="EUR",
        PurchaseOrderByCustomer=f"PO/{number} & O'Neill",
        LastChangeDateTime=timestamp(START + timedelta(minutes=number, microseconds=number)),
        DeliveryBlockReason=None if number % 2 else "01",
    )


def populated(path: Path) -> Store:
    """A store with 25 orders of two items, 5 partners and 7 journal items."""
    path.write_bytes(_file())
    return Store(path, sap.SAP)


@cache
def _file() -> bytes:
    """Such a store's file. Made once: its tables and indexes take half a second."""
    with TemporaryDirectory() as folder:
        store = Store(Path(folder) / "company.sqlite", sap.SAP)
        _populate(store)
        store.close()  # the last connection writes the journal back into the file
        return store.path.read_bytes()


def _populate(store: Store) -> None:
    numbers = range(1, ORDERS + 1)
    store.load(sap.SALES_ORDER, [order(number) for number in numbers])
    items = [(number, item) for number in numbers for item in (10, 20)]
    store.load(
        sap.SALES_ORDER_ITEM, [filled(sap.SALES_ORDER_ITEM, SalesOrder=str(n), SalesOrderItem=str(i), Product=f"P{i}") for n, i in items]
    )
    store.load(sap.SALES_ORDER_PARTNER, [filled(sap.SALES_ORDER_PARTNER, SalesOrder=str(n), PartnerFunction="AG") for n in numbers])
    store.load(
        sap.BUSINESS_PARTNER,
        [filled(sap.BUSINESS_PARTNER, BusinessPartner=f"10{n}", BusinessPartnerFullName=f"Müller {n}") for n in range(5)],
    )
    journal = sap.OPERATIONAL_ACCTG_DOC_ITEM_CUBE
    store.load(
        journal,
        [filled(journal, CompanyCode="1010", FiscalYear="2026", AccountingDocument=str(n), AccountingDocumentItem="1") for n in range(7)],
    )
    store.load(sap.PRODUCT, [filled(sap.PRODUCT, Product=f"A/{n} 'x'") for n in range(3)])
    for table in (sap.SALES_ORDER.table, sap.BUSINESS_PARTNER.table):
        store.set_fact(f"next {table}", "700")


@dataclass(frozen=True)
class Scene:
    """A running SAP server and a client that it knows."""

    store: Store
    faults: Faults
    credentials: SapCredentials
    client: httpx.Client

    def get(self, path: str, *, headers: Mapping[str, str] | None = None, **options: str | int) -> httpx.Response:
        """GET with query options; `_` stands for `$`."""
        return self.client.get(path, params={name.replace("_", "$", 1): value for name, value in options.items()}, headers=headers)

    def rows(self, path: str, *, headers: Mapping[str, str] | None = None, **options: str | int) -> list[dict[str, Any]]:
        """The rows of one page."""
        return page_of(self.get(path, headers=headers, **options))[0]

    def all_rows(self, path: str, size: int, **options: str | int) -> list[dict[str, Any]]:
        """The rows of all pages."""
        return self.follow(self.get(path, headers={"prefer": f"odata.maxpagesize={size}"}, **options), size)[0]

    def follow(self, response: httpx.Response, size: int = 1000) -> tuple[list[dict[str, Any]], str | None]:
        """The rows from this page on, and the delta link of the last page."""
        found: list[dict[str, Any]] = []
        for _ in range(1000):
            rows, link, delta = page_of(response)
            found += rows
            if link is None:
                return found, delta
            response = self.client.get(link, headers={"prefer": f"odata.maxpagesize={size}"})
        raise AssertionError("the links never end")

    def write(self, method: str, path: str, body: object = None, *, if_match: str | None = None, **headers: str) -> httpx.Response:
        """A write with the CSRF token of the client's session."""
        fetched = self.client.get("/".join(path.split("/")[:6]) if "odata4" not in path else ORDERS_V4, headers={"x-csrf-token": "Fetch"})
        given = {"x-csrf-token": fetched.headers["x-csrf-token"], **({"if-match": if_match} if if_match else {}), **headers}
        return self.client.request(method, path, json=body, headers=given)

    def switch_on(self, **fault: Any) -> None:
        """Switch a fault on."""
        self.faults.switch_on(Fault(**fault))


def page_of(response: httpx.Response) -> tuple[list[dict[str, Any]], str | None, str | None]:
    """Rows, next link and delta link of a page, both absolute."""
    assert response.status_code == 200, response.text
    content = response.json()
    if "d" in content:
        return content["d"]["results"], content["d"].get("__next"), content["d"].get("__delta")
    links = (content.get("@odata.nextLink"), content.get("@odata.deltaLink"))
    following, delta = (urljoin(str(response.request.url), link) if link else None for link in links)
    return content["value"], following, delta


@contextmanager
def serving(app: App) -> Iterator[str]:
    """The application behind a real HTTP server on a free port: its address."""
    socket = bound("test", 0)
    listener = Listener(app, socket)
    thread = threading.Thread(target=lambda: asyncio.run(listener.serve([socket])), daemon=True)
    port = socket.getsockname()[1]
    thread.start()
    try:
        yield f"http://{HOST}:{port}"
    finally:
        listener.should_exit = True
        thread.join(10)
        assert not thread.is_alive()


@contextmanager
def scene(home: Path, page_size: int = 1000) -> Iterator[Scene]:
    """A SAP server over a populated store."""
    store, faults = populated(home / "company.sqlite"), Faults()
    credentials = SapCredentials("TESTER", "secret", "client", "hidden")
    auth = (credentials.user, credentials.password)
    with (
        serving(sap_app(store, credentials, faults, page_size=page_size)) as url,
        # Loading certificates for a server without TLS takes longer than most tests.
        httpx.Client(base_url=url, auth=auth, timeout=30, transport=httpx.HTTPTransport(verify=False)) as client,
    ):
        yield Scene(store, faults, credentials, client)
    store.close()
