"""Upkeep keeps tables small, and what is pinned or needed readable."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from pilothouse.kernel.database import Database
from pilothouse.kernel.errors import LakeError
from pilothouse.kernel.lake import Commit, Lake, Table
from pilothouse.kernel.lake.pins import Pins
from pilothouse.kernel.lake.upkeep import tend
from pilothouse.kernel.versions import Pinned, Versions


@pytest.fixture
def table(tmp_path: Path) -> Table:
    table = Lake(str(tmp_path / "lake")).raw("s4", "product")
    for sequence in range(1, 13):
        commit = Commit(
            sequence=sequence,
            batch_id=f"b{sequence}",
            load_id="l",
            watermark={"at": sequence},
            seen_at="2026-01-01T00:00:00+00:00",
            backfill=False,
        )
        table.append(pa.table({"id": [sequence]}).to_reader(), commit)
    return table


def test_small_files_become_few_and_no_row_changes(table: Table) -> None:
    before = table.digest()
    assert tend(table, keep=timedelta(days=30)).compacted >= 12
    assert table.digest() == before
    assert table.delta().get_add_actions().num_rows == 1


def test_young_versions_stay_readable_after_compaction(table: Table) -> None:
    tend(table, keep=timedelta(days=30))
    assert table.scan(3).collect().height == 4


def test_old_versions_go_and_pinned_ones_stay(table: Table) -> None:
    kept = tend(table, keep=timedelta(0), pinned={4}, now=datetime.now(UTC) + timedelta(days=1))
    assert kept.removed > 0
    assert table.scan(4).collect().height == 5
    with pytest.raises((LakeError, OSError)):
        table.scan(9).collect()


def test_the_watermark_outlives_every_expiry(table: Table) -> None:
    tend(table, keep=timedelta(0), now=datetime.now(UTC) + timedelta(days=400))
    last = table.last_commit()
    assert last is not None
    assert last.watermark == {"at": 12}
    assert table.scan().collect().height == 12


def test_pins_are_held_by_name_until_released_or_past(database: Database) -> None:
    pins = Pins(database)
    vector = Versions(read=(Pinned("table", "raw/s4/product", "3", "id"), Pinned("model", "risk", "7")))
    pins.hold(vector, "decision 1")
    pins.hold(vector, "decision 1")
    pins.hold(vector, "decision 2", until=datetime.now(UTC) - timedelta(seconds=1))
    assert pins.all() == {"raw/s4/product": frozenset({3})}
    assert pins.release("decision 1") == 1
    assert pins.all() == {}
