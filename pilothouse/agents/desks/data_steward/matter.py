"""A kind of doubt: how a key names one, what is known of it, what is told of it, and what is proposed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Generic, TypeVar

from pilothouse.agents.snapshot import Snapshot
from pilothouse.agents.tools import Tool
from pilothouse.agents.toolset.stewardship import Asked

A = TypeVar("A", bound=Asked)
Told = Mapping[str, Any]  # what a matter's tool answered


@dataclass(frozen=True, kw_only=True)
class Write:
    """A write into Pilothouse itself: of which record, which values, and what they were when this was decided."""

    record: str
    identity: Mapping[str, str]
    values: Mapping[str, str]
    seen: Mapping[str, str]


class Matter(ABC, Generic[A]):
    """One kind of doubt. Another is another such class, an entry in `MATTERS`, and a branch of the tree."""

    asked: type[A]
    tool: Tool
    tables: tuple[str, ...]
    wakes_on: tuple[str, ...] = ()  # topics of events that tell of one
    find: Callable[[Snapshot, datetime], Sequence[str]]  # what a round takes up of it, as keys, the weightiest first
    writes: ClassVar[Mapping[str, Mapping[str, str | None]]]  # by action: what a proposal sets, None where that hangs on what is known

    @abstractmethod
    def about(self, asked: A) -> str:
        """What is decided on, in words."""

    @abstractmethod
    def facts(self, told: Told) -> Mapping[str, Any]:
        """What a tree may ask."""

    @abstractmethod
    def shown(self, asked: A, told: Told) -> Mapping[str, Any]:
        """Those fields of a decision that this kind fills."""

    @abstractmethod
    def reasons(self, asked: A, told: Told) -> Iterator[str]:
        """What is known, in words, the weightiest first."""

    @abstractmethod
    def write(self, action: str, asked: A, told: Told) -> Write | None:
        """What an action proposes to write; None where there is nothing to be written."""
