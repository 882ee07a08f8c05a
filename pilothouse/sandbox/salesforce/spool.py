"""A finished result in a file that has no name: rows as bytes, and where each begins.

Salesforce answers the pages of one query, and of one bulk job, from the moment of the query. Keeping a read transaction
open for a client that may never come back would keep SQLite from tidying its log; a file costs nothing while it waits
and is gone with the process, however that ends.
"""

from __future__ import annotations

import os
import tempfile
import threading
import weakref
from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Final

_PIECE: Final = 1 << 20


class Spool:
    """Rows that can be read from any of them on, by several threads, also while more are written."""

    def __init__(self, directory: Path) -> None:
        self._file, path = tempfile.mkstemp(prefix="spool-", dir=directory)
        Path(path).unlink()
        weakref.finalize(self, os.close, self._file)
        self._begins = array("Q", [0])
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._begins) - 1

    def write(self, rows: Sequence[bytes]) -> None:
        """Add rows behind those that are there."""
        if not rows:
            return
        content = b"".join(rows)
        with self._lock:
            ends = accumulate(map(len, rows), initial=self._begins[-1])
            next(ends)
            _write_all(self._file, content, self._begins[-1])
            self._begins.extend(ends)

    def read(self, first: int, count: int) -> bytes:
        """So many rows from this one on, as one text."""
        return b"".join(self.pieces(first, count))

    def pieces(self, first: int, count: int) -> Iterator[bytes]:
        """The same in pieces of a megabyte."""
        last = min(first + count, len(self))
        at, end = (self._begins[first], self._begins[last]) if first < last else (0, 0)
        while at < end:
            piece = os.pread(self._file, min(_PIECE, end - at), at)
            if not piece:
                raise EOFError(f"the result ends at byte {at}, {end - at} bytes early")
            at += len(piece)
            yield piece


def _write_all(file: int, content: bytes, at: int) -> None:
    view = memoryview(content)
    while view:
        written = os.pwrite(file, view, at)
        view = view[written:]
        at += written
