"""`python -m bench.static_server FOLDER`: a server of answers that were rendered before, so that only clients are measured.

A real server would spend most of the time on its own queries, and both sides would look alike. Here an answer is a file
and goes out by `sendfile`; whoever asks gets the very same bytes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

PLACE = ("$skiptoken", "locator")  # the only query options that decide what is answered: where in a result a page stands
INDEX = "answers.json"


@dataclass(frozen=True)
class Answer:
    """One rendered answer, and what asks for it."""

    method: str
    path: str
    file: str
    content_type: str
    place: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


class Rendered:
    """The answers of one server, on their way into a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._answers: list[Answer] = []
        folder.mkdir(parents=True)

    def add(self, method: str, path: str, body: bytes, content_type: str, *, place: str = "", **headers: str) -> None:
        """One more answer. Names of headers are written with underscores here."""
        file = f"{len(self._answers)}.body"
        (self.folder / file).write_bytes(body)
        spelled = {name.replace("_", "-"): value for name, value in headers.items()}
        self._answers.append(Answer(method, path, file, content_type, place, spelled))

    def weight(self) -> int:
        """Bytes of all answers."""
        return sum((self.folder / answer.file).stat().st_size for answer in self._answers)

    @contextmanager
    def served(self) -> Iterator[str]:
        """The URL at which a process of its own gives the answers."""
        (self.folder / INDEX).write_text(json.dumps([asdict(answer) for answer in self._answers]))
        command = [sys.executable, "-m", "bench.static_server", str(self.folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                yield f"http://127.0.0.1:{int(process.stdout.readline())}"
            finally:
                process.terminate()


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else the end of each answer waits for an acknowledgement of its beginning
    answers: Mapping[tuple[str, str, str], Answer]
    folder: Path

    def __getattr__(self, name: str) -> object:
        """`do_GET` and its like: the method is part of what is looked up."""
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        asked = urlsplit(self.path)
        options = parse_qs(asked.query)
        place = next((options[name][0] for name in PLACE if name in options), "")
        answer = self.answers.get((self.command, asked.path, place))
        if answer is None:
            self.send_error(404)
            return
        file = self.folder / answer.file
        self.send_response(200)
        for name, value in {"Content-Type": answer.content_type, "Content-Length": str(file.stat().st_size), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.flush()
        with file.open("rb") as body:
            self.connection.sendfile(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main(folder: Path) -> None:
    """Serve until told to stop; the first line of output is the port."""
    _Connection.folder = folder
    known = [Answer(**each) for each in json.loads((folder / INDEX).read_text())]
    _Connection.answers = {(answer.method, answer.path, answer.place): answer for answer in known}
    with ThreadingHTTPServer(("127.0.0.1", 0), _Connection) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
