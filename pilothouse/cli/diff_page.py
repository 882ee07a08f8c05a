"""What makes two decisions differ, as people read it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pilothouse.agents.capsules.reading import SHOWN
from pilothouse.cli.decision_page import chance, coloured, money, otherwise, said

if TYPE_CHECKING:
    from pilothouse.agents.explaining.differing import Because, Diff, Difference

_HASH: Final = re.compile("[0-9a-f]{64}")
_FEW: Final = 15  # differences of one kind that are printed
_CAUSES: Final = {
    "nothing": "Today's agent over today's rows decides the same.",
    "data": "The rows have changed: the agent of then would decide so today, too.",
    "agent": "The agent has changed: over the rows of then it would have decided so, too.",
    "either": "Either would do: the agent has changed and so have the rows.",
    "both together": "It takes both: the agent of then over today's rows decides otherwise, and so does today's over the rows of then.",
}


def page(diff: Diff) -> RenderableType:
    """The whole page."""
    if diff.same and not (diff.asked or diff.agent):
        verdict = f"[green]{diff.left} and {diff.right} decide the same, for the same reasons[/]"
    elif diff.same:
        verdict = f"[green]{diff.left} and {diff.right} decide the same[/], though not all is the same that they decide by"
    else:
        verdict = f"[bold]{diff.left}[/] and [bold]{diff.right}[/] differ"
    parts: list[RenderableType] = [Text.from_markup(verdict)]
    if diff.because is not None:
        parts.append(Text.from_markup(_because(diff.because)))
    sections: Sequence[tuple[str, RenderableType | None]] = (
        ("What is decided", _table(diff, diff.output)),
        ("Where their ways part", _parted(diff)),
        ("What the tree saw", _table(diff, diff.asked, "not asked")),
        ("The agent", _table(diff, _agent(diff.agent))),
        ("What calls answered", _table(diff, diff.heard)),
        ("What was read", _table(diff, diff.versions)),
    )
    for title, told in sections:
        if told is not None:
            parts += [Text(f"\n{title}", style="bold"), Padding(told, (0, 0, 0, 2))]
    return Group(*parts)


def _because(because: Because) -> str:
    cells = {
        "agent of then, rows of then": because.then,
        "agent of then, today's rows": because.data_today,
        "today's agent, rows of then": because.agent_today,
        "today's agent, today's rows": because.today,
    }
    told = "\n".join(f"  [dim]{name}:[/] {coloured(action) if action else '[dim]cannot be made[/]'}" for name, action in cells.items())
    return f"{_CAUSES[because.cause]}\n{told}"


def _parted(diff: Diff) -> RenderableType | None:
    if diff.parted is None:
        return None
    return Text.from_markup(
        f"{escape(diff.parted.name)} {diff.left} goes on to [bold]{escape(diff.parted.left)}[/],"
        f" {diff.right} to [bold]{escape(diff.parted.right)}[/]"
    )


def _agent(differences: Sequence[Difference]) -> list[Difference]:
    """Without what only sums up the others."""
    return [each for each in differences if each.name != "brain.tree_version" or len(differences) == 1]


def _table(diff: Diff, differences: Sequence[Difference], lacking: str = "-") -> RenderableType | None:
    if not differences:
        return None
    grid = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("", diff.left, diff.right):
        grid.add_column(name, overflow="fold")
    for each in differences[:_FEW]:
        shown = (f"[dim]{lacking}[/]" if value is None else _shown(each.name, value) for value in (each.left, each.right))
        grid.add_row(f"[dim]{escape(each.name)}[/]", *shown)
    left = len(differences) - _FEW
    return Group(grid, Text(f"and {left} more (--json)", style="dim")) if left > 0 else grid


def _shown(name: str, value: Any) -> str:
    if name == "action":
        return coloured(str(value))
    if name.endswith("_eur"):
        return money(value)
    if name in {"probability", "chance", "confidence"}:
        return chance(value)
    if name == "otherwise":
        return otherwise(value)
    if name == "reasons" and isinstance(value, list):
        return "\n".join(map(escape, value))
    return escape(value[:SHOWN] if isinstance(value, str) and _HASH.fullmatch(value) else said(value))
