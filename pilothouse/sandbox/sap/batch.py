"""$batch: many requests in one, as multipart (V2 and V4) or JSON (V4). A change set is one transaction: all of it or nothing.

Parts are served by the same gateway as requests of their own. `$<content id>` at the start of a path stands for what an
earlier part of the change set created.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from pilothouse.sandbox.sap.access import SAFE
from pilothouse.sandbox.sap.errors import ODataError, bad_request
from pilothouse.sandbox.sap.exchange import JSON, Request, Response

MAXIMUM_PARTS: Final = 1000
_BOUNDARY: Final = re.compile(r'boundary="?([^";]+)"?', re.IGNORECASE)
_REFERENCE: Final = re.compile(r"^/?\$([\w.-]+)(?=/|$)")


class _Undo(Exception):
    """Rolls a change set back and carries out of its transaction what the client is told."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


@dataclass(frozen=True)
class Part:
    """One request of a batch. Parts of one `group` succeed or fail together."""

    request: Request
    id: str = ""
    group: str = ""


@dataclass
class Batch:
    """Serves the parts of a batch. `serve` answers one request; `transaction` is all or nothing."""

    root: str  # the service's path
    serve: Callable[[Request], Response]
    transaction: Callable[[], AbstractContextManager[Any]]
    _created: dict[str, str] = field(default_factory=dict)

    def answer(self, request: Request) -> Response:
        """The whole batch. Raises ODataError where it cannot be read."""
        content_type = request.headers.get("content-type", "")
        if content_type.lower().startswith(JSON):
            return self._json(request.body)
        boundary = _BOUNDARY.search(content_type)
        if not content_type.lower().startswith("multipart/mixed") or boundary is None:
            raise ODataError(415, "/IWBEP/CM_MGW_RT/018", "A $batch request is multipart/mixed with a boundary, or JSON")
        return self._multipart(request.body, boundary[1])

    def _multipart(self, body: bytes, boundary: str) -> Response:
        pieces: list[bytes] = []
        for number, (headers, content) in enumerate(_parts(body, boundary)):
            inner = _BOUNDARY.search(headers.get("content-type", ""))
            if inner is None:
                part = Part(self._request(content), headers.get("content-id", ""))
                if part.request.method not in SAFE:
                    raise bad_request("A write in $batch belongs into a change set")
                pieces.append(_http(self._served(part), part.id))
                continue
            group = str(number)
            parts = [Part(self._request(text), given.get("content-id", ""), group) for given, text in _parts(content, inner[1])]
            answers = self._all_or_nothing(parts)
            if len(answers) != len(parts) or answers[0].status >= 400:
                pieces.append(_http(answers[0], ""))
                continue
            mark = f"changeset_{uuid.uuid4().hex}"
            written = _framed([_http(answer, part.id) for part, answer in zip(parts, answers, strict=True)], mark)
            pieces.append(f"Content-Type: multipart/mixed; boundary={mark}\r\nContent-Length: {len(written)}\r\n\r\n".encode() + written)
        mark = f"batch_{uuid.uuid4().hex}"
        return Response(202, _framed(pieces, mark), f"multipart/mixed; boundary={mark}")

    def _json(self, body: bytes) -> Response:
        try:
            content = msgspec.json.decode(body)
            parts = [self._json_part(item) for item in content["requests"]]
        except (msgspec.MsgspecError, KeyError, TypeError, AttributeError) as error:
            raise bad_request(f"Malformed JSON batch: {error!r}") from error
        answers: list[dict[str, Any]] = []
        for group in _grouped(parts):
            served = self._all_or_nothing(group) if group[0].group else [self._served(group[0])]
            if len(served) != len(group):
                served = [served[0]] * len(group)  # each member is told why its group failed
            answers += [_json_answer(part, answer) for part, answer in zip(group, served, strict=True)]
        return Response(200, msgspec.json.encode({"responses": answers}), JSON)

    def _json_part(self, item: Mapping[str, Any]) -> Part:
        headers = {str(name).lower(): str(value) for name, value in item.get("headers", {}).items()}
        body = msgspec.json.encode(item["body"]) if "body" in item else b""
        path, query = self._split(str(item["url"]))
        return Part(Request(str(item["method"]).upper(), path, query, headers, body), str(item["id"]), str(item.get("atomicityGroup", "")))

    def _all_or_nothing(self, parts: Sequence[Part]) -> list[Response]:
        """The answers of a change set, or the one that made it fail."""
        try:
            with self.transaction():
                return [self._succeeded(part) for part in parts]
        except _Undo as undone:
            return [undone.response]

    def _succeeded(self, part: Part) -> Response:
        answer = self._served(part)
        if answer.status >= 400:
            raise _Undo(answer)
        return answer

    def _served(self, part: Part) -> Response:
        request = part.request
        reference = _REFERENCE.match(request.path)
        if reference is not None and reference[1] in self._created:
            request = replace(request, path=self._created[reference[1]] + request.path[reference.end() :])
        answer = self.serve(request)
        if part.id and "location" in answer.headers:
            self._created[part.id] = self._split(answer.headers["location"])[0]
        return answer

    def _request(self, content: bytes) -> Request:
        head, _, body = content.lstrip().partition(b"\r\n\r\n")
        line, _, rest = head.decode("utf-8", "replace").partition("\r\n")
        words = line.split(" ")
        if len(words) < 2:
            raise bad_request(f"Malformed request line '{line}' in $batch")
        url = " ".join(words[1:-1]) if words[-1].startswith("HTTP/") else " ".join(words[1:])
        path, query = self._split(url)
        return Request(words[0].upper(), path, query, _headers(rest), body.rstrip(b"\r\n"))

    def _split(self, url: str) -> tuple[str, str]:
        """Path within the service, and query, of an absolute or a relative URL."""
        split = urlsplit(url)
        return split.path.removeprefix(self.root).lstrip("/"), split.query


