"""`python -m bench [NAME ...]`: run benchmarks, print a table, write `bench/results/<name>.json`.

A benchmark is a module of this package with `figures() -> list[Figure]`. Without names, all run. The exit code is 1 if a bar was
not met, so that a regression cannot pass unseen.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

import bench
from bench.figure import Figure

RESULTS = Path(__file__).parent / "results"
_NOT_BENCHMARKS = {"__main__", "figure"}


def main(names: list[str]) -> int:
    """Run the named benchmarks, or all."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    known = sorted(module.name for module in pkgutil.iter_modules(bench.__path__) if module.name not in _NOT_BENCHMARKS)
    unknown = [name for name in names if name not in known]
    if unknown:
        console.print(f"no benchmark {', '.join(unknown)}; there are {', '.join(known)}")
        return 2
    met = True
    for name in names or known:
        figures_of = getattr(importlib.import_module(f"bench.{name}"), "figures", None)
        if figures_of is None:
            continue  # a module that benchmarks share
        with console.status(f"{name} ..."):
            figures: list[Figure] = figures_of()
        console.print(_table(name, figures))
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n")
        met = met and all(figure.met is not False for figure in figures)
    return 0 if met else 1


def _table(name: str, figures: list[Figure]) -> Table:
    table = Table(title=name, title_justify="left")
    for heading in ("figure", "value", "peer", "ratio", "bar", ""):
        table.add_column(heading, justify="right" if heading in {"value", "ratio"} else "left")
    for figure in figures:
        table.add_row(
            figure.figure,
            f"{_number(figure.value)} {figure.unit}",
            "" if figure.peer_value is None else f"{figure.peer}: {_number(figure.peer_value)}",
            "" if figure.ratio is None else f"{figure.ratio:g}x",
            figure.bar or "",
            {None: "", True: "[green]met[/]", False: "[red]missed[/]"}[figure.met],
        )
    return table


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
