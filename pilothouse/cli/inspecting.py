"""Commands that look: tables, query, history, doctor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pilothouse.cli.output import Json, console, plain, print_json, print_rows, told_plainly
from pilothouse.kernel.errors import ConfigError

if TYPE_CHECKING:
    from assets.platform import Platform


@contextmanager
def open_platform() -> Iterator[Platform]:
    """The platform of the project in this folder, for as long as a command needs it."""
    from assets.platform import Platform
    from pilothouse.kernel.settings import load

    with closing(Platform(load())) as platform:
        yield platform


def register(app: typer.Typer) -> None:
    """Put the commands on the application."""
    app.command()(tables)
    app.command()(query)
    app.command()(history)
    app.command()(doctor)


@told_plainly
def tables(json_output: Json = False) -> None:  # noqa: FBT002 - typer
    """List the lake's tables: rows, version, size, and how SQL calls them.

    Example: pilothouse tables --json
    """
    from pilothouse.kernel.lake.sql import name_in_sql

    with open_platform() as platform:
        rows = [
            {
                "table": table.name,
                "in SQL": name_in_sql(table.name),
                "rows": table.rows(),
                "version": table.version(),
                "changed": datetime.fromtimestamp(table.history(1)[0]["timestamp"] / 1000, UTC),
            }
            for table in platform.lake.tables()
        ]
    if json_output:
        print_json(rows)
    else:
        print_rows(rows, right=("rows", "version"))


@told_plainly
def query(
    sql: Annotated[str, typer.Argument(help="What to ask, in DuckDB's SQL.")],
    at: Annotated[
        list[str] | None, typer.Option("--at", metavar="TABLE=VERSION", help="Read a table at a version. May be repeated.")
    ] = None,
    as_of: Annotated[datetime | None, typer.Option("--as-of", help="Read every other table as it was at this moment (UTC).")] = None,
    limit: Annotated[int, typer.Option("--limit", help="Rows to print.", min=1)] = 50,
    json_output: Json = False,  # noqa: FBT002 - typer
) -> None:
    """Run SQL over the lake, at any version. Says which versions it read.

    Example: pilothouse query "SELECT SoldToParty, sum(TotalNetAmount) FROM s4.sales_order GROUP BY 1 ORDER BY 2 DESC LIMIT 5"
    """
    from pilothouse.kernel.lake import sql as lake_sql
    from pilothouse.kernel.versions import recording

    moment = as_of.replace(tzinfo=UTC) if as_of else None
    with open_platform() as platform, recording() as recorder:
        answer = lake_sql.query(platform.lake, sql, versions=dict(map(pinned, at or ())), as_of=moment)
    versions = {entry.name: int(entry.version) for entry in recorder.versions().read}
    rows: list[dict[str, Any]] = answer.slice(0, limit).to_pylist()
    if json_output:
        print_json({"rows": rows, "row_count": answer.num_rows, "versions": versions})
        return
    print_rows(
        [
            {name: value if isinstance(value, str | int | bool | datetime | None) else plain(value) for name, value in row.items()}
            for row in rows
        ]
    )
    more = f", {answer.num_rows - limit:,} more" if answer.num_rows > limit else ""
    read = ", ".join(f"{name}@{version}" for name, version in versions.items())
    rows_found = f"{answer.num_rows:,} row{'' if answer.num_rows == 1 else 's'}"
    console.print(f"[dim]{rows_found}{more}; read {read or 'no table'}[/]")


@told_plainly
def history(
    table: Annotated[str, typer.Argument(help="Such as raw/s4/sales_order or s4.sales_order.")],
    limit: Annotated[int, typer.Option("--limit", help="Versions to print, newest first.", min=1)] = 20,
    json_output: Json = False,  # noqa: FBT002 - typer
) -> None:
    """Show a table's versions: when, what, how many rows, by which sync.

    Example: pilothouse history raw/s4/sales_order --limit 5
    """
    from pilothouse.kernel.lake import Commit
    from pilothouse.kernel.lake.sql import table_called

    with open_platform() as platform:
        entries = table_called(platform.lake, table).history(limit)
    rows = []
    for entry in entries:
        commit, metrics = Commit.decode(entry), entry.get("operationMetrics", {})
        rows.append(
            {
                "version": entry["version"],
                "at": datetime.fromtimestamp(entry["timestamp"] / 1000, UTC),
                "operation": entry["operation"].lower(),
                "rows added": int(metrics.get("num_added_rows", 0)),
                "load": commit.load_id if commit else None,
                "correlation": commit.correlation_id if commit else None,
            }
        )
    if json_output:
        print_json(rows)
    else:
        print_rows(rows, right=("version", "rows added"))


@told_plainly
def doctor(json_output: Json = False) -> None:  # noqa: FBT002 - typer
    """Say what is wrong, and how to mend it.

    Example: pilothouse doctor
    """
    from pilothouse.local.doctor import examine

    findings = examine()
    if json_output:
        print_json([vars(finding) for finding in findings])
    else:
        marks = {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "wrong": "[bold red]wrong[/]"}
        for finding in findings:
            console.print(f"{marks[finding.state]:<8} [bold]{finding.what}[/]  ", end="")
            console.print(finding.found, markup=False, soft_wrap=True)
            if finding.cure:
                console.print("         [dim]cure:[/] ", end="")
                console.print(finding.cure, markup=False, soft_wrap=True)
    if any(finding.state == "wrong" for finding in findings):
        raise typer.Exit(1)


def pinned(text: str) -> tuple[str, int]:
    """TABLE=VERSION as somebody types it."""
    name, separator, version = text.rpartition("=")
    if not separator or not version.isdecimal():
        raise ConfigError(f"--at {text}: not TABLE=VERSION", hint="for example --at raw/s4/sales_order=3")
    return name, int(version)
