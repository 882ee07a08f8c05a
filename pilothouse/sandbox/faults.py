"""Switches that make the sandbox misbehave the way real systems do, for as often as asked.

A fault is one value: what goes wrong, on which server and path, how many times and with which probability. Faults of
the wire (`WIRE`) are answered by `FaultyWire`, a layer around either server; faults of a page (`PAGE`) and of a
field (`DRIFT`, see `drift.py`) are asked for by the servers where they build pages and schemas.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pilothouse.sandbox.company.schema import Kind

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

Server = Literal["sap", "salesforce"]
FaultKind = Literal[
    "latency",  # the answer takes `seconds` longer
    "unauthorized",  # 401
    "throttled",  # 429 with Retry-After: `seconds`
    "unavailable",  # `status` (503)
    "cut",  # the connection closes in the middle of the body
    "html",  # a login page with status 200 where JSON was asked for
    "expired_session",  # the session or token is no longer known
    "empty_page",  # a page without rows that links to the next one
    "next_loop",  # a page whose next link leads back to itself
    "expired_delta",  # 410: the delta token is too old
    "locked_row",  # the record is being written by somebody else
    "not_authorized",  # the user may read the record and not change it
    "request_limit",  # the day's requests are used up
    "field_appears",
    "field_vanishes",
    "field_renamed",  # to `to`
    "field_retyped",  # to the kind `to`
    "field_value",  # rows carry `value`, whatever the schema says
]
WIRE: Final[frozenset[FaultKind]] = frozenset(
    {"latency", "unauthorized", "throttled", "unavailable", "cut", "html", "expired_session", "request_limit"}
)
PAGE: Final[frozenset[FaultKind]] = frozenset({"empty_page", "next_loop", "expired_delta", "locked_row", "not_authorized"})
DRIFT: Final[frozenset[FaultKind]] = frozenset({"field_appears", "field_vanishes", "field_renamed", "field_retyped", "field_value"})


class Fault(BaseModel):
    """One thing that goes wrong."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: FaultKind
    server: Server | None = None  # None: either
    path: str = "*"  # a pattern over the request's path, as in fnmatch
    count: int | None = Field(default=None, gt=0)  # times; None: until it is cleared
    probability: float = Field(default=1.0, gt=0, le=1)
    seconds: float = Field(default=1.0, ge=0)
    status: int = Field(default=503, ge=500, le=599)
    entity: str = ""  # of a drift: the entity's name as `company` declares it
    field: str = ""  # of a drift
    to: str = ""
    value: str | int | float | bool | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind not in DRIFT:
            return self
        if not self.entity or not self.field:
            raise ValueError(f"{self.kind} needs an entity and a field")
        if self.kind in {"field_renamed", "field_retyped"} and not self.to:
            raise ValueError(f"{self.kind} needs what it turns into (to)")
        if self.kind in {"field_appears", "field_retyped"} and self.to and self.to not in get_args(Kind):
            raise ValueError(f"a field has no kind {self.to!r}; one of {', '.join(get_args(Kind))}")
        if self.count is not None or self.probability < 1 or self.path != "*":
            raise ValueError(f"{self.kind} lasts until it is cleared: a schema does not change from request to request")
        return self


@dataclass(frozen=True)
class Switched:
    """A fault that is on, its number, and how often it has struck."""

    number: int
    fault: Fault
    struck: int

    @property
    def exhausted(self) -> bool:
        """Whether it has struck as often as it should."""
        return self.fault.count is not None and self.struck >= self.fault.count


