"""Passwords of servers that run on this machine: generated once, kept in a file that its owner alone can read."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def kept_password(file: Path) -> str:
    """The password in the file; a new one where there is none yet."""
    known = file.read_text().strip() if file.is_file() else ""
    return known or write_private(file, secrets.token_urlsafe(24))


def write_private(file: Path, text: str) -> str:
    """Write a file that only its owner can read, wholly or not at all; the text."""
    draft = file.with_name(f"{file.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
        handle.write(text)
    draft.replace(file)
    return text
