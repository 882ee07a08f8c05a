"""delta-rs speaks in a few exception types and many sentences; callers get one error of ours with a way out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from pilothouse.kernel.errors import CommitConflict, LakeError, LakeUnavailable, PilothouseError

_FULL = ("no space left", "storagefull", "disk quota", "quota exceeded")
_FORBIDDEN = ("permission denied", "permissiondenied", "read-only file system", "not a directory", "could not create local directory")
_REFUSED = ("access denied", "accessdenied", "signaturedoesnotmatch", "invalidaccesskeyid", "403 forbidden", "nosuchbucket")
_TAKEN = "A Delta Lake table already exists at that location"
_AWAY = ("error sending request", "connection refused", "timed out", "dns error", "connect error", "error trying to connect")


@contextmanager
def translated(uri: str) -> Iterator[None]:
    """Turn whatever the store says about `uri` into an error of ours."""
    try:
        yield
    except PilothouseError:
        raise
    except (DeltaError, OSError, pa.ArrowException) as error:
        if isinstance(error, CommitFailedError) or _TAKEN in str(error):
            raise CommitConflict(
                f"{uri}: another writer committed first ({error})", hint="sync again: it starts from what is there now"
            ) from error
        raise lake_error(uri, error) from error


def lake_error(uri: str, error: BaseException) -> LakeError:
    """The error of ours that says what `error` means for the lake."""
    said = str(error)
    lowered = " ".join(str(each).lower() for each in _with_causes(error))
    if any(sign in lowered for sign in _FULL):
        return LakeUnavailable(
            f"{uri}: the disk is full", hint="free some space (`pilothouse doctor` shows what the lake holds), then sync again"
        )
    if any(sign in lowered for sign in _FORBIDDEN):
        return LakeError(
            f"{uri}: the path cannot be written ({_first_line(said)})", hint="check PILOTHOUSE_LAKE__URL and the folder's owner"
        )
    if any(sign in lowered for sign in _REFUSED):
        return LakeError(
            f"{uri}: the object store refuses ({_first_line(said)})",
            hint="check PILOTHOUSE_LAKE__URL, the bucket and PILOTHOUSE_LAKE__OPTIONS",
        )
    if any(sign in lowered for sign in _AWAY):
        return LakeUnavailable(
            f"{uri}: the object store does not answer ({_first_line(said)})", hint="check PILOTHOUSE_LAKE__OPTIONS__ENDPOINT_URL"
        )
    if isinstance(error, TableNotFoundError):
        return LakeError(f"{uri}: there is no such table", hint="`pilothouse tables` lists the tables there are")
    return LakeError(f"{uri}: {_first_line(said)}", hint="`pilothouse doctor` checks the lake")


def _with_causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it came after: what closing a file says hides that the disk is full."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0][:300] if text.strip() else "no reason given"
