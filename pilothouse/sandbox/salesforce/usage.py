"""How many requests the org has used today, and how many it may: Salesforce counts every call of its data APIs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from pilothouse.sandbox.salesforce.errors import ApiError


@dataclass
class Usage:
    """A counter that begins anew each day (UTC)."""

    limit: int
    now: Callable[[], datetime]
    used: int = 0
    _day: date | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def count(self) -> None:
        """Note one request; ApiError REQUEST_LIMIT_EXCEEDED where none is left."""
        today = self.now().date()
        with self._lock:
            if self._day != today:
                self._day, self.used = today, 0
            if self.used >= self.limit:
                raise limit_exceeded()
            self.used += 1

    def header(self) -> str:
        """What every response says about it."""
        return f"api-usage={self.used}/{self.limit}"

    def limits(self) -> dict[str, Any]:
        """`GET limits`. What the sandbox does not limit has all of it left."""
        unlimited = {
            "DailyBulkApiBatches": 15_000,
            "DailyBulkV2QueryFileStorageMB": 976_562,
            "DailyBulkV2QueryJobs": 10_000,
            "DailyAsyncApexExecutions": 250_000,
            "DataStorageMB": 1_024,
            "FileStorageMB": 1_024,
        }
        limits = {"DailyApiRequests": {"Max": self.limit, "Remaining": max(0, self.limit - self.used)}}
        return {**limits, **{name: {"Max": most, "Remaining": most} for name, most in unlimited.items()}}


def limit_exceeded() -> ApiError:
    """No request is left for today."""
    return ApiError(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
