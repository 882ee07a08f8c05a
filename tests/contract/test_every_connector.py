"""The promises that every connector keeps, over every kind that the registry finds. A new kind is tested by existing: it
needs a case here, and the first test says so.

Each runs through the loader into a lake, over a real server: what counts is that the lake equals the source.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from assets.loading import Loader
from connectors.connector import Connector, ConnectorKind
from connectors.http.breaker import CircuitBreaker
from connectors.http.client import HttpClient
from connectors.http.exchange import Request
from connectors.semantics import KEY
from pilothouse.kernel.errors import CredentialsRejected, SourceContractChanged, SourceUnavailable
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.lake.current import current
from pilothouse.kernel.registry import discover
from pilothouse.kernel.streams import Batch, Stream, Watermark
from pilothouse.local.postgres import EmbeddedPostgres
from tests.contract.sandbox_process import Sandbox

KINDS = discover("connectors", ConnectorKind)
CASES = {  # kind -> the stream that changes most, the judge's table and its living rows, and an option that locks us out
    "sap": ("sales_order", "sap_SalesOrder", "1=1", {"password": "wrong"}),
    "salesforce": ("contact", "salesforce_Contact", "IsDeleted = 0", {"client_secret": "wrong"}),
    "sql": ("credit_rating", "warehouse_credit_rating", "1=1", {"url": "postgresql://postgres:wrong@{host}"}),
}


@dataclass(frozen=True)
class Case:
    """One kind of connector over one living source."""

    kind: ConnectorKind
    sandbox: Sandbox

    def connector(self, **different: Any) -> Connector:
        return self.kind.connect("source", self.kind.options.model_validate({**self.sandbox.options(self.kind.name), **different}))

    @property
    def stream(self) -> Stream:
        with closing(self.connector()) as connector:
            return next(stream for stream in connector.streams() if stream.name == CASES[self.kind.name][0])

    def truth(self) -> list[tuple[str, ...]]:
        """The keys that exist in the source, by its own memory."""
        _, table, living, _ = CASES[self.kind.name]
        names = ", ".join(f'"{name}"' for name in self.stream.key)
        return sorted(tuple(map(str, row)) for row in self.sandbox.store().rows(f"SELECT {names} FROM {table} WHERE {living}"))

    def locked_out(self) -> dict[str, Any]:
        wrong = CASES[self.kind.name][3]
        host = self.sandbox.warehouse_url.rpartition("@")[2]
        return {name: value.format(host=host) for name, value in wrong.items()}


@pytest.fixture(scope="module")
def sandbox(postgres_server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with psycopg.connect(postgres_server.url(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE conformance")
    with Sandbox.started(tmp_path_factory.mktemp("sandbox"), postgres_server.url("conformance")) as sandbox:
        yield sandbox


@pytest.fixture(params=sorted(KINDS))
def case(request: pytest.FixtureRequest, sandbox: Sandbox) -> Case:
    return Case(KINDS[request.param], sandbox)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


def sync(case: Case, lake: Lake, connector: Connector | None = None) -> None:
    with closing(connector or case.connector()) as opened:
        Loader(lake, opened, case.stream).run()


def held(case: Case, lake: Lake) -> list[tuple[str, ...]]:
    rows = current(lake.raw("source", case.stream.name).scan(), case.stream.key).collect()
    return sorted(tuple(map(str, row)) for row in rows.select(case.stream.key).rows())


class Dying(Connector):
    """A connector whose reader dies in the middle of its first rows, like a process that is killed."""

    def __init__(self, inner: Connector) -> None:
        self.name = inner.name
        self._inner = inner

    def check(self) -> None:
        self._inner.check()

    def streams(self) -> list[Stream]:
        return list(self._inner.streams())

    def schema(self, stream: Stream) -> pa.Schema:
        return self._inner.schema(stream)

    def read(self, stream: Stream, since: Watermark | None) -> Iterator[Batch]:
        for batch in self._inner.read(stream, since):
            reader = batch.reader()

            def rows(reader: pa.RecordBatchReader = reader) -> Iterator[pa.RecordBatch]:
                first = next(iter(reader))
                yield first.slice(0, max(1, first.num_rows // 2))
                raise KeyboardInterrupt

            yield Batch(rows=pa.RecordBatchReader.from_batches(reader.schema, rows()), watermark=batch.watermark, synthetic=batch.synthetic)

    def close(self) -> None:
        self._inner.close()


def test_every_kind_has_a_case_here() -> None:
    assert set(CASES) == set(KINDS)


def test_a_first_sync_brings_every_row_and_says_that_it_is_synthetic(case: Case, lake: Lake) -> None:
    sync(case, lake)
    assert held(case, lake) == case.truth()
    assert lake.raw("source", case.stream.name).scan().collect()["_synthetic"].all()


def test_what_changes_appears_and_vanishes_follows_and_nothing_else_is_written(case: Case, lake: Lake) -> None:
    sync(case, lake)
    for _ in range(3):
        case.sandbox.beat(40)
        sync(case, lake)
        assert held(case, lake) == case.truth()
    version = lake.raw("source", case.stream.name).version()
    sync(case, lake)
    assert lake.raw("source", case.stream.name).version() == version


def test_a_reader_that_dies_in_mid_batch_loses_and_repeats_nothing(case: Case, lake: Lake) -> None:
    with pytest.raises(BaseException):  # noqa: B017, PT011 - what the death of the reader raises is the runtime's business
        sync(case, lake, Dying(case.connector()))
    sync(case, lake)
    rows = lake.raw("source", case.stream.name).scan().collect()
    assert held(case, lake) == case.truth()
    assert rows.select("_row_id", "_row_hash").is_unique().all()


def test_every_declared_stream_can_be_described_with_its_key(case: Case) -> None:
    with closing(case.connector()) as connector:
        connector.check()
        for stream in connector.streams():
            schema = connector.schema(stream)
            assert [name for name in stream.key if name not in schema.names] == []
            assert [field.name for field in schema if (field.metadata or {}).get(KEY) == b"true"] == list(stream.key)
            assert stream.cursor is None or stream.cursor.field in schema.names


def test_wrong_credentials_are_said_to_be_wrong_and_the_secret_is_not_said(case: Case) -> None:
    with closing(case.connector(**case.locked_out())) as connector, pytest.raises(CredentialsRejected) as caught:
        connector.check()
    assert caught.value.hint
    assert not caught.value.transient


NOBODY = {"sap": "http://127.0.0.1:9", "salesforce": "https://127.0.0.1:9", "sql": "postgresql://a:b@127.0.0.1:9/c"}


def test_a_source_that_was_down_while_its_company_lived_on_is_caught_up_with(case: Case, lake: Lake) -> None:
    sync(case, lake)
    version = lake.raw("source", case.stream.name).version()
    for _ in range(2):  # each takes as long as the connector tries again
        case.sandbox.beat(20)
        with pytest.raises(SourceUnavailable):
            sync(case, lake, case.connector(url=NOBODY[case.kind.name]))
    assert lake.raw("source", case.stream.name).version() == version
    sync(case, lake)
    assert held(case, lake) == case.truth()


@pytest.mark.parametrize("kind", ["salesforce", "sap"])
def test_an_hour_of_silence_is_a_few_dozen_requests_and_loses_nothing(
    kind: str, sandbox: Sandbox, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A round a minute, as the schedule has it, against servers that answer 503. Only time is not real: whoever waits turns the clock."""
    case, now, asked = Case(KINDS[kind], sandbox), [0.0], [0]
    breaker, opened = CircuitBreaker("source", clock=lambda: now[0]), HttpClient._open

    def wait(client: HttpClient, seconds: float) -> None:
        now[0] += seconds

    def open_(client: HttpClient, request: Request) -> Any:
        asked[0] += 1
        return opened(client, request)

    monkeypatch.setattr("connectors.http.client.breaker_of", lambda source, origin: breaker)
    monkeypatch.setattr("connectors.http.client.time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(HttpClient, "_wait", wait)
    monkeypatch.setattr(HttpClient, "_open", open_)
    sync(case, lake)
    version, began, asked[0] = lake.raw("source", case.stream.name).version(), now[0], 0
    with sandbox.fault("unavailable", server=kind):
        for minute in range(60):
            now[0] = max(now[0], began + 60 * minute)
            with pytest.raises(SourceUnavailable) as caught:
                sync(case, lake)
            assert caught.value.hint
            sandbox.beat(1)
    assert 0 < asked[0] < 40
    assert lake.raw("source", case.stream.name).version() == version
    now[0] += 300  # the longest that a source is left in peace
    sync(case, lake)
    assert held(case, lake) == case.truth()
    assert not breaker.open


def test_a_source_that_is_away_is_transient_and_names_what_to_look_at(case: Case) -> None:
    with closing(case.connector(url=NOBODY[case.kind.name])) as connector, pytest.raises(SourceUnavailable) as caught:
        connector.check()
    assert caught.value.transient
    assert caught.value.hint


def test_a_stream_that_the_source_does_not_offer_is_named(case: Case) -> None:
    extra: dict[str, dict[str, Any]] = {
        "sap": {
            "extra_streams": [{"name": "ghost", "path": "/sap/opu/odata/sap/API_BUSINESS_PARTNER/A_Ghost", "key": ["Ghost"]}],
            "streams": ["ghost"],
        },
        "salesforce": {"streams": {"ghost": {"object": "Ghost__c"}}},
        "sql": {"streams": {"ghost": {"table": "ghost", "key": ["id"]}}},
    }
    with closing(case.connector(**extra[case.kind.name])) as connector, pytest.raises(SourceContractChanged, match=r"(?i)ghost"):
        connector.schema(connector.streams()[0])
