"""A decision with all that its capsule holds, and what became of it: what `show`, `why` and `diff` are told from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import msgspec

from pilothouse.agents.agent import Request
from pilothouse.agents.capsules import Capsule, Kept
from pilothouse.agents.capsules.reading import SHOWN
from pilothouse.agents.cassette import Heard
from pilothouse.kernel.errors import AgentError
from pilothouse.kernel.versions import Versions


@dataclass(frozen=True)
class Opened:
    """One decision. Its parts are read from the capsule when they are first asked for."""

    kept: Kept
    capsule: Capsule

    @classmethod
    def of(cls, kept: Kept, named: str) -> Opened:
        """The decision of that id, or the one that an entry of that id is about."""
        found = kept.get(named)
        if found.kind != "decision":
            if not found.manifest["about"]:
                raise AgentError(f"capsule {found.digest[:SHOWN]} is of kind {found.kind}", hint="`pilothouse decisions` lists decisions")
            found = kept.get(found.manifest["about"])
        return cls(kept, found)

    @property
    def id(self) -> str:
        """By what it is called where people read."""
        return self.capsule.digest[:SHOWN]

    @property
    def subject(self) -> str:
        """What it is about."""
        return str(self.capsule.manifest["subject"])

    @property
    def at(self) -> datetime:
        """When it was made."""
        return datetime.fromisoformat(self.capsule.manifest["at"])

    @property
    def agent(self) -> str:
        """Who made it."""
        return str(self.capsule.manifest["agent"])

    @property
    def output(self) -> Mapping[str, Any]:
        """What it says."""
        said = self.capsule.body.get("output")
        return said if isinstance(said, dict) else {}

    @cached_property
    def request(self) -> Request:
        """What was asked."""
        return Request.from_json(msgspec.json.decode(self._blob("request")))

    @cached_property
    def heard(self) -> list[Heard]:
        """Every call and what came of it, in order."""
        return msgspec.json.decode(self._blob("cassette"), type=list[Heard])

    @cached_property
    def versions(self) -> Versions:
        """What it read."""
        return Versions.from_json(msgspec.json.decode(self._blob("versions")))

    @cached_property
    def definition(self) -> Mapping[str, Any]:
        """The agent as it was."""
        said: Mapping[str, Any] = msgspec.json.decode(self._blob("agent"))
        return said

    @cached_property
    def sequels(self) -> list[Capsule]:
        """What became of it, the oldest first."""
        return [*self.kept.entries(about=self.capsule.digest)][::-1]

    def as_json(self) -> dict[str, Any]:
        """All of it, as plain JSON."""
        manifest = self.capsule.manifest
        return {
            "id": self.capsule.digest,
            **{name: manifest[name] for name in ("seq", "at", "subject", "agent", "agent_version", "synthetic")},
            **self.capsule.body,
            "request": self.request.as_json(),
            "calls": [msgspec.to_builtins(each) for each in self.heard],
            "versions": self.versions.as_json(),
            "blobs": dict(self.capsule.blobs),
            "became": [{"id": each.digest, **{name: each.manifest[name] for name in ("kind", "at", "body")}} for each in self.sequels],
        }

    def _blob(self, name: str) -> bytes:
        if name not in self.capsule.blobs:
            raise AgentError(f"capsule {self.id} holds no {name}", hint="it was not written by an agent's run")
        return self.kept.blob(self.capsule.blobs[name])
