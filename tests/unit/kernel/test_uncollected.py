"""The collector rests inside, and works again after, whatever happened."""

from __future__ import annotations

import gc

import pytest

from pilothouse.kernel.uncollected import uncollected


def at_work(error: bool) -> list[bool]:
    seen = []
    with uncollected():
        with uncollected():
            seen.append(gc.isenabled())
        seen.append(gc.isenabled())
        if error:
            raise ValueError("a fault")
    return seen


def test_the_collector_rests_inside_and_works_again_after() -> None:
    assert at_work(error=False) == [False, False]
    assert gc.isenabled()
    with pytest.raises(ValueError, match="a fault"):
        at_work(error=True)
    assert gc.isenabled()
