"""Which version of an agent is in force, and how each version stood up to its trials.

Today's version decides, unless it was tried and found worse: then the last version that was not goes on deciding, by its own tree,
prompt and models, with today's code. Where `[agents.<name>] tried = true` is set, a version that was not tried does not decide either.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

import sqlalchemy as sa

from pilothouse.agents.agent import Agent
from pilothouse.agents.capsules.capsule import canonical
from pilothouse.agents.registry import Registry
from pilothouse.agents.trials.trying import Report
from pilothouse.kernel.database import Database
from pilothouse.kernel.database.schema import evaluations

Verdict = Literal["in force", "worse"]
GOOD: Final[Verdict] = "in force"
WORSE: Final[Verdict] = "worse"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A version's last trial."""

    version: str
    verdict: Verdict
    score: float
    at: datetime
    definition: Mapping[str, Any]
    report: Mapping[str, Any]


def essence(definition: Mapping[str, Any]) -> bytes:
    """What a version is but for the code that runs it."""
    return hashlib.sha256(canonical({name: value for name, value in definition.items() if name != "code"})).digest()


class Standings:
    """The trials that one operational database knows of."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, agent: Agent, report: Report, verdict: Verdict, said: Mapping[str, Any]) -> None:
        """Remember how a version stood up, and what follows from it."""
        row = {
            "agent": agent.name,
            "version": bytes.fromhex(report.version),
            "essence": essence(agent.definition()),
            "definition": agent.definition(),
            "verdict": verdict,
            "score": report.score,
            "report": {**report.as_json(), **said},
        }
        with self._database.begin() as connection:
            connection.execute(sa.insert(evaluations), [row])

    def of(self, agent: Agent) -> Standing | None:
        """The last trial of a version, whatever code it was tried with: an upgrade makes no bad tree or prompt a good one."""
        return self._last(evaluations.c.agent == agent.name, evaluations.c.essence == essence(agent.definition()))

    def last_good(self, agent: str) -> Standing | None:
        """The last trial that a version of an agent passed."""
        return self._last(evaluations.c.agent == agent, evaluations.c.verdict == GOOD)

    def in_force(self, agent: Agent, *, only_tried: bool = False) -> Agent:
        """The version that decides."""
        today = self.of(agent)
        if today is None and not only_tried:
            return agent
        if today is not None and today.verdict == GOOD:
            return agent
        good = self.last_good(agent.name)
        if good is not None:
            return agent.as_defined(good.definition)
        earlier = self.rival(agent)
        return earlier if earlier is not None else agent  # the first version there is decides, or nothing would

    def rival(self, agent: Agent) -> Agent | None:
        """The version that one which is tried must not be worse than: the last good one, else the last that decided."""
        good = self.last_good(agent.name)
        definitions = [good.definition] if good is not None else [each.definition for each in Registry(self._database).versions(agent.name)]
        earlier = (agent.as_defined(definition) for definition in definitions)
        return next((each for each in earlier if essence(each.definition()) != essence(agent.definition())), None)

    def _last(self, *conditions: sa.ColumnElement[bool]) -> Standing | None:
        query = sa.select(evaluations).where(*conditions).order_by(evaluations.c.id.desc()).limit(1)
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        return Standing(
            version=row.version.hex(), verdict=row.verdict, score=row.score, at=row.at, definition=row.definition, report=row.report
        )
