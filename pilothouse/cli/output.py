"""How commands speak: a table for people, JSON for programs, and every error once, with its way out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from functools import wraps
from typing import Annotated, Any, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from pilothouse.kernel.concealing import clean
from pilothouse.kernel.errors import PilothouseError

P = ParamSpec("P")
R = TypeVar("R")
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

_WIDE = 160  # where no terminal says how wide it is, tables go to a file or a program

console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)
errors = Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else _WIDE)


def told_plainly(command: Callable[P, R]) -> Callable[P, R]:
    """An error of ours ends a command with its message and exit code 1; anything else is a bug and shows its trace."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except PilothouseError as error:
            if kwargs.get("json_output"):
                print_json({"error": type(error).__name__, "message": clean(error.message), "hint": clean(error.hint)})
            else:
                errors.print(f"[bold red]{type(error).__name__}[/]: ", end="")
                errors.print(clean(error.message), markup=False, soft_wrap=True)
                if error.hint:
                    errors.print("  [dim]hint:[/] ", end="")
                    errors.print(clean(error.hint), markup=False, soft_wrap=True)
            raise typer.Exit(1) from error

    return run


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, default=plain) + "\n")


def print_rows(rows: Sequence[dict[str, Any]], *, title: str = "", right: Sequence[str] = ()) -> None:
    """Rows as a table; columns named in `right` are figures."""
    if not rows:
        console.print("[dim]nothing[/]")
        return
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for name in rows[0]:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(shown(value) for value in row.values()))
    console.print(table)


def shown(value: Any) -> str:
    """A value as a person reads it."""
    if value is None:
        return "[dim]-[/]"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, bytes):
        return value.hex()
    return str(value).replace("[", "\\[")


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    return str(value)
