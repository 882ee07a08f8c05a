"""Bulk API 2.0: query jobs that show one moment in pages of CSV, and ingest jobs that report each row."""

from __future__ import annotations

import csv
import gzip
import io
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.sandbox.company.salesforce import record_id
from pilothouse.sandbox.salesforce.bulk import ENDED
from pilothouse.sandbox.salesforce.bulk_ingest import LARGEST
from pilothouse.sandbox.salesforce.spool import Spool
from tests.unit.sandbox.salesforce_org import ACME, ENTITIES, GLOBEX, NOW, Org, org, system


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Org]:
    """One org for all tests that leave no trace in it."""
    with org(tmp_path_factory.mktemp("org")) as made:
        yield made


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Org]:
    with org(tmp_path) as made:
        yield made


def ended(here: Org, kind: str, key: str) -> dict[str, Any]:
    """The job once it has ended."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        job: dict[str, Any] = here.get(f"jobs/{kind}/{key}").json()
        if job["state"] in ENDED:
            return job
        time.sleep(0.01)
    raise AssertionError(f"the job does not end: {job}")


def asked(here: Org, soql: str, **options: str) -> dict[str, Any]:
    """A query job that has ended."""
    response = here.call("POST", "jobs/query", json={"operation": "query", "query": soql, **options})
    assert response.status_code == 200, response.text
    return ended(here, "query", response.json()["id"])


def results(here: Org, key: str, **query: str) -> httpx.Response:
    response = here.get(f"jobs/query/{key}/results", **query)
    assert response.status_code == 200, response.text
    return response


def code(response: httpx.Response) -> tuple[int, str]:
    (error,) = response.json()
    return response.status_code, error["errorCode"]


# Query jobs


def test_a_result_is_csv_with_every_value_quoted(unchanged: Org) -> None:
    job = asked(
        unchanged,
        "SELECT Id, Name, Industry, AnnualRevenue, IsDeleted, Customer_Since__c, CreatedDate, Parent.Name FROM Account ORDER BY Id",
    )
    assert (job["state"], job["numberRecordsProcessed"], job["object"]) == ("JobComplete", 3, "Account")
    response = results(unchanged, job["id"])
    assert response.headers["sforce-locator"] == "null"
    assert response.headers["sforce-numberofrecords"] == "3"
    assert response.text.startswith(
        '"Id","Name","Industry","AnnualRevenue","IsDeleted","Customer_Since__c","CreatedDate","Parent.Name"\n'
        f'"{ACME}","Acme ""Rockets"" GmbH","Energy","1500000.50","false","2024-02-29","2025-02-11T12:00:00.000Z",""\n'
        f'"{GLOBEX}","Globex","","","false","2026-03-17","2026-02-26T12:00:00.000Z","Acme ""Rockets"" GmbH"\n'
    )


@pytest.mark.parametrize(
    ("name", "mark"), [("COMMA", ","), ("SEMICOLON", ";"), ("TAB", "\t"), ("PIPE", "|"), ("CARET", "^"), ("BACKQUOTE", "`")]
)
@pytest.mark.parametrize(("ending", "end"), [("LF", "\n"), ("CRLF", "\r\n")])
def test_delimiter_and_line_ending_are_the_jobs_own(unchanged: Org, name: str, mark: str, ending: str, end: str) -> None:
    job = asked(unchanged, "SELECT Id, Industry FROM Account ORDER BY Id LIMIT 1", columnDelimiter=name, lineEnding=ending)
    assert results(unchanged, job["id"]).text == f'"Id"{mark}"Industry"{end}"{ACME}"{mark}"Energy"{end}'


def test_locators_lead_from_page_to_page(unchanged: Org) -> None:
    key = asked(unchanged, "SELECT Id FROM Account ORDER BY Id")["id"]
    locator, found = "", []
    while locator != "null":
        page = results(unchanged, key, maxRecords="2", **({"locator": locator} if locator else {}))
        rows = list(csv.DictReader(io.StringIO(page.text)))
        assert len(rows) == int(page.headers["sforce-numberofrecords"])
        locator = page.headers["sforce-locator"]
        found += [row["Id"] for row in rows]
    assert found == [record_id("Account", number) for number in (1, 2, 3)]


def test_an_empty_result_is_a_header_alone(unchanged: Org) -> None:
    page = results(unchanged, asked(unchanged, "SELECT Id FROM Account WHERE Name = 'nobody'")["id"])
    assert (page.text, page.headers["sforce-numberofrecords"], page.headers["sforce-locator"]) == ('"Id"\n', "0", "null")


def test_a_result_shows_the_moment_of_the_job(here: Org) -> None:
    key = asked(here, "SELECT Id, Name FROM Account ORDER BY Id")["id"]
    before = results(here, key).text
    here.store.update(ENTITIES["Account"], [ACME], {"Name": "Changed"}, NOW)
    here.store.delete(ENTITIES["Account"], [GLOBEX], NOW)
    assert results(here, key).text == before


def test_results_are_streamed_compressed_to_clients_that_take_it(here: Org) -> None:
    people = [system(NOW, Id=record_id("Contact", 100 + number), LastName="Same name") for number in range(5_000)]
    here.store.load(ENTITIES["Contact"], people)
    key = asked(here, "SELECT Id, LastName FROM Contact")["id"]
    address = f"{here.address}/services/data/v60.0/jobs/query/{key}/results"
    with here.client.stream("GET", address, headers={"accept-encoding": "gzip"}) as response:
        assert response.headers["content-encoding"] == "gzip"
        packed = b"".join(response.iter_raw())
    assert gzip.decompress(packed) == here.client.get(address, headers={"accept-encoding": "identity"}).content
    assert len(packed) < 40_000


def test_a_cut_connection_leaves_half_a_result(here: Org) -> None:
    key = asked(here, "SELECT Id, Name FROM Account")["id"]
    whole = results(here, key).content
    here.switch_on(kind="cut", count=1)
    address, pieces = f"{here.address}/services/data/v60.0/jobs/query/{key}/results", list[bytes]()
    with here.client.stream("GET", address, headers={"accept-encoding": "identity"}) as response, pytest.raises(httpx.RemoteProtocolError):
        pieces.extend(response.iter_raw())
    got = b"".join(pieces)
    assert 0 < len(got) < len(whole)
    assert whole.startswith(got)


def test_deleted_records_are_in_a_query_all_job_only(here: Org) -> None:
    here.call("DELETE", f"sobjects/Account/{GLOBEX}")
    soql = "SELECT Id, IsDeleted FROM Account"
    assert asked(here, soql)["numberRecordsProcessed"] == 2
    assert asked(here, soql, operation="queryAll")["numberRecordsProcessed"] == 3


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ({"operation": "query", "query": "SELECT Nothing FROM Account"}, "INVALID_FIELD"),
        ({"operation": "query", "query": "SELECT Id FROM Nothing"}, "INVALID_TYPE"),
        ({"operation": "query", "query": "nonsense"}, "MALFORMED_QUERY"),
        ({"operation": "query", "query": "SELECT COUNT() FROM Account"}, "FEATURENOTENABLED"),
        ({"operation": "query", "query": "SELECT Type, COUNT(Id) FROM Account GROUP BY Type"}, "FEATURENOTENABLED"),
        ({"operation": "query", "query": "SELECT Id FROM Account OFFSET 5"}, "FEATURENOTENABLED"),
        ({"operation": "query", "query": "SELECT Id FROM Account", "columnDelimiter": "DOT"}, "JSON_PARSER_ERROR"),
        ({"operation": "read", "query": "SELECT Id FROM Account"}, "JSON_PARSER_ERROR"),
    ],
)
def test_a_job_that_cannot_run_is_refused_at_once(unchanged: Org, content: dict[str, str], error: str) -> None:
    assert code(unchanged.call("POST", "jobs/query", json=content)) == (400, error)


def test_wrong_pages_of_a_result_are_refused(unchanged: Org) -> None:
    key = asked(unchanged, "SELECT Id FROM Account")["id"]
    for query in ({"maxRecords": "0"}, {"maxRecords": "x"}, {"locator": "!!"}, {"locator": "OTk"}):
        assert unchanged.get(f"jobs/query/{key}/results", **query).status_code == 400
    assert code(unchanged.get(f"jobs/query/{record_id('Account', 5)}/results")) == (404, "NOT_FOUND")


def test_a_job_can_be_aborted_and_deleted(here: Org) -> None:
    with here.store.writing():  # an ingest job cannot go on while somebody else writes
        key = uploaded(here, "insert", "Name\nOne\n")
        assert here.call("PATCH", f"jobs/ingest/{key}", json={"state": "Aborted"}).json()["state"] == "Aborted"
    deadline = time.monotonic() + 30
    while not (untried := rows(here, key, "unprocessedrecords")) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (untried, here.names("Name = 'One'")) == ([{"Name": "One"}], [])
    assert code(here.call("PATCH", f"jobs/ingest/{key}", json={"state": "Aborted"})) == (400, "INVALIDJOBSTATE")
    done = asked(here, "SELECT Id FROM Account")["id"]
    assert code(here.call("PATCH", f"jobs/query/{done}", json={"state": "Aborted"})) == (400, "INVALIDJOBSTATE")
    for path in (f"jobs/ingest/{key}", f"jobs/query/{done}"):
        assert here.call("DELETE", path).status_code == 204
        assert here.get(path).status_code == 404


def test_jobs_are_listed(here: Org) -> None:
    key = asked(here, "SELECT Id FROM Account")["id"]
    assert [job["id"] for job in here.get("jobs/query").json()["records"]] == [key]


# Ingest jobs


def opened(here: Org, operation: str, **options: str) -> dict[str, Any]:
    response = here.call("POST", "jobs/ingest", json={"object": "Account", "operation": operation, "contentType": "CSV", **options})
    assert response.status_code == 200, response.text
    job: dict[str, Any] = response.json()
    return job


def uploaded(here: Org, operation: str, content: str, **options: str) -> str:
    """A job whose data are complete."""
    job = opened(here, operation, **options)
    assert here.call("PUT", f"/{job['contentUrl']}", content=content.encode(), headers={"content-type": "text/csv"}).status_code == 201
    assert here.call("PATCH", f"jobs/ingest/{job['id']}", json={"state": "UploadComplete"}).json()["state"] == "UploadComplete"
    key: str = job["id"]
    return key


def rows(here: Org, key: str, kind: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(here.get(f"jobs/ingest/{key}/{kind}").text)))


def test_each_row_ends_in_one_of_the_result_files(here: Org) -> None:
    key = uploaded(here, "insert", 'Name,Industry\r\n"One, ""quoted""\nand long",Retail\r\n,Energy\r\nToo,many,values\r\nTwo,\r\n')
    job = ended(here, "ingest", key)
    assert (job["state"], job["numberRecordsProcessed"], job["numberRecordsFailed"]) == ("JobComplete", 4, 2)
    done = rows(here, key, "successfulResults")
    assert [(row["sf__Created"], row["Name"]) for row in done] == [("true", 'One, "quoted"\nand long'), ("true", "Two")]
    errors = [row["sf__Error"].split(":")[0] for row in rows(here, key, "failedResults")]
    assert errors == ["REQUIRED_FIELD_MISSING", "INVALID_CSV_LINE"]
    assert rows(here, key, "unprocessedrecords") == []
    assert here.query(f"SELECT Name FROM Account WHERE Id = '{done[0]['sf__Id']}'")[0]["Name"] == 'One, "quoted"\nand long'


def test_rows_may_come_compressed(here: Org) -> None:
    key = here.call("POST", "jobs/ingest", json={"operation": "insert", "object": "Account"}).json()["id"]
    sent = {"content": gzip.compress(b"Name\nPacked\n"), "headers": {"content-encoding": "gzip", "content-type": "text/csv"}}
    assert here.call("PUT", f"jobs/ingest/{key}/batches", **sent).status_code == 201
    here.call("PATCH", f"jobs/ingest/{key}", json={"state": "UploadComplete"})
    assert ended(here, "ingest", key)["numberRecordsProcessed"] == 1
    assert here.names("Name = 'Packed'") == ["Packed"]


@pytest.mark.parametrize(
    ("encoding", "content", "error"),
    [
        ("br", b"Name\nPacked\n", (415, "UNSUPPORTED_MEDIA_TYPE")),
        ("gzip", b"Name\nPacked\n", (400, "JSON_PARSER_ERROR")),
        ("gzip", gzip.compress(b"Name\nPacked\n")[:-6], (400, "JSON_PARSER_ERROR")),
        ("gzip", gzip.compress(bytes(LARGEST + 1), 9), (413, "REQUEST_ENTITY_TOO_LARGE")),
    ],
    ids=["another encoding", "no gzip", "cut", "small outside and large inside"],
)
def test_a_body_that_cannot_be_unpacked_is_refused(unchanged: Org, encoding: str, content: bytes, error: tuple[int, str]) -> None:
    refused = unchanged.call("PUT", "jobs/ingest/750000000000001AAA/batches", content=content, headers={"content-encoding": encoding})
    assert code(refused) == error


def test_an_empty_value_leaves_a_field_alone_and_na_empties_it(here: Org) -> None:
    ended(here, "ingest", uploaded(here, "update", f"Id,Industry,Type\n{ACME},,#N/A\n"))
    (record,) = here.query(f"SELECT Industry, Type FROM Account WHERE Id = '{ACME}'")
    assert (record["Industry"], record["Type"]) == ("Energy", None)


def test_an_upsert_updates_by_external_id_or_creates(here: Org) -> None:
    key = uploaded(
        here, "upsert", "Tax_Number__c;Name\nCH-100;Acme\nNEW;New\n", externalIdFieldName="Tax_Number__c", columnDelimiter="SEMICOLON"
    )
    ended(here, "ingest", key)
    done = list(csv.DictReader(io.StringIO(here.get(f"jobs/ingest/{key}/successfulResults").text), delimiter=";"))
    assert [row["sf__Created"] for row in done] == ["false", "true"]
    assert here.names("Tax_Number__c IN ('CH-100', 'NEW')") == ["Acme", "New"]


def test_delete_fills_the_bin_and_hard_delete_leaves_nothing(here: Org) -> None:
    ended(here, "ingest", uploaded(here, "delete", f"Id\n{ACME}\n"))
    ended(here, "ingest", uploaded(here, "hardDelete", f"Id\n{ACME}\n{GLOBEX}\n"))
    assert here.query("SELECT Id FROM Account WHERE Id < '001J800000000030'", "queryAll") == []
    changes = [(change.operation, change.key[0]) for change in here.store.changes(ENTITIES["Account"])]
    assert changes == [("update", ACME), ("delete", ACME), ("delete", GLOBEX)]


def test_a_file_that_is_no_csv_fails_the_job(unchanged: Org) -> None:
    job = opened(unchanged, "insert")
    unchanged.call("PUT", f"jobs/ingest/{job['id']}/batches", content=b"Name\n\xff\xfe\n")
    unchanged.call("PATCH", f"jobs/ingest/{job['id']}", json={"state": "UploadComplete"})
    failed = ended(unchanged, "ingest", job["id"])
    assert failed["state"] == "Failed"
    assert "not UTF-8" in failed["errorMessage"]


def test_a_job_takes_its_data_once_and_in_order(here: Org) -> None:
    key = opened(here, "insert")["id"]
    assert code(here.get(f"jobs/ingest/{key}/failedResults")) == (400, "INVALIDJOBSTATE")
    assert here.call("PUT", f"jobs/ingest/{key}/batches", content=b"Name\nOne\n").status_code == 201
    assert code(here.call("PUT", f"jobs/ingest/{key}/batches", content=b"Name\nTwo\n")) == (400, "INVALIDJOB")
    here.call("PATCH", f"jobs/ingest/{key}", json={"state": "UploadComplete"})
    ended(here, "ingest", key)
    assert code(here.call("PUT", f"jobs/ingest/{key}/batches", content=b"Name\nTwo\n")) == (400, "INVALIDJOBSTATE")
    assert code(here.call("PATCH", f"jobs/ingest/{key}", json={"state": "UploadComplete"})) == (400, "INVALIDJOBSTATE")


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ({"object": "Nothing", "operation": "insert"}, "INVALIDENTITY"),
        ({"object": "Account", "operation": "merge"}, "JSON_PARSER_ERROR"),
        ({"object": "Account", "operation": "insert", "contentType": "XML"}, "JSON_PARSER_ERROR"),
        ({"object": "Account", "operation": "upsert", "externalIdFieldName": "Industry"}, "INVALIDJOB"),
    ],
)
def test_an_ingest_job_that_cannot_run_is_refused_at_once(unchanged: Org, content: dict[str, str], error: str) -> None:
    assert code(unchanged.call("POST", "jobs/ingest", json=content)) == (400, error)


# The file behind results


@given(st.lists(st.lists(st.binary(max_size=30), max_size=8), max_size=8), st.integers(0, 70), st.integers(0, 70))
def test_a_spool_gives_back_any_stretch_of_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[bytes]], first: int, count: int
) -> None:
    spool = Spool(tmp_path_factory.getbasetemp())
    for batch in batches:
        spool.write(batch)
    written = [row for batch in batches for row in batch]
    assert len(spool) == len(written)
    first = min(first, len(written))
    assert spool.read(first, count) == b"".join(written[first : first + count])


def test_a_spool_leaves_no_file_behind_and_is_read_by_many_at_once(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    assert list(tmp_path.iterdir()) == []
    lines = [f"{number:07d}\n".encode() for number in range(300_000)]
    spool.write(lines)
    wrong: list[int] = []

    def check(start: int) -> None:
        starts = range(start, len(lines), 37_000)
        wrong.extend(first for first in starts if spool.read(first, 150_000) != b"".join(lines[first : first + 150_000]))

    readers = [threading.Thread(target=check, args=(start,)) for start in (0, 11, 222)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert wrong == []
