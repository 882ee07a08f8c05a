"""Commands that let agents decide, and the first decision that `up` ends with."""

from __future__ import annotations

import getpass
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from pilothouse.cli.inspecting import open_platform
from pilothouse.cli.output import Json, console, print_json, print_rows, told_plainly
from pilothouse.kernel.errors import PilothouseError

if TYPE_CHECKING:
    from assets.platform import Platform
    from pilothouse.agents.agent import Agent
    from pilothouse.agents.capsules import Capsule
    from pilothouse.agents.deciding import Came
    from pilothouse.agents.figures import Figure
    from pilothouse.approvals.proposals import Proposal

_REASONS = 3


def register(app: typer.Typer) -> None:
    """Put the commands on the application."""
    app.command()(agents)
    app.command()(decide)


@told_plainly
def agents(
    name: Annotated[str | None, typer.Argument(metavar="[AGENT]", help="One agent in full.")] = None,
    json_output: Json = False,  # noqa: FBT002 - typer
) -> None:
    """List the agents there are and what became of what woke them; of one, show its versions and what it could not decide.

    Example: pilothouse agents credit_desk
    """
    from pilothouse.agents.registry import Registry

    with open_platform() as platform:
        if name is None:
            rows = [_in_short(platform, each) for each in platform.agents]
            print_json(rows) if json_output else print_rows(rows, right=("decided", "waiting", "undecidable"))
            return
        agent, inbox = platform.agent(name), platform.deciding(name).inbox
        versions = [
            {"version": each.version[:12], "first ran": each.first_ran_at, "decisions": each.decisions, "is today's": today}
            for each in Registry(platform.database).versions(name)
            for today in [each.version == agent.version()]
        ]
        open_ = [
            {"subject": each.subject, "state": each.state, "since": each.noted_at, "tries": each.attempts, "said": each.said}
            for state in ("waiting", "undecidable")
            for each in inbox.all(state, most=20)  # type: ignore[arg-type]  # two of its literals
        ]
    if json_output:
        print_json({**_described(platform, name), "versions": versions, "occasions": open_})
        return
    console.print(f"[bold]{name}[/]  {escape(agent.description)}", soft_wrap=True)
    console.print(f"  decides on {agent.subject}, wakes on {_wakes(agent)}", soft_wrap=True)
    console.print(f"  may use {', '.join(each.name for each in agent.tools)}; proposes to {', '.join(agent.approvers)}\n", soft_wrap=True)
    print_rows(versions, title="versions that decided", right=("decisions",))
    if open_:
        print_rows(open_, title="\nwaiting, or given up", right=("tries",))


@told_plainly
def decide(
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="Such as credit_desk.")],
    keys: Annotated[list[str] | None, typer.Argument(metavar="[KEY]...", help="What to decide anew, such as numbers of orders.")] = None,
    json_output: Json = False,  # noqa: FBT002 - typer
) -> None:
    """Let an agent decide now, on what happened and on what is named, as a run that the Dagster UI shows.

    Example: pilothouse decide credit_desk 1000100
    """
    from orchestration.agents import decide as run
    from pilothouse.agents.figures import figures

    with open_platform() as platform:
        known = figures(platform.agent(agent).definition())
        home = platform.settings.home / "dagster"
    came = run(home, agent, lambda *_: None, asked=keys or (), by=getpass.getuser())
    rows = [_row(each, known) for each in came]
    if json_output:
        print_json(rows)
    else:
        print_rows(rows, right=("amount",))