def _parts(body: bytes, boundary: str) -> Iterator[tuple[dict[str, str], bytes]]:
    # Some clients end lines with LF alone.
    body = body if b"\r\n" in body else body.replace(b"\n", b"\r\n")
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary.encode())
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise bad_request("Malformed $batch: its boundary does not close it")
    if len(pieces) > MAXIMUM_PARTS + 2:
        raise bad_request(f"A $batch takes at most {MAXIMUM_PARTS} parts")
    for piece in pieces[1:-1]:
        head, _, content = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        yield _headers(head.decode("utf-8", "replace")), content


def _headers(text: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in text.split("\r\n") if ":" in line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _http(answer: Response, content_id: str) -> bytes:
    headers = (
        {"content-type": answer.content_type, "content-length": str(len(answer.body)), **answer.headers}
        if answer.body
        else dict(answer.headers)
    )
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    inner = f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Status')}\r\n{lines}\r\n".encode() + answer.body
    outer = f"Content-Type: application/http\r\nContent-Length: {len(inner)}\r\nContent-Transfer-Encoding: binary\r\n"
    return (outer + (f"Content-ID: {content_id}\r\n" if content_id else "") + "\r\n").encode() + inner


def _framed(pieces: Sequence[bytes], boundary: str) -> bytes:
    mark = f"--{boundary}".encode()
    return b"".join(mark + b"\r\n" + piece + b"\r\n" for piece in pieces) + mark + b"--\r\n"


def _grouped(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """Neighbours of one atomicity group together, every other part alone."""
    group: list[Part] = []
    for part in parts:
        if group and (not part.group or part.group != group[0].group):
            yield group
            group = []
        group.append(part)
    if group:
        yield group


def _json_answer(part: Part, answer: Response) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": part.id, "status": answer.status, "headers": {"content-type": answer.content_type, **answer.headers}}
    if answer.body:
        shown["body"] = msgspec.Raw(answer.body) if "json" in answer.content_type else answer.body.decode("utf-8", "replace")
    return shown


_REASONS: Final = {200: "OK", 201: "Created", 204: "No Content", 400: "Bad Request", 404: "Not Found", 412: "Precondition Failed"}
