"""One entry of the ledger: a decision, or what became of one. Its manifest names everything else by digest.

A decision is never changed after it was made: its approval, execution and outcome are entries of their own that are *about* it. The
manifest is canonical JSON, its digest is the entry's identity, and it holds the digest of the entry before it. So the newest digest
vouches for all entries, and a manifest for every byte that the decision saw and said.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, NewType

from pilothouse.kernel.errors import AgentError

Digest = NewType("Digest", str)  # SHA-256, in hexadecimal digits
Kind = Literal["decision", "approval", "execution", "undo", "outcome", "feedback"]
FORMAT: Final = "pilothouse-capsule/1"


def digest(content: bytes) -> Digest:
    """The identity of a content."""
    return Digest(hashlib.sha256(content).hexdigest())


def canonical(value: Any) -> bytes:
    """JSON in the one way in which equal values have equal bytes. Numbers that JSON does not know are refused."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise AgentError(f"a capsule cannot hold this: {error}", hint="give plain JSON: texts, numbers, lists and objects") from error


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What is to be remembered. `body` is small and read by people, `blobs` are whole inputs and outputs under speaking names."""

    kind: Kind
    subject: str  # what it is about, such as s4/sales_order/1000100
    at: datetime
    body: Mapping[str, Any]
    blobs: Mapping[str, bytes] = field(default_factory=dict)
    about: Digest | None = None  # the decision that this is a sequel of
    agent: str = ""
    agent_version: str = ""
    synthetic: bool


@dataclass(frozen=True, kw_only=True)
class Capsule:
    """An entry at its place in the chain."""

    seq: int
    digest: Digest
    manifest: Mapping[str, Any]
    signature: bytes

    @property
    def kind(self) -> Kind:
        """Which kind of entry it is."""
        kind: Kind = self.manifest["kind"]
        return kind

    @property
    def body(self) -> Mapping[str, Any]:
        """What it says."""
        body: Mapping[str, Any] = self.manifest["body"]
        return body

    @property
    def action(self) -> str | None:
        """What a decision decided; None of other entries."""
        output = self.body.get("output")
        return output.get("action") if isinstance(output, dict) else None

    @property
    def blobs(self) -> Mapping[str, Digest]:
        """What it saw and said in full, by name."""
        blobs: Mapping[str, Digest] = self.manifest["blobs"]
        return blobs


def manifest(draft: Draft, *, seq: int, previous: Digest | None) -> dict[str, Any]:
    """The manifest of a draft at its place. A moment is told in UTC."""
    return {
        "format": FORMAT,
        "seq": seq,
        "previous": previous,
        "kind": draft.kind,
        "subject": draft.subject,
        "at": draft.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "about": draft.about,
        "agent": draft.agent,
        "agent_version": draft.agent_version,
        "synthetic": draft.synthetic,
        "body": dict(draft.body),
        "blobs": {name: digest(content) for name, content in draft.blobs.items()},
    }
