"""Provenance by brute force: take rows away and see what becomes of the answer. Slow, and knows nothing of how we do it.

A row is a cause of an answer if taking it away changes the answer, or does so once others, without which the answer stays the
same, are gone: of three rows that each reach the maximum, each is one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

R = TypeVar("R", bound=Hashable)
_ORDERS = 12


def necessary(rows: Iterable[R], answer: Callable[[frozenset[R]], object]) -> set[R]:
    """The rows without any one of which the answer is another. `answer` is asked with the rows that are gone."""
    whole = answer(frozenset())
    return {row for row in rows if answer(frozenset({row})) != whole}


def is_cause(row: R, others: Iterable[R], answer: Callable[[frozenset[R]], object]) -> bool:
    """Whether a row matters once others that can be spared are gone: none, some or all of them. Which can be depends on which went
    first, so several orders are tried."""
    whole, several = answer(frozenset()), list(others)
    if answer(frozenset({row})) != whole:
        return True
    dice = random.Random(7)
    for _ in range(_ORDERS):
        gone: frozenset[R] = frozenset()
        for other in several:
            if other != row and answer(gone | {other}) == whole:
                gone |= {other}
                if answer(gone | {row}) != whole:
                    return True
        dice.shuffle(several)
    return False
