"""What goes wrong while writing, in the words of a write: the HTTP client speaks of sources."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pilothouse.kernel.errors import CredentialsRejected, SourceError, TargetError, TargetForbids, TargetUnavailable


@contextmanager
def told_of_target() -> Iterator[None]:
    """A SourceError raised inside, as the TargetError it is to somebody who writes."""
    try:
        yield
    except SourceError as error:
        forbidden = TargetForbids if isinstance(error, CredentialsRejected) else TargetError
        kind = TargetUnavailable if error.transient else forbidden
        raise kind(error.message, hint=error.hint) from error
