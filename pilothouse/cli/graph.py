"""Commands about the graph: load, query, show, path, as-of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.tree import Tree

from pilothouse.cli.inspecting import open_platform
from pilothouse.cli.output import Json, console, errors, plain, print_json, print_rows, told_plainly
from pilothouse.kernel.errors import ConfigError, PilothouseError

if TYPE_CHECKING:
    from graph.asking import Asking, Link, Shown
    from graph.dump import Moment
    from graph.loading import Loaded

app = typer.Typer(
    name="graph", help="The graph of firms and all that hangs together with them: load, query, show, path, as-of.", no_args_is_help=True
)
AsOf = Annotated[
    datetime | None, typer.Option("--as-of", help="What held at this day or moment (UTC): orders placed by then, ownership of then.")
]
Known = Annotated[datetime | None, typer.Option("--known", help="What was known at this moment (UTC), right or wrong.")]
# Countries and industries join everything to everything, so a way through them says nothing.
_SAYS_NOTHING = frozenset({"LOCATED_IN", "BELONGS_TO"})


@app.command()
@told_plainly
def load(
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Empty the graph, and load again all versions it went through.")] = False,  # noqa: FBT002 - typer
    json_output: Json = False,  # noqa: FBT002
) -> None:
    """Bring the graph up to its marts, as a run that the Dagster UI shows. What has not changed is left alone.

    Example: pilothouse graph load
    """
    with open_platform() as platform:
        home = platform.settings.home / "dagster"
    loaded = run_load(home, rebuild=rebuild, quiet=json_output)
    if json_output:
        print_json(as_json(loaded))


@app.command()
@told_plainly
def query(
    cypher: Annotated[
        str | None,
        typer.Argument(
            metavar="[CYPHER]", help="What to ask; the name of a query; or a .cypher file. Without it: which queries there are."
        ),
    ] = None,
    param: Annotated[list[str] | None, typer.Option("--param", "-p", metavar="NAME=VALUE", help="A $parameter. May be repeated.")] = None,
    as_of: AsOf = None,
    known: Known = None,
    limit: Annotated[int, typer.Option("--limit", help="Rows to print.", min=1)] = 50,
    json_output: Json = False,  # noqa: FBT002 - typer
) -> None:
    """Ask the graph in Cypher, which reads and changes nothing. With --as-of or --known the same query is asked of the past.

    Example: pilothouse graph query "MATCH (f:Firm)-[:OWNS]->(g:Firm) RETURN f.name, count(g) ORDER BY 2 DESC LIMIT 5"
    """
    from graph.queries import Query, parsed, queries
    from pilothouse.kernel.versions import recording

    if cypher is None:
        print_json(_queries()) if json_output else print_rows(_queries())
        return
    given, moment = _parameters(param or ()), _moment(as_of, known)
    asked: Query | str = queries().get(cypher, cypher)
    if cypher.endswith(".cypher"):
        asked = _from_file(Path(cypher), parsed)
    with open_platform() as platform, recording() as recorder:
        asking = _asking(platform)
        rows = list(asking.query(asked, moment, **given) if isinstance(asked, Query) else asking.cypher(asked, moment, **_typed(given)))
    versions = [f"{entry.name} {entry.version}" for entry in recorder.versions().read if entry.kind == "graph"]
    if json_output:
        print_json({"rows": rows[:limit], "row_count": len(rows), "versions": versions})
        return
    print_rows([{name: _cell(value) for name, value in row.items()} for row in rows[:limit]], right=_figures(rows))
    more = f", {len(rows) - limit:,} more" if len(rows) > limit else ""
    console.print(f"[dim]{len(rows):,} row{'' if len(rows) == 1 else 's'}{more}; {', '.join(versions)}[/]")


@app.command()
@told_plainly
def show(
    node: Annotated[str, typer.Argument(help="Id of a node, such as s4:10100001, or Label/id.")],
    as_of: AsOf = None,
    known: Known = None,
    limit: Annotated[int, typer.Option("--limit", help="Edges of each type to print.", min=1)] = 5,
    json_output: Json = False,  # noqa: FBT002 - typer
) -> None:
    """Show a node: what it says, and its edges with what is at their other end.

    Example: pilothouse graph show s4:10100001
    """
    with open_platform() as platform:
        found = _asking(platform).show(node, _moment(as_of, known), limit=limit + 1)
    if json_output:
        print_json([_shown_as_json(each, limit) for each in found])
        return
    for each in found:
        console.print(_tree(each, limit))


@app.command()
@told_plainly
def path(
    start: Annotated[str, typer.Argument(help="Id of a node, or Label/id.")],
    goal: Annotated[str, typer.Argument(help="The other one.")],
    through: Annotated[
        list[str] | None,
        typer.Option("--through", "-t", metavar="TYPE", help="Types of edges to use; all but those to countries and industries."),
    ] = None,
    most: Annotated[int, typer.Option("--most", help="Edges that the way may have.", min=1, max=20)] = 8,
    as_of: AsOf = None,
    known: Known = None,
    json_output: Json = False,  # noqa: FBT002 - typer
) -> None:
    """Find the shortest way between two nodes, whichever way its edges point.

    Example: pilothouse graph path s4:10100001 s4:10100042 --through OWNS
    """
    with open_platform() as platform:
        types = through or [name for name in platform.ontology.edges if name not in _SAYS_NOTHING]
        way = _asking(platform).path(start, goal, _moment(as_of, known), through=types, most=most)
    if json_output:
        print_json([_link_as_json(link) for link in way])
    elif not way:
        console.print(f"no way of at most {most} edges through {', '.join(types)}")
        raise typer.Exit(1)
    else:
        console.print(f"[bold]{escape(start)}[/]")
        for link in way:
            console.print(f"  {_told(link)}", soft_wrap=True)
        console.print(f"[dim]{len(way)} edge{'' if len(way) == 1 else 's'}[/]")


@app.command(name="as-of")
@told_plainly
def as_of_command(
    moment: Annotated[datetime, typer.Argument(help="A day or a moment (UTC).")],
    known: Known = None,
    json_output: Json = False,  # noqa: FBT002 - typer
) -> None:
    """Compare the graph as of a moment with what it is now: how many nodes and edges of each type held then.

    Example: pilothouse graph as-of 2026-03-01
    """
    with open_platform() as platform:
        asking = _asking(platform)
        then, now = asking.counts(_moment(moment, known)), asking.counts()
    rows = [{"type": name, "then": then[name], "now": now[name], "since": now[name] - then[name]} for name in now]
    if json_output:
        print_json(rows)
    else:
        print_rows(rows, right=("then", "now", "since"))


def run_load(dagster_home: Path, *, rebuild: bool = False, quiet: bool) -> list[Loaded]:
    """Load the graph, and tell each type as it is done."""
    from orchestration.graph import load as run

    loaded = run(dagster_home, (lambda *_: None) if quiet else _loaded, rebuild=rebuild)
    if not quiet:
        console.print(in_short(loaded))
    return loaded


@dataclass(frozen=True)
class Outcome:
    """What became of the graph after a sync: what was loaded, or why nothing was; neither where there is no graph."""

    loaded: Sequence[Loaded] = ()
    reason: str = ""

    @property
    def lines(self) -> list[str]:
        """For the summary of `up`."""
        if self.reason:
            return [f"[red]failed[/]   graph: {escape(self.reason.splitlines()[0])}"]
        return [f"[bold]{in_short(self.loaded)}[/]"] if self.loaded else []

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {"loaded": as_json(self.loaded), "reason": self.reason}


def measure_after_build(dagster_home: Path, *, quiet: bool) -> str:
    """Bring graph analytics up to their marts: agents read them, and the graph shows them. Why that failed, if it did; it ends nothing
    else."""
    from orchestration.analytics import measure

    try:
        measure(dagster_home, lambda *_: None)
    except PilothouseError as error:
        return _failed(error, quiet=quiet)
    return ""


def load_after_build(dagster_home: Path, *, quiet: bool) -> Outcome:
    """Load the graph, if there is one; a failure is told and ends nothing else."""
    with open_platform() as platform:
        if platform.settings.graph.url is None:
            return Outcome()
    try:
        return Outcome(loaded=run_load(dagster_home, quiet=quiet))
    except PilothouseError as error:
        return Outcome(reason=_failed(error, quiet=quiet))


def _failed(error: PilothouseError, *, quiet: bool) -> str:
    if not quiet:
        errors.print(str(error), style="red", markup=False, soft_wrap=True)
    return str(error)


def in_short(loaded: Sequence[Loaded]) -> str:
    """What a load did, in a line."""
    created, changed, deleted = (sum(getattr(each, what) for each in loaded) for what in ("created", "changed", "deleted"))
    if not created + changed + deleted:
        return "the graph says what its marts say"
    return f"graph: {created:,} nodes and edges new, {changed:,} changed, {deleted:,} gone"


def as_json(loaded: Sequence[Loaded]) -> list[dict[str, Any]]:
    """For programs."""
    return [
        {
            "type": each.type.name,
            "mart": each.mart.name,
            "version": int(each.mart.version),
            "created": each.created,
            "changed": each.changed,
            "deleted": each.deleted,
        }
        for each in loaded
    ]


def _asking(platform: Any) -> Asking:
    from graph.asking import Asking

    return Asking(platform.graph, platform.ontology)


def _moment(as_of: datetime | None, known: datetime | None) -> Moment:
    from graph.dump import Moment

    valid, seen = (each.replace(tzinfo=UTC) if each and each.tzinfo is None else each for each in (as_of, known))
    return Moment(valid=valid, known=seen)


def _parameters(given: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise ConfigError(f"--param {text}: not NAME=VALUE", hint="for example --param firm=s4:10100001")
        found[name.removeprefix("$")] = value
    return found


def _typed(given: Mapping[str, str]) -> dict[str, Any]:
    """Parameters of a query without a head: numbers, truth values and lists as JSON has them, days as days, and all else as text."""
    import json
    from contextlib import suppress
    from datetime import date

    found: dict[str, Any] = {}
    for name, text in given.items():
        found[name] = text
        with suppress(ValueError):
            found[name] = json.loads(text)
        if len(text) == 10 and text[4:5] == "-":
            with suppress(ValueError):
                found[name] = date.fromisoformat(text)
    return found


def _from_file(file: Path, parsed: Any) -> Any:
    try:
        return parsed(file.stem, file.read_text())
    except OSError as error:
        raise ConfigError(
            f"{file}: cannot be read ({error.strerror})", hint="`pilothouse graph query` lists those that have a name"
        ) from error


def _queries() -> list[dict[str, Any]]:
    from graph.queries import queries

    return [
        {"query": each.name, "parameters": ", ".join(value.name for value in each.parameters), "what it tells": each.description}
        for each in queries().values()
    ]


def _cell(value: Any) -> Any:
    if isinstance(value, dict | list):
        return (
            ", ".join(f"{name}: {_cell(item)}" for name, item in value.items()) if isinstance(value, dict) else ", ".join(map(str, value))
        )
    return value if isinstance(value, str | int | bool | datetime | None) else plain(value)


def _figures(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [name for name, value in (rows[0].items() if rows else ()) if isinstance(value, int | float) and not isinstance(value, bool)]


def _tree(shown: Shown, limit: int) -> Tree:
    tree = Tree(f"[bold]{shown.label}[/] [bold cyan]{escape(shown.id)}[/]  [dim]{shown.mart}[/]")
    for name, value in sorted(shown.said.items()):
        if not name.startswith("_"):
            tree.add(f"{name}: [default]{escape(str(_cell(value)))}[/]")
    times = {"_valid_from": "valid since", "_valid_to": "valid until", "_known_from": "known since"}
    told = [f"{said} {shown.said[name]:%Y-%m-%d %H:%M}" for name, said in times.items() if shown.said.get(name)]
    told += ["synthetic"] if shown.said.get("_synthetic") else []
    tree.add(f"[dim]{', '.join(told)}[/]")
    for kind, links in _by_kind(shown.links).items():
        branch = tree.add(f"[magenta]{kind}[/]")
        for link in links[:limit]:
            branch.add(_end(link))
        if len(links) > limit:
            branch.add("[dim]and more: --limit[/]")
    return tree


def _by_kind(links: Sequence[Link]) -> dict[str, list[Link]]:
    found: dict[str, list[Link]] = {}
    for link in links:
        found.setdefault(f"-{link.type}->" if link.away else f"<-{link.type}-", []).append(link)
    return found


def _end(link: Link) -> str:
    said = ", ".join(f"{name} {escape(str(_cell(value)))}" for name, value in link.said.items() if value is not None)
    return f"{link.label} [cyan]{escape(link.id)}[/] {escape(link.title)}" + (f"  [dim]{said}[/]" if said else "")


def _told(link: Link) -> str:
    return f"[magenta]{f'-{link.type}->' if link.away else f'<-{link.type}-'}[/] {_end(link)}"


def _shown_as_json(shown: Shown, limit: int) -> dict[str, Any]:
    links = [_link_as_json(link) for group in _by_kind(shown.links).values() for link in group[:limit]]
    return {"label": shown.label, "id": shown.id, "mart": shown.mart, "says": dict(shown.said), "edges": links}


def _link_as_json(link: Link) -> dict[str, Any]:
    return {"type": link.type, "away": link.away, "label": link.label, "id": link.id, "title": link.title, "says": dict(link.said)}


def _loaded(name: str, loaded: Loaded) -> None:
    if loaded.news:
        console.print(
            f"graph/{escape(name.lower())}: {loaded.created:,} new, {loaded.changed:,} changed, {loaded.deleted:,} gone", soft_wrap=True
        )
