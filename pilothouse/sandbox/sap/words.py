"""The words of a $filter: names, marks, and the literals of both OData versions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from pilothouse.sandbox.sap.errors import bad_request

_WORD: Final = re.compile(
    r"\s*(?:"
    r"(?P<typed>(?:datetimeoffset|datetime|guid|time|binary|X)'(?:[^']|'')*')"
    r"|(?P<text>'(?:[^']|'')*')"
    r"|(?P<moment>\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2})?)?)"
    r"|(?P<guid>[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12})"
    r"|(?P<number>[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?[mMdDfFlL]?)(?![\w'])"
    r"|(?P<name>[A-Za-z_]\w*(?:/[A-Za-z_]\w*)*)"
    r"|(?P<mark>[(),])"
    r")"
)


@dataclass(frozen=True)
class Word:
    """One word of a filter."""

    kind: str
    text: str


def words(text: str) -> list[Word]:
    """The words of a filter."""
    found, position, text = [], 0, text.rstrip()
    while position < len(text):
        match = _WORD.match(text, position)
        if match is None or match.lastgroup is None:
            raise bad_request(f"Invalid token '{text[position : position + 20]}' at position {position + 1} of $filter")
        found.append(Word(match.lastgroup, match[match.lastgroup]))
        position = match.end()
    return found
