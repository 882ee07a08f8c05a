"""SOQL's tokens, each with its place, because Salesforce's error messages point at it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pilothouse.sandbox.salesforce.errors import ApiError

TokenKind = Literal["text", "datetime", "date", "number", "name", "operator", "mark", "end"]

_PATTERN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<text>'(?:\\.|[^'\\])*')
  | (?P<datetime>\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:?\d{2}))
  | (?P<date>\d{4}-\d{2}-\d{2})
  | (?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
  | (?P<name>[A-Za-z_]\w*)
  | (?P<operator><=|>=|<>|!=|=|<|>)
  | (?P<mark>[(),.:])
    """,
    re.VERBOSE | re.DOTALL,
)
_POINTER_WIDTH = 60


@dataclass(frozen=True)
class Token:
    """One word of a query, and where it stands."""

    kind: TokenKind
    text: str
    at: int

    def is_word(self, *words: str) -> bool:
        """Whether it is one of these keywords; SOQL does not mind capitals."""
        return self.kind == "name" and self.text.upper() in words


def tokens(query: str) -> Iterator[Token]:
    """The query's tokens, closed by an `end`."""
    at = 0
    while at < len(query):
        found = _PATTERN.match(query, at)
        if found is None:
            raise malformed(query, at, f"unexpected character: '{query[at]}'" if query[at] != "'" else "unterminated string")
        if found.lastgroup != "space":
            yield Token(found.lastgroup, found[0], at)  # type: ignore[arg-type]  # the groups are named after the kinds
        at = found.end()
    yield Token("end", "<EOF>", at)


def malformed(query: str, at: int, message: str) -> ApiError:
    """The query cannot be read at this place."""
    return ApiError(400, "MALFORMED_QUERY", pointed(query, at, message))


def pointed(query: str, at: int, message: str) -> str:
    """Salesforce's wording: the part of the query around the place, an arrow under it, and the message."""
    start = max(0, at - _POINTER_WIDTH // 2)
    shown = query[start : at + _POINTER_WIDTH // 2].replace("\n", " ")
    row = query.count("\n", 0, at) + 1
    column = at - (query.rfind("\n", 0, at) + 1) + 1
    return f"\n{shown}\n{' ' * (at - start)}^\nERROR at Row:{row}:Column:{column}\n{message}"
