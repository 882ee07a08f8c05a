"""The one administrator of a machine whose pilothouse.toml declares nobody: a token that its owner alone can read.

A laptop has one person, and approving must work there without setting anything up. It is a token like any other, kept in a file of
mode 0600 beside the other keys; as soon as principals are declared, the file goes and they count.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from pilothouse.approvals.principals import ADMIN, Principals
from pilothouse.kernel.errors import AccessDenied
from pilothouse.kernel.settings import Settings


def token_file(settings: Settings) -> Path:
    """Where the token is."""
    return settings.home / "keys" / "admin.token"


def local_token(settings: Settings) -> str | None:
    """The token of this machine's administrator; None where principals are declared, or `pilothouse up` has not written it yet."""
    if settings.principals:
        return None
    with suppress(FileNotFoundError):
        return token_file(settings).read_text().strip() or None
    return None


def keep_local_token(settings: Settings, principals: Principals) -> None:
    """See to it that the file holds a token that is valid, or that there is none where principals are declared."""
    path = token_file(settings)
    if settings.principals:
        path.unlink(missing_ok=True)
        return
    with suppress(AccessDenied):
        if token := local_token(settings):
            principals.by_token(token)
            return
    write_token(settings, principals.issue(ADMIN, "pilothouse up"))


def write_token(settings: Settings, token: str) -> None:
    """Put the token where its owner alone can read it."""
    path = token_file(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(token + "\n")
    draft.replace(path)
