"""What a language model is asked and what it answers, as plain JSON of ours.

A cassette lasts longer than any client library. So what it holds are these shapes and not a library's: a replay of a conversation
needs neither the library nor its version of then, and reads well enough for an auditor.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from pilothouse.agents.capsules.capsule import canonical

DECIDE: Final = "decide"  # the name under which a model says its decision

Message = Mapping[str, Any]  # {"role": "system" | "user" | "assistant" | "tool", ...}


@dataclass(frozen=True, kw_only=True)
class Offer:
    """Something that a model may call, as it is told of it."""

    name: str
    description: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Question:
    """A conversation that waits for a model's next word."""

    messages: tuple[Message, ...]
    tools: tuple[Offer, ...]
    decide: Offer
    data: str = ""  # digest of the versions that were read so far: over other data it is another question
    avoid: frozenset[str] = frozenset()  # models whose answers in this conversation were of no use

    @property
    def size(self) -> int:
        """Its bytes. No tokenizer makes more tokens of a text than it has bytes."""
        return len(canonical([list(self.messages), [[each.name, each.description, each.schema] for each in (*self.tools, self.decide)]]))

    def key(self, models: Any) -> bytes:
        """What makes it the same question, asked of these models."""
        offers = [[each.name, each.description, each.schema] for each in (*self.tools, self.decide)]
        return hashlib.sha256(canonical([list(self.messages), offers, self.data, sorted(self.avoid), models])).digest()


@dataclass(frozen=True, kw_only=True)
class Said:
    """A model's next word, with what it took."""

    model: str
    text: str
    calls: tuple[Mapping[str, Any], ...]  # id, name, arguments: an object, or the text that is none
    cut_off: bool = False  # it reached its most tokens before it had finished
    input_tokens: int = 0
    output_tokens: int = 0
    money: Decimal = Decimal(0)
    seconds: float = 0.0
    cached: bool = False
    failures: tuple[str, ...] = field(default=())  # of those that were asked before

    def as_json(self) -> dict[str, Any]:
        """As a cassette keeps it."""
        return {
            "model": self.model,
            "text": self.text,
            "calls": [dict(each) for each in self.calls],
            "cut_off": self.cut_off,
            "tokens": {"input": self.input_tokens, "output": self.output_tokens},
            "money": str(self.money),
            "seconds": round(self.seconds, 3),
            "cached": self.cached,
            "failures": list(self.failures),
        }


class Conversation:
    """Messages so far, and what of them is new since a model was last asked."""

    def __init__(self, prompt: str, first: Mapping[str, Any]) -> None:
        self._messages: list[Message] = [{"role": "system", "text": prompt}, {"role": "user", "text": canonical(first).decode()}]
        self._told = 1  # the prompt stands in the agent's definition

    @property
    def messages(self) -> tuple[Message, ...]:
        """All of them, in order."""
        return tuple(self._messages)

    def asked(self) -> dict[str, Any]:
        """All that the next answer depends on: what is new in full, what was said before by its digest. So a cassette grows with a
        conversation and not with its square."""
        before, new = self._messages[: self._told], self._messages[self._told :]
        self._told = len(self._messages)
        return {"after": hashlib.sha256(canonical(before)).hexdigest(), "new": new}

    def heard(self, answer: Mapping[str, Any]) -> None:
        """What the model said."""
        self._messages.append({"role": "assistant", "text": answer["text"], "calls": answer["calls"]})
        self._told = len(self._messages)  # it stands in the cassette as the answer

    def reply(self, call: Mapping[str, Any], answer: Any, *, failed: bool = False) -> None:
        """What came of something that it called."""
        self._messages.append({"role": "tool", "id": call["id"], "name": call["name"], "answer": answer, "failed": failed})

    def remind(self, text: str) -> None:
        """What it is told by us."""
        self._messages.append({"role": "user", "text": text})
