"""A circuit breaker: after a row of failures a source is left in peace for a while.

Twenty streams that each try six times against a source that is down keep it down, and hold twenty workers for
minutes. With the breaker open they fail at once and say when it is tried again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from pilothouse.kernel.errors import SourceUnavailable


class CircuitBreaker:
    """Closed: all pass. Open: all fail at once. Half-open, when the rest is over: one probe passes and decides.

    A probe that fails doubles the rest, up to `longest_rest`. Safe to share between threads.
    """

    def __init__(
        self,
        source: str,
        *,
        failures: int = 8,
        rest: float = 15.0,
        longest_rest: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._limit = failures
        self._first_rest = rest
        self._longest_rest = longest_rest
        self._clock = clock
        self._lock = threading.Lock()
        self._failed = 0
        self._rest = rest
        self._closed_again_at: float | None = None
        self._probe_until: float | None = None

    @property
    def open(self) -> bool:
        """Whether the source is being left in peace right now."""
        with self._lock:
            return self._closed_again_at is not None

    def before(self) -> None:
        """Let a request pass, or raise SourceUnavailable at once."""
        with self._lock:
            if self._closed_again_at is None:
                return
            now = self._clock()
            probing = self._probe_until is not None and now < self._probe_until
            if now >= self._closed_again_at and not probing:
                # A probe whose caller died must not keep the circuit open for ever: after one rest another may go.
                self._probe_until = now + self._rest
                return
            wait = max(self._closed_again_at - now, 0.0) if not probing else 1.0
            raise SourceUnavailable(
                f"{self._source}: not asked, because its last {self._failed} requests failed; tried again {_at(wait)}",
                hint="`pilothouse doctor` says what is wrong with it",
                retry_after=wait,
            )

    def succeeded(self) -> None:
        """The source answered: close the circuit and forget what was."""
        with self._lock:
            self._failed = 0
            self._rest = self._first_rest
            self._closed_again_at = self._probe_until = None

    def failed(self) -> None:
        """The source did not answer; the last of a row of failures opens the circuit."""
        with self._lock:
            self._failed += 1
            was_probe = self._probe_until is not None
            if was_probe:
                self._rest = min(self._rest * 2, self._longest_rest)
            if was_probe or (self._failed >= self._limit and self._closed_again_at is None):
                self._closed_again_at = self._clock() + self._rest
                self._probe_until = None


_shared: dict[tuple[str, str], CircuitBreaker] = {}
_shared_lock = threading.Lock()


def breaker_of(source: str, origin: str) -> CircuitBreaker:
    """The breaker that all clients of one source in this process share: what one stream learns spares the others."""
    with _shared_lock:
        return _shared.setdefault((source, origin), CircuitBreaker(source))


def _at(seconds: float) -> str:
    when = datetime.now(UTC) + timedelta(seconds=seconds)
    return f"at {when:%H:%M:%S} UTC (in {seconds:.0f} s)"
