"""Each contender in a fresh process of its own: what one loaded or held cannot help or hurt the next.

Seconds count from the first request to the last commit, imports excluded on both sides. Memory is the peak of the resident
set as the kernel kept it for that process.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).parent
PEERS = HERE.parent / ".venv-peers" / "bin" / "python"


@dataclass(frozen=True)
class Measured:
    """What one contender did."""

    rows: int
    seconds: float
    peak_mb: float

    def require(self, rows: int) -> None:
        """Raise unless all rows arrived: a contender that loses some has measured nothing."""
        if self.rows != rows:
            raise RuntimeError(f"{self.rows:,} of {rows:,} rows arrived")


def ours(function: str, *arguments: str) -> Measured:
    """Run `module:function` with these arguments; it returns how many rows it brought."""
    return _run([sys.executable, "-m", "bench.apart", function, *arguments])


def peer(script: str, *arguments: str) -> Measured:
    """Run a script of `bench/peers` in the peers' own environment; it prints what we print."""
    if not PEERS.exists():
        raise RuntimeError("the peers are not installed: run `make bench`")
    return _run([str(PEERS), str(HERE / "peers" / script), *arguments])


def measured(work: Callable[[], int]) -> Measured:
    """Do the work in this process."""
    started = time.perf_counter()
    rows = work()
    return Measured(rows, time.perf_counter() - started, peak_mb())


def peak_mb() -> float:
    """The most this process ever held. Not getrusage: that one also counts what the parent held before our exec."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def _run(command: list[str]) -> Measured:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HERE.parent)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-4000:]}")
    return Measured(**json.loads(done.stdout.strip().splitlines()[-1]))


if __name__ == "__main__":
    module, _, name = sys.argv[1].partition(":")
    function = getattr(importlib.import_module(module), name)
    print(json.dumps(asdict(measured(lambda: function(*sys.argv[2:])))))
