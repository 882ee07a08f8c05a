"""Tables as an agent looks at them: they stand still, and those that are looked at often are held in memory, if they are small."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pilothouse.agents import snapshot as module
from pilothouse.agents.snapshot import Snapshot, looking
from pilothouse.kernel.errors import ToolFailed
from pilothouse.kernel.lake import Lake

ORDERS = "marts/orders"
ROWS = pl.DataFrame(
    {
        "order_id": [f"{number:04}" for number in range(500)],
        "net": [Decimal(number) / 100 for number in range(500)],
        "placed": [date(2026, 1, 1 + number % 28) for number in range(500)],
        "changed_at": [datetime(2026, 1, 1, tzinfo=UTC)] * 500,
        "tags": [["a", None], []] * 250,
        "_synthetic": [True] * 500,
    },
    schema_overrides={"net": pl.Decimal(18, 2)},
)
OFTEN = module._OFTEN


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(str(tmp_path))
    lake.table(ORDERS).replace(ROWS.to_arrow().to_reader())
    return lake


@pytest.fixture
def looked(lake: Lake) -> Iterator[Snapshot]:
    snapshot = Snapshot.take(lake, [ORDERS])
    yield snapshot
    snapshot.close()


def without_files(tmp_path: Path) -> None:
    for file in (tmp_path / ORDERS).glob("*.parquet"):
        file.unlink()


def test_a_table_that_is_looked_at_often_says_the_same_and_opens_no_file_any_more(looked: Snapshot, tmp_path: Path) -> None:
    first = looked.row(ORDERS, {"order_id": "0123"})
    assert first is not None
    assert (first["net"], first["placed"], first["tags"]) == ("1.23", "2026-01-12", [])
    whole = looked.rows(ORDERS, {}, limit=1_000)
    for _ in range(OFTEN):
        assert looked.row(ORDERS, {"order_id": "0123"}) == first
    assert looked.rows(ORDERS, {}, limit=1_000) == whole
    without_files(tmp_path)
    another = looked.row(ORDERS, {"order_id": "0124"})
    assert another is not None
    assert another["net"] == "1.24"
    looked.close()
    with pytest.raises(ToolFailed, match="version 0"):
        looked.row(ORDERS, {"order_id": "0123"})


def test_what_is_held_says_what_duckdb_would(looked: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is asked for: one row, none, several, by a text, by what is none, in an order, by a column that is not there."""
    twice = pl.concat(
        [
            ROWS.with_columns(net=pl.lit(None, pl.Decimal(18, 2)), label=pl.lit("a")),
            ROWS.head(1).with_columns(label=pl.lit(None, pl.String)),
        ]
    )
    lake = Lake(str(tmp_path / "other"))
    lake.table(ORDERS).replace(twice.to_arrow().to_reader())
    wheres: list[dict[str, Any]] = [
        *({"order_id": each} for each in ("0000", "0001", "9999", "")),
        *({"label": each} for each in ("a", "b")),
        {"order_id": "0001", "_synthetic": True},
        {"_synthetic": False},
        {"net": "0.00"},
        {"placed": "2026-01-03"},
    ]
    with monkeypatch.context() as patched:
        patched.setattr(module, "_OFTEN", 1_000_000)
        plainly = Snapshot.take(lake, [ORDERS])
        expected = [[plainly.rows(ORDERS, where, limit=2, order=order) for order in ("", "-placed, order_id")] for where in wheres]
        plainly.close()
    held = Snapshot.take(lake, [ORDERS])
    for _ in range(OFTEN):
        held.row(ORDERS, {"order_id": "0001"})
    assert [[held.rows(ORDERS, where, limit=2, order=order) for order in ("", "-placed, order_id")] for where in wheres] == expected
    assert [len(each) for each, _ in expected] == [2, 1, 0, 0, 2, 0, 1, 0, 1, 2]
    with pytest.raises(ToolFailed, match="colour"):
        held.rows(ORDERS, {"colour": "red"}, limit=1)
    held.close()


def test_a_large_table_is_read_from_its_files(looked: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SMALL", ROWS.height - 1)
    for number in range(2 * OFTEN):
        assert looked.row(ORDERS, {"order_id": f"{number:04}"}) is not None
    without_files(tmp_path)
    with pytest.raises(ToolFailed):
        looked.row(ORDERS, {"order_id": "0123"})


def test_who_changes_an_answer_changes_nobody_elses_and_each_look_is_noted(looked: Snapshot) -> None:
    with looking() as look:
        first = looked.row(ORDERS, {"order_id": "0123"})
        assert first is not None
        first["net"] = "nothing"
        assert looked.row(ORDERS, {"order_id": "0123"}) == {**first, "net": "1.23"}
    assert len(look.asked) == 2
    assert look.synthetic
