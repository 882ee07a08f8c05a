"""One kind of record of our own: how it is named, its one field, how it is looked at, and how that field is changed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Final

from pilothouse.kernel.errors import ConfigError, DataRejected, PilothouseError, TargetError, TargetUnavailable

if TYPE_CHECKING:
    from assets.platform import Platform
    from connectors.target import Receipt, Seen, Value, Values

OWN: Final = "pilothouse"  # by what proposals call it
BY: Final = "an approved proposal"


class OwnKind(ABC):
    """A kind of record. `final` says why a change cannot be taken back, and what is done instead; empty where it can."""

    record: str
    key: tuple[str, ...]
    field: str
    final: str = ""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform

    @abstractmethod
    def look(self, identity: Values) -> Seen | None:
        """The field as it is, and the mark of that state; None where there is no such record."""

    @abstractmethod
    def check(self, identity: Values, value: Value) -> None:
        """TargetError where the field can never be set to this: told when somebody edits a proposal, and before a change."""

    @abstractmethod
    def change(self, identity: Values, value: Value, token: str) -> None:
        """Set the field, unless the record left the state of the token: `Stale`."""

    def left(self, written: Receipt) -> str:  # noqa: ARG002 - of most kinds nothing is
        """What stays of a change that was taken back, in words; empty where nothing does."""
        return ""


@contextmanager
def told_as_target() -> Iterator[None]:
    """Errors of what stands behind a record as those of a target: what may pass by itself leaves a proposal approved for another try."""
    try:
        yield
    except TargetError:
        raise
    except (ConfigError, DataRejected) as error:
        raise TargetError(error.message, hint=error.hint) from error
    except PilothouseError as error:
        raise (TargetUnavailable if error.transient else TargetError)(error.message, hint=error.hint) from error


def moment(text: str) -> datetime:
    """A moment as it stands in a key."""
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise TargetError(f"{OWN}: until = {text!r} is no moment", hint="write it as ISO 8601 with a time zone") from error
