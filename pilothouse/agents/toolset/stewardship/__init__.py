"""What can be asked about the data itself, one module for each kind of doubt: what names it, a tool that shows it, what finds it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Self

from pydantic import BaseModel


class Asked(BaseModel, ABC):
    """What a doubt is about. It can stand as the key of a subject."""

    PREFIX: ClassVar[str]  # by which keys of its kind are known

    @property
    @abstractmethod
    def key(self) -> str:
        """It as a subject's key, in which a slash would begin another key."""

    @classmethod
    @abstractmethod
    def named(cls, rest: str) -> Self | None:
        """What a key names after the prefix; None where it names nothing of the kind."""