class Faults:
    """The faults that are on. Seeded, so that a probability strikes the same requests in each run of a test."""

    def __init__(self, seed: int = 0) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - it imitates bad luck, it protects nothing
        self._on: dict[int, Switched] = {}
        self._last = 0
        self._lock = threading.Lock()

    def switch_on(self, fault: Fault) -> Switched:
        """Add a fault."""
        with self._lock:
            self._last += 1
            self._on[self._last] = Switched(self._last, fault, 0)
            return self._on[self._last]

    def switch_off(self, number: int | None = None) -> None:
        """Clear one fault, or all. KeyError where there is no such fault."""
        with self._lock:
            if number is None:
                self._on.clear()
            else:
                del self._on[number]

    def list(self) -> tuple[Switched, ...]:
        """All that are known, the exhausted ones too: a test asks how often a fault struck."""
        with self._lock:
            return tuple(self._on.values())

    def strikes(self, server: Server, path: str, kinds: Collection[FaultKind]) -> Iterator[Fault]:
        """The faults of these kinds that strike this request. Each counts when it is drawn, so draw no more than are applied."""
        for number in list(self._on):
            fault = self._strike(number, server, path, kinds)
            if fault is not None:
                yield fault

    def strike(self, server: Server, path: str, kind: FaultKind) -> Fault | None:
        """The first fault of this kind that strikes this request."""
        return next(self.strikes(server, path, {kind}), None)

    def drifts(self, server: Server, entity: str) -> tuple[Fault, ...]:
        """How the entity's fields differ from their declaration now, in the order in which they were switched on."""
        return tuple(
            switched.fault
            for switched in self.list()
            if switched.fault.kind in DRIFT and switched.fault.server in {None, server} and switched.fault.entity == entity
        )

    def _strike(self, number: int, server: Server, path: str, kinds: Collection[FaultKind]) -> Fault | None:
        with self._lock:
            switched = self._on.get(number)
            if switched is None or switched.exhausted or not _concerns(switched.fault, server, path, kinds):
                return None
            if self._chance.random() >= switched.fault.probability:
                return None
            self._on[number] = Switched(number, switched.fault, switched.struck + 1)
            return switched.fault


def _concerns(fault: Fault, server: Server, path: str, kinds: Collection[FaultKind]) -> bool:
    return fault.kind in kinds and fault.server in {None, server} and fnmatchcase(path, fault.path)


@dataclass(frozen=True)
class Refusal:
    """What a server says in place of an answer."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class ConnectionCut(Exception):
    """Raised out of the application so that the HTTP server drops the connection: the body stays unfinished."""


HTML: Final = Refusal(
    200,
    b"<!DOCTYPE html><html><head><title>Logon</title></head><body><form action='/login'><input name='user'></form></body></html>",
    {"content-type": "text/html; charset=utf-8"},
)


@dataclass(frozen=True)
class FaultyWire:
    """A layer around a server's application that applies the faults of the wire.

    `refusals` says how this vendor words a fault; None lets the request through, for a fault that the vendor words
    later (an expired session is only noticed by the code that knows sessions).
    """

    app: App
    faults: Faults
    server: Server
    refusals: Callable[[Fault], Refusal | None]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or fail it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        cut = False
        for fault in self.faults.strikes(self.server, scope["path"], WIRE):
            if fault.kind == "latency":
                await asyncio.sleep(fault.seconds)
                continue
            if fault.kind == "cut":
                cut = True
                continue
            refusal = HTML if fault.kind == "html" else self.refusals(fault)
            if refusal is not None:
                await _refuse(refusal, send)
                return
        if cut:
            await self.app(scope, receive, _half(send))
            raise ConnectionCut(scope["path"])
        await self.app(scope, receive, send)


async def _refuse(refusal: Refusal, send: Send) -> None:
    headers = {"content-length": str(len(refusal.body)), **refusal.headers}
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": raw})
    await send({"type": "http.response.body", "body": refusal.body, "more_body": False})


def _half(send: Send) -> Send:
    """A `send` that lets half of the first piece of the body through and nothing after it."""
    done = False

    async def half(message: Message) -> None:
        nonlocal done
        if done:
            return
        if message["type"] == "http.response.body":
            done = True
            body: bytes = message.get("body", b"")
            message = {"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True}
        await send(message)

    return half
