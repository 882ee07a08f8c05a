"""simple-salesforce, unchanged, against the sandbox: its logins, queries, writes and bulk jobs.

It sends everything to `https://*.salesforce.com`. The tests map those names to the sandbox's port in the transport
adapter and leave TLS verification on, against the sandbox's own authority.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from requests.adapters import HTTPAdapter
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import (
    SalesforceAuthenticationFailed,
    SalesforceExpiredSession,
    SalesforceMalformedRequest,
    SalesforceRefusedRequest,
    SalesforceResourceNotFound,
)

from pilothouse.sandbox.certificates import issue
from pilothouse.sandbox.company.salesforce import SALESFORCE, record_id
from pilothouse.sandbox.company.store import Store
from pilothouse.sandbox.credentials import SalesforceCredentials
from pilothouse.sandbox.faults import Fault, Faults
from pilothouse.sandbox.salesforce.app import OrgSettings, salesforce_app
from tests.unit.sandbox.salesforce_org import ACME, ENTITIES, NOW, credentials, filled, serving, system

MANY = 4_500  # contacts: more than two pages of 2,000


class ToLoopback(HTTPAdapter):
    """Sends every host's requests to one port of this machine; TLS and the Host header keep the host's own name."""

    def __init__(self, port: int) -> None:
        self._port = port
        super().__init__()

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
        request.headers["Host"] = urlsplit(str(request.url)).netloc
        name = host["host"]
        return {**host, "host": "127.0.0.1", "port": self._port}, {**pool, "server_hostname": name, "assert_hostname": name}


@dataclass
class Sandbox:
    """A running Salesforce server over https, and a session of `requests` that finds it under any name."""

    port: int
    session: requests.Session
    store: Store
    faults: Faults
    known: SalesforceCredentials

    @property
    def client(self) -> Any:
        """A client that logged in with user name, password and security token. Its own types know no bulk2 objects."""
        known = self.known
        return Salesforce(username=known.username, password=known.password, security_token=known.security_token, session=self.session)


@contextmanager
def started(folder: Path) -> Iterator[Sandbox]:
    authority, certificate, key = issue(folder / "tls")
    store, faults = Store(folder / "org.sqlite", SALESFORCE), Faults()
    filled(store)
    many = ({"Id": record_id("Contact", 100 + n), "LastName": f"Person {n}", "AccountId": ACME} for n in range(MANY - 3))
    store.load(ENTITIES["Contact"], [system(NOW, **person) for person in many])
    store.set_fact(f"next {ENTITIES['Contact'].table}", str(100 + MANY))
    app = salesforce_app(store, credentials(), faults, OrgSettings(daily_requests=5_000))
    with serving(app, ssl_certfile=str(certificate), ssl_keyfile=str(key)) as port, requests.Session() as session:
        session.trust_env = False  # or REQUESTS_CA_BUNDLE would win over `verify`
        session.verify = str(authority)
        session.mount("https://", ToLoopback(port))
        yield Sandbox(port, session, store, faults, credentials())
    store.close()


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One for all tests that write nothing."""
    with started(tmp_path_factory.mktemp("salesforce")) as running:
        yield running


@pytest.fixture
def own_sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    """One for a test that writes."""
    with started(tmp_path) as running:
        yield running


def test_every_login_of_simple_salesforce_opens_a_session(sandbox: Sandbox) -> None:
    known = sandbox.known
    app = {"consumer_key": known.client_id, "consumer_secret": known.client_secret}
    logins: list[dict[str, Any]] = [
        {"username": known.username, "password": known.password, "security_token": known.security_token},
        {"username": known.username, "password": known.password, "organizationId": "00DJ80000000001"},
        {"username": known.username, "password": known.password, **app},
        {"domain": "pilothouse.my", **app},
        {"username": known.username, "consumer_key": known.client_id, "privatekey": known.private_key},
        {"username": known.username, "consumer_key": known.client_id, "privatekey": known.private_key, "domain": "test"},
    ]
    for login in logins:
        client: Any = Salesforce(session=sandbox.session, **login)
        assert client.sf_instance.endswith(".my.salesforce.com")
        assert client.query("SELECT COUNT() FROM Account")["totalSize"] == 3


def test_a_wrong_password_is_refused_with_salesforces_code(sandbox: Sandbox) -> None:
    known = sandbox.known
    with pytest.raises(SalesforceAuthenticationFailed, match="INVALID_LOGIN"):
        Salesforce(username=known.username, password="wrong", security_token="", session=sandbox.session)
    with pytest.raises(SalesforceAuthenticationFailed, match="invalid_client"):
        Salesforce(consumer_key=known.client_id, consumer_secret="wrong", domain="pilothouse.my", session=sandbox.session)


