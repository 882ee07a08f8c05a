"""A request and its answer, free of the web framework, so that composite requests can run others within themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from pilothouse.sandbox.salesforce.errors import ApiError
from pilothouse.sandbox.salesforce.sessions import Session

JSON: Final = "application/json;charset=UTF-8"
CSV: Final = "text/csv"


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request of a session. `rest` is the path behind `/services/data/vNN.0/`, split; `headers` have small letters."""

    method: str
    version: str
    rest: tuple[str, ...]
    session: Session
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def base(self) -> str:
        """The path of the API version that was called."""
        return f"/services/data/v{self.version}"

    def json(self) -> Any:
        """The body as JSON; ApiError JSON_PARSER_ERROR where it is none."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ApiError.malformed(f"Unexpected content: {error}") from None

    def json_object(self) -> dict[str, Any]:
        """The body as a JSON object."""
        content = self.json()
        if not isinstance(content, dict):
            raise ApiError.malformed("The HTTP entity body must be a JSON object.")
        return content


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What goes back. A body of several pieces is streamed."""

    status: int = 200
    body: bytes | Iterable[bytes] = b""
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


def answered(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer with a JSON body."""
    return Answer(status=status, body=msgspec.json.encode(content), headers=headers or {})


def refused(error: ApiError) -> Answer:
    """An error as an answer."""
    return Answer(status=error.status, body=error.body())


NO_CONTENT: Final = Answer(status=204)
