"""How people's own tools reach the graph: any Bolt client, as a user who reads and may not write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pilothouse.cli.inspecting import open_platform
from pilothouse.cli.output import Json, console, print_json, told_plainly
from pilothouse.kernel.errors import ConfigError

if TYPE_CHECKING:
    from pilothouse.kernel.settings import GraphSettings


def register(app: typer.Typer) -> None:
    """Put the command beside the others about the graph."""
    app.command()(connect)


@told_plainly
def connect(
    writer: Annotated[bool, typer.Option("--writer", help="Tell the user who may also write.")] = False,  # noqa: FBT002 - typer
    json_output: Json = False,  # noqa: FBT002
) -> None:
    """Tell how another tool reaches the graph: Neo4j's Browser, a BI tool, a notebook, any Bolt client. Prints a password.

    Example: pilothouse graph connect --json
    """
    with open_platform() as platform:
        platform.graph.check()
        told = _way_in(platform.settings.graph, platform.graph.user, platform.graph.database, writer=writer)
    if json_output:
        print_json(told)
        return
    for name, value in told.items():
        console.print(f"{name:<10} ", end="")
        console.print(value, markup=False, soft_wrap=True)


def _way_in(graph: GraphSettings, user: str, database: str, *, writer: bool) -> dict[str, str]:
    password = graph.password if writer else graph.reader_password
    if not writer and (not graph.reader or password is None):
        raise ConfigError(
            "this graph has no user who only reads (Neo4j Community knows no roles: whoever logs in may write)",
            hint="`--writer` tells the one who writes; on Enterprise or Aura make a user with the role reader, and set "
            "PILOTHOUSE_GRAPH__READER and PILOTHOUSE_GRAPH__READER_PASSWORD",
        )
    assert password is not None
    return {
        "address": str(graph.url),
        "database": database,
        "user": user if writer else graph.reader,
        "password": password.get_secret_value(),
        "may": "read and write" if writer else "read; the server refuses what it wants to write",
    }
