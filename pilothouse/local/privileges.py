"""What a child process may do, and how long it may live.

PostgreSQL refuses to run as root, and containers run us as root more often than not. So a root parent lends its child
an unprivileged account. Such an account cannot pass through root's own folders (`/root`, pytest's temporary ones);
instead of opening them to everybody, the child keeps one capability, to pass through and read, and loses all others.

A child that outlives its parent holds ports and files that nobody frees; the kernel can end it (Linux only).
"""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pilothouse.kernel.errors import ConfigError

_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2
_CAP_DAC_READ_SEARCH = 2
_CAPABILITY_VERSION_3 = 0x20080522
_LINUX = sys.platform == "linux"
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Account:
    """An account for a child of root; `passes_through` says that it keeps the way through closed folders."""

    name: str
    uid: int
    gid: int
    passes_through: bool = False

    def become(self) -> None:
        """Turn this process (a child before its exec) into the account, for good."""
        if self.passes_through:
            _check(_libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0))
        os.setgroups([])
        os.setresgid(self.gid, self.gid, self.gid)
        os.setresuid(self.uid, self.uid, self.uid)
        if self.passes_through:
            bit = 1 << _CAP_DAC_READ_SEARCH
            _check(_libc.capset(struct.pack("Ii", _CAPABILITY_VERSION_3, 0), struct.pack("6I", bit, bit, bit, 0, 0, 0)))
            _check(_libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_READ_SEARCH, 0, 0))


def unprivileged_account(*needed: Path) -> Account | None:
    """The account that a child should run as, and that can reach the needed paths; None where we are not root anyway."""
    if os.geteuid() != 0:
        return None
    entry = next(filter(None, map(_entry, ("postgres", "nobody"))), None)
    if entry is None:
        raise ConfigError(
            "running as root, and there is no account 'postgres' or 'nobody' to run PostgreSQL as", hint="run as another user"
        )
    closed = next((folder for path in needed for folder in reversed(path.resolve().parents) if _closed(folder, entry)), None)
    if closed is not None and not _may_pass_through():
        raise ConfigError(
            f"{closed}: closed to the account '{entry.pw_name}', which PostgreSQL runs as under root",
            hint=f"run as another user, move the project, or open the way with `chmod o+x {closed}`",
        )
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, passes_through=closed is not None)


def tethered(before: Callable[[], None] | None = None) -> Callable[[], None]:
    """A `preexec_fn`: the child gets SIGINT when the thread that started it ends. `before` runs first.

    In this order, because changing the account clears the signal.
    """
    parent = os.getpid()

    def prepare() -> None:
        if before is not None:
            before()
        tether(parent)

    return prepare


def tether(parent: int) -> None:
    """Let this process get SIGINT when the thread of that parent that started it ends; the program it becomes by exec, too."""
    if _LINUX:
        _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0))
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGINT)  # the parent died before the kernel was asked


def _check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _entry(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _closed(folder: Path, entry: pwd.struct_passwd) -> bool:
    """Whether the account cannot pass through the folder (one that does not exist yet will be made by us)."""
    if not folder.exists():
        return False
    status = folder.stat()
    bit = 0o100 if status.st_uid == entry.pw_uid else 0o010 if status.st_gid == entry.pw_gid else 0o001
    return not status.st_mode & bit


def _may_pass_through() -> bool:
    if not _LINUX:
        return False
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapPrm:"))
    return bool(int(line.split()[1], 16) >> _CAP_DAC_READ_SEARCH & 1)
