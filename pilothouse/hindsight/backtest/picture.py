"""A backtest as a chart: what the candidate would have earned more, week by week, and how it stands beside simpler rules."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from models.plots import BLUE, GREY, INK, PALE, axes
from pilothouse.hindsight.backtest.comparison import CANDIDATE, DECIDED, Comparison
from pilothouse.kernel.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS: Final = (".png", ".svg")
_DPI: Final = 110


def drawn(found: Comparison) -> Figure:
    """Two panels over one caption."""
    with axes("", "", "euros more than what was decided", panels=2) as (figure, (left, right)):
        _curve(left, found)
        _bars(right, found)
        told = ", ".join(found.candidate.differs) or "as it stands"
        kind = "SYNTHETIC orders" if found.synthetic else "orders"
        figure.suptitle(f"{found.candidate.agent.name}, {told}: {found.judged:,} {kind}", x=0.01, ha="left", color=INK, fontsize=11)
    return figure


def check(path: Path | None) -> None:
    """ConfigError where a name says no kind of picture: told before the work, not after it."""
    if path is not None and path.suffix.lower() not in KINDS:
        raise ConfigError(f"--chart {path}: no kind of picture", hint=f"name a file that ends in {' or '.join(KINDS)}")


def write(found: Comparison, path: Path) -> None:
    """Draw it into a file; ConfigError where there is nothing to draw, or it cannot be written."""
    check(path)
    if not found.judged:
        raise ConfigError("there is nothing to draw: none of these orders can be judged yet", hint="look further back: --since")
    try:
        drawn(found).savefig(path, dpi=_DPI)
    except OSError as error:
        raise ConfigError(f"--chart {path}: cannot be written ({error.strerror})", hint="name a file in a folder that is there") from error


def _curve(panel: Any, found: Comparison) -> None:
    days = found.curve["day"].to_list()
    panel.axhline(0, color=GREY, linewidth=1)
    panel.fill_between(days, found.curve["low"], found.curve["high"], color=PALE, linewidth=0)
    panel.plot(days, found.curve["difference"], color=BLUE, linewidth=1.8)
    panel.set_title("As it adds up, by the week of the order", loc="left", color=INK, fontsize=10)
    panel.yaxis.set_major_formatter(_thousands())
    panel.tick_params(axis="x", rotation=30)
    last = found.curve.row(-1, named=True)
    panel.annotate(
        f"{last['difference']:+,.0f}", (days[-1], last["difference"]), xytext=(-4, 6), textcoords="offset points", ha="right", color=INK
    )


def _bars(panel: Any, found: Comparison) -> None:
    """What each earned more than what was decided; the line through a bar is its interval."""
    earned, base = dict(found.earned), dict(found.earned)[DECIDED].value
    names = [name for name, _ in found.beside if name != DECIDED][::-1]
    more = [dict(found.beside)[name] for name in names]
    panel.axvline(0, color=GREY, linewidth=1)
    panel.barh(names, [each.value for each in more], color=[BLUE if name == CANDIDATE else PALE for name in names], height=0.4)
    for place, (name, each) in enumerate(zip(names, more, strict=True)):
        panel.plot([each.low, each.high], [place, place], color=INK, linewidth=1)
        share = each.value / abs(base) if base else 0.0
        told = f"{earned[name].value:,.0f} in all, {each.value:+,.0f} ({share:+.1%})"
        panel.annotate(told, (0, place), xytext=(4, 14), textcoords="offset points", color=INK, fontsize=8)
    panel.set_title(f"In all: {base:,.0f} by what was decided, and beside it", loc="left", color=INK, fontsize=10)
    panel.set_ylim(-0.6, len(names) - 0.3)
    panel.set_ylabel("")
    panel.xaxis.set_major_formatter(_thousands())
    panel.tick_params(axis="y", length=0)


def _thousands() -> Any:
    from matplotlib.ticker import FuncFormatter

    return FuncFormatter(lambda value, _: f"{value:,.0f}")
