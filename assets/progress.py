"""Who hears of each stream as it is synced: the terminal of whoever started the sync in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assets.loading import Load

Listener = Callable[[str, "Load | None"], None]
_listener: ContextVar[Listener | None] = ContextVar("pilothouse_sync_listener", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Call the listener with a stream's name when it starts (no load yet) and when it is done."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def tell(stream: str, load: Load | None) -> None:
    """Called by a sync; without a listener it does nothing."""
    listener = _listener.get()
    if listener is not None:
        listener(stream, load)
