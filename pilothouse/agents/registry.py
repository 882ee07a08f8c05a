"""Every version of an agent that ever decided, with its definition: what decided then can be listed, and can decide again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from pilothouse.agents.agent import Agent
from pilothouse.agents.capsules import Capsule
from pilothouse.kernel.database import Database
from pilothouse.kernel.database.schema import agent_versions, capsule_blobs, capsules
from pilothouse.kernel.errors import AgentError


@dataclass(frozen=True, kw_only=True)
class AgentVersion:
    """One version, and what it did."""

    agent: str
    version: str
    first_ran_at: datetime
    decisions: int
    definition: Mapping[str, Any]


class Registry:
    """The versions that ran in one operational database. A version's definition is a blob that its decisions name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @staticmethod
    def note_within(connection: sa.Connection, decision: Capsule) -> None:
        """Remember the version that made a decision, in the transaction that remembers the decision."""
        row = {"agent": decision.manifest["agent"], "version": bytes.fromhex(decision.blobs["agent"])}
        connection.execute(insert(agent_versions).values(row).on_conflict_do_nothing())

    def has_run(self, agent: str) -> bool:
        """Whether any version of an agent ever decided."""
        with self._database.reading() as connection:
            return bool(connection.scalar(sa.select(sa.exists().where(agent_versions.c.agent == agent))))

    def versions(self, agent: str | None = None) -> list[AgentVersion]:
        """The versions that ran, the newest first."""
        decided = (
            sa.select(sa.func.count())
            .where(
                capsules.c.kind == "decision",
                capsules.c.agent == agent_versions.c.agent,
                capsules.c.agent_version == sa.func.encode(agent_versions.c.version, "hex"),
            )
            .scalar_subquery()
        )
        query = (
            sa.select(agent_versions, capsule_blobs.c.content, decided.label("decisions"))
            .join(capsule_blobs, capsule_blobs.c.digest == agent_versions.c.version)
            .order_by(agent_versions.c.agent, agent_versions.c.first_ran_at.desc())
        )
        if agent is not None:
            query = query.where(agent_versions.c.agent == agent)
        with self._database.reading() as connection:
            return [
                AgentVersion(
                    agent=row.agent,
                    version=row.version.hex(),
                    first_ran_at=row.first_ran_at,
                    decisions=row.decisions,
                    definition=msgspec.json.decode(row.content),
                )
                for row in connection.execute(query)
            ]

    def as_it_was(self, agent: Agent, named: str) -> Agent:
        """An agent as an earlier version defined it, by its version or the beginning of it."""
        found = [each for each in self.versions(agent.name) if named and each.version.startswith(named)]
        if len(found) != 1:
            known = ", ".join(each.version[:12] for each in self.versions(agent.name)) or "none"
            raise AgentError(f"{agent.name}: there is no one version '{named}'", hint=f"those that ran are {known}")
        return agent.as_defined(found[0].definition)
