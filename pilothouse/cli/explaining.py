"""Commands that explain: why a row says what it says."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.tree import Tree

from pilothouse.cli.decisions import FromBundle, kept
from pilothouse.cli.inspecting import open_platform
from pilothouse.cli.output import Json, console, print_json, print_rows, shown, told_plainly
from pilothouse.kernel.errors import ConfigError

if TYPE_CHECKING:
    from assets.platform import Platform
    from pilothouse.tables.why.row import Row

_SHOWN = 6  # values of a row, where all of them matter


def register(app: typer.Typer) -> None:
    """Put the commands on the application."""
    app.command()(why)
    app.command()(impact)


@told_plainly
def why(
    what: Annotated[
        str, typer.Argument(metavar="TABLE|ID", help="A table that a model makes, such as marts.fct_order; or a decision's id.")
    ],
    key: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY]...", help="Of a table: the row's key, its parts in the order of the table's key.")
    ] = None,
    column: Annotated[str | None, typer.Option("--column", "-c", help="Of a table: explain what the row says there alone.")] = None,
    version: Annotated[int | None, typer.Option("--version", help="Of the table; the newest by default.")] = None,
    tree: Annotated[bool, typer.Option("--tree", help="Of a decision: every row on the way down to the sources.")] = False,  # noqa: FBT002 - typer
    every: Annotated[bool, typer.Option("--all", help="Of a decision: every source row, then and now.")] = False,  # noqa: FBT002
    bundle: FromBundle = None,
    json_output: Json = False,  # noqa: FBT002
) -> None:
    """Say why: of a row of a table, the source rows that it is made of, model by model, each at its version; of a decision, what it used
    of what it looked at, the records that were taken for one firm, and the source rows without which it would say something else, as they
    were then and as they are now. What adds nothing to a sum, what a condition leaves out, and what reaches no largest or smallest value,
    is no source.

    Example: pilothouse why marts.fct_order 1000100 --column net_amount_eur
    """
    with open_platform() as platform:
        if not key and re.fullmatch("[0-9a-fA-F]+", what):
            if column is not None or version is not None:
                raise typer.BadParameter("--column and --version are of a table's row", param_hint="ID")
            _why_of_decision(platform, what, bundle, tree=tree, every=every, as_json=json_output)
            return
        if tree or every or bundle:
            raise typer.BadParameter("--tree, --all and --bundle are of a decision", param_hint="TABLE")
        row = _row_of(platform, what, key or [], column, version)
    if json_output:
        print_json(row.as_json())
        return
    console.print(grown(Tree(in_a_line(row)), row, set()))
    count = len({(each.table, each.key["_row_id"]) for each in row.raw().values()})
    console.print(f"[dim]{count:,} source {'row' if count == 1 else 'rows'}[/]")


def _row_of(platform: Platform, table: str, key: list[str], column: str | None, version: int | None) -> Row:
    model = platform.project.model(table)
    if not model.published:
        raise typer.BadParameter(f"{model.name} is a view: ask for a table that reads it", param_hint="TABLE")
    if len(key) != len(model.key):
        raise typer.BadParameter(f"the key of {model.table} has {len(model.key)} parts: {', '.join(model.key)}", param_hint="KEY")
    return platform.explainer.why(table, dict(zip(model.key, key, strict=True)), column=column, version=version)


def _why_of_decision(platform: Platform, named: str, bundle: Path | None, *, tree: bool, every: bool, as_json: bool) -> None:
    from pilothouse.agents.explaining.opened import Opened
    from pilothouse.agents.explaining.why import Deciding
    from pilothouse.cli.why_page import page

    opened = Opened.of(kept(platform, bundle), named)
    found = Deciding(platform.lake, platform.explainer).why(opened, platform.agent(opened.agent))
    if as_json:
        print_json(found.as_json())
        return
    console.print(page(found, tree=tree, every=every))
    if not tree:
        console.print(f"\n[dim]`pilothouse why {opened.id} --tree` shows every row on the way[/]")


@told_plainly
def impact(
    table: Annotated[str, typer.Argument(help="A raw table, such as raw/s4/sales_order.")],
    key: Annotated[
        list[str], typer.Argument(help="The row's key at its source, its parts in the order of the stream's key; or its _row_id.")
    ],
    json_output: Json = False,  # noqa: FBT002 - typer
) -> None:
    """List the rows of every table that depend on a source row, and the columns in which they do.

    Example: pilothouse impact raw/s4/sales_order 1000100
    """
    with open_platform() as platform:
        found = list(platform.impact.of(table, _row_id(platform, table, key)))
    if json_output:
        print_json([asdict(each) for each in found])
        return
    print_rows([{"table": each.table, "row": ", ".join(each.key.values()), "columns": ", ".join(each.columns) or "-"} for each in found])
    console.print(f"[dim]{len(found)} rows of {len({each.table for each in found})} tables[/]")


def _row_id(platform: Platform, table: str, key: list[str]) -> str:
    """The identity of a raw row, by its key or by itself."""
    import polars as pl

    from pilothouse.kernel.lake.identity import row_ids

    parts = table.split("/")
    if len(parts) != 3 or parts[0] != "raw" or not platform.lake.table(table).exists():
        raise ConfigError(f"no raw table '{table}'", hint="`pilothouse tables` lists them, such as raw/s4/sales_order")
    raw = platform.lake.table(table)
    if len(key) == 1 and re.fullmatch("[0-9A-Fa-f]{32}", key[0]):
        row_id = key[0].upper()
    else:
        names = platform.source(parts[1]).stream(parts[2]).key
        if len(key) != len(names):
            raise ConfigError(f"the key of {table} has {len(names)} parts: {', '.join(names)}", hint="give them in this order")
        named = dict(zip(names, key, strict=True))
        frame = pl.DataFrame([pl.Series(name, [named[name]]).cast(raw.scan().collect_schema()[name]) for name in names])
        row_id = row_ids(frame, parts[1], parts[2], names).as_binary()[0].hex().upper()
    if raw.scan().filter(pl.col("_row_id") == bytes.fromhex(row_id)).head(1).collect().is_empty():
        raise ConfigError(f"{table}: no row {', '.join(key)}", hint="`pilothouse query` shows which there are")
    return row_id


def grown(tree: Tree, row: Row, told: set[int]) -> Tree:
    """The sources of a row below it. What was told before, elsewhere in the tree, is not told again; of a choice it is said that any
    one of its alternatives would do."""
    if id(row) in told:
        if row.sources:
            tree.add("[dim]as told above[/]")
        return tree
    told.add(id(row))
    chosen = {place for choice in row.choices for rows in choice.alternatives for place in rows}
    for place, source in enumerate(row.sources):
        if place not in chosen:
            grown(tree.add(in_a_line(source)), source, told)
    for choice in row.choices:
        more = f", or of {choice.more:,} more that are not told" if choice.more else ""
        several = tree.add(f"[italic]any one of these {len(choice.alternatives)} would do{more}[/]")
        for rows in choice.alternatives:
            one = several if len(rows) == 1 else several.add("[italic]together[/]")
            for place in rows:
                grown(one.add(in_a_line(row.sources[place])), row.sources[place], told)
    return tree


def in_a_line(row: Row) -> str:
    """A row in one line: what it is, and of what it says whatever matters here."""
    raw = row.table.startswith("raw/")
    which = f"seen {shown(row.values['_seen_at'])}" if raw else ", ".join(row.key.values())
    known = {name.lower(): value for name, value in row.values.items()}
    names = [name for name in row.columns if name not in row.key and not name.startswith("_")]
    values = ", ".join(f"{name}={escape(_plain(known.get(name.lower())))}" for name in names[:_SHOWN])
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"[bold]{row.table}[/] [dim]v{row.version}[/] {escape(which)}  {values}{more}"


def _plain(value: Any) -> str:
    return "nothing" if value is None else shown(value)
