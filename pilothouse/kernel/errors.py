"""Every error that Pilothouse raises on purpose, in one tree.

    PilothouseError
    ├── ConfigError                a setting is missing, unknown or wrong
    ├── AccessDenied               the principal may not do this
    ├── DataRejected               rows or a table broke a rule that blocks
    ├── LakeError                  the lake cannot be read or written
    │   ├── LakeUnavailable *      the store does not answer, or the disk is full
    │   └── CommitConflict *       somebody else wrote the table first
    ├── DatabaseError              the operational database refuses
    │   └── DatabaseUnavailable *  it does not answer
    ├── SourceError                a source said no, or said nonsense
    │   ├── SourceUnavailable *    it does not answer, or asks to come back later
    │   ├── CredentialsRejected    it does not know us
    │   └── SourceContractChanged  it no longer offers what we read
    ├── TargetError                a write-back failed
    │   ├── Conflict               the record changed since it was read
    │   ├── TargetForbids          it does not let us in, or our user may not write there
    │   └── TargetUnavailable *    it does not answer, or somebody else is writing the record
    ├── GraphError                 the graph refuses
    │   └── GraphUnavailable *     it does not answer, or another writer was in the way
    ├── ModelError
    └── AgentError
        ├── BudgetExceeded
        ├── ToolDenied
        ├── ToolFailed
        └── ModelUnavailable *

An error marked * is transient: the same call may succeed later, so it is worth a retry. No other error is, and
nothing (not Dagster's own retry daemon either) retries it. `hint` tells the reader the way out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class PilothouseError(Exception):
    """The root: what happened, to what, with which value; and in `hint`, the way out."""

    transient: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword arguments do not survive the default pickling, and errors cross process borders.
        return _rebuild, (type(self), self.message, self.hint, self.__dict__)


def _rebuild(kind: type[PilothouseError], message: str, hint: str, state: dict[str, object]) -> PilothouseError:
    error = kind.__new__(kind)
    PilothouseError.__init__(error, message, hint=hint)
    error.__dict__.update(state)
    return error


class ConfigError(PilothouseError):
    """A setting is missing, unknown or wrong."""


class AccessDenied(PilothouseError):
    """The principal may not do this."""


class DataRejected(PilothouseError):
    """Rows or a table broke a rule that blocks; nothing was published."""


class LakeError(PilothouseError):
    """The lake cannot be read or written."""


class LakeUnavailable(LakeError):
    """The store behind the lake does not answer, or its disk is full."""

    transient = True


class CommitConflict(LakeError):
    """Somebody else wrote the table first; reading again shows what they wrote."""

    transient = True


class DatabaseError(PilothouseError):
    """The operational database refuses."""


class DatabaseUnavailable(DatabaseError):
    """The operational database does not answer."""

    transient = True


class SourceError(PilothouseError):
    """A source said no, or said nonsense."""


class SourceUnavailable(SourceError):
    """A source does not answer, or asks to come back later; `retry_after` is its own wish, in seconds."""

    transient = True

    def __init__(self, message: str, *, hint: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class CredentialsRejected(SourceError):
    """A source does not know us."""


class SourceContractChanged(SourceError):
    """A source no longer offers what we read from it."""


class TargetError(PilothouseError):
    """A write-back failed."""


class Conflict(TargetError):
    """The record changed since it was read; nothing was overwritten. `differences` are its fields as they were, as we want them and as
    they are now."""

    def __init__(self, message: str, *, hint: str = "", differences: tuple[Mapping[str, object], ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.differences = differences


class TargetForbids(TargetError):
    """The target does not let us in, or our user may not write there. Nothing is wrong with the write: once that is mended, it goes
    through."""


class TargetUnavailable(TargetError):
    """The target does not answer, or somebody else is writing the record; executing the plan again finds out what happened."""

    transient = True


class GraphError(PilothouseError):
    """The graph refuses."""


class GraphUnavailable(GraphError):
    """The graph does not answer, or another writer was in the way for longer than we care to wait."""

    transient = True


class ModelError(PilothouseError):
    """A model cannot be fitted, found or scored."""


class AgentError(PilothouseError):
    """An agent run failed."""


class BudgetExceeded(AgentError):
    """The next call would cost more than what is left."""


class ToolDenied(AgentError):
    """The agent may not call this tool."""


class ToolFailed(AgentError):
    """A tool was called and failed."""


class ModelUnavailable(AgentError):
    """The model's provider does not answer."""

    transient = True
