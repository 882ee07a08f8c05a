"""How much of the code was covered is told before pytest's last line, and too little fails a run of all tests.

Slipcover measures (`make test`): it takes its marks out of the bytecode once a line was reached, where a tracer is called for every line
of every library, and took a fifth of a test's time (decision 17). It prints after pytest has ended, or writes a file; the terminal
says it here.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

LEAST = "LINES_COVERED"  # per cent, by the Makefile
_SHOWN = 12  # files

_covered = pytest.StashKey[dict[str, Any]]()


@pytest.hookimpl(trylast=True)  # after slipcover has merged what each worker saw
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run of all tests that covers too little."""
    merged = Path(os.environ.get("SLIPCOVER_COVERAGE_DIR", "")) / "merged.json"
    if os.environ.get("PYTEST_XDIST_WORKER") or not merged.is_file():
        return
    covered = session.config.stash[_covered] = json.loads(merged.read_text())
    whole = session.config.args_source is pytest.Config.ArgsSource.TESTPATHS  # and not some files that somebody named
    if whole and _share(covered) < float(os.environ.get(LEAST, 0)) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Where lines were missed, and how many were not."""
    covered = config.stash.get(_covered, None)
    if covered is None:
        return
    terminalreporter.section("lines covered")
    missed = {name: file["missing_lines"] for name, file in covered["files"].items()}
    for name in sorted(missed, key=lambda name: len(missed[name]), reverse=True)[:_SHOWN]:
        terminalreporter.write_line(f"{len(missed[name]):>5} missed in {name}")
    share, least = _share(covered), float(os.environ.get(LEAST, 0))
    terminalreporter.write_line(
        f"TOTAL {share:.2f} % of lines covered, at least {least:g} are asked for of all tests", red=share < least, bold=True
    )


def _share(covered: dict[str, Any]) -> float:
    return float(covered["summary"]["percent_covered"])
