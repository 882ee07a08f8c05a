"""The salesforce connector over the sandbox's Salesforce server: https, sessions, REST and Bulk API 2.0."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pytest
import uvicorn

from connectors import semantics
from connectors.http import breaker
from connectors.salesforce import KIND, SalesforceOptions, SalesforceStream, bulk
from connectors.salesforce.connector import SalesforceConnector
from pilothouse.kernel.errors import ConfigError, CredentialsRejected, SourceContractChanged, SourceUnavailable
from pilothouse.kernel.streams import DEFECT, Batch, Watermark
from pilothouse.sandbox.certificates import issue
from pilothouse.sandbox.company.company import Company
from pilothouse.sandbox.company.salesforce import SALESFORCE, record_id
from pilothouse.sandbox.company.store import Row, Store, timestamp
from pilothouse.sandbox.credentials import Credentials, SalesforceCredentials
from pilothouse.sandbox.faults import Fault, Faults
from pilothouse.sandbox.salesforce.app import OrgSettings, salesforce_app

ENTITIES = {entity.name: entity for entity in SALESFORCE}
ACCOUNT = ENTITIES["Account"]
A_DAY_AGO = datetime.now(UTC) - timedelta(days=1)


@dataclass
class Sandbox:
    """One org in this process: its rows, its faults, and the address of its server."""

    store: Store
    faults: Faults
    credentials: SalesforceCredentials
    home: Path
    authority: Path
    port: int = 0
    opened: list[SalesforceConnector] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def connect(self, **changes: Any) -> SalesforceConnector:
        known = self.credentials
        options = {"url": self.url, "client_id": known.client_id, "client_secret": known.client_secret, "verify": self.authority}
        options = {name: value for name, value in (options | changes).items() if value is not None}
        connector = cast("SalesforceConnector", KIND.connect("crm", SalesforceOptions.model_validate(options)))
        self.opened.append(connector)
        return connector

    def add_accounts(self, numbers: range, at: datetime = A_DAY_AGO) -> None:
        self.store.load(ACCOUNT, (account(number, at) for number in numbers))

    def requests(self) -> int:
        return sum(switched.struck for switched in self.faults.list())


def account(number: int, at: datetime, **values: Any) -> Row:
    user = record_id("User", 1)
    return {
        "Id": record_id("Account", number),
        "Name": f'Firm "{number}",\nsons & co',
        "AnnualRevenue": f"{number}.50",
        "NumberOfEmployees": number,
        "Customer_Since__c": "2020-02-29",
        "OwnerId": user,
        "CreatedById": user,
        "CreatedDate": timestamp(at),
        "LastModifiedById": user,
        "LastModifiedDate": timestamp(at),
        "SystemModstamp": timestamp(at),
        "IsDeleted": 0,
        **values,
    }


def serve(sandbox: Sandbox, settings: OrgSettings | None = None) -> uvicorn.Server:
    app = salesforce_app(sandbox.store, sandbox.credentials, sandbox.faults, settings)
    authority, certificate, key = issue(sandbox.home / "tls")
    config = uvicorn.Config(app, host="127.0.0.1", port=0, ssl_certfile=certificate, ssl_keyfile=key, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True).start()
    deadline = time.monotonic() + 20
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.started
    sandbox.authority = authority
    sandbox.port = server.servers[0].sockets[0].getsockname()[1]
    return server


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> SalesforceCredentials:
    return Credentials.open(tmp_path_factory.mktemp("credentials")).salesforce


Start = Callable[..., Sandbox]


@pytest.fixture
def start(tmp_path: Path, keys: SalesforceCredentials) -> Iterator[Start]:
    started: list[tuple[Sandbox, uvicorn.Server]] = []

    def begin(settings: OrgSettings | None = None, store: Store | None = None) -> Sandbox:
        sandbox = Sandbox(store or Store(tmp_path / "company.sqlite", SALESFORCE), Faults(), keys, tmp_path, tmp_path)
        started.append((sandbox, serve(sandbox, settings)))
        return sandbox

    yield begin
    for sandbox, server in started:
        for connector in sandbox.opened:
            connector.close()
        server.should_exit = True
        sandbox.store.close()
    breaker._shared.clear()


@pytest.fixture
def sandbox(start: Start) -> Sandbox:
    return start()


def stream_of(connector: SalesforceConnector, name: str = "account") -> SalesforceStream:
    return next(cast("SalesforceStream", stream) for stream in connector.streams() if stream.name == name)


def read(connector: SalesforceConnector, since: Watermark | None = None, name: str = "account") -> tuple[list[dict[str, Any]], Batch]:
    (batch,) = connector.read(stream_of(connector, name), since)
    table = batch.reader().read_all()
    table.validate(full=True)
    return table.to_pylist(), batch


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(row["Id"] for row in rows)


def gone(batch: Batch) -> list[str]:
    return [] if batch.deleted is None else sorted(cast("list[str]", batch.deleted["Id"].to_pylist()))


BULK = {"bulk_threshold": 0}
REST = {"bulk_threshold": 1_000_000}


@pytest.mark.parametrize("how", [REST, BULK], ids=["rest", "bulk"])
def test_every_row_arrives_with_its_types(how: Mapping[str, int], sandbox: Sandbox) -> None:
    sandbox.add_accounts(range(1, 2101))
    rows, batch = read(sandbox.connect(**how))
    assert ids(rows) == sorted(record_id("Account", number) for number in range(1, 2101))
    first = next(row for row in rows if row["Id"] == record_id("Account", 1))
    moment = A_DAY_AGO.replace(microsecond=A_DAY_AGO.microsecond // 1000 * 1000)
    assert first == dict.fromkeys(first) | {
        "Id": record_id("Account", 1),
        "Name": 'Firm "1",\nsons & co',
        "AnnualRevenue": Decimal("1.50"),
        "NumberOfEmployees": 1,
        "Customer_Since__c": datetime.fromisoformat("2020-02-29").date(),
        "OwnerId": record_id("User", 1),
        "CreatedById": record_id("User", 1),
        "LastModifiedById": record_id("User", 1),
        "CreatedDate": moment,
        "LastModifiedDate": moment,
        "SystemModstamp": moment,
        "IsDeleted": False,
    }
    assert (batch.snapshot, batch.synthetic, batch.deleted) == (True, True, None)


def test_rest_and_bulk_bring_the_same_rows(sandbox: Sandbox) -> None:
    sandbox.add_accounts(range(1, 300))
    over_rest, _ = read(sandbox.connect(**REST))
    over_bulk, _ = read(sandbox.connect(**BULK))
    assert sorted(over_rest, key=lambda row: row["Id"]) == sorted(over_bulk, key=lambda row: row["Id"])


def test_what_the_org_says_about_a_field_travels_with_it(sandbox: Sandbox) -> None:
    connector = sandbox.connect()
    schema = connector.schema(stream_of(connector, "contact"))
    assert schema.field("Id").metadata == {
        semantics.LABEL: b"Contact ID",
        semantics.NATIVE_TYPE: b"id(18)",
        semantics.KEY: b"true",
    }
    assert schema.field("AccountId").metadata[semantics.REFERENCE] == b"account.Id"
    assert schema.field("OwnerId").metadata[semantics.REFERENCE] == b"User.Id"
    account_schema = connector.schema(stream_of(connector))
    assert account_schema.field("AnnualRevenue").type == pa.decimal128(18, 2)
    assert account_schema.field("AnnualRevenue").metadata[semantics.NATIVE_TYPE] == b"currency(18,2)"


@pytest.mark.parametrize("how", [REST, BULK], ids=["rest", "bulk"])
def test_the_next_read_brings_what_changed_and_what_is_gone(how: Mapping[str, int], sandbox: Sandbox) -> None:
    sandbox.add_accounts(range(1, 11))
    connector = sandbox.connect(**how)
    _, first = read(connector)
    now = datetime.now(UTC)
    sandbox.store.update(ACCOUNT, [record_id("Account", 1)], {"Name": "Renamed"}, now)
    sandbox.store.update(ACCOUNT, [record_id("Account", 2)], {"IsDeleted": 1}, now)  # into the recycle bin
    sandbox.store.delete(ACCOUNT, [record_id("Account", 3)], now)  # for good
    sandbox.store.insert(ACCOUNT, account(99, now), now)
    rows, second = read(connector, first.watermark)
    changed = {row["Id"]: row["Name"] for row in rows if row["SystemModstamp"] > A_DAY_AGO}
    assert changed == {record_id("Account", 1): "Renamed", record_id("Account", 99): account(99, now)["Name"]}
    assert gone(second) == [record_id("Account", 2), record_id("Account", 3)]
    assert second.deleted is not None
    assert all(abs(at - now) < timedelta(seconds=1) for at in second.deleted["_changed_at"].to_pylist())
    assert not second.snapshot


def test_a_record_that_left_the_recycle_bin_is_not_gone(sandbox: Sandbox) -> None:
    sandbox.add_accounts(range(1, 4))
    connector = sandbox.connect()
    _, first = read(connector)
    now = datetime.now(UTC)
    sandbox.store.delete(ACCOUNT, [record_id("Account", 1)], now)
    sandbox.store.insert(ACCOUNT, account(1, now), now)
    rows, second = read(connector, first.watermark)
    assert record_id("Account", 1) in ids(rows)
    assert gone(second) == []


def test_a_transaction_that_shows_its_rows_late_is_found_within_the_lag(sandbox: Sandbox) -> None:
    now = datetime.now(UTC)
    sandbox.add_accounts(range(1, 4), now)
    connector = sandbox.connect()
    _, first = read(connector)
    sandbox.add_accounts(range(4, 5), now - timedelta(minutes=5))
    rows, _ = read(connector, first.watermark)
    assert record_id("Account", 4) in ids(rows)


def test_a_watermark_older_than_the_memory_of_the_org_leads_to_a_full_read(sandbox: Sandbox) -> None:
    sandbox.add_accounts(range(1, 4))
    old = (datetime.now(UTC) - timedelta(days=40)).isoformat()
    rows, batch = read(sandbox.connect(), Watermark({"field": "SystemModstamp", "changed": old, "deleted": old}))
    assert (len(rows), batch.snapshot, batch.deleted) == (3, True, None)


def test_an_empty_object_is_read_as_nothing(sandbox: Sandbox) -> None:
    connector = sandbox.connect(**BULK)
    rows, first = read(connector)
    assert (rows, first.snapshot) == ([], True)
    sandbox.add_accounts(range(1, 3))
    rows, second = read(connector, first.watermark)
    assert len(rows) == 2
    assert second.watermark is not None


@pytest.mark.parametrize("how", [REST, BULK], ids=["rest", "bulk"])
def test_keys_are_the_ids_that_exist(how: Mapping[str, int], sandbox: Sandbox) -> None:
    sandbox.add_accounts(range(1, 8))
    connector = sandbox.connect(streams={"account": {"object": "Account", "deletes": "keys"}}, **how)
    keys = pa.concat_tables(connector.keys(stream_of(connector)))
    assert keys.column_names == ["Id"]
    assert sorted(keys["Id"].to_pylist()) == sorted(record_id("Account", number) for number in range(1, 8))


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "FIRST_PAGE_ROWS", 300)
    monkeypatch.setattr(bulk, "MOST_PAGE_ROWS", 300)


@pytest.mark.usefixtures("small_pages")
def test_a_session_that_ends_in_mid_job_is_renewed_without_gap_or_repeat(sandbox: Sandbox) -> None:
    sandbox.add_accounts(range(1, 4001))
    connector = sandbox.connect(**BULK)
    (batch,) = connector.read(stream_of(connector), None)
    reader = batch.reader()
    first = reader.read_next_batch()
    sandbox.faults.switch_on(Fault(kind="expired_session", path="*/results", count=1))
    rest = reader.read_all()
    assert sandbox.requests() == 1
    assert sorted(first["Id"].to_pylist() + rest["Id"].to_pylist()) == sorted(record_id("Account", n) for n in range(1, 4001))


@pytest.mark.parametrize("kind", ["cut", "unavailable", "throttled", "unauthorized"])
@pytest.mark.parametrize("how", [REST, BULK], ids=["rest", "bulk"])
def test_a_request_that_fails_once_costs_no_row(how: Mapping[str, int], kind: Any, sandbox: Sandbox) -> None:
    sandbox.add_accounts(range(1, 2501))
    connector = sandbox.connect(**how)
    connector.check()
    sandbox.faults.switch_on(Fault(kind=kind, path="*/query*", count=2 if kind == "cut" else 1, seconds=0.1))
    rows, _ = read(connector)
    assert len(ids(rows)) == len(set(ids(rows))) == 2500
    assert sandbox.requests() > 0


@pytest.mark.usefixtures("small_pages")
def test_a_bulk_job_leaves_nothing_behind(sandbox: Sandbox) -> None:
    sandbox.add_accounts(range(1, 4001))
    connector = sandbox.connect(**BULK)
    read(connector)
    (batch,) = connector.read(stream_of(connector), None)
    rows = batch.reader()
    rows.read_next_batch()
    del rows, batch
    answer, _ = connector._org.json("jobs/query", "test")
    assert answer["records"] == []
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("bulk", "prefetch"))]


@pytest.mark.parametrize("how", [REST, BULK], ids=["rest", "bulk"])
def test_a_value_that_is_no_number_is_named_in_its_row(how: Mapping[str, int], sandbox: Sandbox) -> None:
    sandbox.add_accounts(range(1, 4))
    connector = sandbox.connect(**how)
    sandbox.faults.switch_on(Fault(kind="field_value", entity="Account", field="NumberOfEmployees", value="a dozen"))
    rows, _ = read(connector)
    assert {row["NumberOfEmployees"] for row in rows} == {None}
    assert {row[DEFECT] for row in rows} == {"NumberOfEmployees: 'a dozen' is no int64"}
    assert {row["AnnualRevenue"] for row in rows} == {Decimal("1.50"), Decimal("2.50"), Decimal("3.50")}


def test_a_field_that_vanishes_leaves_the_schema(sandbox: Sandbox) -> None:
    sandbox.add_accounts(range(1, 4))
    connector = sandbox.connect()
    sandbox.faults.switch_on(Fault(kind="field_vanishes", entity="Account", field="Rating"))
    rows, _ = read(connector)
    assert "Rating" not in connector.schema(stream_of(connector)).names
    assert "Rating" not in rows[0]


def test_a_cursor_that_vanishes_is_named(sandbox: Sandbox) -> None:
    sandbox.faults.switch_on(Fault(kind="field_vanishes", entity="Account", field="SystemModstamp"))
    with pytest.raises(SourceContractChanged, match="Account has no field SystemModstamp"):
        sandbox.connect().check()


@pytest.mark.parametrize("how", [REST, BULK], ids=["rest", "bulk"])
def test_a_field_that_vanishes_between_two_questions_is_named(how: Mapping[str, int], sandbox: Sandbox) -> None:
    sandbox.add_accounts(range(1, 4))
    connector = sandbox.connect(**how)
    (batch,) = connector.read(stream_of(connector), None)
    sandbox.faults.switch_on(Fault(kind="field_vanishes", entity="Account", field="Rating"))
    with pytest.raises(SourceContractChanged, match="Rating"):
        batch.reader().read_all()


def test_an_object_that_does_not_exist_is_named(sandbox: Sandbox) -> None:
    connector = sandbox.connect(streams={"invoice": {"object": "Invoice__c"}})
    with pytest.raises(SourceContractChanged, match="Invoice__c") as caught:
        connector.check()
    assert "removed or renamed" in caught.value.hint


def test_an_object_whose_deletions_are_not_reported_must_find_them_otherwise(sandbox: Sandbox) -> None:
    sandbox.store.load(ENTITIES["User"], [user_row()])
    connector = sandbox.connect(streams={"user": {"object": "User", "deletes": "keys"}})
    rows, batch = read(connector, name="user")
    assert (len(rows), batch.deleted) == (1, None)


def user_row() -> Row:
    at = timestamp(A_DAY_AGO)
    return {
        "Id": record_id("User", 1),
        "Username": "ada@example.com",
        "LastName": "Lovelace",
        "Name": "Ada Lovelace",
        "Email": "ada@example.com",
        "Alias": "ada",
        "IsActive": 1,
        "CreatedDate": at,
        "LastModifiedDate": at,
        "SystemModstamp": at,
    }


def logins(known: SalesforceCredentials, home: Path) -> Mapping[str, Mapping[str, Any]]:
    key = home / "key.pem"
    key.write_text(known.private_key)
    nobody = {"client_id": None, "client_secret": None}
    person = {"username": known.username, "password": known.password}
    return {
        "client credentials": {"auth": "client_credentials"},
        "jwt": {"auth": "jwt", "client_secret": None, "username": known.username, "private_key_file": key},
        "password": {"auth": "password", **person},
        "password without an app": {"auth": "password", **nobody, **person, "security_token": known.security_token},
    }


@pytest.mark.parametrize("way", ["client credentials", "jwt", "password", "password without an app"])
def test_every_way_to_log_in_works(way: str, sandbox: Sandbox) -> None:
    sandbox.connect(**logins(sandbox.credentials, sandbox.home)[way]).check()


@pytest.mark.parametrize(
    ("way", "wrong", "naming"),
    [
        ("client credentials", {"client_secret": "wrong-secret"}, "PILOTHOUSE_SOURCES__CRM__CLIENT_SECRET"),
        ("jwt", {"username": "nobody@example.com"}, "PILOTHOUSE_SOURCES__CRM__PRIVATE_KEY_FILE"),
        ("password", {"password": "wrong-secret"}, "PILOTHOUSE_SOURCES__CRM__PASSWORD"),
        ("password without an app", {"password": "wrong-secret", "security_token": None}, "INVALID_LOGIN"),
    ],
)
def test_wrong_credentials_are_rejected_and_stay_unsaid(way: str, wrong: Mapping[str, Any], naming: str, sandbox: Sandbox) -> None:
    connector = sandbox.connect(**{**logins(sandbox.credentials, sandbox.home)[way], **wrong})
    with pytest.raises(CredentialsRejected, match=naming) as caught:
        connector.check()
    assert "wrong-secret" not in str(caught.value)


def test_a_key_file_that_cannot_be_used_is_a_wrong_setting(sandbox: Sandbox) -> None:
    key = sandbox.home / "key.pem"
    key.write_text("not a key")
    with pytest.raises(ConfigError, match="PILOTHOUSE_SOURCES__CRM__PRIVATE_KEY_FILE"):
        sandbox.connect(auth="jwt", client_secret=None, username="u", private_key_file=key).check()


@pytest.mark.parametrize("changes", [{}, {"auth": "password", "username": "u", "password": "p", "client_id": None, "client_secret": None}])
def test_a_server_of_another_authority_is_not_trusted(changes: Mapping[str, Any], sandbox: Sandbox) -> None:
    other, _, _ = issue(sandbox.home / "other")
    with pytest.raises(CredentialsRejected, match="PILOTHOUSE_SOURCES__CRM__VERIFY"):
        sandbox.connect(verify=other, **changes).check()


def test_a_share_of_the_daily_requests_is_left_for_others(start: Start) -> None:
    sandbox = start(OrgSettings(daily_requests=20))
    sandbox.add_accounts(range(1, 4))
    connector = sandbox.connect(api_share=0.5)
    connector.check()
    connector.check()  # four objects each
    with pytest.raises(SourceUnavailable, match="10 of the org's 20 daily API requests are used") as caught:
        connector.check()
    assert "PILOTHOUSE_SOURCES__CRM__API_SHARE" in caught.value.hint
    assert caught.value.retry_after is not None
    sandbox.connect(api_share=0).check()  # the rest is there for those who may have it


def test_a_used_up_quota_is_said_at_once(sandbox: Sandbox) -> None:
    connector = sandbox.connect()
    sandbox.faults.switch_on(Fault(kind="request_limit", path="/services/data/*"))
    before = time.monotonic()
    with pytest.raises(SourceUnavailable, match="REQUEST_LIMIT_EXCEEDED") as caught:
        connector.check()
    assert caught.value.retry_after == 3600
    assert time.monotonic() - before < 5


def test_a_login_page_instead_of_an_answer_is_named(sandbox: Sandbox) -> None:
    connector = sandbox.connect()
    sandbox.faults.switch_on(Fault(kind="html", path="/services/data/*"))
    with pytest.raises(SourceContractChanged, match="an HTML page instead of json"):
        connector.check()


def test_a_loop_of_next_links_ends_with_an_error(sandbox: Sandbox) -> None:
    sandbox.add_accounts(range(1, 2501))
    connector = sandbox.connect(**REST)
    sandbox.faults.switch_on(Fault(kind="next_loop"))
    with pytest.raises(SourceContractChanged, match="circle"):
        read(connector)


def test_an_empty_page_with_a_next_link_is_passed_over(sandbox: Sandbox) -> None:
    sandbox.add_accounts(range(1, 2501))
    connector = sandbox.connect(**REST)
    sandbox.faults.switch_on(Fault(kind="empty_page", count=1))
    rows, _ = read(connector)
    assert len(rows) == 2500


@pytest.mark.parametrize("how", [REST, BULK], ids=["rest", "bulk"])
def test_a_living_org_is_read_as_it_is(how: Mapping[str, int], start: Start, tmp_path: Path) -> None:
    company = Company.open(tmp_path / "living", seed=1, scale=0.01, now=datetime.now(UTC))
    connector = start(store=company.store).connect(**how)
    known: dict[str, dict[str, str]] = {stream.name: {} for stream in connector.streams()}
    watermarks: dict[str, Watermark | None] = {}
    for beats in (0, 60, 60):
        for _ in range(beats):
            company.clock.step(datetime.now(UTC))
        for stream in connector.streams():
            rows, batch = read(connector, watermarks.get(stream.name), stream.name)
            watermarks[stream.name] = batch.watermark
            assert {row[DEFECT] for row in rows} <= {None}
            known[stream.name] |= {row["Id"]: row["SystemModstamp"].isoformat(timespec="milliseconds") for row in rows}
            for key in gone(batch):
                known[stream.name].pop(key, None)
    for stream in connector.streams():
        table = cast("SalesforceStream", stream).object
        truth = company.store.rows(f'SELECT "Id", "SystemModstamp" FROM salesforce_{table} WHERE "IsDeleted" = 0')
        assert known[stream.name] == {str(key): f"{str(at)[:23]}+00:00" for key, at in truth}
    company.close()
