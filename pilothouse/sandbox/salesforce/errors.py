"""Salesforce's errors in the form in which its REST API words them: a JSON list, even for one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import msgspec


class ApiError(Exception):
    """One refusal: HTTP status, error code, message and the fields it is about."""

    def __init__(self, status: int, code: str, message: str, fields: Sequence[str] | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.fields = fields

    @property
    def entry(self) -> dict[str, Any]:
        """The list's one element."""
        said: dict[str, Any] = {"message": self.message, "errorCode": self.code}
        return said if self.fields is None else {**said, "fields": list(self.fields)}

    @property
    def outcome(self) -> dict[str, Any]:
        """The same error inside a collection's result, where Salesforce calls the code `statusCode`."""
        return {"statusCode": self.code, "message": self.message, "fields": list(self.fields or ())}

    def body(self) -> bytes:
        """The response's body."""
        return msgspec.json.encode([self.entry])

    @classmethod
    def not_found(cls, message: str = "The requested resource does not exist") -> Self:
        """No such resource or record."""
        return cls(404, "NOT_FOUND", message)

    @classmethod
    def malformed(cls, message: str) -> Self:
        """The request's body is not what the resource takes."""
        return cls(400, "JSON_PARSER_ERROR", message)
