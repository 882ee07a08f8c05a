"""When agents decide, and when what people approved is written. And a decision that a person asks for."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from assets.agents import EXECUTION, agent_key
from assets.progress import DECISIONS, Listener
from assets.resource import PlatformResource
from orchestration.by_hand import execute, refuse_failed
from orchestration.lanes import AWAITED
from orchestration.states import busy, key_of
from pilothouse.agents.agent import Agent
from pilothouse.kernel.errors import AgentError

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition  # exported nowhere else

    from assets.platform import Platform
    from pilothouse.agents.deciding import Came

EXECUTE = "execute_approved"


def job_name(agent: str) -> str:
    """The job in which an agent decides."""
    return f"decide_{agent}"


def agent_job(agent: Agent) -> "UnresolvedAssetJobDefinition":
    """An agent by itself: what it reads is made by other jobs."""
    return dg.define_asset_job(
        job_name(agent.name), dg.AssetSelection.assets(agent_key(agent.name)), description=agent.description, tags=AWAITED
    )


def agent_sensor(platform: "Platform", agent: Agent, job: "UnresolvedAssetJobDefinition") -> dg.SensorDefinition:
    """Turns what happened into a run, one for as much as there is. What waits for tables is tried again when those have changed."""

    @dg.sensor(
        name=f"{agent.name}_wakes",
        job=job,
        minimum_interval_seconds=max(1, int(platform.settings.agents.every.total_seconds())),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Lets {agent.name} decide on {', '.join(agent.wakes_on) or 'what its rounds find'}.",
    )
    def wakes(context: dg.SensorEvaluationContext, platform: PlatformResource) -> dg.RunRequest | dg.SkipReason:
        if skipped := busy(context, {job_name(agent.name): f"{agent.name} is deciding"}):
            return skipped
        state = platform.platform.deciding(agent.name).state()
        if not state:
            return dg.SkipReason("nothing is to be decided")
        # A run that failed as a whole (the database was gone, say) left its state as it was: it is worth another try each hour.
        return dg.RunRequest(run_key=key_of([state, int(datetime.now(UTC).timestamp() // 3600)]))

    return wakes


def execution_job() -> "UnresolvedAssetJobDefinition":
    """The executor by itself."""
    return dg.define_asset_job(EXECUTE, dg.AssetSelection.assets(EXECUTION), description="Write what people approved.", tags=AWAITED)


def execution_sensor(platform: "Platform", job: "UnresolvedAssetJobDefinition") -> dg.SensorDefinition:
    """Turns approvals into a run. The approved proposals themselves are what it looks at: an approval and its status are one
    transaction, and one that no run has brought further is still there after any crash."""

    @dg.sensor(
        name="approved_waits",
        job=job,
        minimum_interval_seconds=max(1, int(platform.settings.agents.every.total_seconds())),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for a run of the executor when proposals are approved; what a target was too busy for is tried again.",
    )
    def approved_waits(context: dg.SensorEvaluationContext, platform: PlatformResource) -> dg.RunRequest | dg.SkipReason:
        if skipped := busy(context, {EXECUTE: "approved proposals are being executed"}):
            return skipped
        approved = platform.platform.proposals.all("approved")
        if not approved:
            return dg.SkipReason("no approved proposal waits")
        now = datetime.now(UTC)
        return dg.RunRequest(
            run_key=key_of({each.id: [each.revision, _tries((now - each.changed_at).total_seconds())] for each in approved})
        )

    return approved_waits


def decide(dagster_home: Path, agent: str, listener: "Listener[Came]", *, asked: Sequence[str] = (), by: str = "") -> "list[Came]":
    """Let an agent decide now, as one run of its job; AgentError tells why it could not."""
    came: list[Came] = []

    def hear(name: str, each: "Came") -> None:
        came.append(each)
        listener(name, each)

    with DECISIONS.heard_by(hear):
        op = agent_key(agent).to_python_identifier()
        refuse_failed(execute(dagster_home, job_name(agent), ops={op: {"asked": list(asked), "by": by}}), AgentError)
    return came


def _tries(seconds: float) -> int:
    """How often a write is worth a try by now: after one, two, four minutes and so on, and from an hour on each hour."""
    minutes = seconds / 60
    return 0 if minutes < 1 else 1 + int(math.log2(minutes)) if minutes < 60 else 6 + int(minutes // 60)
