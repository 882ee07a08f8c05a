"""The REST API beyond queries: logins, sessions, limits, pages, records, collections, composites, replication and faults."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from pilothouse.sandbox.company.salesforce import record_id
from pilothouse.sandbox.salesforce.app import OrgSettings
from tests.unit.sandbox.salesforce_org import ACME, ANNA, BASE, ENTITIES, GLOBEX, INITECH, NOW, Org, credentials, org, path_of, system


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Org]:
    """One org for all tests that leave no trace in it."""
    with org(tmp_path_factory.mktemp("org")) as made:
        yield made


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Org]:
    with org(tmp_path) as made:
        yield made


def code(response: httpx.Response) -> tuple[int, str]:
    """Status and error code of a refusal, which is a list of one."""
    (error,) = response.json()
    return response.status_code, error["errorCode"]


def token(here: Org, **form: str) -> httpx.Response:
    return here.client.post("/services/oauth2/token", data=form)


# Logins and sessions


def test_every_answer_says_that_the_data_is_synthetic(unchanged: Org) -> None:
    for response in (unchanged.get("limits"), unchanged.get("nothing"), unchanged.client.get("/"), token(unchanged)):
        assert response.headers.get_list("x-pilothouse-synthetic") == ["true"]


def test_without_a_known_session_nothing_is_told(unchanged: Org) -> None:
    for headers in ({}, {"authorization": "Bearer 00D!stranger"}, {"authorization": "Basic YTpi"}):
        assert code(httpx.get(f"{unchanged.address}{BASE}/limits", headers=headers)) == (401, "INVALID_SESSION_ID")


def test_a_session_ends_after_its_life_without_use(tmp_path: Path) -> None:
    with org(tmp_path, OrgSettings(session_life=timedelta(0))) as made:
        assert code(made.get("limits")) == (401, "INVALID_SESSION_ID")


def claims(**changes: Any) -> str:
    known = credentials()
    said = {"iss": known.client_id, "sub": known.username, "aud": "https://login.salesforce.com", "exp": int(time.time()) + 180, **changes}
    return jwt.encode(said, known.private_key, algorithm="RS256")


JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def test_a_signed_assertion_opens_a_session(unchanged: Org) -> None:
    granted = token(unchanged, grant_type=JWT_BEARER, assertion=claims()).json()
    response = unchanged.client.get(f"{BASE}/limits", headers={"authorization": f"Bearer {granted['access_token']}"})
    assert response.status_code == 200
    assert granted["instance_url"] == unchanged.address


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"exp": 1}, "invalid_grant"),
        ({"exp": int(time.time()) + 86_400}, "invalid_grant"),
        ({"aud": "https://example.com"}, "invalid_grant"),
        ({"sub": "somebody@example.com"}, "invalid_grant"),
        ({"iss": "3MVG9other"}, "invalid_client_id"),
    ],
)
def test_an_assertion_must_be_fresh_and_about_us(unchanged: Org, changes: dict[str, Any], error: str) -> None:
    response = token(unchanged, grant_type=JWT_BEARER, assertion=claims(**changes))
    assert (response.status_code, response.json()["error"]) == (400, error)


def test_an_assertion_signed_with_the_secret_as_a_shared_key_is_refused(unchanged: Org) -> None:
    said = {
        "iss": credentials().client_id,
        "sub": credentials().username,
        "aud": "https://login.salesforce.com",
        "exp": int(time.time()) + 60,
    }
    forged = jwt.encode(said, "x" * 32, algorithm="HS256")
    assert token(unchanged, grant_type=JWT_BEARER, assertion=forged).json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "magic"}, "unsupported_grant_type"),
        ({"grant_type": "client_credentials", "client_id": "other"}, "invalid_client_id"),
        ({"grant_type": "client_credentials", "client_id": credentials().client_id, "client_secret": "wrong"}, "invalid_client"),
        (
            {"grant_type": "refresh_token", "client_id": credentials().client_id, "client_secret": credentials().client_secret},
            "invalid_grant",
        ),
    ],
)
def test_a_wrong_grant_is_refused_in_oauths_words(unchanged: Org, form: dict[str, str], error: str) -> None:
    response = token(unchanged, **form)
    assert (response.status_code, response.json()["error"]) == (400, error)


def test_a_refresh_token_opens_sessions_until_it_is_revoked(unchanged: Org) -> None:
    known = credentials()
    app = {"client_id": known.client_id, "client_secret": known.client_secret}
    granted = token(unchanged, grant_type="password", username=known.username, password=known.password, **app).json()
    refresh = granted["refresh_token"]
    assert token(unchanged, grant_type="refresh_token", refresh_token=refresh, **app).status_code == 200
    assert unchanged.client.post("/services/oauth2/revoke", data={"token": refresh}).status_code == 200
    assert token(unchanged, grant_type="refresh_token", refresh_token=refresh, **app).json()["error"] == "invalid_grant"


def test_a_login_host_leads_to_my_domain(unchanged: Org) -> None:
    known = credentials()
    form = {"grant_type": "client_credentials", "client_id": known.client_id, "client_secret": known.client_secret}
    for host, instance in (("login.salesforce.com", "pilothouse.my.salesforce.com"), ("acme.my.salesforce.com", "acme.my.salesforce.com")):
        granted = unchanged.client.post("/services/oauth2/token", data=form, headers={"host": host}).json()
        assert granted["instance_url"] == f"http://{instance}"


# Limits


def test_each_request_counts_and_the_next_day_begins_anew(tmp_path: Path) -> None:
    with org(tmp_path, OrgSettings(daily_requests=2)) as made:
        assert made.get("limits").headers["sforce-limit-info"] == "api-usage=1/2"
        assert made.get("limits").json()["DailyApiRequests"] == {"Max": 2, "Remaining": 0}
        assert code(made.get("limits")) == (403, "REQUEST_LIMIT_EXCEEDED")
        made.clock.at += timedelta(days=1)
        assert made.get("limits").headers["sforce-limit-info"] == "api-usage=1/2"


# Addresses


def test_versions_and_resources_are_listed(unchanged: Org) -> None:
    versions = httpx.get(f"{unchanged.address}/services/data").json()
    assert {"label": "Spring '24", "url": "/services/data/v60.0", "version": "60.0"} in versions
    resources = unchanged.call("GET", "/services/data/v60.0/").json()
    assert resources["query"] == f"{BASE}/query"


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/services/data/v20.0/limits", (404, "NOT_FOUND")),
        ("GET", "nothing", (404, "NOT_FOUND")),
        ("GET", "sobjects/Nothing/describe", (404, "NOT_FOUND")),
        ("DELETE", "limits", (405, "METHOD_NOT_ALLOWED")),
        ("GET", f"sobjects/Account/{record_id('Account', 77)}", (404, "NOT_FOUND")),
        ("GET", "sobjects/Account/001", (400, "MALFORMED_ID")),
        ("GET", "sobjects/Account/Industry/Energy", (404, "NOT_FOUND")),
        ("POST", "sobjects/Account", (400, "JSON_PARSER_ERROR")),
        ("GET", "query", (400, "JSON_PARSER_ERROR")),
    ],
)
def test_a_wrong_address_is_refused(unchanged: Org, method: str, path: str, expected: tuple[int, str]) -> None:
    assert code(unchanged.call(method, path)) == expected


# Pages


def many(here: Org, count: int) -> None:
    people = [system(NOW, Id=record_id("Contact", 100 + number), LastName=f"P{number:05d}") for number in range(count)]
    here.store.load(ENTITIES["Contact"], people)


def pages(here: Org, soql: str, size: int) -> list[list[str]]:
    headers = {"sforce-query-options": f"batchSize={size}"}
    page = here.call("GET", "query", params={"q": soql}, headers=headers).json()
    found = [[record["LastName"] for record in page["records"]]]
    while not page["done"]:
        page = here.call("GET", page["nextRecordsUrl"], headers=headers).json()
        found.append([record["LastName"] for record in page["records"]])
    return found


def test_pages_follow_each_other_in_the_size_asked_for(here: Org) -> None:
    many(here, 497)
    found = pages(here, "SELECT LastName FROM Contact ORDER BY LastName", 200)
    assert [len(page) for page in found] == [200, 200, 100]
    together = [name for page in found for name in page]
    assert together == sorted(together, key=str.lower)
    assert [len(page) for page in pages(here, "SELECT LastName FROM Contact", 5)] == [200, 200, 100]


def test_later_pages_show_the_moment_of_the_query(here: Org) -> None:
    many(here, 300)
    headers = {"sforce-query-options": "batchSize=200"}
    page = here.call("GET", "query", params={"q": "SELECT Id, LastName FROM Contact ORDER BY Id"}, headers=headers).json()
    last = record_id("Contact", 399)
    here.store.update(ENTITIES["Contact"], [last], {"LastName": "Changed"}, NOW)
    here.store.delete(ENTITIES["Contact"], [record_id("Contact", 398)], NOW)
    rest = here.call("GET", page["nextRecordsUrl"]).json()["records"]
    assert [record["LastName"] for record in rest[-2:]] == ["P00298", "P00299"]


def test_an_unknown_locator_is_refused(unchanged: Org) -> None:
    assert code(unchanged.get("query/0r8000000000000AAA-200")) == (400, "INVALID_QUERY_LOCATOR")


def test_answers_are_compressed_for_clients_that_take_it(here: Org) -> None:
    many(here, 300)
    soql = "SELECT Id, LastName FROM Contact ORDER BY Id"
    plain = here.call("GET", "query", params={"q": soql}, headers={"accept-encoding": "identity"})
    packed = here.call("GET", "query", params={"q": soql}, headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 5
    assert packed.json() == plain.json()


# Records


def create(here: Org, name: str, **values: Any) -> str:
    response = here.call("POST", f"sobjects/{name}", json=values)
    assert response.status_code == 201, response.text
    key: str = response.json()["id"]
    assert response.headers["location"] == f"{BASE}/sobjects/{name}/{key}"
    return key


def read(here: Org, name: str, key: str) -> dict[str, Any]:
    content: dict[str, Any] = here.get(f"sobjects/{name}/{key}").json()
    return content


def test_a_new_record_gets_what_the_system_fills_in(here: Org) -> None:
    key = create(here, "Account", Name="Hooli", AnnualRevenue="1e3", NumberOfEmployees=5.0, Customer_Since__c="2026-01-31", Industry="")
    record = read(here, "Account", key)
    moment = "2026-03-18T12:00:00.000+0000"
    assert key == record_id("Account", 4)
    assert (record["OwnerId"], record["CreatedById"]) == (ANNA, ANNA)
    assert {record[name] for name in ("CreatedDate", "LastModifiedDate", "SystemModstamp")} == {moment}
    assert (record["AnnualRevenue"], record["NumberOfEmployees"], record["Customer_Since__c"]) == (1000.0, 5, "2026-01-31")
    assert (record["Industry"], record["IsDeleted"]) == (None, False)


def test_every_write_is_a_logged_change_of_the_store(here: Org) -> None:
    key = create(here, "Account", Name="Hooli")
    here.call("PATCH", f"sobjects/Account/{key}", json={"Rating": "Hot"})
    here.call("DELETE", f"sobjects/Account/{key}")
    changes = list(here.store.changes(ENTITIES["Account"]))
    assert [(change.operation, change.key) for change in changes] == [("insert", (key,)), ("update", (key,)), ("update", (key,))]


def test_an_update_moves_the_modification_stamps_only(here: Org) -> None:
    here.clock.at += timedelta(hours=1)
    before = read(here, "Account", GLOBEX)
    assert here.call("PATCH", f"sobjects/Account/{GLOBEX[:15]}", json={"Phone": " +1 555 "}).status_code == 204
    after = read(here, "Account", GLOBEX)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"Phone", "LastModifiedDate", "SystemModstamp"}
    assert (after["Phone"], after["SystemModstamp"]) == ("+1 555", "2026-03-18T13:00:00.000+0000")


def test_what_follows_from_a_value_is_worked_out(here: Org) -> None:
    person = create(here, "Contact", FirstName="Ada", LastName="Ek")
    assert read(here, "Contact", person)["Name"] == "Ada Ek"
    deal = create(here, "Opportunity", Name="Big", StageName="Prospecting", CloseDate="2026-05-01", Amount=1000)
    assert (read(here, "Opportunity", deal)["Probability"], read(here, "Opportunity", deal)["ExpectedRevenue"]) == (10, 100.0)
    here.call("PATCH", f"sobjects/Opportunity/{deal}", json={"StageName": "Closed Won"})
    won = read(here, "Opportunity", deal)
    assert (won["IsClosed"], won["IsWon"], won["Probability"], won["ExpectedRevenue"]) == (True, True, 100, 1000.0)
    case = create(here, "Case", Subject="Noise", Status="New")
    here.call("PATCH", f"sobjects/Case/{case}", json={"Status": "Closed"})
    closed = read(here, "Case", case)
    assert (closed["CaseNumber"], closed["IsClosed"], closed["ClosedDate"]) == ("00000001", True, "2026-03-18T12:00:00.000+0000")
    here.call("PATCH", f"sobjects/Case/{case}", json={"Status": "Working"})
    assert (read(here, "Case", case)["IsClosed"], read(here, "Case", case)["ClosedDate"]) == (False, None)


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({}, "REQUIRED_FIELD_MISSING"),
        ({"Name": None}, "REQUIRED_FIELD_MISSING"),
        ({"Name": "x", "Nmae": "y"}, "INVALID_FIELD"),
        ({"Name": "x", "Id": ACME}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
        ({"Name": "x", "CreatedDate": "2020-01-01T00:00:00Z"}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
        ({"Name": "x" * 256}, "STRING_TOO_LONG"),
        ({"Name": 5}, "JSON_PARSER_ERROR"),
        ({"Name": "x", "NumberOfEmployees": "many"}, "JSON_PARSER_ERROR"),
        ({"Name": "x", "NumberOfEmployees": 1.5}, "JSON_PARSER_ERROR"),
        ({"Name": "x", "NumberOfEmployees": 2**31}, "NUMBER_OUTSIDE_VALID_RANGE"),
        ({"Name": "x", "AnnualRevenue": 1e16}, "NUMBER_OUTSIDE_VALID_RANGE"),
        ({"Name": "x", "AnnualRevenue": "NaN"}, "JSON_PARSER_ERROR"),
        ({"Name": "x", "AnnualRevenue": True}, "JSON_PARSER_ERROR"),
        ({"Name": "x", "Customer_Since__c": "31.01.2026"}, "JSON_PARSER_ERROR"),
        ({"Name": "x", "ParentId": "001"}, "MALFORMED_ID"),
        ({"Name": "x", "ParentId": record_id("Account", 99)}, "INVALID_CROSS_REFERENCE_KEY"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_and_nothing_is_written(unchanged: Org, values: dict[str, Any], error: str) -> None:
    assert code(unchanged.call("POST", "sobjects/Account", json=values)) == (400, error)
    assert unchanged.store.last_change() == 0


def test_an_external_id_that_two_records_share_is_ambiguous(here: Org) -> None:
    create(here, "Account", Name="Twin", Tax_Number__c="CH-100")
    assert code(here.call("PATCH", "sobjects/Account/Tax_Number__c/CH-100", json={"Rating": "Hot"})) == (300, "DUPLICATE_VALUE")


def test_selected_fields_of_a_record_can_be_read(unchanged: Org) -> None:
    record = unchanged.get(f"sobjects/Account/{ACME}", fields="Name,Rating").json()
    assert {name: value for name, value in record.items() if name != "attributes"} == {"Name": 'Acme "Rockets" GmbH', "Rating": None}


def test_a_record_in_the_bin_can_neither_be_read_nor_written(here: Org) -> None:
    assert here.call("DELETE", f"sobjects/Account/{GLOBEX}").status_code == 204
    for method, body in (("GET", None), ("PATCH", {"Rating": "Hot"}), ("DELETE", None)):
        assert code(here.call(method, f"sobjects/Account/{GLOBEX}", json=body)) == (404, "ENTITY_IS_DELETED")
    assert code(here.call("POST", "sobjects/Contact", json={"LastName": "x", "AccountId": GLOBEX})) == (400, "INVALID_CROSS_REFERENCE_KEY")


def test_users_cannot_be_deleted(unchanged: Org) -> None:
    assert code(unchanged.call("DELETE", f"sobjects/User/{ANNA}")) == (400, "INSUFFICIENT_ACCESS_OR_READONLY")


# Several records


def record(name: str, **values: Any) -> dict[str, Any]:
    return {"attributes": {"type": name}, **values}


def test_a_collection_writes_what_it_can_or_all_or_nothing(here: Org) -> None:
    records = [record("Account", Name="One"), record("Contact", Title="nameless"), record("Account", Name="Two")]
    whole = here.call("POST", "composite/sobjects", json={"allOrNone": True, "records": records}).json()
    assert [result["success"] for result in whole] == [False, False, False]
    codes = [result["errors"][0]["statusCode"] for result in whole]
    assert codes == ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "REQUIRED_FIELD_MISSING", "ALL_OR_NONE_OPERATION_ROLLED_BACK"]
    assert here.names("Name IN ('One', 'Two')") == []
    parts = here.call("POST", "composite/sobjects", json={"records": records}).json()
    assert [result["success"] for result in parts] == [True, False, True]
    assert here.names("Name IN ('One', 'Two')") == ["One", "Two"]


def test_collections_update_upsert_read_and_delete(here: Org) -> None:
    changed = here.call("PATCH", "composite/sobjects", json={"records": [record("Account", Id=ACME, Rating="Hot")]}).json()
    assert changed == [{"id": ACME, "success": True, "errors": []}]
    rows = [record("Account", Tax_Number__c="CH-100", Rating="Cold"), record("Account", Tax_Number__c="NEW", Name="New")]
    upserted = here.call("PATCH", "composite/sobjects/Account/Tax_Number__c", json={"records": rows}).json()
    assert [result["created"] for result in upserted] == [False, True]
    found = here.get("composite/sobjects/Account", ids=f"{ACME},{record_id('Account', 99)}", fields="Rating").json()
    assert (found[0]["Rating"], found[1]) == ("Cold", None)
    gone = here.call("DELETE", "composite/sobjects", params={"ids": f"{ACME},{upserted[1]['id']}"}).json()
    assert [result["success"] for result in gone] == [True, True]
    assert here.names("Rating = 'Cold'", "queryAll") == ['Acme "Rockets" GmbH']


def test_a_tree_creates_children_under_their_parents_or_nothing(here: Org) -> None:
    child = {"attributes": {"type": "Contact", "referenceId": "c1"}, "LastName": "Child"}
    parent = {"attributes": {"type": "Account", "referenceId": "a1"}, "Name": "Parent", "Contacts": {"records": [child]}}
    response = here.call("POST", "composite/tree/Account", json={"records": [parent]})
    assert response.status_code == 201
    assert [result["referenceId"] for result in response.json()["results"]] == ["a1", "c1"]
    assert here.query("SELECT Account.Name FROM Contact WHERE LastName = 'Child'")[0]["Account"]["Name"] == "Parent"
    nameless = {"attributes": {"type": "Account", "referenceId": "a2"}}
    second = here.call("POST", "composite/tree/Account", json={"records": [{**parent, "Name": "Second"}, nameless]})
    assert (second.status_code, second.json()["results"][0]["referenceId"]) == (400, "a2")
    assert here.names("Name = 'Second'") == []


def composite(here: Org, *requests: dict[str, Any], whole: bool) -> list[dict[str, Any]]:
    body = {"allOrNone": whole, "compositeRequest": [{"referenceId": f"r{place}", **request} for place, request in enumerate(requests)]}
    results: list[dict[str, Any]] = here.call("POST", "composite", json=body).json()["compositeResponse"]
    return results


def test_composite_requests_use_the_results_of_earlier_ones(here: Org) -> None:
    results = composite(
        here,
        {"method": "POST", "url": f"{BASE}/sobjects/Account", "body": {"Name": "Comp"}},
        {"method": "POST", "url": f"{BASE}/sobjects/Contact", "body": {"LastName": "Osit", "AccountId": "@{r0.id}"}},
        {"method": "GET", "url": f"{BASE}/query?q=SELECT+Account.Name+FROM+Contact+WHERE+Id='@{{r1.id}}'"},
        {"method": "GET", "url": f"{BASE}/sobjects/Account/@{{r2.records[0].attributes.type}}"},
        whole=False,
    )
    assert [result["httpStatusCode"] for result in results] == [201, 201, 200, 400]
    assert results[2]["body"]["records"][0]["Account"]["Name"] == "Comp"
    assert results[0]["httpHeaders"]["Location"] == f"{BASE}/sobjects/Account/{results[0]['body']['id']}"


def test_a_composite_of_all_or_none_sees_its_own_writes_and_takes_them_back(here: Org) -> None:
    results = composite(
        here,
        {"method": "POST", "url": f"{BASE}/sobjects/Account", "body": {"Name": "Comp"}},
        {"method": "GET", "url": f"{BASE}/sobjects/Account/@{{r0.id}}"},
        {"method": "POST", "url": f"{BASE}/sobjects/Contact", "body": {}},
        whole=True,
    )
    assert [result["httpStatusCode"] for result in results] == [400, 400, 400]
    assert [result["body"][0]["errorCode"] for result in results] == ["PROCESSING_HALTED", "PROCESSING_HALTED", "REQUIRED_FIELD_MISSING"]
    assert here.names("Name = 'Comp'") == []


def test_a_reference_that_leads_nowhere_stops_its_request_only(unchanged: Org) -> None:
    results = composite(
        unchanged,
        {"method": "DELETE", "url": f"{BASE}/sobjects/Account/@{{r9.id}}"},
        {"method": "GET", "url": f"{BASE}/limits"},
        whole=False,
    )
    assert [result["httpStatusCode"] for result in results] == [400, 200]


def test_a_batch_runs_requests_apart_or_halts(here: Org) -> None:
    requests = [
        {"method": "GET", "url": "v60.0/sobjects/Nothing"},
        {"method": "PATCH", "url": f"v60.0/sobjects/Account/{ACME}", "richInput": {"Rating": "Hot"}},
    ]
    halted = here.call("POST", "composite/batch", json={"haltOnError": True, "batchRequests": requests}).json()
    assert [result["statusCode"] for result in halted["results"]] == [404, 412]
    apart = here.call("POST", "composite/batch", json={"batchRequests": requests}).json()
    assert (apart["hasErrors"], [result["statusCode"] for result in apart["results"]]) == (True, [404, 204])


# Replication


def between(here: Org, name: str, kind: str, start: datetime, end: datetime) -> httpx.Response:
    return here.get(f"sobjects/{name}/{kind}/", start=start.isoformat(), end=end.isoformat())


def test_deleted_records_are_told_whether_they_are_in_the_bin_or_gone(here: Org) -> None:
    here.call("DELETE", f"sobjects/Account/{GLOBEX}")
    here.store.delete(ENTITIES["Account"], [INITECH], NOW + timedelta(minutes=5))
    here.clock.at += timedelta(minutes=10)
    content = between(here, "Account", "deleted", NOW, here.clock.at).json()
    assert content["deletedRecords"] == [
        {"id": GLOBEX, "deletedDate": "2026-03-18T12:00:00.000+0000"},
        {"id": INITECH, "deletedDate": "2026-03-18T12:05:00.000+0000"},
    ]
    assert content["earliestDateAvailable"] == "2026-02-16T12:10:00.000+0000"
    assert content["latestDateCovered"] == "2026-03-18T12:10:00.000+0000"
    later = between(here, "Account", "deleted", NOW + timedelta(minutes=1), here.clock.at).json()
    assert [gone["id"] for gone in later["deletedRecords"]] == [INITECH]


def test_updated_records_are_told_while_they_exist(here: Org) -> None:
    day = timedelta(days=1)
    assert between(here, "Account", "updated", NOW - 21 * day, NOW).json()["ids"] == [GLOBEX, INITECH]
    here.call("DELETE", f"sobjects/Account/{GLOBEX}")
    assert between(here, "Account", "updated", NOW - 21 * day, NOW + day).json()["ids"] == [INITECH]


def test_the_org_does_not_remember_further_back_than_it_keeps(here: Org) -> None:
    day = timedelta(days=1)
    for start, end in ((NOW - 31 * day, NOW), (NOW, NOW), (NOW, NOW - day)):
        assert code(between(here, "Account", "deleted", start, end)) == (400, "INVALID_REPLICATION_DATE")
    here.store.delete(ENTITIES["Account"], [INITECH], NOW - 2 * day)
    here.store.delete(ENTITIES["Account"], [GLOBEX], NOW - day)
    here.store.forget(NOW - day - timedelta(hours=1))
    assert code(between(here, "Account", "deleted", NOW - 3 * day, NOW)) == (400, "INVALID_REPLICATION_DATE")
    assert [gone["id"] for gone in between(here, "Account", "deleted", NOW - day, NOW).json()["deletedRecords"]] == [GLOBEX]


# Faults


def test_faults_are_worded_as_salesforce_words_them(here: Org) -> None:
    for kind, expected in (
        ("unauthorized", (401, "INVALID_SESSION_ID")),
        ("throttled", (429, "TOO_MANY_REQUESTS")),
        ("unavailable", (503, "SERVER_UNAVAILABLE")),
        ("request_limit", (403, "REQUEST_LIMIT_EXCEEDED")),
    ):
        here.switch_on(kind=kind, count=1, seconds=7)
        response = here.get("limits")
        assert code(response) == expected
        assert response.headers.get("retry-after") == ("7" if kind == "throttled" else None)
        assert here.get("limits").status_code == 200


def test_an_expired_session_is_unknown_from_then_on(here: Org) -> None:
    here.switch_on(kind="expired_session", count=1)
    assert [code(here.get("limits")) for _ in range(2)] == [(401, "INVALID_SESSION_ID")] * 2


def test_a_locked_row_refuses_one_write(here: Org) -> None:
    here.switch_on(kind="locked_row", count=1)
    assert code(here.call("PATCH", f"sobjects/Account/{ACME}", json={"Rating": "Hot"})) == (400, "UNABLE_TO_LOCK_ROW")
    assert here.call("PATCH", f"sobjects/Account/{ACME}", json={"Rating": "Hot"}).status_code == 204


def test_an_empty_page_links_on_and_loses_no_record(here: Org) -> None:
    many(here, 300)
    here.switch_on(kind="empty_page", count=1, path="*/query/*")
    found = pages(here, "SELECT LastName FROM Contact ORDER BY LastName", 200)
    assert [len(page) for page in found] == [200, 0, 103]


def test_a_loop_of_links_leads_back_to_the_same_page(here: Org) -> None:
    many(here, 300)
    here.switch_on(kind="next_loop", path="*/query/*")
    first = here.get("query", q="SELECT Id FROM Contact")
    assert first.json()["done"]
    here.faults.switch_off()
    here.switch_on(kind="next_loop", path="*/query*")
    page = here.get("query", q="SELECT Id FROM Contact").json()
    again = here.call("GET", page["nextRecordsUrl"]).json()
    assert again["nextRecordsUrl"] == page["nextRecordsUrl"]


def test_a_drift_shows_in_describe_rows_and_filters_at_once(here: Org) -> None:
    here.switch_on(kind="field_vanishes", entity="Account", field="Rating")
    here.switch_on(kind="field_renamed", entity="Account", field="Industry", to="Sector__c")
    here.switch_on(kind="field_retyped", entity="Account", field="NumberOfEmployees", to="string")
    here.switch_on(kind="field_appears", entity="Account", field="Score__c", to="int", value=5)
    here.switch_on(kind="field_value", entity="Account", field="AnnualRevenue", value="n/a")
    fields = {field["name"]: field["type"] for field in here.get("sobjects/Account/describe").json()["fields"]}
    assert "Rating" not in fields
    assert (fields["Sector__c"], fields["NumberOfEmployees"], fields["Score__c"]) == ("picklist", "string", "int")
    assert code(here.get("query", q="SELECT Rating FROM Account")) == (400, "INVALID_FIELD")
    (shown,) = here.query("SELECT Sector__c, NumberOfEmployees, Score__c, AnnualRevenue FROM Account WHERE Sector__c = 'Energy'")
    assert [shown[name] for name in list(shown)[1:]] == ["Energy", "120", 5, "n/a"]
    here.faults.switch_off()
    here.switch_on(kind="field_retyped", entity="Account", field="Tax_Number__c", to="int")
    assert here.query(f"SELECT Tax_Number__c FROM Account WHERE Id = '{ACME}'")[0]["Tax_Number__c"] == "CH-100"


def test_every_field_of_every_object_can_be_queried_as_it_is_described(unchanged: Org) -> None:
    for found in unchanged.get("sobjects").json()["sobjects"]:
        described = unchanged.call("GET", path_of(found["urls"]["describe"])).json()
        names = [field["name"] for field in described["fields"]]
        parents = [field["relationshipName"] for field in described["fields"] if field["relationshipName"]]
        soql = f"SELECT {', '.join([*names, *(f'{parent}.Id' for parent in parents)])} FROM {found['name']} LIMIT 1"
        assert unchanged.get("query", q=soql).status_code == 200
