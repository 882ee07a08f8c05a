"""Who is logged in: session ids that end after a while without use, and can be ended all at once."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

ORGANIZATION_ID: Final = "00DJ80000000001MAA"
_MOST: Final = 1000  # sessions kept; a client that logs in for each request must not fill the memory


@dataclass(frozen=True)
class Session:
    """One login: its id, the user's record, and when it ends (monotonic seconds)."""

    id: str
    user_id: str
    ends: float


class Sessions:
    """The sessions that are known."""

    def __init__(self, life: timedelta, clock: Callable[[], float] = time.monotonic) -> None:
        self.life = life
        self._clock = clock
        self._known: dict[str, Session] = {}
        self._lock = threading.Lock()

    def open(self, user_id: str) -> Session:
        """A new session of this user."""
        token = f"{ORGANIZATION_ID[:15]}!AQ{secrets.token_urlsafe(66)}"
        session = Session(token, user_id, self._clock() + self.life.total_seconds())
        with self._lock:
            self._known[token] = session
            while len(self._known) > _MOST:
                del self._known[next(iter(self._known))]
        return session

    def find(self, token: str) -> Session | None:
        """The session with this id, which its use prolongs; None where it is unknown or has ended."""
        now = self._clock()
        with self._lock:
            session = self._known.pop(token, None)
            if session is None or session.ends <= now:
                return None
            self._known[token] = session = replace(session, ends=now + self.life.total_seconds())
            return session

    def end(self, token: str) -> bool:
        """Log out; whether there was such a session."""
        with self._lock:
            return self._known.pop(token, None) is not None

    def end_all(self) -> None:
        """Log everybody out."""
        with self._lock:
            self._known.clear()
