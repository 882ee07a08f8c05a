"""A table's files: what the log says of them is true, and a write that breaks leaves nothing behind."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilothouse.kernel.ahead import ahead
from pilothouse.kernel.errors import LakeError
from pilothouse.kernel.lake import Commit, Lake, Table
from pilothouse.kernel.lake import files as files_module
from pilothouse.kernel.lake.upkeep import tend

NOON = datetime.fromisoformat("2026-01-01T12:00")
MOMENTS = st.datetimes(datetime.fromisoformat("0001-01-02"), datetime.fromisoformat("9999-12-30"))
VALUES: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.int8(): st.integers(-128, 127),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.float64(): st.floats(),
    pa.bool_(): st.booleans(),
    pa.string(): st.text(max_size=100),
    pa.date32(): st.dates(),
    pa.timestamp("us", "UTC"): MOMENTS.map(lambda moment: moment.replace(tzinfo=UTC)),
    pa.timestamp("us"): MOMENTS,
    pa.decimal128(12, 2): st.integers(-(10**12) + 1, 10**12 - 1).map(lambda number: Decimal(number).scaleb(-2)),
    pa.decimal128(38, 18): st.integers(-(10**30), 10**30).map(lambda number: Decimal(number).scaleb(-18)),
    pa.binary(): st.binary(max_size=8),
}


def commit(sequence: int) -> Commit:
    return Commit(sequence=sequence, batch_id=f"b{sequence}", load_id="l", watermark=None, seen_at="2026-01-01T00:00:00Z", backfill=False)


def files(table: Table) -> list[str]:
    return sorted(path.name for path in Path(table.uri).glob("*.parquet*"))


def statistics(table: Table, version: int = 0) -> list[dict[str, Any]]:
    lines = (Path(table.uri) / "_delta_log" / f"{version:020}.json").read_text().strip().split("\n")
    return [json.loads(entry["add"]["stats"], parse_float=Decimal) for entry in map(json.loads, lines) if "add" in entry]


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Lake(str(tmp_path / "lake")).raw("s4", "order")


def read(table: Table, where: str = "", *values: Any) -> pa.Table:
    """The rows as SQL sees them."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.sql(f"SELECT * FROM ({table.files().sql}) {where}", params=values or None).to_arrow_table()


@pytest.mark.parametrize("kind", VALUES, ids=str)
def test_what_is_written_is_read_again_and_every_value_lies_within_the_statistics(kind: pa.DataType, tmp_path_factory: Any) -> None:
    @settings(max_examples=25)
    @given(st.lists(st.none() | VALUES[kind], min_size=1, max_size=12))
    def holds(values: list[Any]) -> None:
        table = Lake(str(tmp_path_factory.mktemp("lake"))).table("any")
        content = pa.table({"number": range(len(values)), "v": pa.array(values, kind)})
        table.append(content.to_reader(max_chunksize=5), commit(1))
        back = read(table).sort_by("number")
        assert str(back.column("v").to_pylist()) == str(content.column("v").to_pylist())  # as text, because NaN is not NaN
        (found,) = statistics(table)
        assert found["numRecords"] == len(values)
        assert found["nullCount"]["v"] == sum(value is None for value in values)
        for value in values:
            if value is not None and value == value:  # noqa: PLR0124 - NaN has no place in an order
                low, high = found["minValues"].get("v"), found["maxValues"].get("v")
                assert low is None or comparable(low, kind) <= value
                assert high is None or comparable(high, kind) >= value

    holds()


def comparable(said: Any, kind: pa.DataType) -> Any:
    """A statistic as a value of the column's type."""
    if pa.types.is_date(kind):
        return date.fromisoformat(said)
    if pa.types.is_floating(kind):
        return float(said)
    return datetime.fromisoformat(said) if pa.types.is_timestamp(kind) else said


def test_a_long_text_is_cut_in_the_statistics_and_stays_within_them(table: Table) -> None:
    table.append(pa.table({"v": ["a" * 500, "z" * 500]}).to_reader(), commit(1))
    (found,) = statistics(table)
    assert found["minValues"]["v"] <= "a" * 500
    assert found["maxValues"]["v"] >= "z" * 500
    assert len(found["maxValues"]["v"]) < 100


