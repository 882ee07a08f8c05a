"""What people say of records."""

from __future__ import annotations

from pathlib import Path

import pytest

from graph.resolution.corrections import Corrections, pairs
from pilothouse.kernel.errors import DataRejected
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.lake.notes import Overtaken


@pytest.fixture
def corrections(tmp_path: Path) -> Corrections:
    return Corrections(Lake(str(tmp_path)))


def test_the_newest_word_about_a_pair_holds(corrections: Corrections) -> None:
    corrections.say("s4:2", "s4:1", "same", by="ada", reason="one letterhead")
    corrections.say("s4:1", "s4:2", "different", by="bo")
    (held,) = corrections.holding()
    assert (held.pair, held.verdict, held.said_by) == (("s4:1", "s4:2"), "different", "bo")
    assert pairs([held]) == ([], [("s4:1", "s4:2")])


def test_what_was_said_stays_in_the_table(corrections: Corrections, tmp_path: Path) -> None:
    corrections.say("s4:1", "s4:2", "same", by="ada")
    corrections.say("s4:1", "s4:2", "different", by="ada")
    raw = Lake(str(tmp_path)).raw("pilothouse", "firm_correction")
    assert raw.rows() == 2
    assert raw.version() == 2  # the empty table, and one commit each


def test_nothing_was_said_before_anybody_did(corrections: Corrections, tmp_path: Path) -> None:
    assert corrections.holding() == []
    corrections.ensure()
    corrections.ensure()
    assert corrections.holding() == []
    assert Lake(str(tmp_path)).raw("pilothouse", "firm_correction").version() == 0


def test_a_contradiction_is_refused_and_nothing_is_noted(corrections: Corrections) -> None:
    corrections.say("a", "b", "same", by="ada")
    corrections.say("b", "c", "same", by="ada")
    with pytest.raises(DataRejected, match="a and c were said to be different"):
        corrections.say("a", "c", "different", by="bo")
    assert len(corrections.holding()) == 2


def test_what_was_withdrawn_holds_no_longer(corrections: Corrections) -> None:
    corrections.say("s4:1", "s4:2", "same", by="ada")
    corrections.say("s4:2", "s4:1", "withdrawn", by="ada")
    assert corrections.holding() == []
    newest = corrections.newest("s4:1", "s4:2")
    assert newest is not None
    assert newest.verdict == "withdrawn"
    corrections.say("s4:1", "s4:2", "different", by="ada")  # which would contradict what was withdrawn


def test_who_knows_an_older_word_about_a_pair_does_not_cover_a_newer_one(corrections: Corrections) -> None:
    first = corrections.say_after(None, "s4:1", "s4:2", "same", by="ada")
    corrections.say("s4:3", "s4:4", "same", by="bo")  # another pair is another matter
    second = corrections.say_after(first.said_at, "s4:1", "s4:2", "different", by="ada")
    for known in (None, first.said_at):
        with pytest.raises(Overtaken):
            corrections.say_after(known, "s4:1", "s4:2", "same", by="cy")
    assert [each.verdict for each in corrections.holding()] == ["different", "same"]
    assert corrections.newest("s4:1", "s4:2") == second
