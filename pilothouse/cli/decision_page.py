"""One decision as people read it: what was decided and why, the way through the tree, what would have changed it, what became of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from pilothouse.agents.capsules.reading import SHOWN
from pilothouse.agents.figures import figures

if TYPE_CHECKING:
    from pilothouse.agents.capsules import Capsule
    from pilothouse.agents.cassette import Heard
    from pilothouse.agents.explaining.opened import Opened

COLOURS: Final[Mapping[str, str]] = {"release": "green", "prepayment": "yellow", "hold": "red"}
# What the page tells in words of its own; whatever else an agent's output says stands below as it is.
_TOLD: Final = frozenset({"action", "confidence", "reasons", "otherwise", "path", "terms", "proposal"})
_ROWS: Final = 20  # of what an output lists
_LONG: Final = 100  # letters of a value; more of it is in --json


def page(opened: Opened, proposal: str = "") -> RenderableType:
    """The whole page; `proposal` says how far its proposal got."""
    parts: list[RenderableType] = [_head(opened)]
    sections = (
        ("Why", _reasons(opened.output)),
        ("The way that was taken", _way(opened.output)),
        ("What would have changed it", _otherwise(opened.output)),
        ("What it proposes", _proposal(opened.output, proposal)),
        *((name.replace("_", " ").capitalize(), _listed(rows)) for name, rows in opened.output.items() if _is_table(name, rows)),
        ("What else it says", _others(opened)),
        ("What it asked", _calls(opened.heard)),
        ("What it read", _versions(opened)),
        ("What became of it", _became(opened.sequels)),
    )
    for title, told in sections:
        if told is not None:
            parts += [Text(f"\n{title}", style="bold"), Padding(told, (0, 0, 0, 2))]
    return Group(*parts)


def coloured(action: str) -> str:
    """An action as markup."""
    colour = COLOURS.get(action)
    return f"[bold {colour}]{escape(action)}[/]" if colour else f"[bold]{escape(action)}[/]"


def money(value: Any) -> str:
    """An amount as people write it."""
    try:
        return "-" if value is None else f"{Decimal(str(value)):,.2f}"
    except InvalidOperation:
        return str(value)


def chance(value: Any) -> str:
    """A probability as people write it."""
    return "-" if not isinstance(value, int | float) else f"{value:.1%}"


def said(value: Any) -> str:
    """Any value in one short line, as plain text."""
    match value:
        case None:
            told = "missing"
        case bool():
            told = "yes" if value else "no"
        case float():
            told = f"{value:,.4f}".rstrip("0").rstrip(".")
        case int():
            told = f"{value:,}"
        case list():
            told = ", ".join(map(said, value)) or "none"
        case Mapping():
            told = ", ".join(f"{name}={said(each)}" for name, each in value.items() if not name.startswith("_"))
        case _:
            told = str(value)
    return _short(told)


def _short(text: str) -> str:
    return text if len(text) <= _LONG else f"{text[: _LONG - 1]}…"


def _head(opened: Opened) -> RenderableType:
    output, manifest = opened.output, opened.capsule.manifest
    terms = "".join(f", {name.replace('_', ' ')} {said(value)}" for name, value in (output.get("terms") or {}).items())
    grid = Table.grid(padding=(0, 3))
    told = [(each.words, each.shown(output)) for each in figures(opened.definition)]
    for name, value in (*told, ("confidence", chance(output["confidence"]) if output.get("confidence") is not None else "")):
        if value:
            grid.add_row(f"[dim]{name}[/]", f"[bold]{escape(value)}[/]")
    cost = opened.capsule.body.get("cost", {})
    spent = f"{cost.get('calls', 0)} calls" + (f", {cost['tokens']:,} tokens for {cost['money']}" if cost.get("tokens") else "")
    made = f"{opened.at:%Y-%m-%d %H:%M:%S} UTC by {opened.agent} [dim]version {manifest['agent_version'][:SHOWN]}, {spent}[/]"
    synthetic = "\n[magenta]made of rows of the enterprise in a box[/]" if manifest["synthetic"] else ""
    first = f"{coloured(str(output.get('action', 'decided')))}{escape(terms)}  [bold]{escape(opened.subject)}[/]\n{made}{synthetic}"
    return Panel(Group(Text.from_markup(first), grid), title=f"decision {opened.id}", title_align="left", expand=False, padding=(0, 2))


def _reasons(output: Mapping[str, Any]) -> RenderableType | None:
    reasons = output.get("reasons")
    return Text("\n".join(f"{number}. {reason}" for number, reason in enumerate(reasons, 1))) if reasons else None


def way(path: Sequence[Mapping[str, Any]]) -> Tree | None:
    """The questions of a tree one below the other, each with the conditions that were looked at and the values seen."""
    if not path:
        return None
    root = place = Tree(f"[bold]{escape(path[0]['ask'] or path[0]['node'])}[/]")
    for number, step in enumerate(path):
        for condition in step["conditions"]:
            mark = "[green]✓[/]" if condition["held"] else "[dim]✗[/]"
            place.add(f"{mark} {condition['input']} {escape(condition['test'])} [dim]seen:[/] {escape(said(condition['value']))}")
        after = path[number + 1] if number + 1 < len(path) else None
        place = place.add(f"[bold]{escape((after['ask'] or after['node']) if after else step['then'])}[/]")
    return root


def _way(output: Mapping[str, Any]) -> RenderableType | None:
    found = way(output.get("path") or [])
    if found is None:
        return None
    last = found
    while last.children and last.children[-1].children:
        last = last.children[-1]
    leaf = last.children[-1]
    leaf.label = f"{coloured(str(output.get('action', '')))} [dim]{leaf.label}[/]"
    return found


def otherwise(other: Mapping[str, Any] | None) -> str:
    """The nearest other decision in a sentence, as markup."""
    if not other:
        return "[dim]nothing that may change leads to another decision[/]"
    changes = [
        f"[bold]{escape(each['input'])}[/] were [bold]{escape(said(each['instead']))}[/] and not {escape(said(each['value']))}"
        for each in other["changes"]
    ]
    return f"{coloured(other['action'])} [dim]({escape(other['leaf'])})[/], if {' and '.join(changes)}"


def _otherwise(output: Mapping[str, Any]) -> RenderableType | None:
    return Text.from_markup(otherwise(output["otherwise"])) if "otherwise" in output else None


def _proposal(output: Mapping[str, Any], status: str) -> RenderableType | None:
    proposed = output.get("proposal")
    if not proposed:
        return None
    where = f"{proposed['target']}/{proposed['record']} {said(proposed['identity']) if proposed['identity'] else '(new)'}"
    if len(proposed["values"]) == 1:
        told = f"{escape(where)}: [bold]{escape(said(proposed['values']))}[/]"
        return Text.from_markup(f"{told}  [dim]{escape(status)}[/]" if status else told)
    grid = Table.grid(padding=(0, 2))
    for name, value in proposed["values"].items():
        grid.add_row(f"[dim]{escape(name)}[/]", escape(str(value)))
    return Group(Text.from_markup(f"{escape(where)}  [dim]{escape(status)}[/]"), grid)


def _is_table(name: str, value: Any) -> bool:
    return name not in _TOLD and isinstance(value, list) and bool(value) and all(isinstance(each, Mapping) for each in value)


def _listed(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """What an output lists, in its order."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    names = sorted(rows[0], key=lambda name: (not name.endswith("_id"), name))  # what it is about comes first
    for name in names:
        value = rows[0][name]
        number = isinstance(value, int | float) or name.endswith("_eur")
        table.add_column(name.replace("_eur", " EUR").replace("_", " "), justify="right" if number else "left")
    for row in rows[:_ROWS]:
        table.add_row(*(escape(money(row.get(name)) if name.endswith("_eur") else said(row.get(name))) for name in names))
    left = len(rows) - _ROWS
    return Group(table, Text(f"and {left} more (--json)", style="dim")) if left > 0 else table


