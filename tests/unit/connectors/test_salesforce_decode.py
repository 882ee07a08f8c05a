"""Cells of Salesforce as Arrow, and the texts of its queries and refusals."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Mapping
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.http.translation import Blame
from connectors.salesforce import soql
from connectors.salesforce.bulk import MOST_PAGE_ROWS, PAGE_BYTES, next_size
from connectors.salesforce.decode import from_csv, from_records
from connectors.salesforce.deletions import SHORTEST, SLICE, slices
from connectors.salesforce.describe import arrow_type
from connectors.salesforce.errors import Refusal, error_of, job_failed, refusal_of
from pilothouse.kernel.errors import CredentialsRejected, SourceContractChanged, SourceError, SourceUnavailable
from pilothouse.kernel.streams import DEFECT

SCHEMA = pa.schema([
    ("Id", pa.string()),
    ("Amount", pa.decimal128(10, 2)),
    ("Count", pa.int64()),
    ("Share", pa.float64()),
    ("Closed", pa.bool_()),
    ("Day", pa.date32()),
    ("At", pa.timestamp("us", "UTC")),
    (DEFECT, pa.string()),
])  # fmt: skip
GOOD = {"Id": "1", "Amount": "1.50", "Count": "7", "Share": "0.1", "Closed": "true", "Day": "2026-02-28", "At": "2026-02-28T10:00:00.123Z"}
MOMENT = dt.datetime(2026, 2, 28, 10, 0, 0, 123_000, tzinfo=dt.UTC)
TYPED = {
    "Id": "1",
    "Amount": Decimal("1.50"),
    "Count": 7,
    "Share": 0.1,
    "Closed": True,
    "Day": dt.date(2026, 2, 28),
    "At": MOMENT,
    DEFECT: None,
}


def page(*rows: Mapping[str, str | bytes], names: tuple[str, ...] = tuple(GOOD)) -> bytes:
    """A page of a bulk result as Salesforce writes it: every cell quoted."""
    lines = [names, *([row.get(name, "") for name in names] for row in rows)]
    return b"".join(b",".join(quoted(cell) for cell in line) + b"\n" for line in lines)


def quoted(cell: str | bytes) -> bytes:
    content = cell if isinstance(cell, bytes) else cell.encode()
    return b'"' + content.replace(b'"', b'""') + b'"'


def test_a_page_of_csv_has_its_types() -> None:
    assert from_csv(page(GOOD, {"Id": "2"}), SCHEMA, 2, "crm").to_pylist() == [TYPED, dict.fromkeys(TYPED) | {"Id": "2"}]


def test_the_order_of_columns_in_the_page_does_not_matter() -> None:
    assert from_csv(page(GOOD, names=tuple(reversed(GOOD))), SCHEMA, 1, "crm").to_pylist() == [TYPED]


def test_records_have_the_same_types_as_csv() -> None:
    record: dict[str, Any] = {**GOOD, "Count": 7, "Closed": True, "At": "2026-02-28T10:00:00.123+0000", "attributes": {"type": "Deal"}}
    assert from_records([record, {"Id": "2"}], SCHEMA).to_pylist() == [TYPED, dict.fromkeys(TYPED) | {"Id": "2"}]


@pytest.mark.parametrize(
    ("name", "bad", "kind"),
    [
        ("Amount", "1.234", "decimal128(10, 2)"),
        ("Amount", "a lot", "decimal128(10, 2)"),
        ("Amount", "123456789012", "decimal128(10, 2)"),
        ("Count", "7.5", "int64"),
        ("Share", "half", "double"),
        ("Closed", "perhaps", "bool"),
        ("Day", "2026-02-30", "date32[day]"),
        ("At", "yesterday", "timestamp[us, tz=UTC]"),
    ],
)
def test_a_bad_cell_is_null_and_named_and_spoils_no_other(name: str, bad: str, kind: str) -> None:
    rows = [GOOD, {**GOOD, name: bad}, GOOD]
    for batch in (from_csv(page(*rows), SCHEMA, 3, "crm"), from_records(rows, SCHEMA)):
        assert batch.to_pylist() == [TYPED, {**TYPED, name: None, DEFECT: f"{name}: {bad!r} is no {kind}"}, TYPED]


def test_bytes_that_are_no_text_are_named() -> None:
    batch = from_csv(page(GOOD, {**GOOD, "Id": b"Z\xfcrich"}), SCHEMA, 2, "crm")
    assert batch["Id"].to_pylist() == ["1", None]
    assert batch[DEFECT].to_pylist() == [None, r"Id: 'Z\\xfcrich' is no UTF-8"]


@pytest.mark.parametrize("body", [page(GOOD), page(GOOD, GOOD)[:-40], b'"Id"\n"1","2"\n'])
def test_a_page_that_lacks_rows_is_not_taken(body: bytes) -> None:
    with pytest.raises(SourceUnavailable, match=r"has 1 rows|is broken"):
        from_csv(body, SCHEMA, 2, "crm")


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\x00"), min_size=1), min_size=1))
def test_any_text_survives_csv(texts: list[str]) -> None:
    schema = pa.schema([("Id", pa.string()), (DEFECT, pa.string())])
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([["Id"], *([text] for text in texts)])
    assert from_csv(out.getvalue().encode(), schema, len(texts), "crm")["Id"].to_pylist() == texts


@pytest.mark.parametrize(
    ("described", "expected"),
    [
        ({"type": "currency", "precision": 18, "scale": 2}, pa.decimal128(18, 2)),
        ({"type": "percent", "precision": 3, "scale": 0}, pa.decimal128(3, 0)),
        ({"type": "double", "precision": 18, "scale": 6, "calculated": True}, pa.float64()),
        ({"type": "double", "precision": 0, "scale": 0}, pa.float64()),
        ({"type": "int", "precision": 0}, pa.int64()),
        ({"type": "boolean"}, pa.bool_()),
        ({"type": "date"}, pa.date32()),
        ({"type": "datetime"}, pa.timestamp("us", "UTC")),
        ({"type": "time"}, pa.string()),
        ({"type": "multipicklist"}, pa.string()),
        ({"type": "something new"}, pa.string()),
    ],
)
def test_every_described_type_has_an_arrow_type(described: dict[str, Any], expected: pa.DataType) -> None:
    assert arrow_type(described) == expected


def test_a_query_is_written_without_empty_conditions() -> None:
    moment = dt.datetime(2026, 1, 1, 12, 0, 0, 5_000, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    assert soql.select(["Id"], "Account") == "SELECT Id FROM Account"
    query = soql.select(["Id", "Name"], "Account", "", soql.since("SystemModstamp", moment), order="Id")
    assert query == "SELECT Id, Name FROM Account WHERE SystemModstamp >= 2026-01-01T10:00:00.005Z ORDER BY Id"


def test_only_ids_reach_a_query() -> None:
    assert soql.among(["001000000000001AAA", "x') OR Name != ('", "001000000000002"]) == "Id IN ('001000000000001AAA', '001000000000002')"


def test_the_day_before_a_day_is_a_day() -> None:
    assert soql.before(dt.date(2026, 3, 1), dt.timedelta(minutes=10)) == dt.date(2026, 2, 28)
    assert soql.before(dt.date(2026, 3, 1), dt.timedelta()) == dt.date(2026, 3, 1)


@given(st.datetimes(min_value=dt.datetime(2000, 1, 1), timezones=st.just(dt.UTC)), st.timedeltas(dt.timedelta(0), dt.timedelta(30)))  # noqa: DTZ001
def test_slices_cover_the_span_without_a_gap(since: dt.datetime, span: dt.timedelta) -> None:
    windows = list(slices(since, since + span))
    assert windows[0][0] <= since
    assert windows[-1][1] >= since + span
    assert all(SHORTEST <= end - start <= SLICE for start, end in windows)
    assert all(later[0] <= earlier[1] for earlier, later in pairwise(windows))


@given(st.integers(1, 250_000), st.integers(1, 1 << 40), st.none() | st.integers(0, 250_000))
def test_the_next_page_is_sized_by_what_rows_weigh(size: int, weight: int, count: int | None) -> None:
    following = next_size(size, weight, count)
    assert 1 <= following <= max(size, MOST_PAGE_ROWS)
    if count and following < MOST_PAGE_ROWS and following > 1:
        assert following * weight / count <= PAGE_BYTES


BLAME = Blame(source="crm", credentials=("client_id", "client_secret"))


@pytest.mark.parametrize(
    ("code", "message", "expected", "says"),
    [
        ("INVALID_FIELD", "No such column 'Rating' on entity 'Account'", SourceContractChanged, "field Rating was removed"),
        ("INVALID_TYPE", "sObject type 'Invoice__c' is not supported.", SourceContractChanged, "object was removed"),
        ("NOT_FOUND", "The requested resource does not exist", SourceContractChanged, "object was removed"),
        ("MALFORMED_QUERY", "unexpected token", SourceContractChanged, "own words"),
        ("INVALID_LOGIN", "Invalid username", CredentialsRejected, "PILOTHOUSE_SOURCES__CRM__CLIENT_ID"),
        ("INVALID_SESSION_ID", "Session expired", CredentialsRejected, "PILOTHOUSE_SOURCES__CRM__CLIENT_ID"),
        ("API_DISABLED_FOR_ORG", "API is not enabled", CredentialsRejected, "allowed to do this by API"),
        ("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", SourceUnavailable, "PILOTHOUSE_SOURCES__CRM__API_SHARE"),
        ("REQUEST_LIMIT_EXCEEDED", "ConcurrentPerOrgLongTxn Limit exceeded.", SourceUnavailable, "too many long requests"),
        ("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access", SourceUnavailable, "passes"),
        ("SERVER_UNAVAILABLE", "try again", SourceUnavailable, "passes"),
        ("INVALID_QUERY_LOCATOR", "invalid query locator", SourceUnavailable, "passes"),
    ],
)
def test_a_refusal_is_judged_by_its_code(code: str, message: str, expected: type[SourceError], says: str) -> None:
    error = error_of(Refusal(code, message), BLAME, "account")
    assert isinstance(error, expected)
    assert says in error.hint
    assert f"crm / account: Salesforce answered {code}: {message}" == error.message


def test_a_used_up_day_is_not_asked_again_for_an_hour_but_a_busy_org_is() -> None:
    used_up = error_of(Refusal("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."), BLAME, "account")
    busy = error_of(Refusal("REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests Limit exceeded."), BLAME, "account")
    assert isinstance(used_up, SourceUnavailable)
    assert isinstance(busy, SourceUnavailable)
    assert (used_up.retry_after, busy.retry_after) == (3600, None)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("INVALID_FIELD: No such column 'Rating' on entity 'Account'", SourceContractChanged),
        ("InvalidBatch : INVALID_TYPE: sObject type 'X' is not supported", SourceContractChanged),
        ("No such column 'Rating' on sobject of type Account", SourceContractChanged),
        ("QUERY_TIMEOUT: Your query request was running for too long.", SourceUnavailable),
        ("", SourceUnavailable),
    ],
)
def test_a_failed_job_is_judged_by_its_message(message: str, expected: type[SourceError]) -> None:
    assert isinstance(job_failed("Failed", message, BLAME, "account"), expected)


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b"[]", b'[{"message": "no code"}]', b"[1]", b"\xff"])
def test_a_body_that_names_no_code_is_no_refusal(body: bytes) -> None:
    assert refusal_of(body) is None
