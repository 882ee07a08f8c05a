"""The one loop: an agent, a request and a snapshot become a decision and all that it takes to make it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from pydantic import ValidationError

from pilothouse.agents.agent import Agent, Request
from pilothouse.agents.budget import Account, Cost
from pilothouse.agents.capsules import Capsule, Draft, Kept
from pilothouse.agents.capsules.capsule import canonical
from pilothouse.agents.cassette import Player, Recorded, Recorder
from pilothouse.agents.snapshot import Snapshot, looking
from pilothouse.agents.tools import Budgeted, Permitted, Repeats, Toolbox
from pilothouse.kernel.errors import AgentError
from pilothouse.kernel.versions import Versions, recording


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run that came to a decision."""

    agent: Agent
    request: Request
    output: bytes  # canonical JSON: what a replay is compared with
    cassette: bytes
    versions: Versions
    looked: bytes  # which rows of which tables were asked for, in canonical JSON
    spent: Cost
    synthetic: bool

    def draft(self) -> Draft:
        """What is remembered of it. What runs share (definition, versions) is its own blob, and so kept once."""
        definition, versions = self.agent.definition_bytes(), canonical(self.versions.as_json())
        return Draft(
            kind="decision",
            subject=self.request.subject,
            at=self.request.at,
            body={
                "output": msgspec.json.decode(self.output),
                "cost": {"calls": self.spent.calls, "tokens": self.spent.tokens, "money": str(self.spent.money)},
            },
            blobs={
                "agent": definition,
                "versions": versions,
                "request": canonical(self.request.as_json()),
                "cassette": self.cassette,
                "looked": self.looked,
                "output": self.output,
            },
            agent=self.agent.name,
            agent_version=self.agent.version(),
            synthetic=self.synthetic,
        )


def run(agent: Agent, request: Request, snapshot: Snapshot | None) -> Run:
    """Let an agent decide, without a snapshot where its tools need none. An AgentError says why it did not; nothing has happened then."""
    account, recorder = Account(agent.budget), Recorder()
    with recording() as versions, looking() as look:
        permitted = Permitted(Toolbox(agent.tools, snapshot), agent.permissions)
        calls = Repeats(Recorded(Budgeted(permitted, account), recorder))
        output = _checked(agent, agent.brain.decide(agent, request, calls))
    return Run(
        agent=agent,
        request=request,
        output=output,
        cassette=recorder.content(),
        versions=versions.versions(),
        looked=canonical([each.as_json() for each in look.asked]),
        spent=replace(account.spent, seconds=0.0),
        synthetic=look.synthetic,
    )


@dataclass(frozen=True)
class Replayed:
    """What a replay said, beside what was said then."""

    capsule: Capsule
    then: bytes
    now: bytes
    same_code: bool  # whether the code is that of then, as far as the version tells

    @property
    def identical(self) -> bool:
        """Byte for byte."""
        return self.then == self.now


def replay(kept: Kept, capsule: Capsule, agent: Agent) -> Replayed:
    """Make a decision again from its capsule alone. `agent` lends its code; what it decides by is what the capsule says."""
    if capsule.kind != "decision":
        raise AgentError(f"capsule {capsule.digest[:12]} is of kind {capsule.kind}", hint="only a decision can be replayed")
    definition = msgspec.json.decode(kept.blob(capsule.blobs["agent"]))
    then = agent.as_defined(definition)
    request = Request.from_json(msgspec.json.decode(kept.blob(capsule.blobs["request"])))
    player = Player.of(kept.blob(capsule.blobs["cassette"]))
    # Behind the player is an empty toolbox: there is nothing that a replay could ask.
    output = _checked(then, then.brain.decide(then, request, Repeats(Recorded(Toolbox((), None), player))))
    player.finish()
    return Replayed(capsule, kept.blob(capsule.blobs["output"]), output, definition["code"] == then.definition()["code"])


def _checked(agent: Agent, said: Mapping[str, Any]) -> bytes:
    """What a brain said, as the agent's output takes it, in canonical bytes."""
    try:
        return canonical(agent.output.model_validate(said).model_dump(mode="json"))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or agent.output.__name__
        raise AgentError(f"{agent.name}: its decision is not one: {where}: {first['msg']}", hint="mend its brain, or its output") from error
