"""A real HTTP server on loopback that answers by a script: one function from a request to an answer.

It speaks through plain sockets where a test wants what no library would send: a body that is cut, a connection that
is closed without a word.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a client sent."""

    method: str
    target: str  # path and query as they came
    headers: Mapping[str, str]
    body: bytes
    at: float = field(default_factory=time.monotonic)

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def params(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the server sends. `cut_after` closes the connection after so many bytes of the body; 0 sends nothing at all."""

    body: bytes = b"{}"
    status: int = 200
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    after: float = 0.0


Script = Callable[[Asked], Answer]


class ScriptedServer:
    """The server while it runs: where it is, and what it was asked."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.asked: list[Asked] = []
        self._http = _Quiet(("127.0.0.1", 0), _exchange_for(self))
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(5)


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A client that hangs up in mid body is what some tests are about."""


def _exchange_for(server: ScriptedServer) -> type[BaseHTTPRequestHandler]:
    class Exchange(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Without it each response waits 40 ms for the client's delayed acknowledgement.
        disable_nagle_algorithm = True
        wbufsize = -1

        def log_message(self, *_: Any) -> None:
            """Silence: the tests look at `asked`."""

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            asked = Asked(method=self.command, target=self.path, headers={k.lower(): v for k, v in self.headers.items()}, body=body)
            server.asked.append(asked)
            answer = server.script(asked)
            if answer.after:
                time.sleep(answer.after)
            if answer.cut_after == 0:
                self.close_connection = True
                return
            self.send_response_only(answer.status)
            headers = {"Date": self.date_time_string(), "Content-Length": str(len(answer.body)), **answer.headers}
            if answer.media_type:
                headers["Content-Type"] = answer.media_type
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body[: answer.cut_after])
            self.close_connection = self.close_connection or answer.cut_after is not None

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _answer  # noqa: N815 - the names http.server calls

    return Exchange


@contextmanager
def serving(script: Script) -> Iterator[ScriptedServer]:
    """The server for the length of a `with`."""
    server = ScriptedServer(script)
    try:
        yield server
    finally:
        server.stop()


def in_turn(*answers: Answer) -> Script:
    """A script that gives one answer after the other, and the last one for ever."""
    left = list(answers)

    def script(_: Asked) -> Answer:
        return left.pop(0) if len(left) > 1 else left[0]

    return script
