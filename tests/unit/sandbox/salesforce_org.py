"""A small org for tests: three accounts with contacts, opportunities and cases, behind the real server."""

from __future__ import annotations

import asyncio
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from pilothouse.sandbox.company.salesforce import SALESFORCE, record_id
from pilothouse.sandbox.company.schema import Entity
from pilothouse.sandbox.company.store import Store, Value, timestamp
from pilothouse.sandbox.credentials import Credentials, SalesforceCredentials
from pilothouse.sandbox.faults import App, Fault, Faults
from pilothouse.sandbox.salesforce.app import OrgSettings, salesforce_app
from pilothouse.sandbox.server import Listener

ENTITIES: dict[str, Entity] = {entity.name: entity for entity in SALESFORCE}
NOW = datetime(2026, 3, 18, 12, 0, tzinfo=UTC)  # a Wednesday
BASE = "/services/data/v60.0"
ANNA = record_id("User", 1)
ACME, GLOBEX, INITECH = (record_id("Account", number) for number in (1, 2, 3))


@cache
def credentials() -> SalesforceCredentials:
    """Made once: a key pair takes a tenth of a second."""
    with tempfile.TemporaryDirectory() as home:
        return Credentials.open(Path(home)).salesforce


@dataclass
class Clock:
    """The org's time, which tests set."""

    at: datetime = NOW

    def __call__(self) -> datetime:
        return self.at


@dataclass
class Org:
    """The server, its store, and a client that is logged in."""

    store: Store
    client: httpx.Client
    clock: Clock
    faults: Faults = field(default_factory=Faults)

    @property
    def address(self) -> str:
        return str(self.client.base_url).rstrip("/")

    def get(self, path: str, **query: str) -> httpx.Response:
        return self.call("GET", path, params=query)

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        address = path if path.startswith("/services/") else f"{BASE}/{path}"
        return self.client.request(method, address, **options)

    def query(self, soql: str, resource: str = "query") -> list[dict[str, Any]]:
        """The records of a query of one page."""
        response = self.get(resource, q=soql)
        assert response.status_code == 200, response.text
        content = response.json()
        assert content["done"], "the query has more pages"
        records: list[dict[str, Any]] = content["records"]
        return records

    def names(self, condition: str, resource: str = "query") -> list[str]:
        """The names of the accounts that fulfil a condition, in order."""
        return [record["Name"] for record in self.query(f"SELECT Name FROM Account WHERE {condition} ORDER BY Name", resource)]

    def switch_on(self, **fault: Any) -> None:
        self.faults.switch_on(Fault(**fault))


def system(at: datetime, **values: Value) -> dict[str, Value]:
    return {
        "OwnerId": ANNA, "CreatedById": ANNA, "LastModifiedById": ANNA, "IsDeleted": 0,
        "CreatedDate": timestamp(at), "LastModifiedDate": timestamp(at), "SystemModstamp": timestamp(at),
        **values,
    }  # fmt: skip


def filled(store: Store) -> None:
    """Give the org its history."""
    day = timedelta(days=1)
    user: dict[str, str | int] = {"Id": ANNA, "Username": "anna@example.com", "FirstName": "Anna", "LastName": "Berg", "Name": "Anna Berg"}
    user |= {"Email": "anna@example.com", "Alias": "aberg", "IsActive": 1}
    store.load(
        ENTITIES["User"], [user | {name: timestamp(NOW - 900 * day) for name in ("CreatedDate", "LastModifiedDate", "SystemModstamp")}]
    )
    accounts = [
        system(NOW - 400 * day, Id=ACME, Name="Acme \"Rockets\" GmbH", Industry="Energy", AnnualRevenue="1500000.50", NumberOfEmployees=120,
               BillingCity="Zürich", Tax_Number__c="CH-100", Customer_Since__c="2024-02-29", Type="Customer"),
        system(NOW - 20 * day, Id=GLOBEX, Name="Globex", Industry=None, AnnualRevenue=None, NumberOfEmployees=7, BillingCity="O'Hara",
               Tax_Number__c="IE-200", Customer_Since__c="2026-03-17", Type="Prospect", ParentId=ACME),
        system(NOW - day, Id=INITECH, Name="initech, Ltd.\nWest", Industry="Retail", AnnualRevenue="99.00", NumberOfEmployees=None,
               BillingCity="100% Valley_1", Type="Partner", OwnerId=ANNA),
    ]  # fmt: skip
    store.load(ENTITIES["Account"], accounts)
    people = [(1, ACME, "Ida", "Ek"), (2, ACME, "Bo", "Dahl"), (3, None, None, "Lone")]
    store.load(ENTITIES["Contact"], [
        system(NOW - 3 * day, Id=record_id("Contact", number), AccountId=account, FirstName=first, LastName=last,
               Name=" ".join(part for part in (first, last) if part), Email=f"{last.lower()}@example.com")
        for number, account, first, last in people
    ])  # fmt: skip
    deals = [(1, ACME, "Prospecting", "1000.00", "2026-04-01"), (2, ACME, "Closed Won", "2500.00", "2026-01-15"),
             (3, GLOBEX, "Closed Lost", None, "2025-12-31"), (4, GLOBEX, "Prospecting", "500.00", "2026-03-18")]  # fmt: skip
    store.load(ENTITIES["Opportunity"], [
        system(NOW - 2 * day, Id=record_id("Opportunity", number), AccountId=account, Name=f"Deal {number}", StageName=stage, Amount=amount,
               Probability="10", CloseDate=close, IsClosed=int(stage.startswith("Closed")), IsWon=int(stage == "Closed Won"))
        for number, account, stage, amount, close in deals
    ])  # fmt: skip
    for name, following in (("User", 2), ("Account", 4), ("Contact", 4), ("Opportunity", 5)):
        store.set_fact(f"next {ENTITIES[name].table}", str(following))


@contextmanager
def serving(app: App, **options: Any) -> Iterator[int]:
    """The application behind uvicorn on a free port of loopback, as the sandbox runs it."""
    bound = socket.create_server(("127.0.0.1", 0))
    listener = Listener(app, bound, **options)
    thread = threading.Thread(target=asyncio.run, args=(listener.serve([bound]),))
    thread.start()
    try:
        # The socket listens already: what connects before the server is ready waits in its queue.
        yield bound.getsockname()[1]
    finally:
        listener.should_exit = True
        thread.join()
        bound.close()


@contextmanager
def org(folder: Path, settings: OrgSettings | None = None) -> Iterator[Org]:
    """An org of its own, and a client with a session."""
    store, faults, clock = Store(folder / "org.sqlite", SALESFORCE), Faults(), Clock()
    filled(store)
    known = credentials()
    app = salesforce_app(store, known, faults, settings, clock)
    with serving(app) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        form = {"grant_type": "client_credentials", "client_id": known.client_id, "client_secret": known.client_secret}
        client.headers["authorization"] = f"Bearer {client.post('/services/oauth2/token', data=form).json()['access_token']}"
        yield Org(store, client, clock, faults)
    store.close()


def path_of(url: str) -> str:
    """The path and query of an address."""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path
