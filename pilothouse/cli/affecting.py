"""The command that tells a blast radius: which decisions something touched, and what they would say now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pilothouse.cli.inspecting import open_platform
from pilothouse.cli.output import Json, console, print_json, print_rows, told_plainly
from pilothouse.kernel.errors import ConfigError

if TYPE_CHECKING:
    from assets.platform import Platform
    from pilothouse.agents.figures import Figure
    from pilothouse.hindsight.affected import Again, Touched

_BRIEF = 12  # digits of a digest that people read
_FEW = 3  # rows through which a decision was touched


def register(app: typer.Typer) -> None:
    """Put the command on the application."""
    app.command()(affected)


@told_plainly
def affected(
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY]...", help="With --rows: the rows' keys, the parts of one joined by slashes.")
    ] = None,
    rows: Annotated[str | None, typer.Option("--rows", metavar="TABLE", help="Rows of this table, such as raw/s4/sales_order.")] = None,
    version: Annotated[int | None, typer.Option("--version", help="With --rows: all rows that this commit brought.")] = None,
    check: Annotated[str | None, typer.Option("--check", metavar="NAME", help="The source rows that break this rule.")] = None,
    model: Annotated[str | None, typer.Option("--model", metavar="VERSION", help="A model's version, such as late_payment_risk@3.")] = None,
    merge: Annotated[
        str | None, typer.Option("--merge", metavar="A=B", help="That two records were taken as one firm: s4:10100001=crm:001J800.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Decide them again by today's agent and data, and show what changes.")] = False,  # noqa: FBT002
    json_output: Json = False,  # noqa: FBT002 - typer
) -> None:
    """List the decisions that bad rows, a broken rule, a model or a merge touched, by the rows that each had looked at.

    Example: pilothouse affected --rows raw/s4/sales_order 1000100 --again
    """
    if sum(each is not None for each in (rows, check, model, merge)) != 1:
        raise ConfigError("name one thing that may have touched decisions", hint="--rows, --check, --model or --merge")
    if rows is not None and bool(keys) == (version is not None):
        raise ConfigError(f"--rows {rows}: which of them?", hint="give their keys, or --version of the commit that brought them")
    from pilothouse.agents.figures import figures_of
    from pilothouse.hindsight.affected import again as decided_again

    with open_platform() as platform:
        found = list(_touched(platform, rows, keys or [], version, check, model, merge))
        remade = list(decided_again(platform.ledger, platform.lake, platform.agents, found)) if again else None
        known = figures_of(platform.ledger, [each.capsule for each in found])
    if json_output:
        print_json([each.as_json() for each in remade] if remade is not None else [each.as_json() for each in found])
        return
    print_rows(
        [_again(each, known[each.touched.capsule.digest]) for each in remade] if remade is not None else [_row(each) for each in found]
    )
    changed = (
        f", {sum(bool(each.action != _action(each.touched)) for each in remade)} would be decided otherwise" if remade is not None else ""
    )
    console.print(f"[dim]{len(found):,} decisions touched{changed}[/]")


def _touched(
    platform: Platform, rows: str | None, keys: list[str], version: int | None, check: str | None, model: str | None, merge: str | None
) -> list[Touched]:
    from assets.pointing import by_commit, by_keys, by_rule

    here = platform.affected
    if model is not None:
        return _by_model(platform, model)
    if merge is not None:
        left, _, right = merge.partition("=")
        return list(here.by_merge(_record(left, merge), _record(right, merge)))
    if check is not None:
        found: dict[str, Touched] = {}
        for pointed in by_rule(platform, check):
            found |= {each.capsule.digest: each for each in here.by_rows(pointed.table, pointed.keys)}
        return sorted(found.values(), key=lambda each: each.capsule.seq)
    assert rows is not None
    pointed = by_commit(platform, rows, version) if version is not None else by_keys(platform, rows, keys)
    return list(here.by_rows(pointed.table, pointed.keys))


def _by_model(platform: Platform, version: str) -> list[Touched]:
    """What a version had a word in; where it is in none, there must have been such a version, which is kept or was named by a decision."""
    from models.versions import VersionTable

    name, _, number = version.rpartition("@")
    if not number.isdigit():
        raise ConfigError(f"--model {version}: no version", hint="name one as late_payment_risk@3; `pilothouse model show` lists them")
    found = list(platform.affected.by_model(version))
    if not found and name:
        VersionTable(platform.lake, platform.model(name)).get(int(number))
    return found


def _record(said: str, merge: str) -> tuple[str, str]:
    source, _, number = said.partition(":")
    if not source or not number:
        raise ConfigError(
            f"--merge {merge}: '{said}' is no record", hint="name two, as source:number=source:number; `pilothouse firm explain`"
        )
    return source, number


def _row(each: Touched) -> dict[str, Any]:
    through = ", ".join(f"{table} {row}" for table, row in each.through[:_FEW])
    more = f" and {len(each.through) - _FEW} more" if len(each.through) > _FEW else ""
    return {
        "decision": each.capsule.digest[:_BRIEF],
        "about": each.capsule.manifest["subject"],
        "at": str(each.capsule.manifest["at"])[:16].replace("T", " "),
        "decided": _action(each),
        "through": through + more,
    }


def _again(each: Again, known: Sequence[Figure]) -> dict[str, Any]:
    told = [f"{figure.words} {then} → {now}" for figure in known if (change := each.changes.get(figure.name)) for then, now in [change]]
    row = _row(each.touched)
    row.pop("through")
    return {
        **row,
        "now": each.action or f"nothing: {each.why_not}",
        "changes": ", ".join(told) or ("-" if not each.changes else "its reasons"),
    }


def _action(each: Touched) -> str | None:
    action = each.capsule.body.get("output", {}).get("action")
    return None if action is None else str(action)
