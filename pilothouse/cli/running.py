"""Commands that run: up and sync."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.live import Live
from rich.panel import Panel
from rich.spinner import Spinner
from rich.table import Table

from pilothouse.cli.building import as_json, failures, run_build
from pilothouse.cli.deciding import First, first_decision
from pilothouse.cli.graph import Outcome as GraphOutcome
from pilothouse.cli.graph import load_after_build, measure_after_build
from pilothouse.cli.inspecting import open_platform
from pilothouse.cli.output import Json, console, errors, print_json, told_plainly
from pilothouse.kernel.errors import ConfigError

if TYPE_CHECKING:
    from assets.loading import Load
    from orchestration.syncing import Failed, Outcome
    from pilothouse.kernel.settings import Settings
    from pilothouse.local.stack import Stack
    from pilothouse.tables.building import Made


def register(app: typer.Typer) -> None:
    """Put the commands on the application."""
    app.command()(up)
    app.command()(sync)


class Board:
    """One live line a stream, while a sync goes on."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self.rows: dict[str, Load | None] = {}
        self._began: dict[str, float] = {}
        self._took: dict[str, float] = {}
        self.failed: set[str] = set()

    def hear(self, stream: str, load: Load | None) -> None:
        """A stream has begun, or is done."""
        self.rows[stream] = load
        if load is None:
            self._began[stream] = time.monotonic()
            return
        self._took[stream] = time.monotonic() - self._began[stream]
        if not console.is_terminal and not self.quiet:  # a log file wants lines, not a picture that changes
            console.print(f"{stream}: {load.arrived:,} arrived, {load.upserts:,} new or changed, {load.deletes:,} deleted", soft_wrap=True)

    def fail(self, stream: str) -> None:
        """A stream could not be synced."""
        self.failed.add(stream)

    def __rich__(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name, justify in (
            ("stream", "left"),
            ("arrived", "right"),
            ("new or changed", "right"),
            ("deleted", "right"),
            ("quarantined", "right"),
            ("events", "right"),
            ("seconds", "right"),
        ):
            table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
        for stream, load in self.rows.items():
            if stream in self.failed:
                table.add_row(f"[red]{stream}[/]", "[red]failed[/]")
            elif load is None:
                table.add_row(Spinner("dots", text=f" {stream}"))
            else:
                quarantined = f"[yellow]{load.rejected:,}[/]" if load.rejected else "0"
                table.add_row(
                    stream,
                    f"{load.arrived:,}",
                    f"{load.upserts:,}",
                    f"{load.deletes:,}",
                    quarantined,
                    f"{load.events:,}",
                    f"{self._took[stream]:.1f}",
                )
        return table


@told_plainly
def up(
    once: Annotated[bool, typer.Option("--once", help="End after the first full sync.")] = False,  # noqa: FBT002 - typer
    json_output: Json = False,  # noqa: FBT002
) -> None:
    """Start everything on this machine, sync every source, make the tables, and keep running. Ctrl-C stops it all; the next `up` goes on.

    Example: pilothouse up --once
    """
    from assets.platform import Platform
    from pilothouse.kernel.settings import load, project_file
    from pilothouse.local.admin import keep_local_token
    from pilothouse.local.stack import Stack, running

    began = time.monotonic()
    project = project_file()
    settings = load(project, running=False)
    _require_sources(settings)
    stack = Stack(settings, project)
    stopping = _stop_on_signals()
    try:
        stack.claim()
        _announcer(quiet=json_output)("models")
        Platform(settings).project  # noqa: B018 - parsed once, before several processes ask for it
        with running(stack, _announcer(quiet=json_output)):
            for name, (wanted, taken) in stack.moved.items():
                errors.print(f"[yellow]port {wanted} for {name} is taken; using {taken}[/]")
            with open_platform() as platform:
                keep_local_token(settings, platform.principals)
                everything = dict.fromkeys(platform.sources, ())
                outcomes = dict(_sync_all(stack.dagster_home, everything, quiet=json_output))
                held = sum(platform.lake.raw(load.source, load.stream).rows() for load in _loads(outcomes) if load.table)
            made = run_build(stack.dagster_home, [], quiet=json_output)
            unmeasured = measure_after_build(stack.dagster_home, quiet=json_output)
            trained = _train(project)
            first = first_decision(stack.dagster_home)
            if not json_output:
                console.print(*first.lines(), sep="\n", soft_wrap=True)  # agents look into tables, so they need not wait for the graph
            graph = GraphOutcome(reason=unmeasured) if unmeasured else load_after_build(stack.dagster_home, quiet=json_output)
            failed = bool(_failures(outcomes) or failures(made) or graph.reason or "error" in trained or first.reason)
            if not once:
                stack.start_daemon()
            _summary(stack, outcomes, made, graph, trained, first, held, time.monotonic() - began, json_output=json_output, stays=not once)
            if not once:
                stack.watch(stopping, lambda text: errors.print(f"[yellow]{text}[/]"))
    except KeyboardInterrupt:
        errors.print("stopped; the next `pilothouse up` goes on from here")
        raise typer.Exit(0 if stopping.is_set() and not once else 130) from None
    if failed and once:
        raise typer.Exit(1)


@told_plainly
def sync(
    targets: Annotated[
        list[str] | None, typer.Argument(metavar="[SOURCE[/STREAM]]...", help="What to sync; everything where nothing is named.")
    ] = None,
    json_output: Json = False,  # noqa: FBT002 - typer
) -> None:
    """Bring raw tables up to their sources now, as runs that the Dagster UI shows.

    Example: pilothouse sync s4/sales_order crm
    """
    wanted: dict[str, list[str]] = {}
    with open_platform() as platform:
        _require_sources(platform.settings)
        for target in targets or list(platform.sources):
            source, _, stream = target.partition("/")
            streams = wanted.setdefault(platform.source(source).name, [])
            if stream:
                streams.append(platform.source(source).stream(stream).name)
    outcomes = dict(_sync_all(platform.settings.home / "dagster", wanted, quiet=json_output))
    failed = _failures(outcomes)
    if json_output:
        print_json(_as_json(outcomes))
    for failure in failed:
        errors.print(f"[bold red]{failure.stream}[/]: ", end="")
        errors.print(failure.reason, markup=False, soft_wrap=True)
    if failed:
        raise typer.Exit(1)


def _require_sources(settings: Settings) -> None:
    if not settings.sources:
        from pilothouse.kernel.settings import FILE

        raise ConfigError(f"{FILE} names no source", hint="docs/connect-your-systems.md shows how a source is written there")


def _sync_all(dagster_home: Path, wanted: Mapping[str, Sequence[str]], *, quiet: bool) -> Iterator[tuple[str, Outcome]]:
    """Sync these streams of these sources (all where none is named), shown live."""
    from orchestration.syncing import sync as run_sync

    board = Board(quiet=quiet)
    with _live(board, quiet=quiet):
        for source, streams in wanted.items():
            outcome = run_sync(dagster_home, source, streams, board.hear)
            for each in outcome.failed:
                board.fail(each.stream)
            yield source, outcome


def _summary(
    stack: Stack,
    outcomes: dict[str, Outcome],
    made: list[Made],
    graph: GraphOutcome,
    trained: dict[str, Any],
    first: First,
    held: int,
    seconds: float,
    *,
    json_output: bool,
    stays: bool,
) -> None:
    loads = _loads(outcomes)
    failed = _failures(outcomes)
    if json_output:
        print_json(
            {
                "seconds": round(seconds, 1),
                "parts": [vars(part) for part in stack.parts],
                "sync": _as_json(outcomes),
                "tables": as_json(made),
                "graph": graph.as_json(),
                "models": trained,
                "decisions": first.as_json(),
            }
        )
        return
    lines = [
        f"[bold]{held:,}[/] rows in [bold]{len(loads)}[/] raw tables, [bold]{sum(load.rejected for load in loads):,}[/] quarantined, "
        f"[bold]{sum(load.events for load in loads):,}[/] events; [bold]{sum(each.table is not None for each in made)}[/] tables; "
        f"{seconds:.0f} s from start",
        *graph.lines,
        *_in_a_line(trained),
        *first.lines(),
        "",
        *(f"{part.name:<12} {part.address}" for part in stack.parts),
        "",
        'Look     pilothouse tables · pilothouse query "FROM marts.dim_firm ORDER BY rating_score DESC LIMIT 5"',
        "Connect  pilothouse graph connect tells other tools how to read the graph",
        "Mend     pilothouse quarantine list · pilothouse doctor",
    ]
    lines += [f"[red]failed[/]   {reason.splitlines()[0]}" for reason in failures(made)]
    lines += [f"[red]failed[/]   {each.stream}: {each.reason.splitlines()[0]}" for each in failed]
    if stays:
        lines += [
            "",
            "The enterprise lives on, is synced every minute, and new orders are decided. Ctrl-C stops it all; the next `up` resumes.",
        ]
    elif first.decision is not None:
        lines += ["", "Everything is stopped. `pilothouse up` goes on from here, and these commands answer while it runs."]
    console.print(
        Panel(
            "\n".join(lines), title="Pilothouse is up", title_align="left", border_style="green" if not failed else "yellow", expand=False
        )
    )


def _train(project: Path) -> dict[str, Any]:
    """Train the models that have never been, and tell what came of it; later a sensor sees when one has to be trained again. In a process
    of its own: what learning loads would be held until `up` ends."""
    from models.versions import VersionTable

    with open_platform() as platform:
        untrained = [name for name in platform.models if not VersionTable(platform.lake, platform.model(name)).all()]
    if not untrained:
        return {}
    command = [sys.executable, "-c", "from pilothouse.cli import main; main()", "model", "train", *untrained, "--json"]
    environment = {**os.environ, "PILOTHOUSE_CONFIG": str(project)}
    done = subprocess.run(command, cwd=project.parent, env=environment, capture_output=True, text=True, check=False)
    try:
        told = json.loads(done.stdout)
    except json.JSONDecodeError:
        return {"error": (done.stderr.strip().splitlines() or ["the training ended without a word"])[-1]}
    return {"error": told["message"]} if isinstance(told, dict) else {"trained": told}


def _in_a_line(trained: dict[str, Any]) -> Iterator[str]:
    if "error" in trained:
        yield f"[red]failed[/]   models: {trained['error'].splitlines()[0]}"
    for model in trained.get("trained", ()):
        figures = [
            f"{name} {model['metrics'][name]:.3f}" for name in ("auc", "ece", "scaled_error", "coverage") if name in model["metrics"]
        ]
        yield f"Model    {model['model']} version {model['version']}: {', '.join(figures)}"


def _as_json(outcomes: dict[str, Outcome]) -> list[dict[str, Any]]:
    done = [
        {
            "stream": f"{load.source}/{load.stream}",
            "arrived": load.arrived,
            "new_or_changed": load.upserts,
            "deleted": load.deletes,
            "unchanged": load.unchanged,
            "quarantined": load.rejected,
            "events": load.events,
            "version": int(load.table.version) if load.table else None,
        }
        for load in _loads(outcomes)
    ]
    return done + [{"stream": each.stream, "error": each.reason} for each in _failures(outcomes)]


def _loads(outcomes: Mapping[str, Outcome]) -> list[Load]:
    return [load for outcome in outcomes.values() for load in outcome.loads]


def _failures(outcomes: Mapping[str, Outcome]) -> list[Failed]:
    return [failure for outcome in outcomes.values() for failure in outcome.failed]


@contextmanager
def _live(board: Board, *, quiet: bool) -> Iterator[None]:
    if quiet or not console.is_terminal:
        yield
        return
    with Live(board, console=console, refresh_per_second=8):
        yield


def _announcer(*, quiet: bool) -> Any:
    return (lambda _: None) if quiet else (lambda text: console.print(f"[dim]starting[/] {text}"))


def _stop_on_signals() -> threading.Event:
    """SIGTERM is Ctrl-C. It breaks off what is being started or synced; while everything is stopped in order, it waits."""
    stopping = threading.Event()

    def stop(_number: int, _frame: object) -> None:
        if stopping.is_set():
            return  # a second Ctrl-C must not break off the orderly stop
        stopping.set()
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    return stopping
