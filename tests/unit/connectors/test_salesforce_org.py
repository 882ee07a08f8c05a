"""The Salesforce connector against recorded shapes that the sandbox does not play: odd jobs, odd answers, short memories."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from connectors.http import breaker, client
from connectors.http.exchange import Response
from connectors.http.retry import Retry
from connectors.salesforce import SalesforceOptions, bulk
from connectors.salesforce.deletions import deletions
from connectors.salesforce.org import Org, server_time
from connectors.salesforce.query import pages
from pilothouse.kernel.errors import CredentialsRejected, SourceContractChanged, SourceUnavailable
from pilothouse.kernel.streams import DEFECT
from tests.unit.connectors.scripted_server import Answer, Asked, Script, ScriptedServer, serving

SCHEMA = pa.schema([("Id", pa.string()), (DEFECT, pa.string())])
NOW = datetime(2026, 3, 31, 12, 0, tzinfo=UTC)
ID = "001000000000001AAA"


def answered(content: Any, status: int = 200, **headers: str) -> Answer:
    return Answer(body=json.dumps(content).encode(), status=status, headers=headers)


def refused(code: str, message: str = "no", status: int = 400) -> Answer:
    return answered([{"errorCode": code, "message": message}], status)


class Play:
    """A server that logs everybody in and plays the rest by a script; and an org connected to it."""

    def __init__(self) -> None:
        self.script: Script = lambda _: answered({})
        self.logins = 0
        self._serving = serving(self._answer)
        self.server: ScriptedServer = self._serving.__enter__()
        options = {"url": self.server.url, "client_id": "app", "client_secret": "secret", "timeout": 5}
        self.org = Org("crm", SalesforceOptions.model_validate(options))

    def _answer(self, asked: Asked) -> Answer:
        if asked.path == "/services/oauth2/token":
            self.logins += 1
            return answered({"access_token": f"session-{self.logins}", "instance_url": self.server.url})
        return self.script(asked)

    def asked(self, part: str) -> list[Asked]:
        return [asked for asked in self.server.asked if part in asked.target]

    def close(self) -> None:
        self.org.close()
        self._serving.__exit__(None, None, None)


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Iterator[Play]:
    monkeypatch.setattr(client, "Retry", lambda: Retry(attempts=3, base=0.001, longest_pause=0.01, deadline=5))
    made = Play()
    yield made
    made.close()
    breaker._shared.clear()


def job(*states: str, result: Callable[[Asked], Answer] | None = None, message: str = "") -> Script:
    """A bulk job that goes through these states."""
    left = list(states)

    def script(asked: Asked) -> Answer:
        if asked.path.endswith("/results"):
            assert result is not None
            return result(asked)
        if asked.method == "POST":
            return answered({"id": "750", "state": "UploadComplete"})
        if asked.method == "GET":
            return answered({"id": "750", "state": left.pop(0) if len(left) > 1 else left[0], "errorMessage": message})
        return Answer(status=204, body=b"", media_type="")

    return script


def rows(play: Play, patience: float = 5) -> list[dict[str, Any]]:
    return [row for batch in bulk.rows(play.org, "SELECT Id FROM Account", SCHEMA, "account", patience) for row in batch.to_pylist()]


def csv(*ids: str, locator: str = "null", count: int | None = None) -> Answer:
    body = "\n".join(['"Id"', *(f'"{key}"' for key in ids)]).encode() + b"\n"
    headers = {"Sforce-Locator": locator, "Sforce-NumberOfRecords": str(len(ids) if count is None else count)}
    return Answer(body=body, media_type="text/csv", headers=headers)


def test_a_job_is_waited_for_and_taken_away(play: Play) -> None:
    play.script = job("UploadComplete", "InProgress", "JobComplete", result=lambda _: csv("a", "b"))
    assert [row["Id"] for row in rows(play)] == ["a", "b"]
    assert [asked.method for asked in play.asked("jobs/query/750")] == ["GET", "GET", "GET", "GET", "DELETE"]


@pytest.mark.parametrize(
    ("state", "message", "expected"),
    [
        ("Failed", "INVALID_FIELD: No such column 'X'", SourceContractChanged),
        ("Failed", "", SourceUnavailable),
        ("Aborted", "", SourceUnavailable),
    ],
)
def test_a_job_that_does_not_complete_is_an_error(state: str, message: str, expected: type[Exception], play: Play) -> None:
    play.script = job("InProgress", state, message=message)
    with pytest.raises(expected, match="account"):
        rows(play)
    assert play.asked("jobs/query/750")[-1].method == "DELETE"


def test_a_job_that_takes_too_long_is_aborted(play: Play) -> None:
    play.script = job("InProgress")
    with pytest.raises(SourceUnavailable, match="is InProgress after") as caught:
        rows(play, patience=0.05)
    assert "PILOTHOUSE_SOURCES__CRM__BULK_PATIENCE" in caught.value.hint
    assert [asked.method for asked in play.asked("jobs/query/750")][-2:] == ["PATCH", "DELETE"]


def test_locators_that_run_in_a_circle_end_the_read(play: Play) -> None:
    play.script = job("JobComplete", result=lambda asked: csv("a", locator="B" if asked.params.get("locator") == "A" else "A"))
    with pytest.raises(SourceContractChanged, match="circle"):
        rows(play)


def test_a_page_that_was_cut_is_not_taken_for_whole(play: Play) -> None:
    play.script = job("JobComplete", result=lambda _: csv("a", count=2))
    with pytest.raises(SourceUnavailable, match="has 1 rows and says it has 2"):
        rows(play)


def test_a_page_whose_connection_breaks_is_fetched_again(play: Play) -> None:
    broken = [7]

    def result(asked: Asked) -> Answer:
        whole = csv("a", locator="2") if "locator" not in asked.params else csv("b")
        return Answer(body=whole.body, media_type=whole.media_type, headers=whole.headers, cut_after=broken.pop()) if broken else whole

    play.script = job("JobComplete", result=result)
    assert [row["Id"] for row in rows(play)] == ["a", "b"]


def test_a_session_is_renewed_once_and_then_believed_lost(play: Play) -> None:
    play.script = lambda asked: (
        answered({"records": [], "done": True})
        if asked.headers["authorization"] == "Bearer session-2"
        else refused("INVALID_SESSION_ID", status=401)
    )
    assert list(pages(play.org, "SELECT Id FROM Account", "account")) == [[]]
    play.script = lambda _: refused("INVALID_SESSION_ID", status=401)
    with pytest.raises(CredentialsRejected):
        list(pages(play.org, "SELECT Id FROM Account", "account"))
    assert play.logins == 3


def test_a_locked_row_is_asked_for_again(play: Play) -> None:
    answers = [refused("UNABLE_TO_LOCK_ROW"), answered({"records": [{"Id": "a"}], "done": True})]
    play.script = lambda _: answers.pop(0)
    assert list(pages(play.org, "SELECT Id FROM Account", "account")) == [[{"Id": "a"}]]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(body=b'{"records": [{"Id": "a"'), SourceUnavailable),
        (Answer(body=b'{"records" [}'), SourceContractChanged),
        (Answer(body=b'{"records": ["\xff"]}'), SourceContractChanged),
        (answered([]), SourceContractChanged),
        (answered({"done": True}), SourceContractChanged),
        (Answer(body=b"<html>", media_type="text/html", status=403), CredentialsRejected),
        (Answer(body=b"<html>", media_type="text/html"), SourceContractChanged),
    ],
)
def test_an_answer_that_is_none_is_an_error(answer: Answer, expected: type[Exception], play: Play) -> None:
    play.script = lambda _: answer
    with pytest.raises(expected):
        list(pages(play.org, "SELECT Id FROM Account", "account"))


def test_a_login_without_a_token_is_an_error(play: Play) -> None:
    play.server.script = lambda _: answered({})
    with pytest.raises(SourceContractChanged, match="without an access token"):
        play.org.json("limits", "check")


def report(ids: dict[str, datetime], covered: datetime, earliest: datetime = NOW - timedelta(days=60)) -> Answer:
    return answered(
        {
            "deletedRecords": [{"id": key, "deletedDate": at.isoformat()} for key, at in ids.items()],
            "earliestDateAvailable": earliest.isoformat(),
            "latestDateCovered": covered.isoformat(),
        }
    )


def window(asked: Asked) -> tuple[datetime, datetime]:
    return datetime.fromisoformat(asked.params["start"]), datetime.fromisoformat(asked.params["end"])


def deleted(play: Play, since: datetime = NOW - timedelta(days=10)) -> tuple[dict[str, datetime], datetime] | None:
    found = deletions(play.org, "Account", since, NOW, "account", soft_deletes=False)
    return (
        None
        if found is None
        else (dict(zip(*(found.table[name].to_pylist() for name in ("Id", "_changed_at")), strict=True)), found.covered)
    )


def playing(report_for: Script) -> Script:
    return lambda asked: report_for(asked) if "/deleted/" in asked.target else answered({"records": [], "done": True})


def test_too_many_deletions_are_asked_for_in_halves(play: Play) -> None:
    at = {f"00100000000000{n}AAA": NOW - timedelta(days=n) for n in range(1, 9)}

    def script(asked: Asked) -> Answer:
        start, end = window(asked)
        if end - start > timedelta(days=1):
            return refused("EXCEEDED_ID_LIMIT")
        return report({key: moment for key, moment in at.items() if start <= moment < end}, end)

    play.script = playing(script)
    assert deleted(play) == (at, NOW)


def test_what_an_earlier_window_still_misses_is_asked_for_next_time(play: Play) -> None:
    stuck = NOW - timedelta(days=8)

    def script(asked: Asked) -> Answer:
        start, end = window(asked)
        return report({}, stuck if start <= stuck < end else end)

    play.script = playing(script)
    assert deleted(play) == ({}, stuck)


@pytest.mark.parametrize("answer", [refused("INVALID_REPLICATION_DATE"), report({}, NOW, earliest=NOW - timedelta(days=1))])
def test_an_org_that_has_forgotten_is_not_believed(answer: Answer, play: Play) -> None:
    play.script = playing(lambda _: answer)
    assert deleted(play) is None


def test_an_org_that_will_not_look_ahead_is_asked_up_to_now(play: Play) -> None:
    play.script = playing(lambda asked: refused("INVALID_REPLICATION_DATE") if window(asked)[1] > NOW else report({ID: NOW}, NOW))
    assert deleted(play) == ({ID: NOW}, NOW)


def test_a_span_beyond_what_any_org_remembers_is_not_asked_for(play: Play) -> None:
    assert deleted(play, NOW - timedelta(days=31)) is None
    assert play.asked("/deleted/") == []


def test_the_clock_of_the_org_is_believed() -> None:
    def told(**headers: str) -> datetime:
        return server_time(Response(status=200, headers=headers, body=b"", url=""))

    assert told(date="Tue, 31 Mar 2026 12:00:00 GMT") == NOW
    assert told(date="Tue, 31 Mar 2026 12:00:00 -0000") == NOW
    for silent in (told(), told(date="yesterday")):
        assert abs(silent - datetime.now(UTC)) < timedelta(minutes=1)
