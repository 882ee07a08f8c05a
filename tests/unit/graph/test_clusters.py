"""Groups of records: what links and people say, taken together."""

from __future__ import annotations

import random
from collections import defaultdict
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.resolution.clusters import Link, Pair, members, refuse_contradictions
from pilothouse.kernel.errors import DataRejected

RECORDS = {name: number for number, name in enumerate("abcdefgh")}
pairs = st.sampled_from(list(combinations(RECORDS, 2)))
links = st.lists(st.builds(lambda pair, weight: Link(pair[0], pair[1], float(weight)), pairs, st.integers(10, 14)), max_size=12)


def groups(found: list[Link], same: list[Pair] | None = None, different: list[Pair] | None = None) -> dict[str, str]:
    return {member.record: member.group for member in members(RECORDS, found, same or [], different or [])}


def test_what_is_linked_is_one_and_named_after_the_record_known_longest() -> None:
    found = groups([Link("c", "b", 12.0), Link("c", "d", 11.0)])
    assert found == {"a": "a", "b": "b", "c": "b", "d": "b", "e": "e", "f": "f", "g": "g", "h": "h"}


def test_the_way_to_the_first_record_goes_link_by_link() -> None:
    found = {member.record: member.through for member in members(RECORDS, [Link("c", "d", 11.0), Link("b", "c", 12.0)], [], [])}
    assert found["d"] == ("d", "c", "b")
    assert found["b"] == ("b",)


@given(links, st.lists(pairs, max_size=3))
def test_what_was_said_to_be_different_is_never_one(found: list[Link], different: list[Pair]) -> None:
    made = groups(found, different=different)
    assert all(made[left] != made[right] for left, right in different)


@given(links, st.lists(pairs, max_size=3))
def test_what_was_said_to_be_the_same_is_one(found: list[Link], same: list[Pair]) -> None:
    made = groups(found, same=same)
    assert all(made[left] == made[right] for left, right in same)


@given(links, st.randoms(use_true_random=False))
def test_the_order_of_links_does_not_matter(found: list[Link], dice: random.Random) -> None:
    shuffled = list(found)
    dice.shuffle(shuffled)
    assert groups(found) == groups(shuffled)


def test_a_merge_that_is_taken_back_leaves_no_trace() -> None:
    """A thousand times: two groups are said to be one, and then not to be, as if nobody had said anything."""
    dice = random.Random(7)
    for _ in range(1_000):
        found = [Link(*dice.choice(list(combinations(RECORDS, 2))), weight=float(dice.randint(10, 14))) for _ in range(dice.randrange(8))]
        before = groups(found)
        apart = [pair for pair in combinations(RECORDS, 2) if before[pair[0]] != before[pair[1]]]
        if not apart:
            continue
        merged = dice.choice(apart)
        assert groups(found, same=[merged])[merged[0]] == groups(found, same=[merged])[merged[1]]
        assert groups(found, different=[merged]) == before


def test_a_record_that_goes_with_either_part_of_a_split_goes_with_the_stronger() -> None:
    found = groups([Link("a", "c", 11.0), Link("b", "c", 13.0)], different=[("a", "b")])
    assert found["c"] == "b"


def test_a_firm_that_is_split_falls_into_what_holds_together() -> None:
    strong = [Link("a", "b", 14.0), Link("c", "d", 14.0)]
    weak = [Link("a", "c", 11.0), Link("b", "d", 11.0)]
    assert len({groups(strong + weak)[each] for each in "abcd"}) == 1
    parts = defaultdict(set)
    for record, group in groups(strong + weak, different=[("a", "c")]).items():
        parts[group].add(record)
    assert {"a", "b"} in parts.values()
    assert {"c", "d"} in parts.values()


def test_what_contradicts_is_told_with_its_way_out() -> None:
    with pytest.raises(DataRejected, match="a and c were said to be different, and the same by way of others") as caught:
        refuse_contradictions([("a", "b"), ("b", "c")], [("a", "c")])
    assert "pilothouse firm explain a c" in caught.value.hint


def test_corrections_of_records_that_are_gone_are_passed_over() -> None:
    assert groups([Link("a", "b", 12.0)], same=[("a", "gone")], different=[("b", "gone")])["b"] == "a"