def test_readers_skip_by_the_statistics_and_find_all(table: Table) -> None:
    moments = [datetime(2026, 1, 1, 0, 0, 0, 999_999, tzinfo=UTC), datetime(2026, 1, 2, 0, 0, 0, 1, tzinfo=UTC)]
    for sequence, moment in enumerate(moments, 1):
        table.append(pa.table({"at": pa.array([moment], pa.timestamp("us", "UTC"))}).to_reader(), commit(sequence))
    for moment in moments:
        assert table.scan().filter(pl.col("at") >= moment).collect().height == sum(other >= moment for other in moments)
        assert table.scan().filter(pl.col("at") == moment).collect().height == 1


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (pa.array([Decimal(0), Decimal(3)], pa.decimal128(38, 18)), Decimal(3)),
        (pa.array(["short", "z" * 5_000]), "short"),  # Arrow keeps no statistics of so long a text
        (pa.array(["a", "y" * 64 + "\U0010ffff" * 2]), "y" * 64 + "\U0010ffff" * 2),
        (pa.array([1.0, float("inf")]), 1.0),
        (pa.array([float("nan"), 2.0]), 2.0),
    ],
    ids=lambda given: str(given.type) if isinstance(given, pa.Array) else "",
)
def test_what_the_statistics_do_not_tell_hides_no_row(column: pa.Array, value: Any, table: Table) -> None:
    table.append(pa.table({"v": column}).to_reader(), commit(1))
    assert read(table, "WHERE v = ?", value).num_rows == 1
    assert table.scan().filter(pl.col("v") == value).collect().height == 1


def test_rows_from_before_a_column_came_are_found_by_its_absence(table: Table) -> None:
    table.append(pa.table({"id": [1]}).to_reader(), commit(1))
    table.append(pa.table({"id": [2], "late": ["x"]}).to_reader(), commit(2))
    assert read(table, "WHERE late IS NULL").column("id").to_pylist() == [1]
    assert read(table, "WHERE late IS NOT NULL").column("id").to_pylist() == [2]


def test_a_column_with_a_dot_is_not_taken_for_a_field_of_another(table: Table) -> None:
    table.append(pa.table({"a.b": [1, 2], "a": [{"b": 100}, {"b": 200}]}).to_reader(), commit(1))
    table.append(pa.table({"a.b": [500], "a": [{"b": 900}]}).to_reader(), commit(2))
    assert table.scan().filter(pl.col("a.b") == 1).collect().height == 1


def test_a_large_write_becomes_several_files_of_several_groups(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "FILE_BYTES", 1 << 15)
    monkeypatch.setattr(files_module, "_GROUP_ROWS", 1_000)
    content = pa.table({"id": range(20_000), "name": [f"{number * 7919 % 20_011:x}" for number in range(20_000)]})
    table.append(content.to_reader(max_chunksize=300), commit(1))
    assert read(table).sort_by("id").equals(content)
    assert len(files(table)) > 1
    assert pq.ParquetFile(Path(table.uri) / files(table)[0]).num_row_groups > 1
    assert sum(each["numRecords"] for each in statistics(table)) == table.rows() == 20_000


def test_a_large_batch_becomes_several_groups_of_one_size(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "_GROUP_ROWS", 1_000)
    table.append(pa.table({"id": range(3_500)}).to_reader(), commit(1))
    written = pq.ParquetFile(Path(table.uri) / files(table)[0]).metadata
    assert [written.row_group(number).num_rows for number in range(written.num_row_groups)] == [1_167, 1_167, 1_166]
    assert read(table).sort_by("id").column("id").to_pylist() == [*range(3_500)]


def test_a_write_that_breaks_leaves_no_file(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "FILE_BYTES", 1)
    monkeypatch.setattr(files_module, "_GROUP_ROWS", 1)

    def batches() -> Iterator[pa.RecordBatch]:
        for number in range(5):
            yield pa.record_batch({"id": [number]})
        raise OSError("the source went away")

    with pytest.raises(LakeError, match="went away"):
        table.append(pa.RecordBatchReader.from_batches(pa.schema([("id", pa.int64())]), batches()), commit(1))
    assert files(table) == []


def test_after_a_broken_write_nobody_goes_on_making_rows(table: Table) -> None:
    ended = threading.Event()

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            for _ in range(100_000):
                yield pa.record_batch({"id": ["no number"]})
        finally:
            ended.set()

    with pytest.raises(pa.ArrowInvalid) as caught:
        files_module.Files(table.uri, {}).write(ahead(batches()), pa.schema([("id", pa.int64())]))
    assert caught.traceback  # which holds on to whatever the error saw
    assert ended.wait(10)


def test_unknown_files_stay_where_retention_is_shorter_than_a_write_may_take(table: Table) -> None:
    table.append(pa.table({"id": [1]}).to_reader(), commit(1))
    for name in ("part-0.zstd.parquet", "part-1.zstd.parquet#1"):
        (Path(table.uri) / name).write_bytes(b"half")
    tend(table, keep=timedelta(0))
    assert [name for name in files(table) if len(name) < 30] == ["part-0.zstd.parquet", "part-1.zstd.parquet#1"]