def _others(opened: Opened) -> RenderableType | None:
    told = {*_TOLD, *(each.name for each in figures(opened.definition))}
    rest = {name: value for name, value in opened.output.items() if name not in told and not _is_table(name, value) and value != []}
    if not rest:
        return None
    grid = Table.grid(padding=(0, 2))
    for name, value in rest.items():
        grid.add_row(f"[dim]{name.replace('_', ' ')}[/]", escape(said(value)))
    return grid


def _calls(heard: Sequence[Heard]) -> RenderableType | None:
    if not heard:
        return None
    grid = Table.grid(padding=(0, 2))
    for each in heard:
        answer = f"[red]{escape(each.error[0])}[/]: {escape(each.error[1])}" if each.error else escape(_answer(each.answer))
        asked = said(each.asked) if each.source == "tool" else each.source
        grid.add_row(f"[bold]{escape(each.name)}[/]", f"[dim]{escape(asked)}[/]", answer)
    return grid


def _answer(answer: Any) -> str:
    if isinstance(answer, list):
        return f"{len(answer)} row{'' if len(answer) == 1 else 's'}"
    return said(answer)


def _versions(opened: Opened) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    for each in opened.versions.read:
        grid.add_row(f"[dim]{each.kind}[/]", escape(each.name), each.version if len(each.version) <= SHOWN else each.version[:SHOWN])
    return grid


def _became(sequels: Sequence[Capsule]) -> RenderableType:
    if not sequels:
        return Text("nothing yet", style="dim")
    grid = Table.grid(padding=(0, 2))
    for each in sequels:
        at = datetime.fromisoformat(each.manifest["at"])
        grid.add_row(f"[dim]{at:%Y-%m-%d %H:%M:%S}[/]", f"[bold]{each.kind}[/]", escape("; ".join(_sequel(each))))
    return grid


def _sequel(entry: Capsule) -> Iterator[str]:
    """What an entry says, in words. Kinds whose words are not known are told field by field."""
    body = dict(entry.body)
    if entry.kind == "approval":
        yield f"{body.get('by', 'somebody')}: {body.get('verb', 'approve')}" + (f", {body['why']}" if body.get("why") else "")
        if body.get("change"):
            yield said(body["change"])
    elif entry.kind in {"execution", "undo"}:
        if "error" in body:
            yield f"failed: {body['error']}"
            if "instead" in body:
                yield f"{body['instead']} is proposed instead"
        elif "receipt" in body:
            yield "found written" if body["receipt"].get("found") else "written and read back"
    else:
        yield from (f"{name.replace('_', ' ')} {said(value)}" for name, value in body.items())
