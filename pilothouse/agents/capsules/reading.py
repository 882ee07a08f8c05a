"""Entries as they are read, wherever they lie: in the ledger of an enterprise, or in a bundle that an auditor was given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from pilothouse.agents.capsules.capsule import Capsule, Digest, Kind, digest
from pilothouse.kernel.errors import AgentError

SHOWN: Final = 12  # digits by which an entry is called where people read


@dataclass(frozen=True)
class Damage:
    """One thing that is not as it was written: at which entry, and what."""

    seq: int
    what: str


class Kept(Protocol):
    """Entries that can be read."""

    @property
    def public_key(self) -> bytes:
        """The key that checks every signature."""
        ...

    def head(self) -> Digest | None:
        """The newest digest."""
        ...

    def count(self) -> int:
        """How many entries there are."""
        ...

    def get(self, named: str) -> Capsule:
        """An entry by its digest or by the beginning of it; AgentError where there is none, or more than one."""
        ...

    def entries(
        self,
        *,
        kind: Kind | None = None,
        subject: str = "",
        about: Digest | None = None,
        agent: str = "",
        action: str = "",
        since: datetime | None = None,
        most: int | None = None,
    ) -> Iterator[Capsule]:
        """Entries, the newest first."""
        ...

    def blob(self, named: Digest) -> bytes:
        """A content by its digest; AgentError where it is missing or is no longer what was stored."""
        ...

    def verify(self, *, kept_head: Digest | None = None) -> Iterator[Damage]:
        """Everything that is not as it was written."""
        ...


def whole(named: Digest, content: bytes | None, hint: str, place: str = "") -> bytes:
    """A content as it was stored; AgentError where it is missing, or is no longer what its digest says."""
    if content is None or digest(content) != named:
        raise AgentError(f"{place}blob {named[:SHOWN]} {'is missing' if content is None else 'was changed'}", hint=hint)
    return content


def asked_for(named: str) -> str:
    """The digits by which somebody calls an entry; AgentError where they are none."""
    wanted = named.strip().lower()
    if not wanted or set(wanted) - set("0123456789abcdef"):
        raise AgentError(f"'{named}' is no digest of a capsule", hint="`pilothouse decisions` lists them")
    return wanted


def the_one(wanted: str, found: list[Capsule]) -> Capsule:
    """The entry that was meant; AgentError where that is none, or cannot be said."""
    if len(found) == 1:
        return found[0]
    several = f"there are several capsules that begin with {wanted}" if found else f"there is no capsule {wanted[:SHOWN]}"
    raise AgentError(several, hint="give more digits" if found else "`pilothouse decisions` lists them")
