"""Quarantine: a record for each rejection, a release that is history too, and rows that come back as they were."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import polars as pl
import pyarrow as pa
import pytest

from pilothouse.kernel.errors import ConfigError
from quality import quarantine
from quality.gate import Gate
from quality.rule import Rule

AMOUNT = Rule("amount is not negative", "expect_column_values_to_be_between", {"column": "amount", "min_value": 0}, "quarantine")
CURRENCY = Rule("currency is a code", "expect_column_values_to_match_regex", {"column": "currency", "regex": "^[A-Z]{3}$"}, "quarantine")
STREAM = pa.schema(
    [
        ("id", pa.int64()),
        ("amount", pa.decimal128(16, 3)),
        ("currency", pa.string()),
        ("day", pa.date32()),
        ("at", pa.timestamp("us", "UTC")),
        ("local", pa.timestamp("us")),
        ("raw", pa.binary()),
        ("flag", pa.bool_()),
        ("share", pa.float64()),
    ]
)
ROWS = pl.DataFrame(
    {
        "id": [1, 2, 3],
        "amount": [Decimal("1.000"), Decimal("-2.500"), Decimal("-3.001")],
        "currency": ["EUR", "eur", "USD"],
        "day": [date(2026, 1, 1), None, date(1999, 12, 31)],
        "at": [datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 1, 12, 0, 0, 5, tzinfo=UTC), None],
        "local": [None, datetime.fromisoformat("2026-01-01"), datetime.fromisoformat("2026-01-01T01:02:03.000004")],
        "raw": [b"", b"\xff", None],
        "flag": [True, False, None],
        "share": [0.1, 1e300, None],
    },
    schema=pl.from_arrow(STREAM.empty_table()).schema,  # type: ignore[union-attr]
)


def rejected() -> pa.Table:
    split = Gate([AMOUNT, CURRENCY], ["id"]).split(ROWS)
    return quarantine.records(split.rejected, source="s4", stream="order", batch_id="b1", synthetic=True)


def history(*tables: pa.Table) -> pl.LazyFrame:
    return pl.concat([pl.DataFrame(pl.from_arrow(table)) for table in tables]).lazy()


def test_records_say_where_a_row_came_from_and_that_it_was_synthetic() -> None:
    records = rejected()
    assert records.schema == quarantine.SCHEMA
    assert records.num_rows == 3
    assert set(records["_synthetic"].to_pylist()) == {True}
    assert set(records["_batch_id"].to_pylist()) == {"b1"}


def test_a_repeated_batch_repeats_its_ids_and_counts_once() -> None:
    assert rejected()["id"] == rejected()["id"]
    assert quarantine.current(history(rejected(), rejected())).collect().height == 3


def test_the_overview_counts_by_rule() -> None:
    overview = quarantine.overview(history(rejected()))
    assert overview.select("rule", "rejections").rows() == [("amount is not negative", 2), ("currency is a code", 1)]


def test_a_released_row_comes_back_exactly_as_it_came() -> None:
    past = history(rejected())
    release = quarantine.release(quarantine.open_rejections(past), past, by="ann")
    back = quarantine.released(release.rows, STREAM).sort("id")
    assert back.equals(ROWS.filter(pl.col("id") > 1))
    assert release.rules == ("amount is not negative", "currency is a code")
    gate = Gate([AMOUNT, CURRENCY], ["id"], without=release.rules)
    assert gate.split(back).passed.height == 2


def test_a_release_is_history_and_leaves_nothing_open() -> None:
    past = history(rejected())
    release = quarantine.release(quarantine.open_rejections(past), past, by="ann")
    now = history(rejected(), release.records)
    assert quarantine.open_rejections(now).is_empty()
    assert set(quarantine.current(now).collect()["released_by"]) == {"ann"}


def test_a_row_stays_while_one_of_its_rejections_is_open() -> None:
    past = history(rejected())
    first = quarantine.release(quarantine.open_rejections(past, rule="amount is not negative"), past, by="ann")
    assert [row.count('"id":3') for row in first.rows] == [1]
    later = history(rejected(), first.records)
    second = quarantine.release(quarantine.open_rejections(later), later, by="ann")
    assert [row.count('"id":2') for row in second.rows] == [1]
    assert second.rules == ("amount is not negative", "currency is a code")


def test_a_rejection_stays_as_long_as_the_newest_that_became_of_it() -> None:
    first, second = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
    split = Gate([AMOUNT, CURRENCY], ["id"]).split(ROWS)
    came = quarantine.records(split.rejected, source="s4", stream="order", batch_id="b1", synthetic=True, at=first)
    opened = quarantine.open_rejections(history(came), rule=AMOUNT.name).head(1)
    freed = quarantine.release(opened, history(came), by="ada", at=second).records
    both = history(came, freed)
    assert quarantine.staying(both, since=first).collect().height == 4
    assert set(quarantine.staying(both, since=second).collect()["id"]) == set(opened["id"])
    assert quarantine.staying(both, since=second).collect().height == 2
    assert quarantine.staying(both, since=second + timedelta(days=1)).collect().is_empty()


def test_an_id_may_be_shortened_but_not_guessed() -> None:
    past = history(rejected())
    known = quarantine.open_rejections(past)["id"][0]
    assert quarantine.open_rejections(past, ids=[known[:12]])["id"].to_list() == [known]
    with pytest.raises(ConfigError, match="0 open rejections"):
        quarantine.open_rejections(past, ids=["nonsense"])
