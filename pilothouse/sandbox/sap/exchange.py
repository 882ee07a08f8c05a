"""A request and its response as plain values, so that a $batch part is served exactly like a request of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

JSON: Final = "application/json"


@dataclass(frozen=True)
class Request:
    """What a client asks. `path` is relative to the service's root and still encoded; header names are lower case."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def preference(self, name: str) -> str | None:
        """The value of a preference; an empty text for one without a value."""
        for piece in self.headers.get("prefer", "").replace(";", ",").split(","):
            key, _, value = piece.strip().partition("=")
            if key.lower() in {name, name.removeprefix("odata.")}:
                return value.strip('" ')
        return None

    @property
    def segments(self) -> list[str]:
        """The decoded segments of the path. Decoded after splitting, because a key may contain an encoded slash."""
        return [unquote(segment) for segment in self.path.split("/") if segment]


@dataclass(frozen=True)
class Response:
    """What it gets."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
