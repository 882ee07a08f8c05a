"""`kill -9` at random moments while the enterprise lives. `bench/crashes.py` runs two hundred such trials; these are a few of them."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
import pytest

from assets.syncing import sync_stream
from bench.crashes import KINDS, crash
from bench.enterprise import Enterprise, enterprise
from bench.lake_truth import faults
from pilothouse.kernel.events import Event


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Enterprise]:
    with enterprise(tmp_path_factory.mktemp("crashes"), scale=0.01) as living:
        yield living


def test_after_a_kill_and_one_clean_sync_the_lake_equals_the_source_and_every_event_was_told_once(company: Enterprise) -> None:
    trials = list(crash(company, len(KINDS), seed=7))
    assert [trial.kind for trial in trials] == list(KINDS)
    assert [fault for trial in trials for fault in trial.faults] == []


def test_the_judge_of_crashes_sees_a_lost_row_a_doubled_version_and_an_event_told_twice(company: Enterprise) -> None:
    with company.new_life("judged").platform() as platform:
        sync_stream(platform, "s4", "sales_order")
        while not platform.events.read(after=0, limit=1):
            company.beat(5)
            sync_stream(platform, "s4", "sales_order")
        assert faults(platform, "s4", "sales_order") == []
        table = platform.lake.raw("s4", "sales_order").delta()
        told = platform.events.read(after=0, limit=1)[0]
        platform.events.append([Event(told.topic, told.key, told.payload)])
        history = pl.scan_delta(table).collect().sort("_seen_at").head(2)  # of the first load: nobody was told of these two rows
        history.tail(1).write_delta(str(table.table_uri), mode="append")
        table.update_incremental()
        table.delete(f"_row_id = X'{history['_row_id'][0].hex()}'")
        found = " ".join(faults(platform, "s4", "sales_order"))
    assert "rows missing" in found
    assert "versions stand in the table twice" in found
    assert "told once too often" in found