def test_a_key_that_the_org_does_not_know_opens_nothing(sandbox: Sandbox) -> None:
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = stranger.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    with pytest.raises(SalesforceAuthenticationFailed, match="invalid_grant"):
        Salesforce(username=sandbox.known.username, consumer_key=sandbox.known.client_id, privatekey=pem, session=sandbox.session)


def test_a_session_id_and_an_instance_url_with_a_port_need_no_login(sandbox: Sandbox) -> None:
    with requests.Session() as plain:
        plain.trust_env, plain.verify = False, sandbox.session.verify
        client: Any = Salesforce(session_id=sandbox.client.session_id, instance_url=f"https://localhost:{sandbox.port}", session=plain)
        assert client.limits()["DailyApiRequests"]["Max"] == 5_000
        assert client.api_usage["api-usage"].total == 5_000


def test_all_pages_of_a_query_bring_each_record_once(sandbox: Sandbox) -> None:
    client = sandbox.client
    first = client.query("SELECT Id, Account.Name FROM Contact ORDER BY Id")
    assert (first["totalSize"], first["done"], len(first["records"])) == (MANY, False, 2000)
    second = client.query_more(first["nextRecordsUrl"], identifier_is_url=True)
    assert len(second["records"]) == 2000
    keys = [record["Id"] for record in client.query_all("SELECT Id FROM Contact")["records"]]
    assert len(keys) == len(set(keys)) == MANY
    assert first["records"][-1]["Id"] < second["records"][0]["Id"]


def test_the_org_describes_itself_and_its_objects(sandbox: Sandbox) -> None:
    client = sandbox.client
    assert [found["name"] for found in client.describe()["sobjects"]] == ["Account", "Case", "Contact", "Opportunity", "Task", "User"]
    fields = {field["name"]: field for field in client.Opportunity.describe()["fields"]}
    assert list(fields) == [field.name for field in ENTITIES["Opportunity"].fields]
    assert (fields["Amount"]["type"], fields["Amount"]["precision"], fields["Amount"]["scale"]) == ("currency", 18, 2)
    assert fields["AccountId"]["referenceTo"] == ["Account"]
    assert not fields["ExpectedRevenue"]["updateable"]
    assert client.Opportunity.metadata()["objectDescribe"]["keyPrefix"] == "006"


def test_a_record_lives_from_create_to_delete(own_sandbox: Sandbox) -> None:
    client, start = own_sandbox.client, datetime.now(UTC) - timedelta(minutes=1)
    key = client.Account.create({"Name": "Hooli", "Tax_Number__c": "US-9", "AnnualRevenue": 12.345})["id"]
    assert client.Account.get(key)["AnnualRevenue"] == 12.35
    assert client.Account.update(key, {"Industry": "Retail"}) == 204
    assert client.Account.upsert("Tax_Number__c/US-9", {"NumberOfEmployees": 5}) == 200
    found = client.Account.get_by_custom_id("Tax_Number__c", "US-9")
    assert (found["Id"], found["Industry"], found["NumberOfEmployees"]) == (key, "Retail", 5)
    assert client.Account.upsert("Tax_Number__c/US-10", {"Name": "Piper"}) == 201
    end = datetime.now(UTC) + timedelta(minutes=1)
    assert key in client.Account.updated(start, end)["ids"]
    assert client.Account.delete(key) == 204
    assert [gone["id"] for gone in client.Account.deleted(start, end)["deletedRecords"]] == [key]
    soql = f"SELECT IsDeleted FROM Account WHERE Id = '{key}'"
    assert client.query(soql)["totalSize"] == 0
    assert client.query(soql, include_deleted=True)["records"][0]["IsDeleted"] is True
    with pytest.raises(SalesforceResourceNotFound, match="ENTITY_IS_DELETED"):
        client.Account.get(key)


def test_mistakes_reach_the_caller_as_simple_salesforces_own_errors(sandbox: Sandbox) -> None:
    client = sandbox.client
    with pytest.raises(SalesforceMalformedRequest, match="MALFORMED_QUERY"):
        client.query("SELECT Id FROM")
    with pytest.raises(SalesforceMalformedRequest, match="REQUIRED_FIELD_MISSING"):
        client.Account.create({"Industry": "Retail"})
    with pytest.raises(SalesforceResourceNotFound):
        client.Nothing.describe()
    sandbox.faults.switch_on(Fault(kind="request_limit", count=1))
    with pytest.raises(SalesforceRefusedRequest, match="REQUEST_LIMIT_EXCEEDED"):
        client.limits()


