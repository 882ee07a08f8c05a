"""A program that `up` keeps alive."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from pilothouse.local import process
from pilothouse.local.process import Program

CHATTY = "import time\nwhile True: print('x' * 200, flush=True); time.sleep(0.002)"


def test_the_log_of_a_program_that_lives_long_stays_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_LOG_LIMIT", 20_000)
    program = Program("chatty", [sys.executable, "-c", CHATTY], tmp_path / "chatty.log", answers=lambda: True)
    program.start()
    try:
        pid, deadline = program.pid, time.monotonic() + 30
        while not (kept := program.log.with_suffix(".old.log")).exists():
            assert time.monotonic() < deadline
            assert not program.revive()
            time.sleep(0.01)
        assert program.pid == pid
        assert kept.stat().st_size > 20_000
        cut = program.log.stat().st_size
        assert cut < kept.stat().st_size
        while program.log.stat().st_size <= cut:  # it goes on writing
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert program.log.read_bytes().startswith(b"x")  # and leaves no hole
    finally:
        program.stop()