@dataclass(frozen=True)
class First:
    """What agents decided while everything started, and the one decision that shows it best."""

    decided: Counter[str] = field(default_factory=Counter)
    decision: Capsule | None = None
    proposal: Proposal | None = None
    figures: tuple[Figure, ...] = ()  # of that decision
    reason: str = ""  # why an agent could not decide

    @property
    def output(self) -> dict[str, Any]:
        """What was decided."""
        return {} if self.decision is None else dict(self.decision.body["output"])

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        told: dict[str, Any] = {"decided": dict(self.decided), "reason": self.reason, "first": None}
        if self.decision is not None:
            proposal = None if self.proposal is None else {"id": self.proposal.id, "change": self.proposal.change}
            told["first"] = {"id": self.decision.digest, "subject": self.decision.manifest["subject"], **self.output, "proposal": proposal}
        return told

    def lines(self) -> Iterator[str]:
        """For the summary: the order, the decision, its reasons, the money, and what to do next."""
        if self.reason:
            yield f"[red]failed[/]   agents: {escape(self.reason.splitlines()[0])}"
        if self.decision is None:
            return
        from pilothouse.agents.figures import first

        name, output = self.decision.digest[:12], self.output
        subject = ", ".join(filter(None, (str(self.decision.manifest["subject"]), first(self.figures, "name", output))))
        euros = "".join(f", {told} {each.words}" for each in self.figures if each.unit == "EUR" and (told := each.shown(output)))
        yield ""
        yield f"[bold]{escape(subject)}[/]: [bold]{escape(str(output.get('action')))}[/]{escape(euros)}"
        yield from (f"  · {escape(str(reason))}" for reason in output.get("reasons", [])[:_REASONS])
        if self.proposal is not None:
            from pilothouse.cli.approving import change_of

            change = change_of(self.proposal)
            yield f"  proposed to {self.proposal.target}: {escape(change)}"
        others = ", ".join(f"{count} {action}" for action, count in self.decided.most_common())
        yield f"  one of {self.decided.total()} decisions: {others}"
        yield ""
        yield f"Read     pilothouse show {name} · pilothouse why {name} · pilothouse replay {name}"
        if self.proposal is not None:
            yield f'Steer    pilothouse approve {self.proposal.id} · pilothouse undo {self.proposal.id} --why "..." · pilothouse proposals'
        yield f"Judge    pilothouse backtest {self.decision.manifest['agent']} · pilothouse agents · pilothouse decisions"


def first_decision(dagster_home: Path) -> First:
    """Let the agents decide what events woke them for, and pick what to show; a failure is told and ends nothing else. Those that go on
    rounds look around by themselves once the daemon runs: nobody waits for them here."""
    from orchestration.agents import decide as run

    came: list[Came] = []
    reason = ""
    with open_platform() as platform:
        names = [name for name, agent in platform.agents.items() if agent.rounds is None]
    for name in names:
        try:
            came += run(dagster_home, name, lambda *_: None)
        except PilothouseError as error:
            reason = str(error)
    with open_platform() as platform:
        return _telling(platform, came, reason)


def _telling(platform: Platform, came: Sequence[Came], reason: str) -> First:
    """The decision to show: one whose write a single person may approve, and of those the dearest; else the dearest."""
    from pilothouse.agents.figures import figures_of
    from pilothouse.agents.figures import weight as weight_of

    decided = [each.capsule for each in came if each.capsule is not None] or list(platform.ledger.entries(kind="decision", most=20))
    known = figures_of(platform.ledger, decided)
    waiting = {each.decision: each for each in platform.proposals.all("open") if each.compensates is None}

    def weight(capsule: Capsule) -> tuple[bool, bool, Decimal]:
        proposal = waiting.get(capsule.digest)
        alone = proposal is not None and platform.proposals.needed(proposal) == 1
        return proposal is not None, alone, weight_of(known[capsule.digest], capsule.body["output"])

    best = max(decided, key=weight, default=None)
    return First(
        decided=Counter(str(each.body["output"].get("action")) for each in decided),
        decision=best,
        proposal=None if best is None else waiting.get(best.digest),
        figures=() if best is None else known[best.digest],
        reason=reason,
    )


def _wakes(agent: Agent) -> str:
    """What wakes an agent, in words."""
    hours = 0.0 if agent.rounds is None else agent.rounds.every.total_seconds() / 3600
    rounds = "" if agent.rounds is None else "a round a day" if hours == 24 else f"a round every {hours:g} hour{'' if hours == 1 else 's'}"
    return ", ".join(filter(None, (*agent.wakes_on, rounds))) or "nothing"


def _described(platform: Platform, name: str) -> dict[str, Any]:
    agent = platform.agent(name)
    return {"agent": name, "description": agent.description, "subject": agent.subject, "wakes_on": list(agent.wakes_on)}


def _in_short(platform: Platform, name: str) -> dict[str, Any]:
    counts = platform.deciding(name).inbox.counts()
    agent = platform.agent(name)
    return {
        "agent": name,
        "description": agent.description,
        "wakes on": _wakes(agent),
        "decided": counts["decided"],
        "waiting": counts["waiting"],
        "undecidable": counts["undecidable"],
        "version": agent.version()[:12],
    }


def _row(came: Came, known: Sequence[Figure]) -> dict[str, Any]:
    from pilothouse.agents.figures import first

    output = came.output
    return {
        "subject": came.occasion.subject,
        "name": first(known, "name", output) or None,
        "outcome": output.get("action", came.how),
        "amount": first(known, "EUR", output) or None,
        "decision": came.capsule.digest[:12] if came.capsule is not None else None,
        "because": next(iter(output.get("reasons", ())), came.said),
    }