def test_an_expired_session_is_renewed_by_logging_in_again(sandbox: Sandbox) -> None:
    client = sandbox.client
    before = client.session_id
    sandbox.faults.switch_on(Fault(kind="expired_session", count=1, path="/services/data/*"))
    assert client.query("SELECT COUNT() FROM Account")["totalSize"] == 3
    assert client.session_id != before
    sandbox.faults.switch_on(Fault(kind="expired_session", count=1, path="/services/data/*"))
    assert client.Account.get(ACME)["Id"] == ACME


def test_a_session_that_was_given_and_ended_is_reported(sandbox: Sandbox) -> None:
    client: Any = Salesforce(session_id="00D!unknown", instance="pilothouse.my.salesforce.com", session=sandbox.session)
    with pytest.raises(SalesforceExpiredSession, match="INVALID_SESSION_ID"):
        client.limits()


def test_a_bulk_query_brings_each_record_once_in_pages(sandbox: Sandbox) -> None:
    pages = list(sandbox.client.bulk2.Contact.query("SELECT Id, LastName, Account.Name FROM Contact", max_records=2_000, wait=0))
    rows = [row for page in pages for row in csv.DictReader(io.StringIO(page))]
    assert [len(page.splitlines()) - 1 for page in pages] == [2_000, 2_000, 500]
    assert len({row["Id"] for row in rows}) == MANY
    assert {row["Account.Name"] for row in rows} == {'Acme "Rockets" GmbH', ""}


def test_a_bulk_download_writes_the_same_records_to_files(sandbox: Sandbox, tmp_path: Path) -> None:
    results = sandbox.client.bulk2.Contact.download("SELECT Id FROM Contact", path=str(tmp_path), max_records=3_000, wait=0)
    assert [result["number_of_records"] for result in results] == [3_000, 1_500]
    keys = [row["Id"] for result in results for row in csv.DictReader(io.StringIO(Path(result["file"]).read_text()))]
    assert len(set(keys)) == MANY


def test_a_bulk_query_for_deleted_records_reads_the_recycle_bin(own_sandbox: Sandbox) -> None:
    client = own_sandbox.client
    client.Contact.delete(record_id("Contact", 1))
    count = {
        name: len(page.splitlines()) - 1
        for name, page in _single_pages(client, f"SELECT Id FROM Contact WHERE Id < '{record_id('Contact', 50)}'")
    }
    assert count == {"query": 2, "query_all": 3}


def _single_pages(client: Any, soql: str) -> Iterator[tuple[str, str]]:
    for name in ("query", "query_all"):
        (page,) = getattr(client.bulk2.Contact, name)(soql, wait=0)
        yield name, page


def test_bulk_writes_report_each_row(own_sandbox: Sandbox) -> None:
    bulk = own_sandbox.client.bulk2.Contact
    records = [
        {"LastName": 'New, "quoted"', "AccountId": ACME},
        {"LastName": "", "AccountId": ACME},
        {"LastName": "Lost", "AccountId": "001x"},
    ]
    (job,) = bulk.insert(records=records, wait=0)
    assert (job["numberRecordsTotal"], job["numberRecordsProcessed"], job["numberRecordsFailed"]) == (3, 3, 2)
    outcome = bulk.get_all_ingest_records(job["job_id"])
    (created,) = outcome["successfulRecords"]
    assert (created["sf__Created"], created["LastName"]) == ("true", 'New, "quoted"')
    assert [row["sf__Error"].partition(":")[0] for row in outcome["failedRecords"]] == ["REQUIRED_FIELD_MISSING", "MALFORMED_ID"]
    assert outcome["unprocessedRecords"] == []
    key = created["sf__Id"]
    (job,) = bulk.update(records=[{"Id": key, "Title": "CFO"}], wait=0)
    assert own_sandbox.client.Contact.get(key)["Title"] == "CFO"
    (job,) = bulk.delete(records=[{"Id": key}], wait=0)
    (job,) = bulk.hard_delete(records=[{"Id": key}], wait=0)
    assert job["numberRecordsFailed"] == 0
    assert own_sandbox.client.query(f"SELECT Id FROM Contact WHERE Id = '{key}'", include_deleted=True)["totalSize"] == 0


def test_a_bulk_upsert_finds_records_by_external_id(own_sandbox: Sandbox) -> None:
    records = [{"Tax_Number__c": "CH-100", "Name": "Acme"}, {"Tax_Number__c": "NL-7", "Name": "Vandelay"}]
    (job,) = own_sandbox.client.bulk2.Account.upsert(records=records, external_id_field="Tax_Number__c", wait=0)
    outcome = own_sandbox.client.bulk2.Account.get_all_ingest_records(job["job_id"])
    assert {row["Name"]: row["sf__Created"] for row in outcome["successfulRecords"]} == {"Acme": "false", "Vandelay": "true"}
    assert own_sandbox.client.Account.get(ACME)["Name"] == "Acme"
