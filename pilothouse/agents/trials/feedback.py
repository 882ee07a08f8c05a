"""What people say of decisions, and the cases that it makes: an agent that was wrong once is asked the same for ever after.

A word is an entry of the ledger about the decision, so it is signed and stays. The case is made of what the decision's capsule kept:
the request and every answer that its tools gave. Who rejects a proposal has said that its decision was not right.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, get_args

import msgspec

from pilothouse.agents.agent import Agent, Request
from pilothouse.agents.capsules import Capsule, Draft, Ledger
from pilothouse.agents.capsules.capsule import Digest
from pilothouse.agents.cassette import Heard
from pilothouse.agents.trials.case import Answer, Case
from pilothouse.kernel.errors import AgentError

Verdict = Literal["good", "bad"]


@dataclass(frozen=True, kw_only=True)
class Word:
    """What somebody said of a decision."""

    verdict: Verdict
    why: str
    by: str
    should: str = ""  # what should have been decided instead


def speak(ledger: Ledger, agent: Agent, decision: Capsule, word: Word) -> Capsule:
    """Remember it. AgentError where it is about no decision, or wants an action that the agent does not know."""
    if decision.kind != "decision":
        raise AgentError(
            f"{decision.digest[:12]} is an entry of kind {decision.kind}", hint="`pilothouse decisions` lists what can be judged"
        )
    known = actions_of(agent)
    if word.should and known and word.should not in known:
        raise AgentError(f"{agent.name} knows no action '{word.should}'", hint=f"it knows {', '.join(known)}")
    body = {"verdict": word.verdict, "why": word.why, "by": word.by} | ({"should": word.should} if word.should else {})
    said = Draft(
        kind="feedback",
        subject=decision.manifest["subject"],
        at=datetime.now(UTC),
        body=body,
        about=decision.digest,
        agent=decision.manifest["agent"],
        agent_version=decision.manifest["agent_version"],
        synthetic=decision.manifest["synthetic"],
    )
    return ledger.append([said])[0]


def spoken_cases(ledger: Ledger, agent: Agent) -> list[Case]:
    """A case for each decision of an agent that people spoke about, by what was said of it last."""
    words: dict[Digest, Word] = {}
    for about, word in _words(ledger, agent.name):
        words.setdefault(about, word)
    return [_case(ledger, ledger.get(about), word) for about, word in words.items()]


def actions_of(agent: Agent) -> tuple[str, ...]:
    """The actions that an agent's output allows; none where it does not say."""
    field = agent.output.model_fields.get("action")
    return tuple(map(str, get_args(field.annotation))) if field is not None else ()


def _words(ledger: Ledger, agent: str) -> Iterator[tuple[Digest, Word]]:
    """What was said of decisions by itself, the newest first; then what rejections say of them."""
    for entry in ledger.entries(kind="feedback"):
        if entry.manifest["agent"] == agent:
            yield (
                entry.manifest["about"],
                Word(**{name: entry.body[name] for name in ("verdict", "why", "by", "should") if name in entry.body}),
            )
    for entry in ledger.entries(kind="approval"):
        if entry.manifest["agent"] == agent and entry.body.get("verb") == "reject":
            yield entry.manifest["about"], Word(verdict="bad", why=str(entry.body.get("why", "")), by=str(entry.body.get("by", "")))


def _case(ledger: Ledger, decision: Capsule, word: Word) -> Case:
    output = decision.body["output"]
    action = str(output.get("action", ""))
    heard = msgspec.json.decode(ledger.blob(decision.blobs["cassette"]), type=list[Heard])
    answered = [each for each in heard if each.source == "tool" and each.error is None]
    wanted = {word.should} if word.should else {action} if word.verdict == "good" else set()
    return Case(
        name=f"{decision.manifest['subject']} ({decision.digest[:12]})",
        request=Request.from_json(msgspec.json.decode(ledger.blob(decision.blobs["request"]))),
        answers=tuple(Answer(tool=each.name, arguments=each.asked, answer=each.answer) for each in answered),
        wanted=frozenset(wanted),
        unwanted=frozenset() if wanted else frozenset({action}),
        because=f"{word.by}: {word.why}",
        source=decision.digest,
    )
