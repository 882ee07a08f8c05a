"""Commands about how good agents are, and about the language models that may decide for them: feedback, eval, gateway."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.markup import escape

from pilothouse.cli.approving import who
from pilothouse.cli.inspecting import open_platform
from pilothouse.cli.output import Json, console, print_json, print_rows, told_plainly
from pilothouse.kernel.errors import ConfigError

if TYPE_CHECKING:
    from pilothouse.agents.agent import Agent
    from pilothouse.agents.trials.trying import Report


def register(app: typer.Typer) -> None:
    """Put the commands on the application."""
    app.command()(feedback)
    app.command("eval")(evaluate)
    app.command()(gateway)


@told_plainly
def feedback(
    decision: Annotated[str, typer.Argument(metavar="ID", help="Of a decision, or the beginning of it.")],
    verdict: Annotated[Literal["good", "bad"], typer.Argument(help="Whether it was right.")],
    why: Annotated[str, typer.Option("--why", help="The reason; it is kept in the ledger and shown with the case.")],
    should: Annotated[str, typer.Option("--should", help="The action that would have been right.")] = "",
    json_output: Json = False,  # noqa: FBT002 - typer
) -> None:
    """Say whether a decision was right. It becomes a case that every later version of its agent is tried by.

    Example: pilothouse feedback 3f9a21c07b5e bad --should release --why "they had paid, the bank was late"
    """
    from pilothouse.agents.trials.feedback import Word, speak

    with open_platform() as platform:
        found = platform.ledger.get(decision)
        if found.kind != "decision" and found.manifest["about"]:
            found = platform.ledger.get(found.manifest["about"])  # whoever names an approval or an undoing means the decision
        word = Word(verdict=verdict, why=why, by=who(platform).name, should=should)
        said = speak(platform.ledger, platform.agent(found.manifest["agent"]), found, word)
        cases = len(platform.cases(found.manifest["agent"]))
    agent = found.manifest["agent"]
    if json_output:
        print_json({"feedback": said.digest, "decision": found.digest, "agent": agent, "cases": cases, **said.body})
        return
    console.print(f"{agent} is tried by {cases} cases now, this among them: `pilothouse eval {agent}`", soft_wrap=True)


@told_plainly
def evaluate(
    name: Annotated[str, typer.Argument(metavar="AGENT", help="Such as credit_desk.")],
    tree: Annotated[
        Path | None, typer.Option("--tree", help="Try this decision tree instead of the agent's own, and change nothing.", dir_okay=False)
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Show the cases that it decides as people want it too.")] = False,  # noqa: FBT002 - typer
    json_output: Json = False,  # noqa: FBT002 - typer
) -> None:
    """Try an agent by its cases, by what people said of its decisions, and by properties. Exit code 1: it is worse than what is in force.

    A version that is worse does not decide: the one that was in force goes on.

    Example: pilothouse eval credit_desk
    """
    from pilothouse.agents.trials.standing import GOOD, WORSE
    from pilothouse.agents.trials.trying import tried

    with open_platform() as platform:
        agent = platform.agent(name)
        candidate, rival = (agent, platform.rival(name)) if tree is None else (_with_tree(agent, tree), platform.in_force(name))
        cases, judge = platform.cases(name), platform.judge(name)
        report = tried(candidate, cases, judge=judge)
        standing = None if rival is None else tried(rival, cases, judge=judge)
        objections = [*report.objections(standing), *report.regressions(platform.standings.last_good(name) if tree is None else None)]
        if tree is None:
            said = {"objections": objections, "against": None if standing is None else standing.version}
            platform.standings.keep(agent, report, WORSE if objections else GOOD, said)
    if json_output:
        against = None if standing is None else {"version": standing.version, "score": round(standing.score, 4), "judged": standing.mean}
        print_json({**report.as_json(), "against": against, "objections": objections})
    else:
        _print(report, standing, objections, every=every, kept=tree is None)
    if objections:
        raise typer.Exit(1)


@told_plainly
def gateway(json_output: Json = False) -> None:  # noqa: FBT002 - typer
    """List the language models that are set, what they cost, and whether their servers answer now. No model is asked, so it costs nothing.

    Example: pilothouse gateway
    """
    with open_platform() as platform:
        settings = platform.settings
        said = platform.gateway.check()
        deciding = {
            model: [agent for agent, given in settings.agents.brains.items() if model in given.models and given.brain == "language"]
            for model in said
        }
        rows = [
            {
                "model": name,
                "server": f"{given.provider} ({settings.providers[given.provider].kind})",
                "name there": given.name,
                "a million sent": f"{platform.gateway.speaker(name).prices[0] * 1_000_000:.2f}",
                "answered": f"{platform.gateway.speaker(name).prices[1] * 1_000_000:.2f}",
                "decides for": ", ".join(deciding[name]),
                "now": said[name] or "answers",
            }
            for name, given in settings.language_models.items()
        ]
    if json_output:
        print_json(rows)
    elif rows:
        print_rows(rows, right=("a million sent", "answered"))
    else:
        console.print("no language model is set, and none is needed: agents decide by their trees (docs/agents.md)", soft_wrap=True)


def _with_tree(agent: Agent, file: Path) -> Agent:
    """An agent that decides by the tree in a file."""
    from models.trees import declared_facts, tree_from
    from pilothouse.agents.brains.language import LanguageModel
    from pilothouse.agents.policy import Policy

    brain = agent.brain.declared if isinstance(agent.brain, LanguageModel) else agent.brain
    if not isinstance(brain, Policy):
        raise ConfigError(f"{agent.name} decides by no tree", hint="leave --tree out")
    if not file.is_file():
        raise ConfigError(f"{file}: there is no such file", hint="`pilothouse tree list` lists the declared ones")
    return replace(agent, brain=replace(brain, tree=tree_from(file.read_text(encoding="utf-8"), declared_facts(), str(file))))


def _print(report: Report, standing: Report | None, objections: list[str], *, every: bool, kept: bool) -> None:
    rows: list[dict[str, Any]] = [
        {
            "case": each["case"],
            "wanted": each["wanted"],
            "decided": each["decided"] or each["failed"],
            "is": "right" if each["passed"] else "wrong",
            **({"judged": each["judged"]} if report.judged else {}),
            "because": each["because"],
        }
        for each in report.as_json()["cases"]
        if every or not each["passed"]
    ]
    if rows:
        print_rows(rows)
    for violation in report.violations:
        console.print(f"[red]violated[/]  {escape(violation.property)}: {escape(violation.case)}: {escape(violation.said)}", soft_wrap=True)
    judged = "" if report.mean is None else f", reasons judged {report.mean:.1f} of 5"
    right = sum(each.passed for each in report.decided)
    console.print(f"{report.agent} {report.version[:12]}: {right} of {len(report.decided)} cases right{judged}", soft_wrap=True)
    if standing is not None:
        judged = "" if standing.mean is None else f", reasons judged {standing.mean:.1f} of 5"
        right = sum(each.passed for each in standing.decided)
        console.print(f"in force {standing.version[:12]}: {right} of {len(standing.decided)} cases right{judged}", soft_wrap=True)
    for objection in objections:
        console.print(f"[red]worse[/]  {escape(objection)}", soft_wrap=True)
    if kept:
        stays = "the version in force goes on deciding" if standing is not None else "it decides all the same, being the first"
        console.print(f"[bold]{'not promoted[/]: ' + stays if objections else 'in force[/]: it decides from now on'}", soft_wrap=True)
