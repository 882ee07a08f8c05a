"""Commands that mend: quarantine (rejected rows) and drift (changed schemas)."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from pilothouse.cli.inspecting import open_platform
from pilothouse.cli.output import Json, console, print_json, print_rows, told_plainly
from pilothouse.kernel.errors import ConfigError

app = typer.Typer(name="quarantine", help="Rejected rows: list, show, release.", no_args_is_help=True)
drift_app = typer.Typer(name="drift", help="Changed schemas of sources: show, accept.", no_args_is_help=True)
Target = Annotated[str, typer.Argument(metavar="SOURCE/STREAM", help="Such as s4/sales_order.")]


@app.command("list")
@told_plainly
def list_open(json_output: Json = False) -> None:  # noqa: FBT002 - typer
    """What is held back, by stream and rule.

    Example: pilothouse quarantine list
    """
    import polars as pl

    from quality.quarantine import overview

    with open_platform() as platform:
        found = [overview(table.scan()) for table in platform.lake.tables() if table.name.startswith("quarantine/")]
    rows = pl.concat(found).to_dicts() if found else []
    if json_output:
        print_json(rows)
    else:
        print_rows(rows, right=("rejections", "rows"))


@app.command()
@told_plainly
def show(
    target: Target,
    rule: Annotated[str | None, typer.Option("--rule", help="Only rows that broke this rule.")] = None,
    limit: Annotated[int, typer.Option("--limit", help="Rejections to print.", min=1)] = 20,
    json_output: Json = False,  # noqa: FBT002 - typer
) -> None:
    """The open rejections of a stream: id, key, rule, value and row.

    Example: pilothouse quarantine show s4/sales_order --rule "order has a customer"
    """
    from quality.quarantine import open_rejections

    with open_platform() as platform:
        source, stream = _split(target)
        table = platform.lake.quarantine(source, stream)
        if not table.exists():
            platform.source(source).stream(stream)  # nothing is held of it; or there is none, which is told
        rows = open_rejections(table.scan(), rule=rule, limit=limit).to_dicts() if table.exists() else []
    if json_output:
        print_json(rows)
    else:
        print_rows([{name: row[name] for name in ("id", "key", "rule", "column", "value", "rejected_at")} for row in rows])


@app.command()
@told_plainly
def release(
    target: Target,
    ids: Annotated[list[str] | None, typer.Argument(help="Ids of rejections (a beginning is enough).")] = None,
    rule: Annotated[str | None, typer.Option("--rule", help="Release all that broke this rule.")] = None,
    by: Annotated[str, typer.Option("--by", help="Who answers for it.")] = "",
    json_output: Json = False,  # noqa: FBT002 - typer
) -> None:
    """Let held rows pass into the raw table, without the rules they broke.

    Example: pilothouse quarantine release s4/sales_order --rule "order has a customer"
    """
    if not ids and rule is None:
        raise ConfigError("nothing to release is named", hint="give ids, or --rule; `pilothouse quarantine show` lists them")
    from assets.releasing import release as release_rows

    with open_platform() as platform:
        load = release_rows(platform, *_split(target), by=by or getpass.getuser(), rule=rule, ids=ids or ())
    if json_output:
        print_json({"released": load.upserts, "events": load.events})
    else:
        console.print(f"{load.upserts:,} rows released into raw/{target}, {load.events:,} events")


@drift_app.command("show")
@told_plainly
def show_drift(json_output: Json = False) -> None:  # noqa: FBT002 - typer
    """How sources describe their streams now, where that differs from what was read last.

    Example: pilothouse drift show
    """
    from assets.accepting import differences

    with open_platform() as platform:
        rows = [
            {
                "stream": f"{source.name}/{stream}",
                "kind": drift.kind,
                "difference": drift.describe(),
                "policy": platform.drift.answer(drift),
            }
            for source in platform.sources.values()
            for stream in source.streams
            for drift in differences(platform, source.name, stream)
        ]
    if json_output:
        print_json(rows)
    else:
        print_rows(rows)


@drift_app.command()
@told_plainly
def accept(target: Target, json_output: Json = False) -> None:  # noqa: FBT002 - typer
    """Accept the differences there are now, so that the next sync reads on.

    Example: pilothouse drift accept s4/sales_order
    """
    from assets.accepting import accept as accept_drift

    with open_platform() as platform:
        drifts = accept_drift(platform, *_split(target), by=getpass.getuser())
    if json_output:
        print_json([drift.describe() for drift in drifts])
    else:
        console.print("\n".join(f"accepted: {drift.describe()}" for drift in drifts) or "nothing has changed", markup=False, soft_wrap=True)


def _split(target: str) -> tuple[str, str]:
    source, separator, stream = target.removeprefix("raw/").partition("/")
    if not separator or not stream:
        raise ConfigError(f"'{target}' names no stream", hint="write SOURCE/STREAM, such as s4/sales_order")
    return source, stream
