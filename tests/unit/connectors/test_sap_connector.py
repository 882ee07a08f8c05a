"""SapConnector against a small OData V4 service that the test holds in its hand."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.sap.connector import SapConnector
from connectors.sap.options import SapOptions
from pilothouse.kernel.errors import ConfigError, CredentialsRejected, SourceContractChanged, SourceUnavailable
from pilothouse.kernel.streams import DEFECT, Batch, Watermark
from tests.unit.connectors.scripted_server import Answer, Asked, ScriptedServer, serving

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
METADATA = b"""<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"><edmx:DataServices>
<Schema Namespace="S" xmlns="http://docs.oasis-open.org/odata/ns/edm"><EntityType Name="Thing"><Key><PropertyRef Name="Id"/></Key>
<Property Name="Id" Type="Edm.Int32" Nullable="false"/><Property Name="At" Type="Edm.DateTimeOffset" Precision="7"/>
<Property Name="Made" Type="Edm.DateTimeOffset"/><Property Name="Size" Type="Edm.Decimal" Precision="8" Scale="2"/></EntityType>
<EntityContainer Name="C"><EntitySet Name="Things" EntityType="S.Thing"/></EntityContainer></Schema></edmx:DataServices></edmx:Edmx>"""


@dataclass
class Service:
    """Things, served in pages of `page`, with delta links. What a test wants otherwise, it sets."""

    page: int = 3
    now: datetime = NOON
    things: dict[int, dict[str, Any]] = field(default_factory=dict)
    changes: list[int] = field(default_factory=list)  # ids in the order in which they changed
    forgotten: int = 0  # delta tokens below this have expired
    metadata: bytes = METADATA
    synthetic: Callable[[Asked], bool] = lambda _: True
    sorts: bool = True
    tracks: bool = True
    answer: Callable[[Asked], Answer | None] = lambda _: None

    def put(self, key: int, at: datetime | None = NOON, **more: Any) -> None:
        self.things[key] = {"Id": key, "At": at.isoformat().replace("+00:00", "Z") if at else None, "Made": None, "Size": 1.5, **more}
        self.changes.append(key)

    def drop(self, key: int) -> None:
        del self.things[key]
        self.changes.append(key)

    def __call__(self, asked: Asked) -> Answer:
        headers = {"Date": format_datetime(self.now, usegmt=True)}
        if self.synthetic(asked):
            headers["X-Pilothouse-Synthetic"] = "true"
        special = self.answer(asked)
        if special is not None:
            return special
        if asked.path.endswith("$metadata"):
            return Answer(body=self.metadata, media_type="application/xml", headers=headers)
        if not asked.path.endswith("/Things"):
            return Answer(status=404, body=b'{"error":{"message":"no such set"}}', headers=headers)
        return self._things(asked, headers)

    def _things(self, asked: Asked, headers: dict[str, str]) -> Answer:
        token = asked.params.get("$deltatoken")
        if token is not None and int(token) < self.forgotten:
            return Answer(status=410, body=b'{"error":{"message":"token expired"}}', headers=headers)
        rows = self._changed(int(token)) if token is not None else self._matching(asked.params)
        skip, top = int(asked.params.get("$skiptoken") or asked.params.get("$skip") or 0), int(asked.params.get("$top") or self.page)
        body: dict[str, Any] = {"@odata.context": "x", "value": rows[skip : skip + min(top, self.page)]}
        if "$top" not in asked.params and skip + self.page < len(rows):
            others = "&".join(f"{name}={value}" for name, value in asked.params.items() if name != "$skiptoken")
            body["@odata.nextLink"] = f"Things?{others}&$skiptoken={skip + self.page}".replace(" ", "%20").replace("+", "%2B")
        elif self.tracks and (token is not None or "track-changes" in asked.headers.get("prefer", "")):
            body["@odata.deltaLink"] = f"Things?$deltatoken={len(self.changes)}"
        return Answer(body=json.dumps(body).encode(), headers=headers)

    def _changed(self, since: int) -> list[dict[str, Any]]:
        ids = dict.fromkeys(self.changes[since:])
        return [self.things.get(key) or {"@removed": {"reason": "deleted"}, "@id": f"Things({key})"} for key in ids]

    def _matching(self, params: dict[str, str]) -> list[dict[str, Any]]:
        rows = list(self.things.values())
        if "$filter" in params:
            clauses = re.findall(r"(\w+) ge (\S+)", params["$filter"])
            rows = [row for row in rows if any(row[name] and _when(row[name]) >= _when(value) for name, value in clauses)]
        if "$orderby" in params and self.sorts:
            rows.sort(key=lambda row: (row["At"] is None, row["At"] or "", row["Id"]) if "At" in params["$orderby"] else row["Id"])
        if "$select" in params:
            rows = [{name: row[name] for name in params["$select"].split(",")} for row in rows]
        return rows


def _when(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def server(service: Service) -> Iterator[ScriptedServer]:
    with serving(service) as running:
        yield running


Connect = Callable[..., SapConnector]


@pytest.fixture
def connect(server: ScriptedServer) -> Iterator[Connect]:
    opened: list[SapConnector] = []

    def connect(*, prefetch: int = 2, batch_rows: int = 100_000, paging: str = "server", **stream: Any) -> SapConnector:
        extra = {"name": "thing", "path": "/srv/Things", "key": ["Id"], **stream}
        options = {
            "url": server.url,
            "user": "u",
            "password": "p",
            "prefetch": prefetch,
            "batch_rows": batch_rows,
            "paging": paging,
            "page_size": 3,
        }
        opened.append(SapConnector("s4", SapOptions(**options, streams=["thing"], extra_streams=[extra])))
        return opened[-1]

    yield connect
    for each in opened:
        each.close()


def read(connector: SapConnector, since: Watermark | None = None) -> list[Batch]:
    return [consumed(batch) for batch in connector.read(connector.streams()[0], since)]


def consumed(batch: Batch) -> Batch:
    return Batch(
        rows=batch.reader().read_all(), watermark=batch.watermark, synthetic=batch.synthetic, deleted=batch.deleted, snapshot=batch.snapshot
    )


def ids(batches: list[Batch]) -> list[int]:
    return [key for batch in batches if isinstance(batch.rows, pa.Table) for key in batch.rows.column("Id").to_pylist()]


# -- snapshots -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefetch", [0, 1, 4])
@pytest.mark.parametrize("paging", ["server", "client"])
@pytest.mark.parametrize("count", [0, 1, 3, 10])
def test_a_snapshot_is_everything_in_one_streamed_batch(service: Service, connect: Connect, prefetch: int, paging: str, count: int) -> None:
    for key in range(count):
        service.put(key)

    (batch,) = read(connect(prefetch=prefetch, paging=paging))

    assert ids([batch]) == list(range(count))
    assert (batch.snapshot, batch.watermark, batch.synthetic, batch.deleted) == (True, None, True, None)


def test_pages_of_a_snapshot_are_not_held_in_memory_together(service: Service, server: ScriptedServer, connect: Connect) -> None:
    for key in range(60):
        service.put(key)
    (batch,) = (connect(prefetch=1).read(connect().streams()[0], None),)
    first = next(batch)
    assert isinstance(first.rows, pa.RecordBatchReader)
    first.rows.read_next_batch()
    assert len(server.asked) < 10
    assert first.rows.read_all().num_rows == 57


def test_a_row_that_does_not_fit_comes_with_its_defect(service: Service, connect: Connect) -> None:
    service.put(1)
    service.put(2, Size="much")
    (batch,) = read(connect())
    assert isinstance(batch.rows, pa.Table)
    assert batch.rows.select(["Id", "Size", DEFECT]).to_pylist()[1] == {"Id": 2, "Size": None, DEFECT: 'Size: not a number: "much"'}


def test_rows_are_real_unless_the_server_says_otherwise(service: Service, connect: Connect) -> None:
    service.synthetic = lambda _: False
    service.put(1)
    assert [batch.synthetic for batch in read(connect())] == [False]


def test_a_read_that_mixes_real_and_invented_rows_is_refused(service: Service, connect: Connect) -> None:
    for key in range(9):
        service.put(key)
    service.synthetic = lambda asked: "$skiptoken" not in asked.params
    with pytest.raises(SourceContractChanged, match="invented rows and real ones"):
        read(connect())


def test_a_reader_that_stops_early_leaves_no_thread_behind(service: Service, connect: Connect) -> None:
    import threading

    for key in range(300):
        service.put(key)
    before = {thread for thread in threading.enumerate() if thread.name == "prefetch"}
    batches = connect().read(connect().streams()[0], None)
    assert isinstance(batches, Iterator)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert {thread for thread in threading.enumerate() if thread.name == "prefetch"} <= before


# -- by change timestamp ---------------------------------------------------------------------------------------------


def test_a_second_read_brings_what_changed_and_the_lag_before(service: Service, connect: Connect) -> None:
    for minute in range(10):
        service.put(minute, NOON - timedelta(minutes=60 - minute))
    first = read(connect(cursor="At"))
    assert ids(first) == list(range(10))
    assert not first[-1].snapshot
    service.put(3, NOON)
    service.put(11, NOON - timedelta(minutes=55))  # committed late, with an older timestamp

    second = read(connect(cursor="At"), first[-1].watermark)

    assert sorted(ids(second)) == [3, 4, 5, 6, 7, 8, 9, 11]
    assert second[-1].watermark is not None
    assert second[-1].watermark.position["cursor"] == NOON.isoformat()


def test_nothing_new_gives_the_same_watermark_back(service: Service, connect: Connect) -> None:
    service.put(1)
    first = read(connect(cursor="At"))
    service.now += timedelta(hours=3)
    assert [batch.watermark for batch in read(connect(cursor="At"), first[-1].watermark)] == [first[-1].watermark]


def test_an_empty_source_is_read_from_the_beginning_next_time(service: Service, connect: Connect) -> None:
    (batch,) = read(connect(cursor="At"))
    assert (ids([batch]), batch.watermark) == ([], None)


def test_a_long_read_can_be_resumed_after_each_batch(service: Service, connect: Connect) -> None:
    for minute in range(20):
        service.put(minute, NOON - timedelta(hours=20 - minute))
    batches = read(connect(cursor="At", batch_rows=6))
    assert [ids([batch]) for batch in batches] == [list(range(6)), list(range(6, 12)), list(range(12, 18)), [18, 19]]

    resumed = read(connect(cursor="At"), batches[1].watermark)

    assert ids(resumed) == list(range(11, 20))


def test_a_source_that_does_not_sort_claims_nothing_before_the_end(service: Service, connect: Connect) -> None:
    service.sorts = False
    for minute in (9, 8, 7, 6, 5, 4, 3, 2, 1):
        service.put(minute, NOON - timedelta(hours=minute))
    service.changes.reverse()
    service.things = dict(sorted(service.things.items()))
    batches = read(connect(cursor="At", batch_rows=3))
    assert [batch.watermark.position if batch.watermark else None for batch in batches[:-1]] == [{}, {}]
    assert batches[-1].watermark is not None
    assert batches[-1].watermark.position["cursor"] == (NOON - timedelta(hours=1)).isoformat()


def test_rows_that_never_changed_are_found_by_their_creation(service: Service, connect: Connect) -> None:
    service.put(1, NOON - timedelta(days=9))
    first = read(connect(cursor="At", created="Made"))
    service.put(2, None, Made=(NOON - timedelta(minutes=1)).isoformat())

    assert ids(read(connect(cursor="At", created="Made"), first[-1].watermark)) == [1, 2]


def test_a_clock_that_is_set_back_loses_no_change(service: Service, connect: Connect) -> None:
    service.put(1, NOON)
    first = read(connect(cursor="At"))
    service.now = NOON - timedelta(hours=1)
    service.put(2, NOON - timedelta(hours=1))

    second = read(connect(cursor="At"), first[-1].watermark)

    assert 2 in ids(second)
    assert second[-1].watermark == first[-1].watermark


def test_a_row_from_the_future_does_not_hide_later_changes(service: Service, connect: Connect) -> None:
    service.put(1, NOON + timedelta(days=900))
    first = read(connect(cursor="At"))
    service.now += timedelta(hours=1)
    service.put(2, NOON + timedelta(minutes=30))
    assert sorted(ids(read(connect(cursor="At"), first[-1].watermark))) == [1, 2]


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 4)), max_size=6), min_size=1, max_size=4),
    batch_rows=st.integers(1, 7),
    stop_after=st.integers(0, 3),
)
def test_whatever_changes_and_wherever_a_read_stops_all_rows_arrive(
    steps: list[list[tuple[int, int]]], batch_rows: int, stop_after: int
) -> None:
    """Each step changes rows, some with timestamps up to four minutes old, reads, and drops what comes after a crash."""
    service = Service()
    with serving(service) as server:
        extra = {"name": "thing", "path": "/srv/Things", "key": ["Id"], "cursor": "At"}
        options = SapOptions(url=server.url, user="u", password="p", batch_rows=batch_rows, streams=("thing",), extra_streams=(extra,))
        held: dict[int, Any] = {}
        watermark: Watermark | None = None
        for number, step in enumerate([*steps, []]):
            service.now += timedelta(minutes=1)
            for key, late in step:
                service.put(key, service.now - timedelta(minutes=late), Size=float(number))
            connector = SapConnector("s4", options)
            try:
                for index, batch in enumerate(read(connector, watermark)):
                    if number < len(steps) and index >= stop_after:
                        break
                    assert isinstance(batch.rows, pa.Table)
                    held.update({row["Id"]: (row["At"], row["Size"]) for row in batch.rows.to_pylist()})
                    watermark = batch.watermark
            finally:
                connector.close()
        assert held.keys() == service.things.keys()
        assert {key: at for key, (at, _) in held.items()} == {key: _when(thing["At"]) for key, thing in service.things.items()}


# -- by delta link ---------------------------------------------------------------------------------------------------


def test_a_first_delta_read_is_a_snapshot_and_the_next_brings_changes_and_deletions(service: Service, connect: Connect) -> None:
    for key in range(8):
        service.put(key)
    first = read(connect(delta=True, batch_rows=4))
    assert ids(first) == list(range(8))
    assert all(batch.snapshot for batch in first)
    assert [batch.watermark is None for batch in first] == [True, False]
    service.put(2, Size=9)
    service.drop(5)
    service.put(99)

    (second,) = read(connect(delta=True), first[-1].watermark)

    assert ids([second]) == [2, 99]
    assert second.deleted is not None
    assert second.deleted.to_pylist() == [{"Id": 5, "_changed_at": None}]
    assert not second.snapshot
    assert second.watermark != first[-1].watermark


def test_a_quiet_delta_keeps_its_link_until_it_is_a_day_old(service: Service, connect: Connect) -> None:
    service.put(1)
    mark = read(connect(delta=True))[-1].watermark
    assert mark is not None
    assert [batch.watermark for batch in read(connect(delta=True), mark)] == [mark]
    old = Watermark({**mark.position, "issued": (datetime.now(UTC) - timedelta(days=2)).isoformat()})
    (renewed,) = read(connect(delta=True), old)
    assert renewed.watermark is not None
    assert renewed.watermark.position["issued"] > old.position["issued"]  # type: ignore[operator]


def test_an_expired_delta_link_makes_the_read_a_snapshot_and_says_so(
    service: Service, connect: Connect, capsys: pytest.CaptureFixture[str]
) -> None:
    for key in range(5):
        service.put(key)
    mark = read(connect(delta=True))[-1].watermark
    service.drop(0)
    service.forgotten = 100

    again = read(connect(delta=True), mark)

    assert ids(again) == [1, 2, 3, 4]
    assert all(batch.snapshot for batch in again)
    assert "delta link expired" in "".join(capsys.readouterr())


def test_a_service_that_tracks_no_changes_is_told_after_its_rows(service: Service, connect: Connect) -> None:
    service.tracks = False
    service.put(1)
    with pytest.raises(SourceContractChanged, match="the last page brought no delta link") as caught:
        read(connect(delta=True))
    assert "cursor or as a snapshot" in caught.value.hint


# -- keys, schema, check ---------------------------------------------------------------------------------------------


def test_keys_are_listed_without_the_other_fields(service: Service, server: ScriptedServer, connect: Connect) -> None:
    for key in range(7):
        service.put(key)
    connector = connect(cursor="At")
    tables = list(connector.keys(connector.streams()[0]))
    assert [key for table in tables for key in table.column("Id").to_pylist()] == list(range(7))
    assert [table.column_names for table in tables] == [["Id"]] * 3
    assert server.asked[-1].params["$select"] == "Id"


def test_a_schema_is_asked_for_once_a_connection(server: ScriptedServer, connect: Connect) -> None:
    connector = connect()
    stream = connector.streams()[0]
    assert connector.schema(stream).names == ["Id", "At", "Made", "Size"]
    connector.schema(stream)
    assert len(server.asked) == 1


def test_check_passes_where_all_is_well(service: Service, connect: Connect) -> None:
    service.put(1)
    connect(cursor="At").check()


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (Answer(status=401), CredentialsRejected, "answered 401"),
        (Answer(status=403, body=b"No authorization for S_SERVICE"), CredentialsRejected, "No authorization for S_SERVICE"),
        (Answer(status=404), SourceContractChanged, "answered 404"),
        (Answer(body=b"<html>Log on</html>", media_type="text/html"), SourceContractChanged, "an HTML page instead of xml"),
        (Answer(body=b"<x/>", media_type="application/xml"), SourceContractChanged, r"\$metadata describes no schema"),
    ],
)
def test_check_says_what_is_wrong(service: Service, connect: Connect, answer: Answer, error: type[Exception], message: str) -> None:
    service.answer = lambda _: answer
    with pytest.raises(error, match=message):
        connect().check()


def test_check_finds_a_user_who_may_know_a_stream_but_not_read_it(service: Service, connect: Connect) -> None:
    service.answer = lambda asked: None if asked.path.endswith("$metadata") else Answer(status=403)
    with pytest.raises(CredentialsRejected, match="Things answered 403"):
        connect().check()


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        ({"path": "/srv/Thinks"}, "entity set 'Thinks' is gone from .*it offers 'Things'"),
        ({"key": ["Number"]}, "property 'Number' of Things is gone"),
        ({"cursor": "Changed"}, "property 'Changed' of Things is gone"),
    ],
)
def test_a_stream_that_the_service_no_longer_offers_is_named(connect: Connect, stream: dict[str, Any], message: str) -> None:
    connector = connect(**stream)
    with pytest.raises(SourceContractChanged, match=rf"s4 / thing: {message}"):
        connector.schema(connector.streams()[0])


def test_a_stream_of_another_source_is_not_read(connect: Connect) -> None:
    from connectors.sap.streams import STREAMS

    with pytest.raises(ConfigError, match="there is no stream 'product'"):
        connect().schema(next(stream for stream in STREAMS if stream.name == "product"))


# -- servers that misbehave ------------------------------------------------------------------------------------------


def test_a_page_that_is_cut_is_read_again_and_no_row_is_lost_or_doubled(service: Service, server: ScriptedServer, connect: Connect) -> None:
    for key in range(9):
        service.put(key)
    cut = iter([True])

    def cutting(asked: Asked) -> Answer | None:
        if asked.params.get("$skiptoken") == "3" and next(cut, False):
            return Answer(body=json.dumps({"value": [{"Id": 3}, {"Id": 4}]}).encode(), cut_after=20)
        return None

    service.answer = cutting
    assert ids(read(connect())) == list(range(9))
    assert sum(asked.params.get("$skiptoken") == "3" for asked in server.asked) == 2


def test_a_circle_of_next_links_ends_the_read(service: Service, connect: Connect) -> None:
    loop = {"": "Things?$skiptoken=a", "a": "Things?$skiptoken=b", "b": "Things?$skiptoken=a"}

    def circling(asked: Asked) -> Answer | None:
        if asked.path.endswith("$metadata"):
            return None
        return Answer(body=json.dumps({"value": [{"Id": 1}], "@odata.nextLink": loop[asked.params.get("$skiptoken", "")]}).encode())

    service.answer = circling
    with pytest.raises(SourceContractChanged, match="s4 / thing: the next links run in a circle"):
        read(connect())


def test_empty_pages_without_end_end_the_read(service: Service, connect: Connect) -> None:
    def endless(asked: Asked) -> Answer | None:
        if asked.path.endswith("$metadata"):
            return None
        number = int(asked.params.get("$skiptoken", 0))
        return Answer(body=json.dumps({"value": [], "@odata.nextLink": f"Things?$skiptoken={number + 1}"}).encode())

    service.answer = endless
    with pytest.raises(SourceContractChanged, match="100 empty pages in a row"):
        read(connect())


def test_html_in_the_middle_of_a_read_is_told_after_the_pages_before_it(service: Service, connect: Connect) -> None:
    for key in range(9):
        service.put(key)
    service.answer = lambda asked: (
        Answer(body=b"<html>Session expired", media_type="text/html") if asked.params.get("$skiptoken") == "6" else None
    )
    batches: list[int] = []
    connector = connect(cursor="At", batch_rows=3)
    with pytest.raises(SourceContractChanged, match="an HTML page instead of json: Session expired"):
        batches.extend(key for batch in connector.read(connector.streams()[0], None) for key in ids([consumed(batch)]))
    assert batches == [0, 1, 2]


def test_a_source_that_is_down_is_unavailable(service: Service, server: ScriptedServer, connect: Connect) -> None:
    service.answer = lambda _: Answer(status=503, headers={"Retry-After": "3600"})
    with pytest.raises(SourceUnavailable) as caught:
        read(connect())
    assert caught.value.retry_after == 3600
    assert len(server.asked) == 1
