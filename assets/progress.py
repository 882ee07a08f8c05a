"""Who hears of each stream that is synced, each table, each type of the graph and each decision: the terminal of who started it here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from assets.loading import Load
    from assets.measuring import Measured
    from graph.loading import Loaded
    from pilothouse.agents.deciding import Came
    from pilothouse.tables.building import Made

T = TypeVar("T")
Listener = Callable[[str, T], None]


class Channel(Generic[T]):
    """News of one kind, for one listener of this context."""

    def __init__(self, name: str) -> None:
        self._listener: ContextVar[Listener[T] | None] = ContextVar(f"pilothouse_{name}", default=None)

    @contextmanager
    def heard_by(self, listener: Listener[T]) -> Iterator[None]:
        """Call the listener with the name of what the news is of, and the news."""
        token = self._listener.set(listener)
        try:
            yield
        finally:
            self._listener.reset(token)

    def tell(self, name: str, news: T) -> None:
        """Called by who does the work; without a listener it does nothing."""
        listener = self._listener.get()
        if listener is not None:
            listener(name, news)


LOADS: Channel[Load | None] = Channel("loads")  # nothing yet when a stream's sync begins
TABLES: Channel[Made] = Channel("tables")
GRAPH: Channel[Loaded] = Channel("graph")
MEASURES: Channel[Measured] = Channel("measures")
DECISIONS: Channel[Came] = Channel("decisions")
