"""Commands that look back: what became of decisions, and what they were worth."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.panel import Panel

from pilothouse.cli.inspecting import open_platform
from pilothouse.cli.output import Json, console, print_json, print_rows, told_plainly

if TYPE_CHECKING:
    import polars as pl

    from pilothouse.hindsight.intervals import Estimate
    from pilothouse.hindsight.value import Value

Day = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Decisions of this day and later ones.")]
_BRIEF = 12  # digits of a digest that people read
SYNTHETIC = "[yellow]synthetic[/]: these decisions and payments are of the enterprise in a box, and none of this money is real"


def register(app: typer.Typer) -> None:
    """Put the commands on the application."""
    app.command()(outcomes)
    app.command()(value)


@told_plainly
def outcomes(
    agent: Annotated[str | None, typer.Argument(metavar="[AGENT]", help="Whose decisions; all where none is named.")] = None,
    settle: Annotated[bool, typer.Option("--settle", help="Settle first what payments tell by now.")] = False,  # noqa: FBT002 - typer
    limit: Annotated[int, typer.Option("--limit", help="Decisions to print.", min=1)] = 20,
    json_output: Json = False,  # noqa: FBT002 - typer
) -> None:
    """List what became of decisions, the newest first: paid, late or lost, what each brought, and what would have been best.

    Example: pilothouse outcomes credit_desk --limit 10
    """
    from pilothouse.hindsight.table import of_ledger

    with open_platform() as platform:
        if agent is not None:
            platform.agent(agent)
        if settle:
            from orchestration.outcomes import settle as run

            run(platform.settings.home / "dagster")
        settled = of_ledger(platform.ledger)
        waiting = platform.settling.ready()
    rows = (settled if agent is None else settled.filter(settled["agent"] == agent)).sort("settled_on", "decision", descending=True)
    if json_output:
        told = {"settled": rows.height, "waiting": waiting.open, "ready": len(waiting.fates)}
        print_json({**told, "outcomes": rows.head(limit).to_dicts()})
        return
    print_rows([_outcome(row) for row in rows.head(limit).iter_rows(named=True)], right=("amount", "late", "brought", "regret"))
    ready = f", {len(waiting.fates):,} of which payments tell: --settle" if waiting.fates else ""
    console.print(f"[dim]{rows.height:,} decisions settled, {waiting.open:,} wait for their outcome{ready}[/]")
    if rows["_synthetic"].any():
        console.print(SYNTHETIC)


@told_plainly
def value(
    agent: Annotated[str | None, typer.Argument(metavar="[AGENT]", help="Whose decisions; all where none is named.")] = None,
    since: Day = None,
    until: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Decisions before this day.")] = None,
    synthetic: Annotated[  # noqa: FBT002 - typer
        bool, typer.Option("--synthetic", help="Count the decisions about the enterprise in a box, which are left out otherwise.")
    ] = False,
    json_output: Json = False,  # noqa: FBT002 - typer
) -> None:
    """Tell what decisions earned, and what they saved or lost against simpler rules, with intervals. They are judged by orders that
    would be late by now, paid or not.

    Example: pilothouse value credit_desk --synthetic
    """
    from pilothouse.hindsight.table import of_ledger
    from pilothouse.hindsight.value import chosen, judged
    from pilothouse.hindsight.value import value as worth

    with open_platform() as platform:
        if agent is not None:
            platform.agent(agent)
        rows = judged(of_ledger(platform.ledger), platform.settling.late_and_open())
        rows = chosen(rows, synthetic=synthetic, agent=agent, since=_day(since), until=_day(until))
        found = worth(rows, platform.money, synthetic=synthetic)
        limit = platform.settings.money.fixed_limit
    if json_output:
        print_json(found.as_json())
        return
    _tell_value(found, limit)


def _tell_value(found: Value, limit: float) -> None:
    title = f"{found.decisions:,} decisions about {found.firms:,} firms, {found.since} to {found.until}"
    if found.synthetic:
        console.print(Panel(SYNTHETIC, border_style="yellow", expand=False))
    rows = [
        {"": "earned", **_figures(found.earned)},
        {"": "the best in hindsight", **_figures(found.best)},
        {"": "regret", **_figures(found.regret)},
    ]
    for each in found.against:
        named = each.baseline + (f" ({limit:,.0f} EUR)" if each.baseline == "fixed limit" else "")
        rows += [
            {"": f"{named} would have earned", **_figures(each.earned)},
            {"": "  decisions saved", **_figures(each.saved)},
            {"": "  decisions lost", **_figures(each.lost)},
            {"": "  difference", **_figures(each.difference)},
        ]
    print_rows(rows, title=title, right=("EUR", "from", "to"))
    console.print()
    print_rows(_actions(found.by_action), right=("decisions", "paid", "late", "late, open", "lost", "late %", "earned EUR", "regret EUR"))
    console.print("[dim]from, to: 19 of 20 samples of as many firms lie between. The figures under \\[money] say what is counted.[/]")


def _actions(frame: pl.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            "action": row["action"],
            "decisions": row["decisions"],
            "paid": row["paid"],
            "late": row["late"],
            "late, open": row["open"],
            "lost": row["lost"],
            "late %": f"{100 * row['late_share']:.1f}",
            "earned EUR": round(row["earned_eur"]),
            "regret EUR": round(row["regret_eur"]),
        }
        for row in frame.iter_rows(named=True)
    ]


def _outcome(row: dict[str, Any]) -> dict[str, Any]:
    best = row["best_action"] + (f" {row['best_share']:.0%}" if row["best_action"] == "prepayment" else "")
    decided = row["action"] + (f" {row['share']:.0%}" if row["action"] == "prepayment" else "")
    return {
        "decision": row["decision"][:_BRIEF],
        "order": row["order_id"],
        "decided": decided,
        "on": row["decided_at"].date().isoformat(),
        "amount": f"{row['amount_eur'] or 0:,.0f}",
        "outcome": row["outcome"],
        "late": row["days_late"],
        "settled": row["settled_on"].isoformat(),
        "brought": f"{row['worth_eur']:,.0f}",
        "best": best,
        "regret": f"{row['regret_eur']:,.0f}",
    }


def _figures(estimate: Estimate) -> dict[str, str]:
    return {"EUR": f"{estimate.value:,.0f}", "from": f"{estimate.low:,.0f}", "to": f"{estimate.high:,.0f}"}


def _day(moment: datetime | None) -> date | None:
    return None if moment is None else moment.date()
