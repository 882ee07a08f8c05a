"""The sql connector over a real PostgreSQL."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from connectors import semantics
from pilothouse.kernel.errors import ConfigError, CredentialsRejected, SourceContractChanged, SourceError
from pilothouse.kernel.streams import DEFECT, Watermark
from pilothouse.local.postgres import EmbeddedPostgres
from pilothouse.sandbox.company.company import Company
from pilothouse.sandbox.company.warehouse_mirror import WarehouseMirror
from tests.contract.bureau import BY_CURSOR, SNAPSHOT, Connection, Source, read, stream_of

EVERY_TYPE = """
CREATE TYPE warehouse.colour AS ENUM ('red', 'green');
CREATE TYPE warehouse.pair AS (a int, b text);
CREATE DOMAIN warehouse.amount AS numeric(10,3) CHECK (VALUE >= 0);
CREATE DOMAIN warehouse.fee AS warehouse.amount;
CREATE TABLE warehouse.t (
    id int8 PRIMARY KEY, small int2, normal int4, truth bool, single float4, twofold float8, exact numeric(12,2), thousands numeric(5,-3),
    tiny numeric(2,5), free numeric, huge numeric(60,2), fee warehouse.fee, words text, short varchar(10), fixed char(5), raw bytea,
    day date, clock time, span interval, moment timestamptz, local timestamp, colour warehouse.colour, ref uuid, doc jsonb, plain json,
    many int[], texts text[], pair warehouse.pair, address inet, object oid, "Odd ""Name"", %s" text
);
INSERT INTO warehouse.t VALUES (
    9007199254740993, -32768, 2147483647, true, 0.5, 0.1, 1234567890.12, 12345, 0.00012, 1.00000000000000000000000000000000000000001,
    12345678901234567890123456789012345678901234567890.12, 1.5, 'grüße', 'x', 'DE', '\\x00ff',
    '2026-02-28', '12:30:00.5', '1 mon 2 days', '2026-01-01 12:00:00.123456+02', '2026-01-01 12:00:00', 'green',
    '0f3b5a38-cf54-4b85-98ab-eb25fdde1956', '{"b": [1, null]}', '{"a":  1}', '{1,NULL,3}', '{"a,b",c}', '(7,"x y")', '10.0.0.1',
    4294967295, 'odd'
);
INSERT INTO warehouse.t (id) VALUES (2)
"""


def test_every_type_arrives_without_loss(warehouse: Connection, source: Source) -> None:
    warehouse.execute(EVERY_TYPE)
    rows, _ = read(source.connect(SNAPSHOT))
    full, empty = sorted(rows, key=lambda row: -row["id"])
    assert full == {
        "id": 9007199254740993,
        "small": -32768,
        "normal": 2147483647,
        "truth": True,
        "single": 0.5,
        "twofold": 0.1,
        "exact": Decimal("1234567890.12"),
        "thousands": Decimal(12000),
        "tiny": Decimal("0.00012"),
        "free": "1.00000000000000000000000000000000000000001",
        "huge": "12345678901234567890123456789012345678901234567890.12",
        "fee": Decimal("1.500"),
        "words": "grüße",
        "short": "x",
        "fixed": "DE",
        "raw": b"\x00\xff",
        "day": dt.date(2026, 2, 28),
        "clock": "12:30:00.5",
        "span": "1 mon 2 days",
        "moment": dt.datetime(2026, 1, 1, 10, 0, 0, 123456, tzinfo=dt.UTC),
        "local": dt.datetime.fromisoformat("2026-01-01T12:00"),
        "colour": "green",
        "ref": "0f3b5a38-cf54-4b85-98ab-eb25fdde1956",
        "doc": '{"b": [1, null]}',
        "plain": '{"a":  1}',
        "many": "[1,null,3]",
        "texts": '["a,b","c"]',
        "pair": '{"a":7,"b":"x y"}',
        "address": "10.0.0.1/32",
        "object": 4294967295,
        'Odd "Name", %s': "odd",
        DEFECT: None,
    }
    assert {name for name, value in empty.items() if value is not None} == {"id"}


def test_the_rows_have_the_schema_that_was_announced(warehouse: Connection, source: Source) -> None:
    warehouse.execute(EVERY_TYPE)
    connector = source.connect(SNAPSHOT)
    (batch,) = connector.read(stream_of(connector), None)
    reader = batch.reader()
    assert reader.schema == connector.schema(stream_of(connector)).append(pa.field(DEFECT, pa.string()))
    reader.read_all().validate(full=True)


def test_what_the_database_says_about_a_column_travels_with_it(warehouse: Connection, source: Source) -> None:
    warehouse.execute("""
        CREATE TABLE warehouse.firm (firm_id text PRIMARY KEY);
        CREATE TABLE warehouse.t (id int PRIMARY KEY, owner text REFERENCES warehouse.firm, share numeric(5,2));
        COMMENT ON COLUMN warehouse.t.share IS 'Share in percent'
    """)
    connector = source.connect({**SNAPSHOT, "company": {"table": "firm", "key": ["firm_id"]}})
    schema = connector.schema(stream_of(connector))
    assert schema.field("id").metadata == {semantics.NATIVE_TYPE: b"integer", semantics.KEY: b"true"}
    assert schema.field("owner").metadata == {semantics.NATIVE_TYPE: b"text", semantics.REFERENCE: b"company.firm_id"}
    assert schema.field("share").metadata == {semantics.NATIVE_TYPE: b"numeric(5,2)", semantics.LABEL: b"Share in percent"}


def test_values_that_no_type_holds_are_named_in_the_row_and_spoil_no_other(warehouse: Connection, source: Source) -> None:
    warehouse.execute("""
        CREATE TABLE warehouse.t (id int PRIMARY KEY, amount numeric(6,2), day date, moment timestamptz, local timestamp);
        INSERT INTO warehouse.t VALUES (1, 1.25, '2026-01-01', '2026-01-01Z', '2026-01-01'),
            (2, 'NaN', 'infinity', '-infinity', '294276-01-01'), (3, NULL, NULL, NULL, NULL),
            (4, 2.5, '0001-01-01 BC', '9999-12-31 23:59:59.999999Z', '0001-01-01'), (5, 1, '12026-05-01', 'infinity', NULL)
    """)
    rows, _ = read(source.connect(SNAPSHOT))
    defects = {row["id"]: row[DEFECT] for row in rows}
    assert defects[1] is defects[3] is None
    assert "amount: 'NaN' is no decimal128(6, 2)" in defects[2]
    assert "day: infinity is outside" in defects[2]
    assert "moment: -infinity is outside" in defects[2]
    assert "local: a moment in the year 294276" in defects[2]
    assert "day: a moment in the year 0 " in defects[4]
    assert "moment:" not in defects[4]
    assert "year 12026" in defects[5]
    assert rows[1] | {DEFECT: None} == {"id": 2, "amount": None, "day": None, "moment": None, "local": None, DEFECT: None}
    assert rows[3]["amount"] == Decimal("2.50")


def test_a_snapshot_stream_is_read_whole_each_time(warehouse: Connection, source: Source) -> None:
    warehouse.execute("CREATE TABLE warehouse.t (id int PRIMARY KEY); INSERT INTO warehouse.t VALUES (1), (2)")
    connector = source.connect(SNAPSHOT)
    rows, batch = read(connector)
    assert (len(rows), batch.watermark, batch.snapshot) == (2, None, True)
    warehouse.execute("DELETE FROM warehouse.t WHERE id = 1")
    rows, batch = read(connector)
    assert (rows, batch.snapshot) == ([{"id": 2}], True)


CHANGES = """
CREATE TABLE warehouse.t (id int PRIMARY KEY, changed timestamptz);
INSERT INTO warehouse.t VALUES (1, now() - interval '1 day'), (2, now() - interval '1 hour'), (3, NULL)
"""


def test_a_cursor_stream_brings_what_moved_since_the_watermark(warehouse: Connection, source: Source) -> None:
    warehouse.execute(CHANGES)
    connector = source.connect(BY_CURSOR)
    rows, first = read(connector)
    assert {row["id"] for row in rows} == {1, 2, 3}
    assert first.snapshot
    warehouse.execute("UPDATE warehouse.t SET changed = now() WHERE id = 1")
    rows, second = read(connector, first.watermark)
    assert {row["id"] for row in rows} == {1, 2, 3}, "2 lies at the watermark, 3 has no cursor"
    assert not second.snapshot
    rows, _ = read(connector, second.watermark)
    assert {row["id"] for row in rows} == {1, 3}


def test_a_change_that_becomes_visible_late_is_found_within_the_lag(warehouse: Connection, postgres_url: str, source: Source) -> None:
    warehouse.execute(CHANGES)
    connector = source.connect(BY_CURSOR)
    with psycopg.connect(postgres_url) as slow:
        slow.execute("INSERT INTO warehouse.t VALUES (4, now())")
        warehouse.execute("INSERT INTO warehouse.t VALUES (5, now())")
        rows, batch = read(connector)
        assert {row["id"] for row in rows} == {1, 2, 3, 5}
    rows, _ = read(connector, batch.watermark)
    assert 4 in {row["id"] for row in rows}


def test_a_row_from_the_future_does_not_hide_later_changes(warehouse: Connection, source: Source) -> None:
    warehouse.execute(CHANGES + "; INSERT INTO warehouse.t VALUES (9, '9999-01-01'), (10, 'infinity')")
    connector = source.connect(BY_CURSOR)
    _, batch = read(connector)
    warehouse.execute("INSERT INTO warehouse.t VALUES (4, now())")
    rows, _ = read(connector, batch.watermark)
    assert 4 in {row["id"] for row in rows}


def test_a_restored_backup_is_read_from_its_own_newest_row(warehouse: Connection, source: Source) -> None:
    warehouse.execute(CHANGES)
    connector = source.connect(BY_CURSOR)
    _, batch = read(connector)
    warehouse.execute("DELETE FROM warehouse.t WHERE id = 2; INSERT INTO warehouse.t VALUES (4, now() - interval '2 hours')")
    rows, _ = read(connector, batch.watermark)
    assert 4 in {row["id"] for row in rows}


def test_a_clock_that_went_back_leads_to_a_full_read(warehouse: Connection, source: Source) -> None:
    warehouse.execute(CHANGES)
    connector = source.connect(BY_CURSOR)
    ahead = Watermark({"field": "changed", "type": "timestamptz", "value": (dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)).isoformat()})
    rows, batch = read(connector, ahead)
    assert batch.snapshot
    assert len(rows) == 3
    assert batch.watermark is not None
    assert str(batch.watermark.position["value"]) < str(ahead.position["value"])


def test_a_watermark_of_another_cursor_leads_to_a_full_read(warehouse: Connection, source: Source) -> None:
    warehouse.execute(CHANGES)
    rows, batch = read(source.connect(BY_CURSOR), Watermark({"field": "version", "type": "int8", "value": "7"}))
    assert batch.snapshot
    assert len(rows) == 3


def test_an_empty_table_keeps_the_watermark(warehouse: Connection, source: Source) -> None:
    warehouse.execute("CREATE TABLE warehouse.t (id int PRIMARY KEY, changed timestamptz)")
    connector = source.connect(BY_CURSOR)
    rows, batch = read(connector)
    assert (rows, batch.watermark) == ([], None)
    since = Watermark({"field": "changed", "type": "timestamptz", "value": "2026-01-01T00:00:00+00:00"})
    rows, batch = read(connector, since)
    assert (rows, batch.watermark) == ([], since)


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [("date", "2026-01-01", "2026-01-02"), ("timestamp", "2026-01-01 10:00", "2026-01-02 10:00"), ("int8", "9", "10"), ("int4", "9", "10")],
)
def test_cursors_of_every_kind_advance(kind: str, old: str, new: str, warehouse: Connection, source: Source) -> None:
    warehouse.execute(f"CREATE TABLE warehouse.t (id int, changed {kind}); INSERT INTO warehouse.t VALUES (0, '{old}'), (1, '{new}')")
    connector = source.connect({"t": {"key": ["id"], "cursor": "changed", "lag": "PT0S"}})
    _, first = read(connector)
    rows, second = read(connector, first.watermark)
    assert {row["id"] for row in rows} == {1}
    assert second.watermark == first.watermark


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rounds=st.lists(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 600)), max_size=6), min_size=1, max_size=5))
def test_whatever_changes_between_reads_the_reads_together_hold_the_table(
    rounds: list[list[tuple[int, int]]], postgres_url: str, source: Source
) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as warehouse:
        warehouse.execute("SET client_min_messages TO warning")
        warehouse.execute("""
            DROP SCHEMA IF EXISTS warehouse CASCADE; CREATE SCHEMA warehouse;
            CREATE TABLE warehouse.t (id int PRIMARY KEY, version int, changed timestamptz)
        """)
        connector = source.connect({"t": {"key": ["id"], "cursor": "changed", "lag": "PT10M"}})
        known: dict[int, dict[str, Any]] = {}
        watermark = None
        for version, changes in enumerate(rounds):
            for row, seconds_ago in changes:
                warehouse.execute(
                    "INSERT INTO warehouse.t VALUES (%s, %s, now() - %s * interval '1 s')"
                    " ON CONFLICT (id) DO UPDATE SET version = excluded.version, changed = excluded.changed",
                    (row, version, seconds_ago),
                )
            rows, batch = read(connector, watermark)
            watermark = batch.watermark
            known |= {row["id"]: row for row in rows}
        truth = {row[0]: row[1] for row in warehouse.execute("SELECT id, version FROM warehouse.t")}
        assert {row: values["version"] for row, values in known.items()} == truth


def test_keys_are_the_keys_that_exist(warehouse: Connection, source: Source) -> None:
    warehouse.execute("CREATE TABLE warehouse.t (a int, b text, c text, changed timestamptz, PRIMARY KEY (a, b))")
    warehouse.execute("INSERT INTO warehouse.t SELECT i, 'k' || i, 'x', now() FROM generate_series(1, 3) i")
    connector = source.connect({"t": {"key": ["a", "b"], "cursor": "changed"}})
    keys = pa.concat_tables(connector.keys(stream_of(connector)))
    assert keys.to_pylist() == [{"a": 1, "b": "k1"}, {"a": 2, "b": "k2"}, {"a": 3, "b": "k3"}]


def test_rows_of_a_sandbox_schema_are_synthetic(warehouse: Connection, source: Source) -> None:
    warehouse.execute("CREATE TABLE warehouse.t (id int PRIMARY KEY)")
    connector = source.connect(SNAPSHOT)
    assert read(connector)[1].synthetic is False
    warehouse.execute("COMMENT ON SCHEMA warehouse IS 'pilothouse:synthetic'")
    assert read(connector)[1].synthetic is True


@pytest.mark.parametrize(
    ("ddl", "naming"),
    [
        ("SELECT 1", "no table warehouse.t"),
        ("CREATE TABLE warehouse.t (number int, changed timestamptz)", "column 'id' is gone"),
        ("CREATE TABLE warehouse.t (id int)", "column 'changed' is gone"),
        ("CREATE TABLE warehouse.t (id int, changed text)", "changed is text, which cannot tell"),
        ("CREATE TABLE warehouse.t (id int, changed timestamptz, _defect text)", "_defect"),
    ],
)
def test_what_is_no_longer_offered_is_named(ddl: str, naming: str, warehouse: Connection, source: Source) -> None:
    warehouse.execute(ddl)
    connector = source.connect(BY_CURSOR)
    for ask in (connector.check, lambda: connector.schema(stream_of(connector)), lambda: read(connector)):
        with pytest.raises(SourceContractChanged, match=naming) as caught:
            ask()
        assert caught.value.hint


def test_a_counting_cursor_must_say_that_it_has_no_lag(warehouse: Connection, source: Source) -> None:
    warehouse.execute("CREATE TABLE warehouse.t (id int, changed int8)")
    with pytest.raises(ConfigError, match="counts"):
        source.connect(BY_CURSOR).check()


def test_views_and_partitions_are_read_too(warehouse: Connection, source: Source) -> None:
    warehouse.execute("""
        CREATE TABLE warehouse.p (id int) PARTITION BY RANGE (id);
        CREATE TABLE warehouse.p1 PARTITION OF warehouse.p FOR VALUES FROM (0) TO (10);
        CREATE TABLE warehouse.p2 PARTITION OF warehouse.p FOR VALUES FROM (10) TO (20);
        INSERT INTO warehouse.p VALUES (5), (15);
        CREATE VIEW warehouse.v AS SELECT id * 2 AS id FROM warehouse.p
    """)
    connector = source.connect({"p": {"key": ["id"]}, "v": {"key": ["id"]}})
    assert read(connector, name="p")[0] == [{"id": 5}, {"id": 15}]
    assert read(connector, name="v")[0] == [{"id": 10}, {"id": 30}]


def test_a_database_of_another_encoding_is_read_as_unicode(warehouse: Connection, postgres_server: EmbeddedPostgres) -> None:
    warehouse.execute("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    try:
        with psycopg.connect(postgres_server.url("latin"), autocommit=True) as other:
            other.execute("CREATE SCHEMA warehouse; CREATE TABLE warehouse.t (id text); INSERT INTO warehouse.t VALUES ('Zürich')")
        source = Source(postgres_server.url("latin"))
        assert read(source.connect(SNAPSHOT))[0] == [{"id": "Zürich"}]
    finally:
        warehouse.execute("DROP DATABASE latin WITH (FORCE)")


def test_bytes_of_no_encoding_are_a_defect_of_their_row(warehouse: Connection, postgres_server: EmbeddedPostgres) -> None:
    warehouse.execute("CREATE DATABASE bytes TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
    try:
        with psycopg.connect(postgres_server.url("bytes"), autocommit=True) as other:
            other.execute("CREATE SCHEMA warehouse; CREATE TABLE warehouse.t (id int, a text)")
            other.execute(b"INSERT INTO warehouse.t VALUES (1, 'ok'), (2, 'Z\xfcrich')")
        rows, _ = read(Source(postgres_server.url("bytes")).connect(SNAPSHOT))
        assert rows[0] == {"id": 1, "a": "ok", DEFECT: None}
        assert rows[1]["a"] is None
        assert "no UTF-8" in rows[1][DEFECT]
    finally:
        warehouse.execute("DROP DATABASE bytes WITH (FORCE)")


def test_a_large_value_arrives_whole(warehouse: Connection, source: Source) -> None:
    warehouse.execute("CREATE TABLE warehouse.t (id int, v text); INSERT INTO warehouse.t VALUES (1, repeat('x', 60000000)), (2, 'y')")
    rows, _ = read(source.connect(SNAPSHOT))
    assert [len(row["v"]) for row in rows] == [60_000_000, 1]


def test_a_wrong_password_is_rejected_and_stays_unsaid(source: Source) -> None:
    password = urlsplit(source.url).password
    assert password
    source.url = source.url.replace(password, "wrong-secret")
    with pytest.raises(CredentialsRejected, match="PILOTHOUSE_SOURCES__BUREAU__URL") as caught:
        source.connect(SNAPSHOT).check()
    assert "wrong-secret" not in str(caught.value)


def test_an_unknown_user_is_rejected(source: Source) -> None:
    source.url = source.url.replace(f"//{urlsplit(source.url).username}:", "//nobody:")
    with pytest.raises(CredentialsRejected):
        source.connect(SNAPSHOT).check()


def test_a_table_that_the_user_may_not_read_is_said_with_the_grant(warehouse: Connection, source: Source) -> None:
    warehouse.execute("CREATE TABLE warehouse.t (id int); DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN PASSWORD 'secret'")
    parts = urlsplit(source.url)
    source.url = f"postgresql://reader:secret@{parts.hostname}:{parts.port}{parts.path}"
    try:
        with pytest.raises(CredentialsRejected, match=r"GRANT USAGE ON SCHEMA warehouse and SELECT ON warehouse\.t TO reader"):
            read(source.connect(SNAPSHOT))
    finally:
        warehouse.execute("DROP ROLE reader")


def test_an_unknown_database_is_named(source: Source) -> None:
    source.url = source.url.rpartition("/")[0] + "/nowhere"
    with pytest.raises(SourceContractChanged, match="nowhere"):
        source.connect(SNAPSHOT).check()


def test_a_view_that_fails_says_why(warehouse: Connection, source: Source) -> None:
    warehouse.execute("CREATE VIEW warehouse.t AS SELECT 1 / (random() * 0)::int AS id")
    with pytest.raises(SourceError, match="division by zero") as caught:
        read(source.connect(SNAPSHOT))
    assert not caught.value.transient


def test_the_sandboxs_warehouse_is_read_as_it_is_while_it_lives(postgres_url: str, source: Source, tmp_path: Path) -> None:
    now = dt.datetime.now(dt.UTC)
    company = Company.open(tmp_path, seed=1, scale=0.01, now=now)
    mirror = WarehouseMirror(company.store, postgres_url)
    mirror.follow()
    connector = source.connect(None)
    connector.check()
    known: dict[str, dict[tuple[Any, ...], dict[str, Any]]] = {stream.name: {} for stream in connector.streams()}
    watermarks: dict[str, Watermark | None] = {}
    for beats in (0, 40, 40):
        for _ in range(beats):
            company.clock.step(dt.datetime.now(dt.UTC))
        mirror.follow()
        for stream in connector.streams():
            rows, batch = read(connector, watermarks.get(stream.name), stream.name)
            assert batch.synthetic
            assert {row.get(DEFECT) for row in rows} <= {None}
            watermarks[stream.name] = batch.watermark
            held = {} if batch.snapshot else known[stream.name]
            known[stream.name] = held | {tuple(row[name] for name in stream.key): row for row in rows}
    with psycopg.connect(postgres_url) as connection:
        for stream in connector.streams():
            columns = sql.SQL(", ").join(sql.Identifier(name) for name in stream.key)
            truth = connection.execute(sql.SQL("SELECT {}, * FROM warehouse.{}").format(columns, sql.Identifier(stream.name)))
            names = [column.name for column in truth.description or ()][len(stream.key) :]
            rows_now = {row[: len(stream.key)]: dict(zip(names, row[len(stream.key) :], strict=True)) for row in truth}
            assert {key: {name: row[name] for name in names} for key, row in known[stream.name].items()} == rows_now
    company.close()


@pytest.mark.parametrize(
    ("made", "distinct"),
    [
        ("CREATE TABLE {} (a int, b int, c int, PRIMARY KEY (a, b))", True),
        ("CREATE TABLE {} (a int PRIMARY KEY, b int, c int)", True),
        ("CREATE TABLE {} (a int, b int, c int UNIQUE)", False),
        ("CREATE TABLE {} (a int, b int, c int, UNIQUE (a, b, c))", False),
        ("CREATE TABLE {} (a int, b int, c int, UNIQUE (a, b) INCLUDE (c))", True),
        ("CREATE TABLE {} (a int, b int, c int, UNIQUE (a, b) DEFERRABLE)", False),
        ("CREATE TABLE {0} (a int, b int, c int); CREATE UNIQUE INDEX ON {0} (a, b) WHERE c > 0", False),
        ("CREATE TABLE {0} (a int, b int, c int, UNIQUE (a, b)); CREATE TABLE {0}_child () INHERITS ({0})", False),
        ("CREATE TABLE {0} (a int, b int, c int, UNIQUE (a, b)) PARTITION BY RANGE (a)", True),
        ("CREATE VIEW {} AS SELECT 1 AS a, 2 AS b, 3 AS c", False),
    ],
)
def test_rows_are_taken_for_distinct_only_where_an_index_sees_to_it(
    warehouse: Connection, source: Source, made: str, distinct: bool
) -> None:
    warehouse.execute(made.format("warehouse.thing"))
    connector = source.connect({"thing": {"key": ["a", "b"]}})
    (batch,) = connector.read(connector.streams()[0], None)
    assert batch.distinct is distinct
    batch.reader().read_all()
