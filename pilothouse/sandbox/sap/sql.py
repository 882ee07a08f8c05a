"""SQL text with its bound values, as one value that can be put together without losing count of the question marks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from pilothouse.sandbox.company.store import Value


@dataclass(frozen=True)
class Sql:
    """A piece of SQL. Its text holds declared names and `?` only; whatever a client sent is in `values`."""

    text: str
    values: tuple[Value, ...] = ()

    def __add__(self, other: Self | str) -> Sql:
        """This, then that."""
        if isinstance(other, str):
            return Sql(self.text + other, self.values)
        return Sql(self.text + other.text, self.values + other.values)

    def __radd__(self, other: str) -> Sql:
        """That, then this."""
        return Sql(other + self.text, self.values)


def joined(separator: str, pieces: Iterable[Sql]) -> Sql:
    """The pieces, with the separator between them."""
    listed = list(pieces)
    return Sql(separator.join(piece.text for piece in listed), tuple(value for piece in listed for value in piece.values))


def both(*conditions: Sql | None) -> Sql:
    """All conditions that there are, as one."""
    present = [condition for condition in conditions if condition is not None]
    return joined(" AND ", (Sql(f"({condition.text})", condition.values) for condition in present)) if present else Sql("1")


def quoted(text: str) -> str:
    """A text of ours (a declared name) as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"
