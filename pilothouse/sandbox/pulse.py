"""The beat at which the company lives: a thread that steps its clock at a set pace, and can be paused and stepped by hand."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

_log = logging.getLogger(__name__)


@dataclass
class Pulse:
    """Calls `beat` every `pace` seconds. A pace of 0 never beats by itself: tests step it.

    A beat that fails is reported (log, `error`) and the next one is tried: the company would stop living for ever
    because of one unlucky write.
    """

    beat: Callable[[datetime], Sequence[str]]
    pace: float
    paused: bool = False
    beats: int = 0
    error: str = ""
    _turn: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _ending: threading.Event = field(default_factory=threading.Event, repr=False)
    _thread: threading.Thread | None = field(default=None, repr=False)

    def start(self) -> None:
        """Begin to beat."""
        if self.pace > 0:
            self._thread = threading.Thread(target=self._live, name="company-clock", daemon=True)
            self._thread.start()

    def stop(self, timeout: float = 2.0) -> None:
        """End after the beat that is under way."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def step(self, beats: int = 1) -> list[str]:
        """Beat now, also while paused. Returns what happened, in words."""
        happened: list[str] = []
        for _ in range(beats):
            with self._turn:
                happened.extend(self.beat(datetime.now(UTC)))
                self.beats += 1
        return happened

    def _live(self) -> None:
        while not self._ending.wait(self.pace):
            if self.paused:
                continue
            try:
                self.step()
                self.error = ""
            except Exception as error:
                self.error = repr(error)
                _log.exception("the company missed a beat")
