"""When a failed request is worth repeating, and after which pause.

Full jitter: the pause is drawn from zero to the exponential bound, so that a hundred clients that failed together
do not come back together. The source's own wish (Retry-After) is a lower bound, never undercut; where it exceeds
what is left of the deadline there is no use in waiting, and the error says when to come back.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from pilothouse.kernel.errors import SourceError, SourceUnavailable

LONGEST_WISH = 30 * 86_400.0  # a server that asks for more than a month has a broken clock


@dataclass(frozen=True, kw_only=True)
class Retry:
    """How often, how long apart and for how long in all. `deadline` bounds attempts and pauses together."""

    attempts: int = 6
    base: float = 0.5
    longest_pause: float = 30.0
    deadline: float = 180.0

    def pause(self, attempt: int, error: SourceError, elapsed: float, draw: Callable[[], float] = random.random) -> float | None:
        """Seconds to wait after the failed `attempt` (counted from 1); None where another attempt is of no use."""
        if not error.transient or attempt >= self.attempts:
            return None
        bound = min(self.longest_pause, self.base * math.ldexp(1.0, min(attempt - 1, 62)))
        wish = error.retry_after if isinstance(error, SourceUnavailable) else None
        pause = draw() * bound if wish is None else wish + draw() * min(1.0, bound)
        return pause if elapsed + pause <= self.deadline else None


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks for, given as a number or as a date; None where it says nothing usable."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.replace(".", "", 1).isdigit():
        return min(float(text), LONGEST_WISH)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    # RFC 9110: an HTTP date is always GMT, whatever a sloppy server leaves out.
    aware = when if when.tzinfo else when.replace(tzinfo=UTC)
    return min(max(0.0, (aware - now).total_seconds()), LONGEST_WISH)
