"""What the jobs of Bulk API 2.0 share: their state, their options, and the store in which they wait for a turn."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Generic, Literal, TypeVar

from pilothouse.sandbox.company.salesforce import ALPHABET, with_checksum
from pilothouse.sandbox.company.store import timestamp
from pilothouse.sandbox.salesforce.errors import ApiError

State = Literal["Open", "UploadComplete", "InProgress", "JobComplete", "Aborted", "Failed"]

DELIMITERS: Final = {"COMMA": ",", "SEMICOLON": ";", "TAB": "\t", "PIPE": "|", "CARET": "^", "BACKQUOTE": "`"}
LINE_ENDINGS: Final = {"LF": "\n", "CRLF": "\r\n"}
ENDED: Final = frozenset({"JobComplete", "Aborted", "Failed"})
_AT_ONCE: Final = 2
_MOST: Final = 100  # of a kind; each holds files open
_WORKING: Final = frozenset({"UploadComplete", "InProgress"})


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How a job's CSV is written."""

    delimiter: str
    line_ending: str

    @property
    def separator(self) -> str:
        """The character between values."""
        return DELIMITERS[self.delimiter]

    @property
    def line_end(self) -> str:
        """The characters between lines."""
        return LINE_ENDINGS[self.line_ending]

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Dialect:
        """From a job's request; ApiError where it asks for one that does not exist."""
        chosen = cls(delimiter=str(content.get("columnDelimiter", "COMMA")), line_ending=str(content.get("lineEnding", "LF")))
        if chosen.delimiter not in DELIMITERS or chosen.line_ending not in LINE_ENDINGS:
            raise ApiError.malformed(f"columnDelimiter {chosen.delimiter} or lineEnding {chosen.line_ending} is unknown")
        return chosen


@dataclass(kw_only=True)
class Job:
    """One job, whatever it does. `done` is set when it has ended."""

    id: str
    operation: str
    object_name: str
    dialect: Dialect
    user_id: str
    version: str
    created: datetime
    changed: datetime
    state: State
    error: str = ""
    milliseconds: int = 0
    done: threading.Event = field(default_factory=threading.Event)

    def described(self) -> dict[str, Any]:
        """The job as its resource shows it."""
        return {
            "id": self.id,
            "operation": self.operation,
            "object": self.object_name,
            "createdById": self.user_id,
            "createdDate": _shown(self.created),
            "systemModstamp": _shown(self.changed),
            "state": self.state,
            "concurrencyMode": "Parallel",
            "contentType": "CSV",
            "apiVersion": float(self.version),
            "lineEnding": self.dialect.line_ending,
            "columnDelimiter": self.dialect.delimiter,
            **({"errorMessage": self.error} if self.error else {}),
        }


J = TypeVar("J", bound=Job)


class Jobs(Generic[J]):
    """The jobs of one kind. Two run at a time; the oldest that are not at work are forgotten when there are too many."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.now = now
        self._known: dict[str, J] = {}
        self._numbers = iter(range(1, 62**8))
        self._turns = threading.BoundedSemaphore(_AT_ONCE)
        self._lock = threading.Lock()

    def new_id(self) -> str:
        """The Id of the next job."""
        with self._lock:
            number, digits = next(self._numbers), ""
        for _ in range(9):
            number, digit = divmod(number, 62)
            digits = ALPHABET[digit] + digits
        return with_checksum(f"750J80{digits}")

    def add(self, job: J) -> None:
        """Keep a job."""
        with self._lock:
            self._known[job.id] = job
            for key in [key for key, old in self._known.items() if old.state not in _WORKING][: max(0, len(self._known) - _MOST)]:
                del self._known[key]

    def get(self, key: str) -> J:
        """The job of that Id; ApiError NOT_FOUND where there is none."""
        job = self._known.get(key if len(key) != 15 else with_checksum(key))
        if job is None:
            raise ApiError.not_found()
        return job

    def all(self) -> list[J]:
        """All jobs that are known, in the order of their creation."""
        with self._lock:
            return list(self._known.values())

    def change(self, job: J, state: State, error: str = "") -> bool:
        """Move the job to another state, unless it has ended; whether it moved."""
        with self._lock:
            if job.state in ENDED:
                return False
            job.state, job.error, job.changed = state, error, self.now()
        if state in ENDED:
            job.done.set()
        return True

    def remove(self, job: J) -> None:
        """Forget a job that has ended."""
        if job.state not in ENDED:
            raise ApiError(400, "API_ERROR", f"Error encountered when deleting the job because the job is not terminated: {job.state}")
        with self._lock:
            self._known.pop(job.id, None)

    def start(self, job: J, work: Callable[[J], None]) -> None:
        """Run the job's work in a thread of its own when its turn comes. It dies with the process: so do the jobs."""
        threading.Thread(target=self._run, args=(job, work), name=f"bulk-{job.id}", daemon=True).start()

    def _run(self, job: J, work: Callable[[J], None]) -> None:
        with self._turns:
            if not self.change(job, "InProgress"):
                return
            began = self.now()
            try:
                work(job)
            except ApiError as error:
                self.change(job, "Failed", f"{error.code}: {error.message}")
            except Exception as error:
                self.change(job, "Failed", f"UNKNOWN_EXCEPTION: {error!r}")
                raise
            else:
                job.milliseconds = int((self.now() - began).total_seconds() * 1000)
                self.change(job, "JobComplete")


def _shown(at: datetime) -> str:
    return f"{timestamp(at)[:23]}+0000"
