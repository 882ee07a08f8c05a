"""Why of a decision as people read it: what it used, what that is made of, and the source rows as they were and as they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from pilothouse.agents.explaining.using import ASKED_NEXT
from pilothouse.cli.decision_page import coloured, said
from pilothouse.cli.explaining import grown, in_a_line

if TYPE_CHECKING:
    from pilothouse.agents.explaining.merges import Merge
    from pilothouse.agents.explaining.since import Source
    from pilothouse.agents.explaining.why import Fact, Why
    from pilothouse.tables.why.row import Row

FEW: Final = 20  # source rows that are printed, unless all are asked for
_STATES: Final = {"changed": "[yellow]changed[/]", "deleted": "[red]deleted[/]", "gone": "[red]not found[/]", "same": "[dim]the same[/]"}


def page(why: Why, *, tree: bool, every: bool) -> RenderableType:
    """The whole page; the `tree` of all that it is made of, and `every` source row, only where they are asked for."""
    output = why.opened.output
    parts: list[RenderableType] = [
        Text.from_markup(
            f"{coloured(str(output.get('action', 'decided')))}  [bold]{escape(why.opened.subject)}[/]  [dim]{why.opened.id}[/]"
        ),
        Text("\n".join(f"  {reason}" for reason in output.get("reasons") or [])),
    ]
    changed = sum(each.state != "same" for each in why.sources)
    today = f"{changed} of them say something else today" if changed else "all of them say the same today"
    sections: list[tuple[str, RenderableType | None]] = [
        ("What it used", _facts(why.facts)),
        ("Which model it asked", _models(why)),
        ("What that is made of", Group(*(_whole(row) if tree else _short(row) for row in why.rows))),
        ("Which records are one firm", _merges(why.merges)),
        (f"The {len(why.sources)} source rows; {today}", _sources(why.sources, every=every)),
        ("What is not told exactly", Text("\n".join(why.notes)) if why.notes else None),
    ]
    for title, shown in sections:
        if shown is not None:
            parts += [Text(f"\n{title}", style="bold"), Padding(shown, (0, 0, 0, 2))]
    return Group(*parts)


def _facts(facts: Sequence[Fact]) -> RenderableType:
    """What the way through the tree asked comes first, then what else moves what was said."""
    grid = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("fact", "value", "moves", "from"):
        grid.add_column(name, overflow="fold")
    for each in sorted((each for each in facts if each.column), key=lambda each: not each.asked):
        fields = [move.replace("_", " ") for move in each.moves if not move.startswith("path") and move != ASKED_NEXT]
        asked = [f"[bold]the way[/] ({escape(', '.join(each.asked))})"] if each.asked else []
        next_ = [ASKED_NEXT] if ASKED_NEXT in each.moves else []
        row = f"{each.table} [dim]v{each.version}[/] {escape(' '.join(each.key.values()))}"
        grid.add_row(f"[bold]{each.column}[/]", escape(said(each.value)), ", ".join([*asked, *fields, *next_]), row)
    return grid


def _models(why: Why) -> RenderableType | None:
    if not why.models:
        return None
    lines = [
        f"[bold]{each.name}[/] version {each.version} [dim]{escape(each.fingerprint[:12])}, learned from[/] "
        + escape(", ".join(f"{name} v{version}" for name, version in each.from_tables.items()) or "what nothing tells")
        for each in why.models
    ]
    return Text.from_markup("\n".join(lines))


def _whole(row: Row) -> Tree:
    return grown(Tree(in_a_line(row)), row, set())


def _short(row: Row) -> Tree:
    """A row, and below it how many rows of which tables it is made of."""
    root = Tree(in_a_line(row))
    several = Counter(source.table for source in row.sources)
    for table, count in several.items():
        below = [source for source in row.sources if source.table == table]
        raw = len({key for source in below for key in source.raw()} | {id(source) for source in below if source.table.startswith("raw/")})
        rows = f"{count} row{'' if count == 1 else 's'}"
        root.add(f"[bold]{table}[/] [dim]v{below[0].version}[/] {rows}, made of {raw} source row{'' if raw == 1 else 's'}")
    return root


def _merges(merges: Sequence[Merge]) -> RenderableType | None:
    if not merges:
        return None
    return Group(*map(_merge, merges))


def _merge(merge: Merge) -> Tree:
    by = merge.evidence if merge.weight is None else f"{merge.evidence}, weight {merge.weight:.1f} at its weakest"
    root = Tree(f"[bold]{escape(merge.record)}[/] is [bold]{escape(merge.firm)}[/] [dim]by {escape(by)}[/]")
    for link in merge.links:
        parts = sorted(link.evidence.items(), key=lambda item: -abs(item[1][1]))
        evidence = ", ".join(f"{name} {level} {weight:+.1f}" for name, (level, weight) in parts)
        root.add(f"{escape(link.left)} = {escape(link.right)} [dim]{link.probability:.4%}:[/] {escape(evidence)}")
    return root


def _sources(sources: Sequence[Source], *, every: bool) -> RenderableType:
    """The rows, those first that say something else today."""
    grid = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("source row", "seen", "today", "said then", "says now"):
        grid.add_column(name, overflow="fold")
    ordered = sorted(sources, key=lambda each: each.state == "same")
    for each in ordered if every else ordered[:FEW]:
        seen = datetime.fromtimestamp(int(each.seen_at) / 1e6).astimezone().strftime("%Y-%m-%d %H:%M")
        other = {name for name, value in each.then.items() if each.now is None or each.now.get(name) != value}
        now = "" if each.state == "same" else _values(each.now, other) if each.now is not None else ""
        grid.add_row(f"[bold]{each.table}[/] {escape(each.called)}", seen, _STATES[each.state], _values(each.then, other), now)
    left = len(ordered) - FEW
    if left <= 0 or every:
        return grid
    rest = Counter(each.table for each in ordered[FEW:])
    return Group(grid, Text(f"and {left} more: {', '.join(f'{count} of {table}' for table, count in rest.items())} (--all)", style="dim"))


def _values(values: Mapping[str, Any] | None, marked: set[str]) -> str:
    return ", ".join(_marked(values or {}, marked))


def _marked(values: Mapping[str, Any], marked: set[str]) -> Iterator[str]:
    for name, value in values.items():
        text = f"{name}={escape(said(value))}"
        yield f"[yellow]{text}[/]" if name in marked and len(marked) < len(values) else text
