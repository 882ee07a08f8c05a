"""Which servers answer at present, learnt from what came of asking them.

One that fails rests for a moment, twice as long each time, or as long as it says itself; one that answers is well again. A server that
refuses us (a wrong key, an unknown model) rests too, for longer, since only a person mends that.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_FIRST: Final = 0.25  # seconds of rest after the first failure
_LONGEST: Final = 30.0
_REFUSED: Final = 60.0
_WEIGHT: Final = 0.2  # of the newest answer in what is expected of the next


@dataclass
class Record:
    """What is known of one server."""

    rests_until: float = 0.0
    failures: int = 0  # in a row
    said: str = ""  # of the last failure


class Health:
    """What is known of every server and model that was asked in this process. Threads share it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._servers: dict[str, Record] = {}
        self._tokens: dict[str, float] = {}  # that an answer has, by model
        self._lock = threading.Lock()

    def rests(self, server: str) -> float:
        """For how many seconds it should be left alone; 0 where it is well."""
        with self._lock:
            record = self._servers.get(server)
            return max(0.0, record.rests_until - self._clock()) if record else 0.0

    def answered(self, server: str) -> None:
        """It is well."""
        with self._lock:
            self._servers.pop(server, None)

    def failed(self, server: str, said: str, *, after: float | None = None, refused: bool = False) -> None:
        """It is not. `after` is how long it says itself that it must be left alone."""
        with self._lock:
            record = self._servers.setdefault(server, Record())
            record.failures += 1
            record.said = said
            rest = _REFUSED if refused else min(_LONGEST, _FIRST * 2.0 ** (record.failures - 1))
            record.rests_until = self._clock() + (rest if after is None else after)

    def used(self, model: str, tokens: int) -> None:
        """Note how long a model's answer was, which tells what the next will cost."""
        with self._lock:
            self._tokens[model] = (1 - _WEIGHT) * self._tokens.get(model, float(tokens)) + _WEIGHT * tokens

    def tokens(self, model: str) -> float | None:
        """How long its answers are; None where it has given none."""
        with self._lock:
            return self._tokens.get(model)
