"""The command that makes tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from pilothouse.cli.inspecting import open_platform
from pilothouse.cli.output import Json, console, errors, print_json, told_plainly

if TYPE_CHECKING:
    from pilothouse.tables.building import Made

_COLOURS = {"failed": "red", "not reached": "yellow"}


def register(app: typer.Typer) -> None:
    """Put the command on the application."""
    app.command()(build)


@told_plainly
def build(
    tables: Annotated[
        list[str] | None, typer.Argument(metavar="[TABLE]...", help="What to make; everything where nothing is named.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Make tables as a whole, even where only a part has changed.")] = False,  # noqa: FBT002 - typer
    learn: Annotated[bool, typer.Option("--learn", help="Learn anew how firms are recognised.")] = False,  # noqa: FBT002 - typer
    json_output: Json = False,  # noqa: FBT002
) -> None:
    """Bring tables up to what they are made of, as a run that the Dagster UI shows. What has not changed is left alone.

    Example: pilothouse build marts.fct_order dim_firm
    """
    with open_platform() as platform:
        named = [platform.project.model(name) for name in tables or ()]
        views = [model.name for model in named if not model.published]
        if views:
            raise typer.BadParameter(f"{views[0]} is a view: it is worked out by the tables that read it")
        home = platform.settings.home / "dagster"
    made = run_build(home, [model.table for model in named], full=full, learn=learn, quiet=json_output)
    if json_output:
        print_json(as_json(made))
    if failures(made):
        raise typer.Exit(1)


def run_build(dagster_home: Path, tables: Sequence[str], *, full: bool = False, learn: bool = False, quiet: bool) -> list[Made]:
    """Make tables, and tell each as it is done."""
    from orchestration.syncing import build as run

    made = run(dagster_home, tables, (lambda *_: None) if quiet else _told, full=full, learn=learn)
    if not quiet:
        console.print(in_short(made))
    for failure in failures(made) if not quiet else ():
        errors.print(failure, style="red", markup=False, soft_wrap=True)
    return made


def in_short(made: Sequence[Made]) -> str:
    """How many tables were made, and how."""
    times = Counter(each.how for each in made)
    told = ", ".join(f"{count} {how}" for how, count in times.items())
    return f"{len(made)} tables: {told}; {sum(each.changed for each in made)} have a new version"


def failures(made: Sequence[Made]) -> list[str]:
    """Why tables were not made; those that only wait for another are not told one by one."""
    return [each.reason for each in made if each.how == "failed"]


def as_json(made: Sequence[Made]) -> list[dict[str, Any]]:
    """For programs."""
    return [
        {
            "table": each.model.table,
            "made": each.how,
            "rows": each.rows,
            "version": int(each.table.version) if each.table else None,
            "new_version": each.changed,
            "reason": each.reason,
        }
        for each in made
    ]


def _told(table: str, made: Made) -> None:
    if made.how == "unchanged":
        return
    rows = f", {made.rows:,} rows" if made.table else ""
    console.print(f"[{_COLOURS.get(made.how, 'default')}]{escape(table)}: {made.how}[/]{rows}", soft_wrap=True)
