"""A request budget: what we may ask of a source that others need too.

Company-wide API quotas are shared with people. A sync that eats the quota locks them out, so the limit is ours and
is kept before the request leaves, not after the source complains.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from pilothouse.kernel.errors import SourceUnavailable


class RequestBudget:
    """At most `most` requests in any `window` seconds, `per_sync` since `renew`, and `apart` seconds between two.

    A short wait (up to `patience`) is waited; a longer one is a SourceUnavailable that says when to come back.
    """

    def __init__(
        self,
        source: str,
        *,
        most: int | None = None,
        window: float = 60.0,
        per_sync: int | None = None,
        apart: float = 0.0,
        patience: float = 60.0,
        setting: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._most = most
        self._window = window
        self._per_sync = per_sync
        self._apart = apart
        self._patience = patience
        self._setting = setting
        self._clock = clock
        self._lock = threading.Lock()
        self._slots: deque[float] = deque()  # when the requests of the window leave; the last may lie ahead
        self._spent = 0

    @property
    def spent(self) -> int:
        """Requests since the budget was made or renewed."""
        with self._lock:
            return self._spent

    def renew(self) -> None:
        """Start the count of a new sync. The rolling window goes on."""
        with self._lock:
            self._spent = 0

    def take(self) -> float:
        """Take one request out of the budget; the seconds to wait before sending it. Raises where nothing is left."""
        with self._lock:
            if self._per_sync is not None and self._spent >= self._per_sync:
                raise SourceUnavailable(
                    f"{self._source}: this sync has used its budget of {self._per_sync} requests",
                    hint=self._hint("or wait for the next sync"),
                )
            now = self._clock()
            while self._slots and self._slots[0] <= now - self._window:
                self._slots.popleft()
            leaves = max(now, self._slots[-1] + self._apart if self._slots else now)
            if self._most is not None and len(self._slots) >= self._most:
                leaves = max(leaves, self._slots[-self._most] + self._window)
            if leaves - now > self._patience:
                raise SourceUnavailable(
                    f"{self._source}: the budget of {self._most} requests in {self._window:.0f} s is used up for {leaves - now:.0f} s",
                    hint=self._hint("or come back later"),
                    retry_after=leaves - now,
                )
            self._slots.append(leaves)
            self._spent += 1
            return leaves - now

    def _hint(self, otherwise: str) -> str:
        return f"raise {self._setting}, {otherwise}" if self._setting else otherwise.removeprefix("or ")
