"""aimock, a server of language models that nobody here wrote: it speaks the dialects of OpenAI, Anthropic, Ollama and others, says what
it is told to say, and fails as it is told to fail. From npm: `make install-node`."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any, Self

from pilothouse.local.privileges import tethered

PROGRAM = Path(__file__).parent / "contract" / "node_aimock" / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"
NOTHING = PROGRAM.parents[4] / "nothing.json"  # it does not start without anything to say


class Aimock:
    """One server. What it says is told to it while it runs; `stopped` and `continued` let it hang and come back."""

    def __init__(self, *arguments: str) -> None:
        assert PROGRAM.is_file(), "run `make install-node`"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._arguments = arguments
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, again where it was killed."""
        command = ["node", str(PROGRAM), "-p", str(self.port), "-f", str(NOTHING), "--strict", "--log-level", "silent", *self._arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=tethered())
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                self._control("GET", "/health")
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise RuntimeError(f"aimock did not start (exit code {self.process.poll()})")

    def says(self, *responses: dict[str, Any], **match: Any) -> None:
        """From now on: these responses in order of the conversation's turns, the last one for all turns beyond."""
        self._control("POST", "/__aimock/reset")
        self.adds(*responses, **match)

    def adds(self, *responses: dict[str, Any], **match: Any) -> None:
        """Beside what it says already, which goes before."""
        fixtures: list[dict[str, Any]] = []
        for turn, response in enumerate(responses):
            options = {
                name: response.pop(name)
                for name in ("latency", "chunkSize", "truncateAfterChunks", "disconnectAfterMs", "chaos")
                if name in response
            }
            fixtures.append({"match": match | {"turnIndex": turn}, "response": response, **options})
        self._control("POST", "/__aimock/fixtures", {"fixtures": fixtures})

    def fails(self, status: int, **body: Any) -> None:
        """Its next answer is this error."""
        self._control("POST", "/__aimock/error", {"status": status, "body": body or None})

    def disturbed(self, **rates: float) -> None:
        """Failures at random: dropRate, malformedRate, disconnectRate, rateLimitRate."""
        self._control("POST", "/__aimock/chaos", rates)

    def asked(self) -> list[dict[str, Any]]:
        """Every request that it was sent, as it understood it."""
        return [entry["body"] for entry in self._control("GET", "/__aimock/journal") if entry.get("body")]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _control(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=5) as response:
            return json.load(response)


def calls(name: str, **arguments: Any) -> dict[str, Any]:
    """A response that calls a tool."""
    return {"toolCalls": [{"name": name, "arguments": arguments}]}
