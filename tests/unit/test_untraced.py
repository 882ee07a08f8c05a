"""Coverage looks away where a test says so, and looks again at the next one."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest


def tracers() -> tuple[object, object]:
    """What traces this thread, and one that is started now."""
    seen: list[object] = []
    thread = threading.Thread(target=lambda: seen.append(sys.gettrace()))
    thread.start()
    thread.join()
    return sys.gettrace(), seen[0]


def a_process_is_traced() -> bool:
    """Whether one that is started now traces itself."""
    told = subprocess.run([sys.executable, "-c", "import sys; print(sys.gettrace())"], capture_output=True, text=True, check=True)
    return told.stdout.strip() != "None"


@pytest.mark.untraced
def test_a_test_that_says_so_is_not_traced() -> None:
    assert tracers() == (None, None)
    assert not a_process_is_traced()


def test_the_next_one_is_traced_if_the_run_is(request: pytest.FixtureRequest) -> None:
    measured = request.config.pluginmanager.hasplugin("_cov")
    assert (None in tracers()) != measured
    assert a_process_is_traced() == measured
