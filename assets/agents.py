"""Agents as assets: `agent/<name>` is a run that decides on what happened; `approvals/execution` writes what people approved.

A run serves as many occasions as there are, and each gets a decision of its own (`pilothouse/agents/deciding.py`). No `from
__future__ import annotations` here: Dagster reads the annotation of `context` itself, not its text.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.failures import translated_errors
from assets.ingest import owners
from assets.resource import PlatformResource
from assets.tables import asset_key
from pilothouse.agents.agent import Agent
from pilothouse.agents.figures import Figure, figures, first, weight

if TYPE_CHECKING:
    from pilothouse.agents.deciding import Came
    from pilothouse.approvals.executor import Tried
    from pilothouse.kernel.versions import Versions

GROUP = "agents"
EXECUTION = dg.AssetKey(["approvals", "execution"])
WENT_THROUGH = "every_write_went_through"
_EXPLAINED = 10


class DecidingOptions(dg.Config):
    """What a run decides on beside what happened: subjects that somebody asks about, by their keys."""

    asked: list[str] = []  # noqa: RUF012 - Dagster's config is a pydantic model, which copies it
    by: str = ""


def agent_key(name: str) -> dg.AssetKey:
    """An agent as an asset."""
    return dg.AssetKey(["agent", name])


def agent_asset(agent: Agent) -> dg.AssetsDefinition:
    """One agent, at work on what woke it."""

    @dg.asset(
        key=agent_key(agent.name),
        output_required=False,  # a run that found nothing but what must wait for its tables says so, and hides no decision
        deps=[asset_key(table) for table in dict.fromkeys((*agent.tables, *agent.awaits)) if "*" not in table],
        description=f"{agent.description} Each decision is kept with all that it saw, and can be made again.",
        group_name=GROUP,
        kinds={"agent", "postgres"},
        owners=owners(agent.owner),
        metadata={
            "decides_on": agent.subject,
            "wakes_on": ", ".join(agent.wakes_on) or "rounds of its own",
            "tools": ", ".join(each.name for each in agent.tools),
        },
        tags={"pilothouse/stage": "agent"},
    )
    def decide(context: dg.AssetExecutionContext, config: DecidingOptions, platform: PlatformResource) -> Iterator[dg.MaterializeResult]:  # type: ignore[type-arg]  # Dagster knows only the bare class
        from assets.progress import DECISIONS
        from pilothouse.agents.deciding import read_by
        from pilothouse.kernel.database.locks import exclusively

        here = platform.platform
        with (
            translated_errors(context),
            platform.recording(context),
            exclusively(here.database, f"agent {agent.name}", what=f"a run of {agent.name}"),
        ):
            deciding, came = here.deciding(agent.name), []
            if config.asked:
                deciding.inbox.asked(config.asked, config.by)
            for each in deciding.decide():
                DECISIONS.tell(agent.name, each)
                context.log.info(f"{each.occasion.subject}: {each.output.get('action', each.how)} {each.said}".rstrip())
                came.append(each)
        if any(each.how != "waiting" for each in came):
            yield dg.MaterializeResult(metadata=_told(deciding.agent, came, read_by(came)))

    return decide


def execution_asset() -> dg.AssetsDefinition:
    """The one asset that writes into source systems."""

    @dg.asset(
        key=EXECUTION,
        deps=[],
        description="Writes what people approved into SAP and Salesforce, each once, and keeps what was there before.",
        group_name=GROUP,
        kinds={"postgres"},
        owners=["team:credit"],
        check_specs=[dg.AssetCheckSpec(WENT_THROUGH, asset=EXECUTION, description="No approved write was refused or found changed.")],
        tags={"pilothouse/stage": "execution"},
    )
    def execution(context: dg.AssetExecutionContext, platform: PlatformResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
        with translated_errors(context), platform.recording(context):
            tried = list(platform.platform.executor.execute_all())
        for each in tried:
            context.log.info(f"{each.proposal.id} {each.proposal.action}: {each.proposal.status} {each.said}")
        return _executed(tried)

    return execution


def _told(agent: Agent, came: Sequence["Came"], read: "Versions") -> dict[str, Any]:
    from assets.display import version_vector

    decided = [each for each in came if each.capsule is not None]
    how = Counter(each.how for each in came)
    actions = Counter(str(each.output.get("action", "decided")) for each in decided)
    known = figures(agent.definition())
    costs = [each.capsule.body["cost"] for each in decided if each.capsule is not None]
    return {
        "decisions": len(decided),
        **{f"action/{name}": count for name, count in sorted(actions.items())},
        "waiting": how["waiting"],
        "to_be_tried_again": how["failed"],
        "undecidable": how["undecidable"],
        **dict(_summed_up(decided, known)),
        "cost": dg.MetadataValue.json(
            {
                "money": str(sum((Decimal(each["money"]) for each in costs), Decimal(0))),
                "tokens": sum(each["tokens"] for each in costs),
                "calls": sum(each["calls"] for each in costs),
                "seconds": round(sum(each.seconds for each in decided), 3),
            }
        ),
        "agent_version": agent.version(),
        "versions": version_vector(read),
        "table": _table(came, known),
        "explanation": dg.MetadataValue.md("\n\n".join(_explained(decided, known)) or "Nothing was to be decided."),
    }


def _summed_up(decided: Sequence["Came"], known: Sequence[Figure]) -> Iterator[tuple[str, float]]:
    """Of each figure what it comes to: a sum of euros and counts, a mean of all else. Names come to nothing."""
    for each in (figure for figure in known if figure.unit != "name"):
        values = [float(value) for came in decided if (value := each.of(came.output)) is not None]
        if each.unit in ("EUR", "count"):
            yield each.name, round(sum(values), 2)
        elif values:
            yield f"mean_{each.name}", round(sum(values) / len(values), 4)


def _table(came: Sequence["Came"], known: Sequence[Figure]) -> dg.TableMetadataValue:
    names = ("subject", "outcome", *(each.name for each in known), "decision", "said")
    records = []
    for each in came:
        told = {figure.name: "" if (value := figure.of(each.output)) is None else str(value) for figure in known}
        first = str((each.output.get("reasons") or [each.said])[0])
        decision = each.capsule.digest[:12] if each.capsule is not None else ""
        outcome = str(each.output.get("action", each.how))
        records.append(dg.TableRecord({"subject": each.occasion.subject, "outcome": outcome, **told, "decision": decision, "said": first}))
    return dg.MetadataValue.table(records, schema=dg.TableSchema([dg.TableColumn(name) for name in names]))


def _explained(decided: Sequence["Came"], known: Sequence[Figure]) -> Iterator[str]:
    """The dearest decisions in words, with what leads further."""
    dear = sorted(decided, key=lambda each: -weight(known, each.output))
    for each in dear[:_EXPLAINED]:
        assert each.capsule is not None
        output, name = each.output, each.capsule.digest[:12]
        money = f", {told}" if (told := first(known, "EUR", output)) else ""
        named = f", {told}" if (told := first(known, "name", output)) else ""
        tables = ", ".join(
            f"[{read.name}](/assets/{read.name}) at version {read.version}" for read in each.versions.read if read.kind == "table"
        )
        yield "\n".join(
            [
                f"### {each.occasion.subject}{named}: {output.get('action', 'decided')}{money}",
                *(f"- {reason}" for reason in output.get("reasons", ())),
                "",
                f"Decision `{name}` · `pilothouse show {name}` · `pilothouse why {name}` · `pilothouse replay {name}`",
                "",
                f"Read {tables}.",
            ]
        )
    if len(decided) > _EXPLAINED:
        yield f"... and {len(decided) - _EXPLAINED} more: `pilothouse decisions`"


def _executed(tried: Sequence["Tried"]) -> dg.MaterializeResult:  # type: ignore[type-arg]
    names = ("proposal", "write", "status", "said")
    columns = [dg.TableColumn(name) for name in names]
    rows = [(each.proposal.id, f"{each.proposal.target}: {each.proposal.action}", each.proposal.status, each.said) for each in tried]
    statuses = Counter(each.proposal.status for each in tried)
    stuck = [each.proposal.id for each in tried if each.stuck]
    return dg.MaterializeResult(
        metadata={
            "executed": statuses["executed"],
            "to_be_tried_again": statuses["approved"],
            "refused": sum(each.stuck and each.proposal.status != "approved" for each in tried),
            "table": dg.MetadataValue.table(
                [dg.TableRecord(dict(zip(names, row, strict=True))) for row in rows], schema=dg.TableSchema(columns)
            ),
        },
        check_results=[
            dg.AssetCheckResult(
                passed=not stuck,
                check_name=WENT_THROUGH,
                severity=dg.AssetCheckSeverity.WARN,
                description=f"`pilothouse proposals` tells what became of {', '.join(stuck)}" if stuck else None,
            )
        ],
    )
