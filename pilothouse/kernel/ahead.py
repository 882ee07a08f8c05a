"""Produce in a thread what another thread consumes: one bounded queue between the two.

Reading, checking and writing a load overlap this way.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from contextvars import copy_context
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
_DONE = object()


@dataclass(frozen=True)
class _Failed:
    error: BaseException


def ahead(items: Iterable[T], depth: int = 2) -> Iterator[T]:
    """The same items, produced up to `depth` ahead in a thread that keeps this context's variables.

    The producer's error comes out where its item would have. A consumer that stops early stops the producer and
    waits for it, so that nothing is left running behind its back.
    """
    ready: queue.Queue[object] = queue.Queue(maxsize=depth)
    stopped = threading.Event()

    def put(item: object) -> bool:
        while not stopped.is_set():
            try:
                ready.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def produce() -> None:
        iterator = iter(items)
        try:
            for item in iterator:
                if not put(item):
                    break
            put(_DONE)
        except BaseException as error:
            put(_Failed(error))
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()

    thread = threading.Thread(target=copy_context().run, args=(produce,), name="ahead", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not _DONE:
            if isinstance(item, _Failed):
                raise item.error
            yield item  # type: ignore[misc]
    finally:
        stopped.set()
        thread.join()
