"""Commands about what the shape of the graph says: measure, measures, alike."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pilothouse.cli.inspecting import open_platform
from pilothouse.cli.output import Json, console, print_json, print_rows, told_plainly

if TYPE_CHECKING:
    from assets.measuring import Measured

Firm = Annotated[str, typer.Argument(metavar="FIRM", help="A firm's id, such as s4:10100001.")]


def register(app: typer.Typer) -> None:
    """Put the commands beside those of the graph."""
    app.command()(measure)
    app.command()(measures)
    app.command()(alike)


@told_plainly
def measure(
    anew: Annotated[bool, typer.Option("--anew", help="Compute them even where they are up to date.")] = False,  # noqa: FBT002 - typer
    json_output: Json = False,  # noqa: FBT002 - typer
) -> None:
    """Compute graph analytics, as a run that the Dagster UI shows: centrality, groups and what they owe, communities, likeness.

    Example: pilothouse graph measure
    """
    from orchestration.analytics import measure as run

    with open_platform() as platform:
        home = platform.settings.home / "dagster"
    done = run(home, lambda _, measured: None if json_output else console.print(_told(measured)), anew=anew)
    if json_output:
        print_json(
            [{"table": each.table.name, "rows": each.rows, "changed": each.changed, "version": asdict(each.pinned)} for each in done]
        )


@told_plainly
def measures(firm: Firm, json_output: Json = False) -> None:  # noqa: FBT002 - typer
    """Tell where a firm stands among the others: centrality, its group and what that owes, its community, what it holds.

    Example: pilothouse graph measures s4:10100001
    """
    from assets.measuring import Measuring
    from graph.analytics.tables import FIRM_MEASURES

    with open_platform() as platform:
        here = Measuring(platform.lake)
        said, held = here.of_firm(firm), here.holdings(firm)
    if json_output:
        print_json({**said, "holds": held})
        return
    print_rows([{"measure": name, "value": value, "what it says": FIRM_MEASURES.columns[name]} for name, value in said.items()])
    if held:
        console.print()
        print_rows([_public(row) for row in held[:20]], title=f"Holds, of {len(held)} firms", right=("share", "direct_share", "levels"))


@told_plainly
def alike(firm: Firm, json_output: Json = False) -> None:  # noqa: FBT002 - typer
    """List the firms that buy what a firm buys.

    Example: pilothouse graph alike s4:10100001
    """
    from assets.measuring import Measuring

    with open_platform() as platform:
        rows = Measuring(platform.lake).alike(firm)
    if json_output:
        print_json(rows)
    else:
        print_rows([_public(row) for row in rows], right=("shared_products", "jaccard", "adamic_adar"))


def _public(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not name.startswith("_")}


def _told(measured: Measured) -> str:
    how = "a new version" if measured.changed else "[dim]unchanged[/]"
    return f"{measured.table.name}: {measured.rows:,} rows, {how}, {measured.seconds:.1f} s"
