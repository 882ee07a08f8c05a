"""The `pilothouse` command. Each group of commands is a module; heavy parts are imported by the command that uses them."""

from __future__ import annotations

from typing import Annotated

import typer

from pilothouse import __version__
from pilothouse.cli import (
    affecting,
    approving,
    backtesting,
    building,
    connecting,
    deciding,
    decisions,
    explaining,
    firms,
    graph,
    hindsight,
    inspecting,
    measuring,
    models,
    quarantine,
    running,
    trees,
    trying,
)
from pilothouse.kernel.log import configure

app = typer.Typer(
    name="pilothouse",
    help="Rewind any decision to the exact rows, models and prompts behind it.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,  # locals hold secrets
)
running.register(app)
building.register(app)
decisions.register(app)
explaining.register(app)
inspecting.register(app)
deciding.register(app)
approving.register(app)
trying.register(app)
hindsight.register(app)
backtesting.register(app)
affecting.register(app)
app.add_typer(firms.app)
app.add_typer(graph.app)
connecting.register(graph.app)
app.add_typer(trees.app)
app.add_typer(models.app)
measuring.register(graph.app)
app.add_typer(quarantine.app)
app.add_typer(quarantine.drift_app)


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer's callback
    if wanted:
        typer.echo(f"pilothouse {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")] = False,  # noqa: ARG001, FBT002 - typer's
) -> None:
    """Rewind any decision to the exact rows, models and prompts behind it."""
    configure(level="WARNING")  # to stderr: what a command prints is its answer and nothing else


def main() -> None:
    """The console script."""
    app()
