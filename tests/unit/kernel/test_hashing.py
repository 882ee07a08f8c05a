"""Hashes are the same for the same values for ever, and differ where anything differs."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.kernel.lake.hashing import Hashes, hash_rows
from pilothouse.kernel.lake.identity import row_hashes, row_ids


def hashed(value: Any, dtype: Any = None) -> str:
    return shown(hash_rows(pl.DataFrame({"v": pl.Series([value], dtype=dtype)})))


def shown(hashes: Hashes) -> str:
    return bytes(hashes.as_binary()[0]).hex()


# What these say stands in every lake: a change of any of them makes every row of it look new.
ORDER = pl.DataFrame(
    {
        "order": ["4711"],
        "amount": [Decimal("1250.50")],
        "items": [3],
        "rate": [0.5],
        "open": [True],
        "day": [date(2026, 11, 21)],
        "at": [datetime(2026, 11, 21, 12, tzinfo=UTC)],
        "note": pl.Series([None], dtype=pl.String),
        "raw": [b"\x00\xff"],
    }
)


def test_hashes_stay_what_they_are() -> None:
    assert shown(row_ids(ORDER, "s4", "sales_order", ["order"])) == "da1f27a4d8143137bd2c8d5f4be06079"
    assert shown(row_hashes(ORDER)) == "858287cae40298062e2d4efd7295d8d1"


def test_the_order_of_columns_does_not_matter_and_their_content_does() -> None:
    assert shown(row_hashes(ORDER.select(reversed(ORDER.columns)))) == shown(row_hashes(ORDER))
    for name in ORDER.columns:
        emptied = ORDER.with_columns(pl.lit(None, ORDER.schema[name] if name != "note" else pl.String).alias(name))
        changed = emptied if name != "note" else ORDER.with_columns(note=pl.lit(""))
        assert shown(row_hashes(changed)) != shown(row_hashes(ORDER)), name


@pytest.mark.parametrize(
    "same",
    [
        [(5, pl.Int8), (5, pl.Int64), (5, pl.UInt16), (5, pl.UInt64)],
        [(1.5, pl.Float32), (1.5, pl.Float64)],
        [(0.0, pl.Float64), (-0.0, pl.Float64)],
        [(Decimal("1.5"), pl.Decimal(*shape)) for shape in [(5, 1), (12, 2), (30, 2), (38, 19), (38, 20), (38, 37)]],
        [(Decimal("-1.5"), pl.Decimal(*shape)) for shape in [(5, 1), (12, 2), (30, 2), (38, 19), (38, 37)]],
        [(Decimal("-0.25"), pl.Decimal(*shape)) for shape in [(4, 2), (18, 18), (38, 2), (38, 38)]],
        [(Decimal(-7), pl.Decimal(*shape)) for shape in [(1, 0), (18, 0), (38, 0), (38, 30)]],
        [(date(2026, 1, 1), pl.Date), (datetime(2026, 1, 1), pl.Datetime("us")), (datetime(2026, 1, 1), pl.Datetime("ms"))],  # noqa: DTZ001
        [("x", pl.String), ("x", pl.Categorical), ("x", pl.Enum(["x"]))],
    ],
    ids=lambda same: str(same[0][1]),
)
def test_a_value_keeps_its_hash_however_it_is_stored(same: list[tuple[Any, Any]]) -> None:
    assert len({hashed(value, dtype) for value, dtype in same}) == 1


@pytest.mark.parametrize(
    ("one", "other", "dtype"),
    [
        (None, 0, pl.Int64),
        (None, "", pl.String),
        (None, False, pl.Boolean),
        (1.5, None, pl.Float64),
        (Decimal("1.5"), Decimal("-1.5"), pl.Decimal(12, 2)),
        (Decimal(2**64), Decimal(2**65), pl.Decimal(38, 0)),
        (Decimal("9" * 38), Decimal("-" + "9" * 38), pl.Decimal(38, 0)),
        (2**64 - 1, 2**63, pl.UInt64),
        (time(1), time(2), pl.Time),
        (timedelta(1), timedelta(2), pl.Duration("us")),
        ([1, 2], [1, 3], pl.List(pl.Int64)),
        ({"a": 1}, {"a": None}, pl.Struct({"a": pl.Int64})),
    ],
)
def test_values_that_differ_hash_differently(one: Any, other: Any, dtype: Any) -> None:
    assert hashed(one, dtype) != hashed(other, dtype)


def test_text_cannot_move_from_one_column_to_the_next() -> None:
    assert shown(row_hashes(pl.DataFrame({"a": ["ab"], "b": ["c"]}))) != shown(row_hashes(pl.DataFrame({"a": ["a"], "b": ["bc"]})))


def test_one_key_in_two_streams_or_sources_is_two_rows() -> None:
    ids = {shown(row_ids(ORDER, source, stream, ["order"])) for source, stream in [("s4", "order"), ("s4", "item"), ("s", "4order")]}
    assert len(ids) == 3


def test_columns_whose_names_resemble_each_other_do_not_meet() -> None:
    frame = pl.DataFrame({"0": ["a"], "0 0": ["b"], "0 1": [1], "0 high": [Decimal(1)]})
    assert len(hash_rows(frame, unique=True)) == 1


def test_more_columns_than_a_word_has_bits_keep_their_nulls_apart() -> None:
    names = [f"c{number:03}" for number in range(130)]
    hashes = {shown(row_hashes(pl.DataFrame({name: [None if name == empty else 0] for name in names}))) for empty in ["", *names]}
    assert len(hashes) == 131


def test_numbers_of_two_precisions_are_one_only_where_they_are_equal() -> None:
    assert hashed(Decimal("1.00"), pl.Decimal(12, 2)) != hashed(Decimal(10**16), pl.Decimal(30, 2))
    assert len({hashed(Decimal(number).scaleb(-20), pl.Decimal(38, 20)) for number in range(-300, 300)}) == 600


def test_a_row_of_nothing_but_nulls_of_no_type_has_a_hash() -> None:
    assert len(row_hashes(pl.DataFrame({"a": [None, None]}))) == 2


def test_of_no_rows_there_are_no_hashes() -> None:
    assert len(row_hashes(ORDER.clear())) == 0
    assert len(row_ids(ORDER.clear(), "s4", "order", ["order"])) == 0


@given(st.lists(st.tuples(st.none() | st.text(max_size=3), st.none() | st.integers(-2, 2), st.none() | st.booleans()), max_size=40))
def test_rows_have_one_hash_exactly_where_they_are_one(rows: list[tuple[Any, ...]]) -> None:
    frame = pl.DataFrame(rows, schema={"a": pl.String, "b": pl.Int8, "c": pl.Boolean}, orient="row")
    hashes = [bytes(value) for value in row_hashes(frame).as_binary()]
    assert len(set(zip(rows, hashes, strict=True))) == len(set(rows)) == len(set(hashes))
