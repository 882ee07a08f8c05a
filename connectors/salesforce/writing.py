"""Changing and creating records of a Salesforce org: conditionally, and once.

Salesforce marks the state of an account by an ETag; of every other record only the second of its last change can be asked for
(`If-Unmodified-Since`), so a change of the same second goes unnoticed there, as its documentation says. A record is created
by upsert under an external id that holds the action's key: the org itself keeps it from coming twice.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Final
from urllib.parse import quote

from connectors.salesforce.errors import names
from connectors.salesforce.options import SalesforceOptions
from connectors.salesforce.org import Org
from connectors.target import Receipt, Seen, Stale, Values
from connectors.writing import told_of_target
from pilothouse.kernel.errors import SourceError, TargetError

_CHANGED: Final = "LastModifiedDate"
_GONE: Final = ("NOT_FOUND", "ENTITY_IS_DELETED")


class SalesforceRecords:
    """The records of all objects of an org, by their API names."""

    def __init__(self, org: Org, options: SalesforceOptions) -> None:
        self._org = org
        self._key_field = options.key_field

    def look(self, record: str, identity: Values, fields: tuple[str, ...]) -> Seen | None:
        """These fields of a record, and the mark of its state."""
        wanted = ",".join(dict.fromkeys([*fields, _CHANGED]))
        with told_of_target():
            try:
                content, response = self._org.json(self._path(record, identity), record, {"fields": wanted})
            except SourceError as error:
                if names(_GONE, error):
                    return None
                raise
        return Seen(values={name: content.get(name) for name in fields}, token=response.headers.get("etag") or str(content[_CHANGED]))

    def change(self, record: str, identity: Values, values: Values, token: str) -> None:
        """PATCH on the condition that the record is in the state of the token."""
        path = self._path(record, identity)
        with told_of_target():
            response = self._org.call(
                "PATCH", path, record, body=dict(values), headers=_condition(token), expects="anything", wanted=frozenset({412})
            )
        if response.status == 412:
            raise Stale

    def find(self, record: str, key: str) -> Values | None:
        """The record that carries the action's key."""
        with told_of_target():
            try:
                content, _ = self._org.json(self._by_key(record, key), record, {"fields": "Id"})
            except SourceError as error:
                if names(("NOT_FOUND",), error):
                    return None
                raise
        return {"Id": str(content["Id"])}

    def create(self, record: str, key: str, values: Values) -> Values:
        """Upsert under the action's key."""
        with told_of_target():
            response = self._org.call("PATCH", self._by_key(record, key), record, body=dict(values))
            content: dict[str, Any] = self._org.decoded(response, record)
        return {"Id": str(content["id"])}

    def remove(self, record: str, identity: Values) -> None:
        """Into the recycle bin, from where a person can take it back."""
        with told_of_target():
            self._org.call("DELETE", self._path(record, identity), record, expects="anything")

    def left(self, written: Receipt) -> str:  # noqa: ARG002 - the protocol's
        """Nothing that we would know of."""
        return ""

    def _path(self, record: str, identity: Values) -> str:
        if set(identity) != {"Id"}:
            raise TargetError(
                f"{self._org.source}: {record} is named by its Id, not by {', '.join(identity) or 'nothing'}",
                hint="give Id in the action's identity",
            )
        return f"sobjects/{quote(record, safe='')}/{quote(str(identity['Id']), safe='')}"

    def _by_key(self, record: str, key: str) -> str:
        return f"sobjects/{quote(record, safe='')}/{self._key_field}/{quote(key, safe='')}"


def _condition(token: str) -> dict[str, str]:
    """An ETag is quoted; anything else is the moment of the last change."""
    if token.startswith(('"', 'W/"')):
        return {"If-Match": token}
    return {"If-Unmodified-Since": format_datetime(datetime.fromisoformat(token).astimezone(UTC), usegmt=True)}
