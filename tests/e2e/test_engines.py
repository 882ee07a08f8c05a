"""The other engines, tested in an environment of their own."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-engines" / "bin" / "python"
TESTS = 12  # fewer would pass where a file was not collected


@pytest.mark.skipif(not PYTHON.exists(), reason="`make test` installs .venv-engines")
@pytest.mark.timeout(1_500)
@pytest.mark.untraced
def test_spark_snowflake_and_databricks_make_the_tables_that_duckdb_makes() -> None:
    command = [str(PYTHON), "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/engines"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-8_000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) >= TESTS, done.stdout[-2_000:]
