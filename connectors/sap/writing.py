"""Changing a record of an S/4HANA by its published OData service: If-Match, and the token against cross-site requests.

Every change is conditional. SAP answers 412 where the record left the state that we saw, 428 where a service insists on a
condition that we could not give, 423 while a person has it open. Records are changed, never made: what would make a second
sales order after a crash is not offered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NoReturn

import msgspec

from connectors.http.client import HttpClient
from connectors.http.exchange import Request, Response
from connectors.http.translation import excerpt
from connectors.sap.options import SapOptions
from connectors.sap.query import address
from connectors.sap.streams import SapStream
from connectors.target import Receipt, Seen, Stale, Value, Values
from connectors.writing import told_of_target
from pilothouse.kernel.errors import TargetError, TargetForbids, TargetUnavailable

_TOKEN: Final = "x-csrf-token"  # noqa: S105 - the name of a header
_REFUSED: Final = frozenset({400, 403, 404, 405, 409, 412, 423, 428})


class SapRecords:
    """The records of the entity sets behind a source's streams."""

    def __init__(self, client: HttpClient, options: SapOptions) -> None:
        self._client = client
        self._streams: Mapping[str, SapStream] = {each.name: each for each in options.selected()}
        self._tokens: dict[str, str] = {}  # of a service; a session of SAP's holds one

    def look(self, record: str, identity: Values, fields: tuple[str, ...]) -> Seen | None:
        """These fields of a record, and its ETag."""
        path = self._path(record, identity)
        with told_of_target():
            response = self._client.send(Request(url=address(path, {"$select": ",".join(fields)}), answers=frozenset({404})))
        if response.status == 404:
            return None
        content = _content(response)
        missing = [name for name in fields if name not in content]
        if missing:
            raise TargetError(
                f"{self._client.source}: {record} has no field {missing[0]!r}", hint="name a property that its $metadata describes"
            )
        return Seen(values={name: content[name] for name in fields}, token=self._etag(response, content, record))

    def change(self, record: str, identity: Values, values: Values, token: str) -> None:
        """PATCH under If-Match."""
        stream, path = self._stream(record), self._path(record, identity)
        for last in (False, True):
            request = Request(
                url=path,
                method="PATCH",
                headers={"If-Match": token, "Content-Type": "application/json", _TOKEN: self._token(stream.service, anew=last)},
                body=msgspec.json.encode(dict(values)),
                answers=_REFUSED,
                expects="anything",
            )
            with told_of_target():
                response = self._client.send(request)
            if response.status != 403 or last or response.headers.get(_TOKEN, "").lower() != "required":
                break
        if response.status == 412:
            raise Stale
        if response.status >= 300:
            self._refused(record, identity, response)

    def find(self, record: str, key: str) -> NoReturn:
        """Nothing is created here."""
        self.create(record, key, {})

    def create(self, record: str, key: str, values: Values) -> NoReturn:  # noqa: ARG002 - the protocol's
        """SAP keeps no key of ours beside a document, so a document made twice could not be told from two."""
        raise TargetError(
            f"{self._client.source}: action {key} would create a {record}, and records are only changed here",
            hint="name the record to change in the action's identity",
        )

    def remove(self, record: str, identity: Values) -> NoReturn:
        """Nothing is created here, so nothing is taken away."""
        raise TargetError(f"{self._client.source}: {record} {dict(identity)} was not made here", hint="delete it in SAP, if it must go")

    def left(self, written: Receipt) -> str:  # noqa: ARG002 - the protocol's
        """Nothing that we would know of."""
        return ""

    def _stream(self, record: str) -> SapStream:
        if record not in self._streams:
            raise TargetError(f"{self._client.source}: there is no record {record!r}", hint=f"there are {', '.join(self._streams)}")
        return self._streams[record]

    def _path(self, record: str, identity: Values) -> str:
        stream = self._stream(record)
        if set(identity) != set(stream.key):
            raise TargetError(
                f"{self._client.source}: {record} is named by {', '.join(stream.key)}, not by {', '.join(identity) or 'nothing'}",
                hint="give the whole key in the action's identity",
            )
        parts = [_key(identity[name]) if len(stream.key) == 1 else f"{name}={_key(identity[name])}" for name in stream.key]
        return f"{stream.path.lstrip('/')}({','.join(parts)})"

    def _token(self, service: str, *, anew: bool) -> str:
        if anew or service not in self._tokens:
            root = Request(url=service.lstrip("/") + "/", headers={_TOKEN: "Fetch"}, expects="anything")
            with told_of_target():
                response = self._client.send(root)
            self._tokens[service] = response.headers.get(_TOKEN, "")
        return self._tokens[service]

    def _etag(self, response: Response, content: Mapping[str, Any], record: str) -> str:
        tag = response.headers.get("etag") or content.get("@odata.etag") or (content.get("__metadata") or {}).get("etag")
        if not tag:
            raise TargetError(
                f"{self._client.source}: {record} comes without an ETag, and cannot be changed without overwriting others",
                hint="use a service whose entity has one",
            )
        return str(tag)

    def _refused(self, record: str, identity: Values, response: Response) -> NoReturn:
        said = excerpt(response.body, response.headers.get("content-type", ""))
        what = f"{self._client.source}: {record} {'/'.join(map(str, identity.values()))}: SAP answered {response.status}: {said}"
        if response.status in (409, 423):
            raise TargetUnavailable(what, hint="somebody has it open; it is tried again")
        if response.status == 403:
            raise TargetForbids(what, hint="the user of this source lacks the authorisation to change it")
        told = "it was deleted since it was planned" if response.status == 404 else "SAP's own words say why; let the agent decide anew"
        raise TargetError(what, hint=told)


def _content(response: Response) -> Mapping[str, Any]:
    """The entity in a response of V2 or V4."""
    try:
        content = msgspec.json.decode(response.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TargetUnavailable(f"{response.url.partition('?')[0]} answered with broken JSON: {error}", hint="it is read again") from error
    entity = content.get("d", content) if isinstance(content, dict) else None
    if not isinstance(entity, dict):
        raise TargetError(f"{response.url.partition('?')[0]} answered with something that is no record", hint="is it an OData service?")
    return entity


def _key(value: Value) -> str:
    """A key as OData writes it in an address."""
    return str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"
