"""What Pilothouse takes down itself."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from pilothouse.kernel.errors import CommitConflict
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.lake.notes import Notes

CONTENT = pa.schema([("about", pa.string()), ("said", pa.string()), ("said_at", pa.timestamp("us", "UTC"))])


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    return Notes(Lake(str(tmp_path)), "word", CONTENT, key=("about",), moment="said_at")


def note(about: str, said: str) -> dict[str, object]:
    return {"about": about, "said": said, "said_at": datetime.now(UTC)}


def test_the_newest_note_about_a_thing_holds_and_the_older_ones_stay(notes: Notes) -> None:
    for said in ("one", "two"):
        notes.add_whoever_else_does(note("b", said))
    notes.add_whoever_else_does(note("a", "three"), synthetic=True)
    assert [(each["about"], each["said"], each["_synthetic"]) for each in notes.newest()] == [("a", "three", True), ("b", "two", False)]
    assert (notes.about("c"), notes.table.rows()) == (None, 3)


def test_who_notes_at_once_loses_nothing(notes: Notes) -> None:
    with ThreadPoolExecutor(6) as several:
        list(several.map(lambda number: notes.add_whoever_else_does(note(str(number), "x")), range(12)))
    assert sorted(int(each["about"]) for each in notes.newest()) == list(range(12))


def test_who_knows_an_older_state_is_told(notes: Notes) -> None:
    notes.add([note("a", "one")], None)
    with pytest.raises(CommitConflict):
        notes.add([note("a", "two")], None)
    (kept,) = notes.newest()
    assert kept["said"] == "one"


def test_a_note_follows_the_one_before_it_even_where_the_clock_went_back(notes: Notes) -> None:
    notes.add_whoever_else_does(note("a", "one"))
    last = notes.table.last_commit()
    assert last is not None
    ahead = replace(last, seen_at=datetime(2999, 1, 1, tzinfo=UTC).isoformat())
    notes.add([note("a", "two")], ahead)
    assert [each["said"] for each in notes.newest()] == ["two"]
    assert notes.newest()[0]["_seen_at"] > datetime(2999, 1, 1, tzinfo=UTC)
