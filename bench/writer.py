"""`python -m bench.writer`: a process that executes and undoes what it is told to, in children that can be killed meanwhile.

A child is forked once everything is imported, or a thousand kills would be two thousand seconds of importing. It opens its own
connections; the parent holds none.
"""

from __future__ import annotations

import os
import sys

from assets.platform import Platform
from pilothouse.approvals import executor, policy, proposals  # noqa: F401 - what is imported here is not imported by each child
from pilothouse.approvals.principals import ADMIN, Principal
from pilothouse.kernel.log import configure
from pilothouse.kernel.settings import load

OWNER = Principal("owner", ADMIN)


def main() -> None:
    """One child a line; its number is printed when it begins, and "over" when it has ended, however."""
    configure(level="CRITICAL")
    Platform(load()).sources  # noqa: B018 - imports every connector
    for line in sys.stdin:
        verb, named = line.split()
        child = os.fork()
        if child == 0:
            _work(verb, named)
        print(child, flush=True)
        os.waitpid(child, 0)
        print("over", flush=True)


def _work(verb: str, named: str) -> None:
    try:
        platform = Platform(load())
        if verb == "execute":
            platform.executor.execute(named)
        else:
            platform.executor.undo(named, OWNER, "a trial")
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()
