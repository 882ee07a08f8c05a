"""Tables that models make: replaced, merged, and compared between two versions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilothouse.kernel.errors import LakeError
from pilothouse.kernel.lake import Lake, Table
from pilothouse.kernel.lake.upkeep import tend

SCHEMA = pa.schema([("id", pa.string()), ("value", pa.int64()), ("at", pa.timestamp("us", "UTC"))])
MOMENT = datetime(2026, 1, 1, 0, 0, 0, 123_456, tzinfo=UTC)  # between two milliseconds, where bounds are cut


def rows(values: dict[str, int]) -> pa.Table:
    return pa.table({"id": list(values), "value": list(values.values()), "at": [MOMENT] * len(values)}, schema=SCHEMA)


def content(table: Table, version: int | None = None) -> dict[str, int]:
    frame = table.scan(version).collect()
    return dict(zip(frame["id"], frame["value"], strict=True))


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Lake(str(tmp_path / "lake")).table("marts/x")


states = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 3), max_size=8)


@settings(max_examples=15)
@given(st.lists(states, min_size=1, max_size=4))
def test_a_merged_table_equals_one_that_was_replaced(tmp_path_factory: pytest.TempPathFactory, steps: list[dict[str, int]]) -> None:
    lake = Lake(str(tmp_path_factory.mktemp("lake")))
    merged, replaced = lake.table("marts/merged"), lake.table("marts/replaced")
    now: dict[str, int] = {}
    merged.replace(rows(now).to_reader(), key=["id"])
    for then in steps:
        removed = {key: value for key, value in now.items() if then.get(key) != value}
        added = {key: value for key, value in then.items() if now.get(key) != value}
        if removed or added:
            merged.merge(["id"], rows(removed), rows(added))
        replaced.replace(rows(then).to_reader())
        now = then
        assert content(merged) == now
        assert merged.digest() == replaced.digest()
    # The digest that merges carried along is the one that the rows have.
    assert merged.replace(rows(now).to_reader()) == merged.pinned()


def test_a_moment_between_two_milliseconds_is_found_after_a_merge(table: Table) -> None:
    table.replace(rows({"a": 1}).to_reader(), key=["id"])
    table.merge(["id"], rows({}), rows({"b": 2}))
    assert table.scan().filter(pl.col("at") >= MOMENT).collect().height == 2


def test_the_difference_of_two_versions_holds_what_changed(table: Table) -> None:
    table.replace(rows({"a": 1, "b": 1}).to_reader(), key=["id"])
    first = table.version()
    table.merge(["id"], rows({"b": 1}), rows({"b": 2, "c": 3}))
    lost, gained = (duckdb.connect().sql(part.sql).pl() for part in table.difference(first))
    gone, come = lost.join(gained, on=lost.columns, how="anti"), gained.join(lost, on=lost.columns, how="anti")
    assert gone["id"].to_list() == ["b"]
    assert sorted(come["id"]) == ["b", "c"]
    assert all(part.uris == () for part in table.difference(table.version()))


def test_a_difference_with_an_expired_version_is_refused(table: Table) -> None:
    table.replace(rows({"a": 1}).to_reader())
    table.replace(rows({"a": 2}).to_reader())
    tend(table, keep=timedelta(0))
    with pytest.raises(LakeError, match=r"expired|cannot be read"):
        table.difference(0)


def test_upkeep_between_two_builds_makes_no_new_version_of_equal_content(table: Table) -> None:
    for number in range(9):
        if number:
            table.merge(["id"], rows({}), rows({str(number): number}))
        else:
            table.replace(rows({"0": 0}).to_reader(), key=["id"])
    assert tend(table, keep=timedelta(0)).compacted
    before = table.pinned()
    assert table.replace(rows({str(number): number for number in range(9)}).to_reader()) == before


def test_equal_content_leaves_no_file_behind(table: Table, tmp_path: Path) -> None:
    table.replace(rows({"a": 1}).to_reader())
    before = sorted(tmp_path.rglob("*.parquet"))
    table.replace(rows({"a": 1}).to_reader())
    assert sorted(tmp_path.rglob("*.parquet")) == before
