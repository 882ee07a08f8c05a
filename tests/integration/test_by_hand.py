"""A run that a person started ends with the Ctrl-C of that person, and fails by nothing else."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import dagster as dg
import pytest

from orchestration.by_hand import broken_off


def ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def fault() -> None:
    raise ValueError("a fault of the step itself")


@pytest.mark.parametrize(("happens", "ended"), [(ctrl_c, True), (fault, False)])
def test_a_ctrl_c_is_told_from_a_failure(happens: Callable[[], None], ended: bool) -> None:
    @dg.op
    def step() -> None:
        happens()

    @dg.job
    def job() -> None:
        step()

    assert broken_off(job.execute_in_process(raise_on_error=False)) is ended
