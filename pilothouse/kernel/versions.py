"""The version vector: exactly what was read, written down by the reader.

Law 1: nothing reads "latest" without recording what latest was. So a reader does not report versions when asked; it
records them in the act of reading, into whichever `recording()` is open in its context. Dagster shows the vector as a
table on every materialization, and a decision's capsule carries it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

Kind = Literal["table", "graph", "model", "prompt", "code", "policy"]


@dataclass(frozen=True, order=True)
class Pinned:
    """One thing at one version. `identity` tells a table made anew under an old name from the old one."""

    kind: Kind
    name: str
    version: str
    identity: str = ""


@dataclass(frozen=True)
class Versions:
    """What was read and what was written, each sorted, so that equal vectors have equal bytes."""

    read: tuple[Pinned, ...] = ()
    written: tuple[Pinned, ...] = ()

    def as_json(self) -> dict[str, list[dict[str, str]]]:
        """The vector as plain JSON, in canonical order."""
        return {"read": [_plain(entry) for entry in self.read], "written": [_plain(entry) for entry in self.written]}

    @classmethod
    def from_json(cls, plain: Mapping[str, list[dict[str, str]]]) -> Versions:
        """The inverse of `as_json`."""
        read, written = (tuple(sorted(Pinned(**entry) for entry in plain.get(part, []))) for part in ("read", "written"))  # type: ignore[arg-type]
        return cls(read, written)

    def digest(self) -> str:
        """SHA-256 of the canonical JSON."""
        return hashlib.sha256(json.dumps(self.as_json(), sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _plain(entry: Pinned) -> dict[str, str]:
    return {"kind": entry.kind, "name": entry.name, "version": entry.version, "identity": entry.identity}


class Recorder:
    """Collects what is read and written while it is open. Reading one thing twice at one version is one entry."""

    def __init__(self) -> None:
        self._read: set[Pinned] = set()
        self._written: set[Pinned] = set()

    def read(self, entry: Pinned) -> None:
        """Note a read."""
        self._read.add(entry)

    def wrote(self, entry: Pinned) -> None:
        """Note a write."""
        self._written.add(entry)

    def versions(self) -> Versions:
        """The vector so far."""
        return Versions(tuple(sorted(self._read)), tuple(sorted(self._written)))


_open: ContextVar[tuple[Recorder, ...]] = ContextVar("pilothouse_recorders", default=())


@contextmanager
def recording() -> Iterator[Recorder]:
    """Record every versioned read and write of this context. Nested recordings each see what happens inside them."""
    recorder = Recorder()
    token = _open.set((*_open.get(), recorder))
    try:
        yield recorder
    finally:
        _open.reset(token)


def note_read(entry: Pinned) -> None:
    """Called by whatever reads a version; without an open recording it does nothing."""
    for recorder in _open.get():
        recorder.read(entry)


def read_so_far() -> Versions:
    """What the innermost open recording has seen; nothing without one."""
    recorders = _open.get()
    return recorders[-1].versions() if recorders else Versions()


def note_written(entry: Pinned) -> None:
    """Called by whatever commits a version."""
    for recorder in _open.get():
        recorder.wrote(entry)
