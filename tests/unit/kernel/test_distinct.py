"""Repeats are found exactly, against a dictionary as the judge."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pilothouse.kernel.lake.distinct import Distinct
from pilothouse.kernel.lake.hashing import Hashes

# few distinct words, so that ids collide in one word and in both, within and across chunks
Row = st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 2))


def hashes(high: list[int], low: list[int]) -> Hashes:
    return Hashes(np.array(high, dtype=np.uint64), np.array(low, dtype=np.uint64))


@settings(max_examples=300)
@given(st.lists(st.lists(Row, max_size=30), max_size=8))
def test_every_repeat_is_found_and_compared_with_the_first_of_its_id(chunks: list[list[tuple[int, int, int]]]) -> None:
    distinct, known = Distinct(), dict[tuple[int, int], int]()
    for chunk in chunks:
        ids = hashes([r[0] for r in chunk], [r[1] for r in chunk])
        contents = hashes([r[2] for r in chunk], [0 for _ in chunk])
        repeats = distinct.offer(ids, contents)
        for place, (high, low, content) in enumerate(chunk):
            assert repeats.again[place] == ((high, low) in known)
            assert repeats.same[place] == (known.get((high, low)) == content)
            known.setdefault((high, low), content)
    assert len(distinct) == len(known)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=40),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=40),
)
def test_what_was_never_offered_is_missing(offered: list[tuple[int, int]], asked: list[tuple[int, int]]) -> None:
    distinct = Distinct()
    for high, low in offered:
        distinct.offer(hashes([high], [low]), hashes([0], [0]))
    missing = distinct.missing_from(hashes([a[0] for a in asked], [a[1] for a in asked]))
    assert missing.tolist() == [pair not in set(offered) for pair in asked]


def test_repeats_are_found_across_merged_runs_and_a_bitmap_that_grew() -> None:
    dice = np.random.default_rng(5)
    ids = hashes([], [])
    distinct, known = Distinct(), dict[tuple[int, int], int]()
    for _ in range(40):
        fresh, content = dice.integers(0, 1 << 64, (2, 2_000), dtype=np.uint64), dice.integers(0, 2, 2_100, dtype=np.uint64)
        again = dice.integers(0, max(len(ids), 1), 100) if len(ids) else np.zeros(0, dtype=np.intp)
        offered = Hashes(np.concatenate([fresh[0], ids.high[again]]), np.concatenate([fresh[1], ids.low[again]]))
        content = content[: len(offered)]
        repeats = distinct.offer(offered, Hashes(content, content))
        for place, key in enumerate(zip(offered.high.tolist(), offered.low.tolist(), strict=True)):
            assert repeats.again[place] == (key in known)
            assert repeats.same[place] == (known.get(key) == content[place])
            known.setdefault(key, int(content[place]))
        ids = Hashes(np.concatenate([ids.high, fresh[0]]), np.concatenate([ids.low, fresh[1]]))
    strangers = Hashes(*dice.integers(0, 1 << 64, (2, 500), dtype=np.uint64))
    assert len(distinct) == len(known) == 80_000
    assert not distinct.missing_from(ids).any()
    assert distinct.missing_from(strangers).all()
