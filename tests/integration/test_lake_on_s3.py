"""The lake on an object store that checks signatures: the same promises as on disk."""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa
import pytest

from pilothouse.kernel.errors import CommitConflict, LakeError
from pilothouse.kernel.lake import Commit, Lake
from pilothouse.kernel.lake.sql import query
from pilothouse.kernel.lake.upkeep import tend
from tests.conftest import ObjectStore


def rows(*names: str) -> pa.RecordBatchReader:
    return pa.table({"name": list(names)}).to_reader()


def commit(sequence: int) -> Commit:
    return Commit(
        sequence=sequence,
        batch_id=f"b{sequence}",
        load_id="l",
        watermark={"at": sequence},
        seen_at="2026-01-01T00:00:00+00:00",
        backfill=False,
    )


@pytest.fixture
def lake(s3: ObjectStore) -> Lake:
    return Lake(s3.url, s3.options)


def test_rows_are_appended_once_read_at_versions_and_found_by_name(lake: Lake) -> None:
    table = lake.raw("s4", "product")
    table.append(rows("a"), commit(1))
    table.append(rows("b"), commit(2))
    with pytest.raises(CommitConflict):
        table.append(rows("b"), commit(2))
    assert table.scan().collect()["name"].sort().to_list() == ["a", "b"]
    assert table.scan(0).collect()["name"].to_list() == ["a"]
    assert [each.name for each in lake.tables()] == ["raw/s4/product"]
    last = table.last_commit()
    assert last is not None
    assert last.watermark == {"at": 2}


def test_replace_digest_sql_and_upkeep_work_there_too(lake: Lake) -> None:
    table = lake.table("marts/dim")
    first = table.replace(rows("a", "b"))
    assert table.replace(rows("b", "a")) == first
    table.replace(rows("c"))
    assert query(lake, 'SELECT name FROM "marts/dim"').to_pydict() == {"name": ["c"]}
    assert query(lake, 'SELECT count(*) AS n FROM "marts/dim"', versions={"marts/dim": 0}).to_pydict() == {"n": [2]}
    assert tend(table, keep=timedelta(0), pinned={0}).pinned == 1
    assert table.scan(0).collect().height == 2


def test_wrong_credentials_are_said_to_be_wrong(s3: ObjectStore) -> None:
    lake = Lake(s3.url, {**s3.options, "aws_secret_access_key": "wrong"})
    with pytest.raises(LakeError, match="refuses"):
        lake.raw("s4", "product").append(rows("a"), commit(1))
