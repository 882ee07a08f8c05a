"""The command that lets another version of an agent decide again."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.panel import Panel
from rich.progress import Progress

from pilothouse.cli.hindsight import SYNTHETIC
from pilothouse.cli.inspecting import open_platform
from pilothouse.cli.output import Json, console, print_json, print_rows, told_plainly

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pilothouse.hindsight.backtest.comparison import Comparison, Outcome
    from pilothouse.hindsight.backtest.running import Tried
    from pilothouse.hindsight.intervals import Estimate

_FEW = 2  # orders of either kind that a table shows


def register(app: typer.Typer) -> None:
    """Put the command on the application."""
    app.command()(backtest)


@told_plainly
def backtest(
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="Such as credit_desk.")],
    since: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Orders of this day and later ones; what the model has not seen by default."),
    ] = None,
    until: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Orders before this day.")] = None,
    tree: Annotated[str | None, typer.Option("--tree", help="Decide by this tree: one that is declared, or a file.")] = None,
    thresholds: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="FACT:OLD=NEW", help="Hold a fact against another bound, such as risk.probability:0.22=0.3. Again for each."
        ),
    ] = None,
    model: Annotated[
        int | None, typer.Option("--model", help="Let this version of the risk model say how likely a late payment is.")
    ] = None,
    instructions: Annotated[Path | None, typer.Option("--instructions", help="A text file of other instructions.")] = None,
    most: Annotated[int | None, typer.Option("--most", help="Of these occasions the last ones, at most so many.", min=1)] = None,
    chart: Annotated[Path | None, typer.Option("--chart", help="Draw it into this file (.png or .svg).")] = None,
    json_output: Json = False,  # noqa: FBT002 - typer
) -> None:
    """Let another version of an agent decide on past orders, each by what was known then, and compare decisions, outcomes and money.

    Example: pilothouse backtest credit_desk --set risk.probability:0.22=0.3 --chart backtest.png
    """
    from pilothouse.hindsight.backtest.candidate import candidate
    from pilothouse.hindsight.backtest.comparison import compared
    from pilothouse.hindsight.backtest.events import about_orders, occasions, since_unseen
    from pilothouse.hindsight.backtest.picture import check, write
    from pilothouse.hindsight.backtest.running import Backtest
    from pilothouse.hindsight.orders import fates
    from pilothouse.kernel.errors import AgentError

    with open_platform() as platform:
        found = platform.agent(agent)
        about_orders(found)
        check(chart)
        tried = candidate(found, tree=tree, thresholds=thresholds or (), model=model, instructions=instructions)
        first = _day(since) or since_unseen(platform.lake, platform.models.values(), found)
        outcomes = fates(platform.lake, platform.money)
        ledger = platform.ledger if platform.settings.database.url is not None else None
        events = occasions(platform.lake, ledger, found, first, _day(until))[-(most or 0) :]
        if not events:
            raise AgentError(
                f"there is no order since {first}" + (f" and before {until:%Y-%m-%d}" if until else ""), hint="look further back: --since"
            )
        runs = Backtest(platform.lake, platform.models, tried).over(events)
        comparison = compared(tried, _shown(runs, len(events), quiet=json_output), outcomes, platform.money)
    if chart is not None:
        write(comparison, chart)
    if json_output:
        print_json(comparison.as_json())
        return
    _tell(comparison)
    if chart is not None:
        console.print(f"[dim]drawn into[/] {chart}")


def _shown(runs: Iterable[Tried], count: int, *, quiet: bool) -> Iterator[Tried]:
    """The same, while a bar shows how far it is."""
    if quiet or not console.is_terminal:
        yield from runs
        return
    with Progress(console=console, transient=True) as progress:
        yield from progress.track(runs, total=count, description="deciding again")


def _tell(found: Comparison) -> None:
    differs = ", ".join(found.candidate.differs) or "as it stands"
    if found.synthetic:
        console.print(Panel(SYNTHETIC, border_style="yellow", expand=False))
    console.print(f"[bold]{found.candidate.agent.name}[/], {differs}", soft_wrap=True)
    before = found.occasions - found.of_ledger
    console.print(
        f"{found.occasions:,} occasions from {found.since} to {found.until}: {found.of_ledger:,} decisions of the ledger, and {before:,}"
        " orders about which nothing was decided and which were delivered on account",
        soft_wrap=True,
    )
    for why, count in found.undecided:
        console.print(f"[yellow]{count:,} left out[/]: {why}", soft_wrap=True)
    console.print(f"On {_percent(found.same)} of them it decides as was decided.\n")
    print_rows(found.moves.to_dicts(), title="What was decided, and what the candidate says", right=("decisions",))
    if not found.judged:
        console.print("\n[dim]Of none of these orders can be said yet what became of it.[/]")
        return
    console.print()
    rows = [_outcome(name, each) for name, several in found.outcomes for each in several]
    title = f"What became of the {found.judged:,} orders that would be late by now, delivered on account"
    print_rows(rows, title=title, right=("orders", "late", "never paid"))
    console.print()
    beside = dict(found.beside)
    money = [{"": name, "EUR": f"{each.value:,.0f}", "more than decided": _more(beside[name])} for name, each in found.earned]
    print_rows(money, title="What each would have earned on them", right=("EUR", "more than decided"))
    most = found.most.to_dicts()
    if most:
        console.print()
        print_rows(
            [_order(each) for each in [*most[:_FEW], *most[-_FEW:]]], title="Orders that make most of the difference", right=_FIGURES
        )
    console.print("[dim]Between brackets: 19 of 20 samples of as many firms. The figures under \\[money] say what is counted.[/]")


_FIGURES = ("amount", "decided brings", "candidate brings")


def _order(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "order": row["order_id"],
        "placed": row["ordered_on"].isoformat(),
        "amount": f"{row['placed_eur']:,.0f}",
        "decided": _action(row["decided_action"], row["decided_share"]),
        "candidate": _action(row["action"], row["share"]),
        "outcome": row["outcome"],
        "decided brings": f"{row['decided_eur']:,.0f}",
        "candidate brings": f"{row['candidate_eur']:,.0f}",
    }


def _outcome(name: str, each: Outcome) -> dict[str, Any]:
    return {"by": name, "action": each.action, "orders": each.decisions, "late": _percent(each.late), "never paid": _percent(each.lost)}


def _action(action: str, share: float) -> str:
    return f"{action} {share:.0%}" if action == "prepayment" else action


def _percent(each: Estimate) -> str:
    return f"{each.value:.1%} ({each.low:.1%} to {each.high:.1%})"


def _more(each: Estimate) -> str:
    return "" if each.value == each.low == each.high == 0 else f"{each.value:+,.0f} ({each.low:+,.0f} to {each.high:+,.0f})"


def _day(moment: datetime | None) -> date | None:
    return None if moment is None else moment.date()