def test_what_a_killed_write_left_goes_when_it_is_old(table: Table) -> None:
    table.append(pa.table({"id": [1]}).to_reader(), commit(1))
    for name in ("part-0.zstd.parquet", "part-1.zstd.parquet#1", "part-2.zstd.parquet", "part-3.zstd.parquet#1"):
        (Path(table.uri) / name).write_bytes(b"half")
        age = timedelta(days=8 if name < "part-2" else 0)
        os.utime(Path(table.uri) / name, times=((datetime.now(UTC) - age).timestamp(),) * 2)
    tend(table, keep=timedelta(days=7))
    assert [name for name in files(table) if len(name) < 30] == ["part-2.zstd.parquet", "part-3.zstd.parquet#1"]
    assert table.rows() == 1


def test_a_column_that_came_with_another_type_is_refused_by_name(table: Table) -> None:
    table.append(pa.table({"id": [1], "amount": [1.5]}).to_reader(), commit(1))
    with pytest.raises(LakeError, match="column amount holds double, and string came"):
        table.append(pa.table({"id": [1], "amount": ["1.5"]}).to_reader(), commit(2))
    assert table.rows() == 1


def test_a_column_that_must_have_a_value_cannot_stay_away(table: Table) -> None:
    whole = pa.schema([pa.field("id", pa.int64()), pa.field("must", pa.int64(), nullable=False)])
    table.append(pa.Table.from_pydict({"id": [1], "must": [1]}, schema=whole).to_reader(), commit(1))
    with pytest.raises(LakeError, match="column must must have a value"):
        table.append(pa.table({"id": [2]}).to_reader(), commit(2))


@pytest.mark.parametrize(
    "kind", [pa.timestamp("ns"), pa.timestamp("s", "UTC"), pa.timestamp("us", "Europe/Berlin"), pa.timestamp("ms", "+00:00")], ids=str
)
def test_moments_of_every_kind_are_kept_to_the_microsecond(kind: pa.DataType, table: Table) -> None:
    content = pa.table({"at": pa.array([1_700_000_000, None], pa.int64()).cast(kind), "in": pa.array([[1], []], pa.list_(kind))})
    table.append(content.to_reader(), commit(1))
    assert table.schema().field("at").type == pa.timestamp("us", None if kind.tz is None else "UTC")
    assert read(table).num_rows == 2


def test_a_column_without_any_value_yet_is_text(table: Table) -> None:
    table.append(pa.table({"id": [1], "v": pa.nulls(1)}).to_reader(), commit(1))
    table.append(pa.table({"id": [2], "v": ["x"]}).to_reader(), commit(2))
    assert table.scan().sort("id").collect()["v"].to_list() == [None, "x"]


def test_types_that_delta_lacks_become_the_nearest_that_it_has(table: Table) -> None:
    names = pa.array(["a", "b"]).dictionary_encode()
    content = pa.table(
        {
            "small": pa.array([1, 200], pa.uint8()),
            "large": pa.array([1, 2**64 - 1], pa.uint64()),
            "name": names,
            "at": pa.array([1, 2], pa.timestamp("ms", "UTC")),
        }
    )
    for sequence in (1, 2):
        table.append(content.to_reader(), commit(sequence))
    schema = table.schema()
    assert (schema.field("name").type, schema.field("at").type) == (pa.string(), pa.timestamp("us", "UTC"))
    assert table.scan().collect()["small"].sort().to_list() == [1, 1, 200, 200]
    assert table.scan().collect()["large"].max() == 2**64 - 1


def test_moments_without_a_zone_may_come_late_and_by_replacing(table: Table, tmp_path: Path) -> None:
    local = pa.table({"id": [2], "at": pa.array([NOON], pa.timestamp("us"))})
    table.append(pa.table({"id": [1]}).to_reader(), commit(1))
    table.append(local.to_reader(), commit(2))
    assert table.scan().sort("id").collect()["at"].to_list() == [None, NOON]
    other = Lake(str(tmp_path)).table("marts/other")
    other.replace(pa.table({"id": [1]}).to_reader())
    other.replace(local.to_reader())
    assert other.scan().collect()["at"].to_list() == [NOON]


def test_nested_columns_are_kept(table: Table) -> None:
    content = pa.table({"id": [1, 2], "tags": [["a"], []], "where": [{"city": "Ulm"}, None]})
    table.replace(content.to_reader())
    assert read(table).to_pylist() == content.to_pylist()
