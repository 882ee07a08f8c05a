"""`composite` and `composite/batch`: several requests in one, the first kind with references from later to earlier ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from pilothouse.sandbox.company.store import Store
from pilothouse.sandbox.salesforce.calls import Answer, Call, answered
from pilothouse.sandbox.salesforce.errors import ApiError
from pilothouse.sandbox.salesforce.undoing import undoable

Dispatch = Callable[[Call], Answer]

_MOST: Final = 25
_REFERENCE: Final = re.compile(r"@\{([^}]+)\}")
_STEP: Final = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_HALTED: Final = [
    {
        "errorCode": "PROCESSING_HALTED",
        "message": "The transaction was rolled back since another operation in the same transaction failed.",
    }
]


def composite(call: Call, store: Store, dispatch: Dispatch) -> Answer:
    """`POST composite`."""
    content = call.json_object()
    requests = _requests(content, "compositeRequest")
    if not content.get("allOrNone"):
        return answered({"compositeResponse": list(_run_all(call, requests, dispatch))})
    with undoable(store) as undo:
        results = list(_run_all(call, requests, dispatch))
        if any(result["httpStatusCode"] >= 400 for result in results):
            undo()
            for result in results:
                if result["httpStatusCode"] < 400:
                    result.update(body=_HALTED, httpStatusCode=400)
    return answered({"compositeResponse": results})


def batch(call: Call, dispatch: Dispatch) -> Answer:
    """`POST composite/batch`: requests that do not know of each other."""
    content = call.json_object()
    results: list[dict[str, Any]] = []
    for request in _requests(content, "batchRequests"):
        halted = content.get("haltOnError") and any(result["statusCode"] >= 400 for result in results)
        if halted:
            results.append({"statusCode": 412, "result": [{"errorCode": "BATCH_PROCESSING_HALTED", "message": "a request before failed"}]})
            continue
        answer = dispatch(_inner(call, {"url": request.get("url"), "method": request.get("method"), "body": request.get("richInput")}))
        results.append({"statusCode": answer.status, "result": _content(answer)})
    return answered({"hasErrors": any(result["statusCode"] >= 400 for result in results), "results": results})


def _run_all(call: Call, requests: list[dict[str, Any]], dispatch: Dispatch) -> Iterator[dict[str, Any]]:
    known: dict[str, Any] = {}
    for request in requests:
        reference = str(request.get("referenceId", ""))
        try:
            answer = dispatch(_inner(call, _substituted(request, known)))
        except ApiError as error:
            answer = answered([error.entry], status=error.status)
        body = _content(answer)
        if answer.status < 400:
            known[reference] = body
        headers = {name.title(): value for name, value in answer.headers.items()}
        yield {"body": body, "httpHeaders": headers, "httpStatusCode": answer.status, "referenceId": reference}


def _inner(call: Call, request: Mapping[str, Any]) -> Call:
    """The call within a call. Its address may or may not begin with `/services/data`."""
    address = urlsplit(str(request.get("url", "")))
    parts = [unquote(part) for part in address.path.split("/") if part]
    if parts[:2] == ["services", "data"]:
        parts = parts[2:]
    if not parts or not re.fullmatch(r"v\d+\.\d", parts[0]):
        raise ApiError(400, "INVALID_INPUT", f"not the address of a resource: {request.get('url')}")
    body = request.get("body")
    headers = request.get("httpHeaders")
    return Call(
        method=str(request.get("method", "GET")).upper(),
        version=parts[0][1:],
        rest=tuple(parts[1:]),
        session=call.session,
        query=dict(parse_qsl(address.query, keep_blank_values=True)),
        headers={str(name).lower(): str(value) for name, value in headers.items()} if isinstance(headers, dict) else {},
        body=b"" if body is None else msgspec.json.encode(body),
    )


def _requests(content: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    requests = content.get(name)
    if not isinstance(requests, list) or not all(isinstance(request, dict) for request in requests):
        raise ApiError.malformed(f"{name} must be a list of requests")
    if len(requests) > _MOST:
        raise ApiError(400, "LIMIT_EXCEEDED", f"The number of subrequests exceeds the limit of {_MOST}")
    return requests


def _content(answer: Answer) -> Any:
    body = answer.body if isinstance(answer.body, bytes) else b"".join(answer.body)
    return msgspec.json.decode(body) if body else None


def _substituted(value: Any, known: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        return _REFERENCE.sub(lambda found: str(_looked_up(found[1], known)), value)
    if isinstance(value, dict):
        return {name: _substituted(inner, known) for name, inner in value.items()}
    if isinstance(value, list):
        return [_substituted(inner, known) for inner in value]
    return value


def _looked_up(path: str, known: Mapping[str, Any]) -> Any:
    value: Any = known
    for name, index in _STEP.findall(path):
        try:
            value = value[int(index)] if index else value[name]
        except (KeyError, IndexError, TypeError):
            raise ApiError(400, "PROCESSING_HALTED", f"Invalid reference specified. No value for {path} found") from None
    return value
