"""SOQL as the server answers it: what is found, in which form, and how mistakes are worded."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.sandbox.company.salesforce import record_id
from pilothouse.sandbox.salesforce.errors import ApiError
from pilothouse.sandbox.salesforce.soql.dates import span
from pilothouse.sandbox.salesforce.soql.parser import parse
from pilothouse.sandbox.salesforce.soql.syntax import Comparison, Text
from tests.unit.sandbox.salesforce_org import ACME, BASE, ENTITIES, GLOBEX, INITECH, NOW, Org, org, system

ROCKETS, WEST = 'Acme "Rockets" GmbH', "initech, Ltd.\nWest"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Org]:
    """One org for all questions of this file: none of them writes."""
    with org(tmp_path_factory.mktemp("org")) as made:
        yield made


def test_a_record_shows_each_type_as_salesforce_writes_it(here: Org) -> None:
    fields = "Id, Name, AnnualRevenue, NumberOfEmployees, Customer_Since__c, CreatedDate, IsDeleted, ParentId"
    assert here.query(f"SELECT {fields} FROM Account WHERE Id = '{ACME}'") == [
        {
            "attributes": {"type": "Account", "url": f"{BASE}/sobjects/Account/{ACME}"},
            "Id": ACME,
            "Name": ROCKETS,
            "AnnualRevenue": 1500000.5,
            "NumberOfEmployees": 120,
            "Customer_Since__c": "2024-02-29",
            "CreatedDate": "2025-02-11T12:00:00.000+0000",
            "IsDeleted": False,
            "ParentId": None,
        }
    ]


def test_fields_of_parents_are_nested_and_a_missing_parent_is_null(here: Org) -> None:
    records = here.query("SELECT LastName, Account.Name, Account.Owner.Alias, Account.ParentId FROM Contact ORDER BY LastName")
    assert [record["LastName"] for record in records] == ["Dahl", "Ek", "Lone"]
    parent = records[0]["Account"]
    assert (parent["Name"], parent["Owner"]["Alias"], parent["ParentId"]) == (ROCKETS, "aberg", None)
    assert parent["attributes"]["url"] == f"{BASE}/sobjects/Account/{ACME}"
    assert records[2]["Account"] is None


def test_names_are_found_whatever_their_capitals_and_shown_properly(here: Org) -> None:
    (record,) = here.query("select id, account.NAME from contact where lastname = 'EK'")
    assert list(record) == ["attributes", "Id", "Account"]
    assert record["Account"]["Name"] == ROCKETS


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("Name = 'globex'", ["Globex"]),
        ("Name != 'Globex'", [ROCKETS, WEST]),
        ("Name <> 'Globex'", [ROCKETS, WEST]),
        ("Industry = null", ["Globex"]),
        ("Industry != NULL", [ROCKETS, WEST]),
        ("Industry != 'Energy'", ["Globex", WEST]),
        ("Industry IN ('energy', 'Retail')", [ROCKETS, WEST]),
        ("Industry IN ('Energy', null)", [ROCKETS, "Globex"]),
        ("Industry NOT IN ('Energy')", ["Globex", WEST]),
        ("NOT Industry = 'Energy'", ["Globex", WEST]),
        ("NOT (Industry = 'Energy' OR NumberOfEmployees < 10)", [WEST]),
        ("NumberOfEmployees >= 7 AND NumberOfEmployees < 120", ["Globex"]),
        ("AnnualRevenue > 99", [ROCKETS]),
        ("AnnualRevenue >= 99.0", [ROCKETS, WEST]),
        ("AnnualRevenue = 1.50000050e6", [ROCKETS]),
        ("(Industry = 'Retail' AND Type = 'Partner') OR Name LIKE 'acme%'", [ROCKETS, WEST]),
        ("Name LIKE '%ex'", ["Globex"]),
        ("Name LIKE 'Gl_bex'", ["Globex"]),
        ("BillingCity LIKE '100\\% V%'", [WEST]),
        ("BillingCity LIKE '1000\\%%'", []),
        ("BillingCity LIKE '%Valley\\_1'", [WEST]),
        ("BillingCity = 'O\\'Hara'", ["Globex"]),
        ("BillingCity = 'Zürich'", [ROCKETS]),
        ("Name = 'Acme \\\"Rockets\\\" GmbH'", [ROCKETS]),
        ("Name = 'initech, Ltd.\\nWest'", [WEST]),
        (f"Id = '{ACME[:15]}'", [ROCKETS]),
        (f"Id IN ('{ACME}', '{GLOBEX[:15]}')", [ROCKETS, "Globex"]),
        (f"Id > '{ACME}' AND Id <= '{INITECH}'", ["Globex", WEST]),
        ("Customer_Since__c = 2024-02-29", [ROCKETS]),
        ("Customer_Since__c = YESTERDAY", ["Globex"]),
        ("Customer_Since__c < THIS_YEAR", [ROCKETS]),
        ("CreatedDate = LAST_N_DAYS:30", ["Globex", WEST]),
        ("CreatedDate >= 2026-03-17T12:00:00Z", [WEST]),
        ("CreatedDate > 2026-03-17T13:00:00+01:00", []),
        ("CreatedDate = 2026-03-17T12:00:00.000+0000", [WEST]),
        ("Parent.Name LIKE 'Acme%'", ["Globex"]),
        ("Account.Industry = 'Energy'", [ROCKETS]),
        ("IsDeleted = false", [ROCKETS, "Globex", WEST]),
        ("Id IN (SELECT AccountId FROM Opportunity WHERE StageName = 'Closed Lost')", ["Globex"]),
        ("Id NOT IN (SELECT AccountId FROM Opportunity)", [WEST]),
    ],
)  # fmt: skip
def test_a_condition_finds_what_it_finds_in_salesforce(here: Org, condition: str, expected: list[str]) -> None:
    assert here.names(condition) == expected


def test_rows_are_sorted_without_regard_to_capitals_and_nulls_come_first(here: Org) -> None:
    def order(by: str) -> list[str]:
        return [record["Name"][0] for record in here.query(f"SELECT Name FROM Account ORDER BY {by}")]

    assert order("Name") == ["A", "G", "i"]
    assert order("Name DESC") == ["i", "G", "A"]
    assert order("AnnualRevenue") == ["G", "i", "A"]
    assert order("AnnualRevenue DESC") == ["G", "A", "i"]
    assert order("AnnualRevenue DESC NULLS LAST, Name") == ["A", "i", "G"]
    assert order("Owner.Name, Name DESC") == ["i", "G", "A"]


def test_limit_and_offset_cut_the_result(here: Org) -> None:
    records = here.query("SELECT Name FROM Account ORDER BY Name LIMIT 1 OFFSET 1")
    assert [record["Name"] for record in records] == ["Globex"]


def test_counting_returns_a_size_and_no_records(here: Org) -> None:
    content = here.get("query", q="SELECT COUNT() FROM Opportunity WHERE Amount > 600").json()
    assert content == {"totalSize": 2, "done": True, "records": []}


def test_aggregates_group_and_name_their_values(here: Org) -> None:
    fields = "AccountId, COUNT(Id) deals, SUM(Amount), MAX(CloseDate)"
    records = here.query(f"SELECT {fields} FROM Opportunity GROUP BY AccountId HAVING COUNT(Id) > 1 ORDER BY AccountId")
    kind = {"attributes": {"type": "AggregateResult"}}
    assert records == [
        {**kind, "AccountId": ACME, "deals": 2, "expr0": 3500.0, "expr1": "2026-04-01"},
        {**kind, "AccountId": GLOBEX, "deals": 2, "expr0": 500.0, "expr1": "2026-03-18"},
    ]


def test_all_standard_or_custom_fields_can_be_asked_for_at_once(here: Org) -> None:
    declared = [field.name for field in ENTITIES["Account"].fields]
    custom = [name for name in declared if name.endswith("__c")]
    for scope, expected in (("ALL", declared), ("CUSTOM", custom), ("STANDARD", [name for name in declared if name not in custom])):
        (record,) = here.query(f"SELECT FIELDS({scope}) FROM Account LIMIT 1")
        assert list(record)[1:] == expected


@pytest.mark.parametrize(
    ("soql", "code", "words"),
    [
        ("SELECT Id, Nmae FROM Account", "INVALID_FIELD", "No such column 'Nmae' on entity 'Account'"),
        ("SELECT Id FROM Acount", "INVALID_TYPE", "sObject type 'Acount' is not supported"),
        ("SELECT Id FROM Contact WHERE Acount.Name = 'x'", "INVALID_FIELD", "Didn't understand relationship 'Acount'"),
        ("SELECT FROM Account", "MALFORMED_QUERY", "unexpected token: 'Account', expecting FROM"),
        ("SELECT Id FROM Account WHERE", "MALFORMED_QUERY", "unexpected token: '<EOF>'"),
        ("SELECT Id FROM Account WHERE Name = 'x", "MALFORMED_QUERY", "unterminated string"),
        ("SELECT Id FROM Account WHERE Name = 'x' AND Type = 'y' OR Type = 'z'", "MALFORMED_QUERY", "unexpected token: 'OR'"),
        ("SELECT Id FROM Account LIMIT many", "MALFORMED_QUERY", "unexpected token: 'many'"),
        ("SELECT Id FROM Account; DROP TABLE salesforce_Account", "MALFORMED_QUERY", "unexpected character: ';'"),
        ("SELECT Id, Id FROM Account", "MALFORMED_QUERY", "duplicate field selected: Id"),
        ("SELECT (SELECT Id FROM Contacts) FROM Account", "MALFORMED_QUERY", "subqueries over child records"),
        ("SELECT toLabel(Type) FROM Account", "MALFORMED_QUERY", "unsupported function: toLabel"),
        ("SELECT FIELDS(ALL) FROM Account", "MALFORMED_QUERY", "LIMIT of at most 200"),
        ("SELECT Id FROM Account WHERE NumberOfEmployees = '7'", "INVALID_FIELD", "must be of type int and should not be enclosed"),
        ("SELECT Id FROM Account WHERE Name = 7", "INVALID_FIELD", "must be of type string and should be enclosed in quotes"),
        ("SELECT Id FROM Account WHERE CreatedDate > 2026-01-01", "INVALID_FIELD", "must be of type dateTime"),
        ("SELECT Id FROM Account WHERE Customer_Since__c > 2026-02-30", "INVALID_FIELD", "invalid date"),
        ("SELECT Id FROM Account WHERE CreatedDate = LAST_FORTNIGHT", "MALFORMED_QUERY", "LAST_FORTNIGHT"),
        ("SELECT Id FROM Account OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset allowed is 2000"),
        ("SELECT Name, COUNT(Id) FROM Account", "MALFORMED_QUERY", "must be grouped or aggregated: Name"),
        ("SELECT SUM(Name) FROM Account", "INVALID_FIELD", "does not support aggregate operator SUM"),
        (f"SELECT Id FROM Account WHERE {'(' * 500}Name = 'x'{')' * 500}", "MALFORMED_QUERY", "nested too deeply"),
    ],
)
def test_a_mistake_is_worded_as_salesforce_words_it(here: Org, soql: str, code: str, words: str) -> None:
    response = here.get("query", q=soql)
    assert response.status_code == 400
    (error,) = response.json()
    assert error["errorCode"] == code
    assert words in error["message"]


def test_an_error_points_at_its_place(here: Org) -> None:
    (error,) = here.get("query", q="SELECT Id, Nmae FROM Account").json()
    _, shown, arrow, place, _ = error["message"].split("\n", 4)
    assert shown[arrow.index("^") :].startswith("Nmae")
    assert place == "ERROR at Row:1:Column:12"


def test_a_moment_compares_by_the_milliseconds_that_were_shown(tmp_path: Path) -> None:
    with org(tmp_path) as made:
        made.store.update(ENTITIES["Account"], [ACME], {"Rating": "Hot"}, datetime(2026, 3, 18, 11, 0, 0, 123456, tzinfo=UTC))
        (record,) = made.query("SELECT SystemModstamp FROM Account WHERE Rating = 'Hot'")
        shown = record["SystemModstamp"]
        assert shown == "2026-03-18T11:00:00.123+0000"
        found = {sign: ROCKETS in made.names(f"SystemModstamp {sign} {shown}") for sign in ("=", ">=", "<=", ">", "<", "!=")}
        assert found == {"=": True, ">=": True, "<=": True, ">": False, "<": False, "!=": False}


@pytest.mark.parametrize(
    ("literal", "count", "first", "last"),
    [
        ("TODAY", None, "2026-03-18", "2026-03-18"),
        ("YESTERDAY", None, "2026-03-17", "2026-03-17"),
        ("TOMORROW", None, "2026-03-19", "2026-03-19"),
        ("THIS_WEEK", None, "2026-03-15", "2026-03-21"),
        ("LAST_WEEK", None, "2026-03-08", "2026-03-14"),
        ("THIS_MONTH", None, "2026-03-01", "2026-03-31"),
        ("NEXT_MONTH", None, "2026-04-01", "2026-04-30"),
        ("LAST_QUARTER", None, "2025-10-01", "2025-12-31"),
        ("THIS_FISCAL_QUARTER", None, "2026-01-01", "2026-03-31"),
        ("LAST_YEAR", None, "2025-01-01", "2025-12-31"),
        ("LAST_90_DAYS", None, "2025-12-18", "2026-03-18"),
        ("LAST_N_DAYS", 3, "2026-03-15", "2026-03-18"),
        ("NEXT_N_DAYS", 3, "2026-03-19", "2026-03-21"),
        ("N_DAYS_AGO", 3, "2026-03-15", "2026-03-15"),
        ("LAST_N_MONTHS", 2, "2026-01-01", "2026-02-28"),
        ("N_MONTHS_AGO", 13, "2025-02-01", "2025-02-28"),
        ("NEXT_N_YEARS", 2, "2027-01-01", "2028-12-31"),
        ("N_FISCAL_YEARS_AGO", 1, "2025-01-01", "2025-12-31"),
    ],
)
def test_date_literals_cover_these_days(literal: str, count: int | None, first: str, last: str) -> None:
    assert span(literal, count, NOW.date()) == (date.fromisoformat(first), date.fromisoformat(last) + timedelta(days=1))


@given(st.sampled_from(["DAY", "WEEK", "MONTH", "QUARTER", "YEAR"]), st.dates(date(1800, 1, 1), date(2800, 1, 1)))
def test_last_this_and_next_of_a_unit_follow_each_other_without_a_gap(unit: str, today: date) -> None:
    spans = [span(f"{which}_{unit}", None, today) or (date.min, date.min) for which in ("LAST", "THIS", "NEXT")]
    (last, this, following) = spans
    assert last[0] < last[1] == this[0] <= today < this[1] == following[0] < following[1]


@given(st.text())
def test_any_text_survives_quoting_in_a_query(text: str) -> None:
    quoted = text.replace("\\", "\\\\").replace("'", "\\'")
    where = parse(f"SELECT Id FROM Account WHERE Name = '{quoted}'").where
    assert isinstance(where, Comparison)
    assert isinstance(where.right, Text)
    assert where.right.value == text


@given(st.text(alphabet="SELECTFROMWHERE IdName'()=,.:\\%123-<>!\n", max_size=60))
def test_any_text_is_a_query_or_a_named_mistake(text: str) -> None:
    assert mistake_in(f"SELECT {text}") in {None, "MALFORMED_QUERY"}


def test_a_query_longer_than_salesforce_takes_is_refused() -> None:
    assert mistake_in(f"SELECT Id FROM Account WHERE Name = '{'x' * 100_000}'") == "MALFORMED_QUERY"


def mistake_in(soql: str) -> str | None:
    try:
        parse(soql)
    except ApiError as error:
        return error.code
    return None


def test_ids_that_differ_in_capitals_only_are_different_records(tmp_path: Path) -> None:
    upper, lower = record_id("Account", 10), record_id("Account", 36)
    assert upper[:15].lower() == lower[:15].lower()
    with org(tmp_path) as made:
        for key in (upper, lower):
            made.store.load(ENTITIES["Account"], [system(NOW, Id=key, Name=key)])
        assert made.names(f"Id = '{upper}'") == [upper]
        assert made.names(f"Id = '{lower[:15]}'") == [lower]
