"""Commands about decision trees: look at them, prove them, ask them, and take them in and out as decision tables."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.markup import escape
from rich.tree import Tree as Drawn

from pilothouse.cli.output import Json, console, print_json, print_rows, told_plainly
from pilothouse.kernel.errors import ConfigError

if TYPE_CHECKING:
    from models.trees import Decision, Fact, Tree

app = typer.Typer(name="tree", help="Decision trees: list, show, check, draw, decide; import and export as DMN.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="TREE", help="A declared tree, or a file.")]
Given = Annotated[
    list[str] | None, typer.Option("--value", "-v", metavar="NAME=VALUE", help="An input; 'missing' where it is not known. Again for each.")
]
FactsFile = Annotated[Path | None, typer.Option("--facts-file", "-f", help="A JSON file of inputs; --value goes before it.")]
OthersMissing = Annotated[bool, typer.Option("--others-missing", help="Inputs that are not given are missing.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Write it here instead of printing it.")]
_COLOURS = ("green", "yellow", "red", "blue", "magenta", "cyan")


@app.command("list")
@told_plainly
def list_trees(json_output: Json = False) -> None:  # noqa: FBT002 - typer
    """List the declared trees.

    Example: pilothouse tree list
    """
    from models.trees import declared_trees

    rows = [
        {
            "tree": tree.name,
            "version": tree.version if json_output else tree.version[:12],
            "decides": ", ".join(tree.actions),
            "facts": tree.document.facts,
            "inputs": len(tree.inputs),
            "leaves": len(tree.leaves),
        }
        for tree in declared_trees().values()
    ]
    if json_output:
        print_json(rows)
    else:
        print_rows(rows, right=("inputs", "leaves"))


@app.command()
@told_plainly
def show(
    name: Name,
    file: Annotated[bool, typer.Option("--file", help="Print the file as it is written.")] = False,  # noqa: FBT002 - typer
    json_output: Json = False,  # noqa: FBT002 - typer
) -> None:
    """Print a tree: its questions, conditions and leaves.

    Example: pilothouse tree show credit_release
    """
    from models.trees import find_tree
    from models.trees.declared import find_file

    tree = find_tree(name)
    if json_output:
        said = tree.document.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        asked = {each: fact.model_dump(mode="json", exclude_defaults=True) for each, fact in tree.facts.items()}
        print_json({**said, "version": tree.version, "asks": asked})
    elif file:
        typer.echo(find_file(name).read_text(encoding="utf-8"), nl=False)
    else:
        _print_head(tree)
        console.print(_drawn(tree, None))


@app.command()
@told_plainly
def check(
    names: Annotated[list[str] | None, typer.Argument(metavar="[TREE]...", help="Trees or files; all declared trees by default.")] = None,
    json_output: Json = False,  # noqa: FBT002 - typer
) -> None:
    """Prove that a tree answers every input exactly once: no hole, no loop, no branch that nothing reaches.

    Example: pilothouse tree check models/decisions/credit_release.yaml
    """
    from models.trees import find_tree
    from models.trees.declared import tree_files

    rows = []
    for name in names or tree_files():
        tree = find_tree(name)
        parts = sum(len(tree.checked_as.regions[leaf]) for leaf in tree.leaves)
        rows.append(
            {"tree": tree.name, "version": tree.version[:12], "leaves": len(tree.leaves), "parts of the inputs": parts, "proved": True}
        )
    if json_output:
        print_json(rows)
    else:
        print_rows(rows, right=("leaves", "parts of the inputs"))


@app.command()
@told_plainly
def draw(
    name: Name,
    out: Out = None,
    value: Given = None,
    facts_file: FactsFile = None,
    others_missing: OthersMissing = False,  # noqa: FBT002 - typer
) -> None:
    """Draw a tree as a picture (SVG); with inputs, the way that they take stands out.

    Example: pilothouse tree draw credit_release --out credit_release.svg
    """
    from models.trees import find_tree
    from models.trees.picture import svg

    tree = find_tree(name)
    decision = tree.decide(_given(tree, value, facts_file, others_missing=others_missing)) if value or facts_file else None
    _write(svg(tree, decision), out)


@app.command()
@told_plainly
def decide(
    name: Name,
    value: Given = None,
    facts_file: FactsFile = None,
    others_missing: OthersMissing = False,  # noqa: FBT002 - typer
    wanted: Annotated[
        list[str] | None, typer.Option("--wanted", "-w", help="Tell what would lead to this action; any other by default.")
    ] = None,
    json_output: Json = False,  # noqa: FBT002 - typer
) -> None:
    """Ask a tree: what it decides, the whole way with each condition and the value seen, and the smallest change that leads elsewhere.

    Example: pilothouse tree decide credit_release -v risk.probability=0.3 -v placed_eur=70000 -v invoices_late_and_open=0
    -v orders_before=10 --others-missing
    """
    from models.trees import find_tree
    from models.trees.conditions import shown

    tree = find_tree(name)
    given = _given(tree, value, facts_file, others_missing=others_missing)
    decision, other = tree.decide(given), tree.nearest(given, wanted)
    if json_output:
        print_json({**decision.as_json(), "nearest": None if other is None else other.as_json()})
        return
    _print_head(tree)
    console.print(_drawn(tree, decision))
    terms = "".join(f", {each.replace('_', ' ')} {number}" for each, number in decision.terms.items())
    console.print(f"\n[bold {_colour(tree, decision.action)}]{decision.action}{escape(terms)}[/]: {escape(decision.reason)}")
    if other is None:
        console.print(f"[dim]nothing that may change leads to {' or '.join(wanted) if wanted else 'another action'}[/]")
    else:
        changes = ", ".join(f"{change.input} were {shown(change.instead)}, not {shown(change.value)}" for change in other.changes)
        console.print(f"[dim]It would be[/] {other.action} [dim]if[/] {changes}")


@app.command("export")
@told_plainly
def export_table(
    name: Name,
    out: Out = None,
    hit_policy: Annotated[
        Literal["FIRST", "UNIQUE", "ANY"],
        typer.Option(help="FIRST keeps the order of the questions; UNIQUE and ANY have more rules, readable one by one."),
    ] = "FIRST",
    dmn: Annotated[str, typer.Option(help="Version of DMN: 1.1 to 1.5.")] = "1.3",
) -> None:
    """Write a tree as a DMN decision table.

    Example: pilothouse tree export credit_release --out credit_release.dmn
    """
    from models.trees import find_tree
    from models.trees.dmn.export import table_of
    from models.trees.dmn.xml import written

    _write(written(table_of(find_tree(name), hit_policy), dmn), out)


@app.command("import")
@told_plainly
def import_table(
    file: Annotated[Path, typer.Argument(help="A DMN file (1.1 to 1.5).")],
    facts: Annotated[
        str | None, typer.Option("--facts", help="The declared facts that its columns are; without it the tree declares its own.")
    ] = None,
    name: Annotated[
        list[str] | None, typer.Option("--name", metavar="EXPRESSION=INPUT", help="Which input a column means. Again for each.")
    ] = None,
    decision: Annotated[str | None, typer.Option("--decision", help="Which decision, where the file has several.")] = None,
    otherwise: Annotated[
        str | None, typer.Option("--otherwise", help="The action where no rule holds; without it rules must cover everything.")
    ] = None,
    out: Out = None,
) -> None:
    """Read a DMN decision table (UNIQUE, FIRST or ANY) as a tree, proved like any other.

    Example: pilothouse tree import approval.dmn --facts order --name "Order value=placed_eur" --out models/decisions/approval.yaml
    """
    from models.trees import declared_facts
    from models.trees.dmn.imports import tree_of
    from models.trees.dmn.xml import read_file
    from models.trees.writing import text_of

    names = dict(_pair(each, "--name") for each in name or ())
    tree = tree_of(read_file(file, decision), declared_facts(), facts=facts, names=names, otherwise=otherwise)
    if out is not None and out.stem != tree.name:
        raise ConfigError(
            f"{out}: the tree is called '{tree.name}'", hint=f"a tree's file is named after it: --out {out.with_stem(tree.name)}"
        )
    _write(text_of(tree.document, f"schemas/{facts or 'tree'}.schema.json"), out)


@app.command()
@told_plainly
def schema(
    facts: Annotated[str | None, typer.Argument(help="The facts that trees ask, such as order; any tree without it.")] = None,
    out: Out = None,
) -> None:
    """Write the JSON schema by which editors complete and check a tree's file.

    Example: pilothouse tree schema order --out order.schema.json
    """
    from models.trees import declared_facts
    from models.trees.schema import written

    sets = declared_facts()
    if facts is not None and facts not in sets:
        raise ConfigError(f"there are no facts '{facts}'", hint=f"there are {', '.join(sets)}")
    _write(written(sets[facts] if facts else None), out)


def _write(text: str, out: Path | None) -> None:
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{out}: cannot be written: {error.strerror}", hint="name a file in a folder that is there") from error
    console.print(f"[dim]{escape(str(out))}[/]", soft_wrap=True)


def _print_head(tree: Tree) -> None:
    console.print(f"[bold]{tree.name}[/] [dim]version {tree.version[:12]}[/]")
    if tree.document.description:
        console.print(f"[dim]{escape(' '.join(tree.document.description.split()))}[/]")


def _colour(tree: Tree, action: str) -> str:
    return _COLOURS[tree.actions.index(action) % len(_COLOURS)]


def _drawn(tree: Tree, decision: Decision | None) -> Drawn:
    """The whole tree; or of one decision the way that was taken, with the values seen."""
    if decision is None:
        root = Drawn(_asked(tree, tree.document.start))
        _grow(root, tree, tree.document.start)
        return root
    from models.trees.conditions import shown

    root = place = Drawn(_asked(tree, tree.document.start))
    for step in decision.steps:
        for condition in step.conditions:
            mark = "[green]✓[/]" if condition.held else "[dim]✗[/]"
            place.add(f"{mark} {condition.input} {escape(condition.test)} [dim]seen:[/] {shown(condition.value)}")
        place = place.add(_asked(tree, step.then))
    return root


def _grow(place: Drawn, tree: Tree, name: str) -> None:
    from models.trees.conditions import told_box

    node = tree.document.nodes.get(name)
    if node is None:
        return
    for case, boxes in zip(node.cases, tree.checked_as.cases[name], strict=True):
        told = " [dim]or[/] ".join(escape(told_box(box, tree.facts)) for box in boxes)
        _grow(place.add(f"[dim]if[/] {told}  {_asked(tree, case.then)}"), tree, case.then)
    if node.otherwise is not None:
        _grow(place.add(f"[dim]otherwise[/]  {_asked(tree, node.otherwise)}"), tree, node.otherwise)


def _asked(tree: Tree, name: str) -> str:
    leaf = tree.leaves.get(name)
    if leaf is None:
        return f"[bold]{escape(tree.document.nodes[name].ask or name)}[/]"
    terms = "".join(f", {each.replace('_', ' ')} {value}" for each, value in leaf.terms.items())
    return f"[bold {_colour(tree, leaf.action)}]{leaf.action}{escape(terms)}[/] {escape(leaf.reason)}"


def _given(tree: Tree, values: list[str] | None, file: Path | None, *, others_missing: bool) -> dict[str, Any]:
    """The inputs of a command line."""
    given: dict[str, Any] = dict.fromkeys(tree.inputs) if others_missing else {}
    if file is not None:
        given |= _of_file(tree, file)
    for each in values or ():
        name, text = _pair(each, "--value")
        if name not in tree.inputs:
            raise ConfigError(f"tree {tree.name} asks no '{name}'", hint=f"it asks {', '.join(tree.inputs)}")
        given[name] = _value(name, text, tree.facts[name])
    return given


def _of_file(tree: Tree, file: Path) -> dict[str, Any]:
    try:
        plain = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{file}: no JSON can be read: {error}", hint='it looks like {"placed_eur": 1200, "risk": {"probability": 0.1}}'
        ) from error
    if not isinstance(plain, dict):
        raise ConfigError(f"{file}: is no JSON object", hint='it looks like {"placed_eur": 1200, "risk": {"probability": 0.1}}')
    flat = {f"{name}.{each}": value for name, below in plain.items() if isinstance(below, dict) for each, value in below.items()}
    flat |= {name: value for name, value in plain.items() if not isinstance(value, dict)}
    days = {name for name, fact in tree.facts.items() if fact.type == "date"}
    return {
        name: _value(name, value, tree.facts[name]) if name in days and isinstance(value, str) else value for name, value in flat.items()
    }


def _value(name: str, text: str, fact: Fact) -> Any:
    if text in {"missing", "null", ""}:
        return None
    try:
        match fact.type:
            case "number":
                return float(text)
            case "integer":
                return int(text)
            case "date":
                return date.fromisoformat(text)
            case "bool":
                return {"true": True, "yes": True, "false": False, "no": False}[text.lower()]
            case _:
                return text
    except (ValueError, KeyError) as error:
        raise ConfigError(f"{name} is '{text}', and not a {fact.type}", hint="say 'missing' where it is not known") from error


def _pair(text: str, option: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise ConfigError(f"{option} '{text}' has no '='", hint=f"such as {option} placed_eur=1200")
    return name.strip(), value.strip()
