"""`python -m bench.victim sync|run SOURCE`: a process that syncs one source when told to, so that it can be killed meanwhile.

It says "ready" once everything is imported, begins at a line of input, and says "done" at the end. `sync` reads stream after
stream; `run` does it as a run of Dagster's, with Dagster's own storage behind it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from assets.platform import Platform
from assets.syncing import sync_stream
from pilothouse.kernel.errors import PilothouseError
from pilothouse.kernel.log import configure
from pilothouse.kernel.settings import load


def main(kind: str, source: str) -> int:
    """Wait for the word, then sync; the exit code is 1 where that failed with an error of ours."""
    configure(level="CRITICAL")
    platform = Platform(load())
    work = _as_run(platform, source) if kind == "run" else _directly(platform, source)
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        work()
    except PilothouseError as error:
        print(f"{type(error).__name__}: {error.message}", flush=True)
        return 1
    print("done", flush=True)
    return 0


def _directly(platform: Platform, source: str) -> Callable[[], None]:
    streams = platform.source(source).streams

    def work() -> None:
        for stream in streams:
            sync_stream(platform, source, stream)

    return work


def _as_run(platform: Platform, source: str) -> Callable[[], None]:
    from orchestration.definitions import defs
    from orchestration.syncing import sync

    defs.resolve_job_def(f"sync_{source}")

    def work() -> None:
        outcome = sync(platform.settings.home / "dagster", source, [], lambda _stream, _load: None)
        if outcome.failed:
            raise PilothouseError("; ".join(f"{each.stream}: {each.reason}" for each in outcome.failed), hint="sync again")

    return work


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
