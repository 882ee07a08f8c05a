"""SQL over the lake reads what the text names, at the version that is asked for, and records just that."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from pilothouse.kernel.errors import ConfigError, LakeError
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.lake.sql import query, table_called
from pilothouse.kernel.versions import recording


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(str(tmp_path))
    for name in ("raw/s4/order", "raw/s4/order_item"):
        for number in (1, 2):
            rows = pl.DataFrame(
                {"_row_id": [b"a"], "_change": ["upsert"], "_seen_at": [number], "_changed_at": [number], "number": [number]}
            ).to_arrow()
            lake.table(name).replace(rows.to_reader())
    return lake


def read(lake: Lake, text: str, **versions: int) -> tuple[list[int], set[str]]:
    with recording() as recorder:
        answer = query(lake, text, versions={name.replace("__", "/"): version for name, version in versions.items()})
    return answer["number"].to_pylist(), {f"{pinned.name}@{pinned.version}" for pinned in recorder.versions().read}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("SELECT number FROM s4.order_item", "raw/s4/order_item"),
        ('SELECT number FROM S4."ORDER"', "raw/s4/order"),
        ('SELECT number FROM "raw/s4/order"', "raw/s4/order"),
        ("SELECT i.number FROM s4.order_item AS i, (SELECT 1)", "raw/s4/order_item"),
    ],
)
def test_a_query_reads_the_tables_it_names_and_no_table_whose_name_begins_alike(lake: Lake, text: str, name: str) -> None:
    assert read(lake, text) == ([2], {f"{name}@1"})


def test_a_version_that_is_named_is_read(lake: Lake) -> None:
    assert read(lake, "SELECT number FROM s4.order_item", raw__s4__order_item=0) == ([1], {"raw/s4/order_item@0"})


def test_a_version_of_a_table_that_is_not_read_is_refused(lake: Lake) -> None:
    with pytest.raises(ConfigError, match="does not read 'raw/s4/order'") as caught:
        read(lake, "SELECT number FROM s4.order_item", raw__s4__order=0)
    assert caught.value.hint == "ask FROM s4.order"


def test_a_table_may_be_called_as_in_sql(lake: Lake) -> None:
    assert table_called(lake, "s4.order_item").name == table_called(lake, "raw/s4/order_item").name == "raw/s4/order_item"
    assert query(lake, "SELECT number FROM s4.order", versions={"s4.order": 0})["number"].to_pylist() == [1]
    with pytest.raises(LakeError, match=r"s4\.nothing: there is no such table"):
        table_called(lake, "s4.nothing").history()
