"""What is taken down of changed schemas: once, and with what became of it."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from pilothouse.kernel.lake import Lake
from quality.drift import Drift, DriftPolicy
from quality.refusals import Refusals, digest

GONE = Drift("removed", pa.field("unit", pa.string()), None)
NEW = Drift("added", None, pa.field("weight", pa.int64()))
RETYPED = Drift("retyped", pa.field("size", pa.string()), pa.field("size", pa.bool_()))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path))


def refuse(lake: Lake, *drifts: Drift, stream: str = "thing") -> None:
    readers = {"unit": ("staging/stg_book__thing",)}
    Refusals(lake).refuse("book", stream, drifts, DriftPolicy(), by="a sync", readers=lambda column: readers.get(column), synthetic=True)


def rows(lake: Lake) -> int:
    return lake.raw("pilothouse", "stream_drift").rows()


def test_the_same_differences_are_noted_once_in_whatever_order(lake: Lake) -> None:
    for drifts in ((GONE, NEW), (NEW, GONE), (GONE, NEW)):
        refuse(lake, *drifts)
    assert rows(lake) == 1
    refuse(lake, GONE)
    newest = Refusals(lake).newest("book", "thing")
    assert newest is not None
    assert (newest.status, newest.seen, rows(lake)) == ("refused", digest([GONE.describe()]), 2)


def test_a_note_says_what_the_policy_answers_and_what_reads_each_column(lake: Lake) -> None:
    refuse(lake, GONE, NEW, RETYPED)
    (note,) = lake.raw("pilothouse", "stream_drift").scan().collect().to_dicts()
    told = {each["column"]: (each["kind"], each["policy"], each["read_by"]) for each in json.loads(note["differences"])}
    assert told == {
        "unit": ("removed", "hold", ["staging/stg_book__thing"]),
        "weight": ("added", "accept", []),  # what is new nothing can have read
        "size": ("retyped", "block", None),
    }
    assert (note["policy"], note["_synthetic"]) == ("block", True)
    refuse(lake, GONE)
    assert lake.raw("pilothouse", "stream_drift").scan().sort("_seen_at").collect()["policy"].to_list() == ["block", "hold"]


def test_what_became_of_it_is_noted_once_and_of_that_stream_alone(lake: Lake) -> None:
    Refusals(lake).settle("book", "thing", "gone", by="a sync")
    assert not lake.raw("pilothouse", "stream_drift").exists()
    refuse(lake, GONE)
    refuse(lake, GONE, stream="other")
    for _ in range(2):
        Refusals(lake).settle("book", "thing", "accepted", by="ada")
    statuses = {stream: found.status for stream in ("thing", "other") if (found := Refusals(lake).newest("book", stream))}
    assert (statuses, rows(lake)) == ({"thing": "accepted", "other": "refused"}, 3)
    refuse(lake, GONE)  # the source went back and forth
    assert rows(lake) == 4
