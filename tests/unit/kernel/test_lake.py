"""The lake's tables: atomic, idempotent, versioned, and honest about what goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from pilothouse.kernel.errors import CommitConflict, ConfigError, DataRejected, LakeError
from pilothouse.kernel.lake import Commit, Lake, Table
from pilothouse.kernel.lake.translation import lake_error
from pilothouse.kernel.versions import recording

SCHEMA = pa.schema([pa.field("id", pa.int64()), pa.field("name", pa.string(), metadata={b"label": "Größe".encode()})])


def rows(*pairs: tuple[int, str]) -> pa.RecordBatchReader:
    return pa.Table.from_pylist([{"id": i, "name": n} for i, n in pairs], schema=SCHEMA).to_reader()


def commit(sequence: int, **more: object) -> Commit:
    fields = {
        "batch_id": f"b{sequence}",
        "load_id": "l",
        "watermark": {"at": sequence},
        "seen_at": datetime.now(UTC).isoformat(),
        "backfill": False,
    }
    return Commit(sequence=sequence, **{**fields, **more})  # type: ignore[arg-type]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


@pytest.fixture
def table(lake: Lake) -> Table:
    return lake.raw("s4", "sales_order")


def test_rows_and_watermark_land_in_one_commit(table: Table) -> None:
    table.append(rows((1, "a")), commit(1))
    table.append(rows((2, "b")), commit(2))
    last = table.last_commit()
    assert last is not None
    assert last.watermark == {"at": 2}
    assert table.scan().collect()["id"].sort().to_list() == [1, 2]


def test_a_batch_that_is_already_committed_is_refused_and_nothing_is_written(table: Table) -> None:
    table.append(rows((1, "a")), commit(1))
    with pytest.raises(CommitConflict, match="already committed"):
        table.append(rows((1, "a")), commit(1))
    assert table.scan().collect().height == 1


def test_of_two_writers_that_start_from_the_same_state_one_wins(table: Table) -> None:
    table.append(rows((1, "a")), commit(1))

    def slow() -> pa.RecordBatchReader:
        def batches() -> Iterator[pa.RecordBatch]:
            table.append(rows((2, "other")), commit(2))  # somebody commits while we are still reading
            yield from rows((2, "mine"))

        return pa.RecordBatchReader.from_batches(SCHEMA, batches())

    with pytest.raises(CommitConflict):
        table.append(slow(), commit(2))
    assert table.scan().collect()["name"].sort().to_list() == ["a", "other"]


@pytest.mark.parametrize("way", ["a new column", "a moment without a zone", "the first commit"])
def test_a_writer_that_changes_the_table_does_not_overtake_another(way: str, table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    if way != "the first commit":
        table.append(rows((1, "a")), commit(1))
    made = {"id": [2], "name": ["mine"]}
    moment = pa.array([datetime(2026, 1, 1)], pa.timestamp("us"))  # noqa: DTZ001
    content = pa.table({**made, **{"a new column": {"extra": [1]}, "a moment without a zone": {"at": moment}}.get(way, {})})
    change = "_admitting" if "zone" in way else "_grown"
    changed = getattr(Table, change)
    sequence = 1 if way == "the first commit" else 2

    def faster(self: Table, *args: Any, **kwargs: Any) -> pa.Schema:
        """Somebody commits between our look at the table and our change of it."""
        monkeypatch.setattr(Table, change, changed)
        table.append(rows((2, "other")), commit(sequence))
        schema: pa.Schema = changed(self, *args, **kwargs)
        return schema

    def batches() -> Iterator[pa.RecordBatch]:
        if way == "the first commit":
            table.append(rows((2, "other")), commit(sequence))
        yield from content.to_batches()

    if way != "the first commit":
        monkeypatch.setattr(Table, change, faster)
    reader = pa.RecordBatchReader.from_batches(content.schema, batches())
    with pytest.raises(CommitConflict):
        table._write(reader, "overwrite" if "zone" in way else "append", lambda _: commit(sequence).encode(), sequence)
    names = table.scan().collect()["name"].to_list()
    assert "other" in names
    assert "mine" not in names


def test_an_error_of_the_rows_producer_commits_nothing_and_comes_out_unchanged(table: Table) -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        yield from rows((1, "a"))
        raise DataRejected("rule broken", hint="mend it")

    with pytest.raises(DataRejected, match="rule broken"):
        table.append(pa.RecordBatchReader.from_batches(SCHEMA, batches()), commit(1))
    assert not table.exists()


def test_any_version_can_be_read_and_each_read_is_recorded(table: Table) -> None:
    table.append(rows((1, "a")), commit(1))
    table.append(rows((2, "b")), commit(2))
    with recording() as recorder:
        assert table.scan(0).collect().height == 1
        assert table.scan().collect().height == 2
    assert [(entry.name, entry.version) for entry in recorder.versions().read] == [("raw/s4/sales_order", "0"), ("raw/s4/sales_order", "1")]


def test_a_version_that_does_not_exist_is_named(table: Table) -> None:
    table.append(rows((1, "a")), commit(1))
    with pytest.raises(LakeError, match="version 9"):
        table.scan(9)


def test_what_the_source_said_about_a_field_stays_with_the_schema(table: Table) -> None:
    table.append(rows((1, "a")), commit(1))
    table.append(pa.Table.from_pylist([{"id": 2, "extra": 1.5}]).to_reader(), commit(2))
    assert table.schema().field("name").metadata == {b"label": "Größe".encode()}
    assert table.scan().collect()["extra"].to_list() == [None, 1.5] or table.scan().collect()["extra"].null_count() == 1


def test_a_source_that_rewords_a_label_does_not_stop_its_stream(table: Table) -> None:
    table.append(rows((1, "a")), commit(1))
    reworded = pa.schema([SCHEMA.field("id"), SCHEMA.field("name").with_metadata({b"label": b"Size"})])
    table.append(pa.Table.from_pylist([{"id": 2, "name": "b"}], schema=reworded).to_reader(), commit(2))
    assert table.scan().collect().height == 2


def test_replacing_with_equal_content_in_another_order_publishes_no_version(table: Table) -> None:
    first = table.replace(rows((1, "a"), (2, "b")))
    assert table.replace(rows((2, "b"), (1, "a"))) == first
    changed = table.replace(rows((1, "a"), (2, "c")))
    assert changed.version == "1"
    assert table.scan(0).collect().sort("id")["name"].to_list() == ["a", "b"]


def test_the_digest_depends_on_content_alone(lake: Lake) -> None:
    one, two = lake.table("marts/one"), lake.table("marts/two")
    one.append(rows((1, "a"), (2, "b")), commit(1))
    two.append(rows((2, "b")), commit(1))
    two.append(rows((1, "a")), commit(2))
    assert one.digest() == two.digest()
    two.append(rows((1, "a")), commit(3))
    assert one.digest() != two.digest()


def test_a_file_in_the_lakes_place_is_told_and_not_taken_for_an_empty_lake(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for url in (tmp_path / "file", tmp_path / "file" / "lake"):
        with pytest.raises(LakeError, match="Not a directory"):
            list(Lake(str(url)).tables())
    assert list(Lake(str(tmp_path / "not yet")).tables()) == []


def test_tables_are_found_by_name(lake: Lake) -> None:
    lake.raw("s4", "product").append(rows((1, "a")), commit(1))
    lake.table("marts/dim_firm").replace(rows((1, "a")))
    assert [table.name for table in lake.tables()] == ["marts/dim_firm", "raw/s4/product"]


def test_a_name_that_leaves_the_lake_is_refused(lake: Lake) -> None:
    with pytest.raises(ConfigError, match="leaves the lake"):
        lake.table("raw/../../etc")


def test_a_path_that_cannot_be_written_is_named_with_its_setting(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("not a folder")
    with pytest.raises(LakeError, match=r"cannot be written[\s\S]*PILOTHOUSE_LAKE__URL"):
        Lake(str(blocker / "lake")).raw("s4", "x").append(rows((1, "a")), commit(1))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's always-full device")
def test_a_full_disk_is_a_transient_error_that_says_so() -> None:
    with pytest.raises(OSError, match="No space") as caught, Path("/dev/full").open("wb", buffering=0) as full:
        full.write(b"x")
    error = lake_error("lake/raw/x", caught.value)
    assert error.transient
    assert "disk is full" in str(error)


def test_a_full_disk_is_told_though_closing_the_file_fails_too() -> None:
    closing = OSError("Generic LocalFileSystem error")
    closing.__context__ = OSError(28, "No space left on device")
    assert lake_error("lake/raw/x", closing).transient


def test_a_stream_whose_table_would_lie_inside_of_another_is_refused(lake: Lake) -> None:
    with pytest.raises(ConfigError, match="slash"):
        lake.raw("s4", "order/item")


def test_row_order_of_a_frame_does_not_reach_the_digest(table: Table) -> None:
    pinned = table.replace(pl.DataFrame({"id": [1, 2], "name": ["x", "y"]}).to_arrow().to_reader())
    assert table.replace(pl.DataFrame({"id": [2, 1], "name": ["y", "x"]}).to_arrow().to_reader()) == pinned
