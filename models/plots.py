"""Pictures of a model for MLflow and Dagster: few colours, words where they are read, no legend where a label does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from models.measuring import Floats, Reliability

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK: Final = "#1f2937"
BLUE: Final = "#2563eb"
GREY: Final = "#9ca3af"
PALE: Final = "#dbeafe"
_SHOWN: Final = 12  # features in a picture


def png(figure: Figure) -> bytes:
    """The picture as a small PNG."""
    from io import BytesIO

    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    return buffer.getvalue()


def calibration(told: Reliability) -> Figure:
    """Foretold against what came, one point a tenth of the rows."""
    with _axes("Calibration on the hold-out", "foretold share", "share that was late") as (figure, axes):
        top = float(max(told.foretold.max(), told.came.max())) * 1.1
        axes.plot([0, top], [0, top], color=GREY, linestyle="--", linewidth=1)
        axes.plot(told.foretold, told.came, color=BLUE, marker="o", markersize=5, linewidth=1.5)
        axes.annotate(f"mean distance {told.error:.3f}", (top * 0.03, top * 0.93), color=INK)
        axes.set(xlim=(0, top), ylim=(0, top))
        _in_percent(axes.xaxis, axes.yaxis)
    return figure


def roc(false: Floats, true: Floats, area: float) -> Figure:
    """How many late ones are found, by how many punctual ones are suspected."""
    with _axes("ROC on the hold-out", "punctual ones suspected", "late ones found") as (figure, axes):
        axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
        axes.plot(false, true, color=BLUE, linewidth=1.8)
        axes.annotate(f"AUC {area:.3f}", (0.62, 0.08), color=INK)
        axes.set(xlim=(0, 1), ylim=(0, 1.01))
        _in_percent(axes.xaxis, axes.yaxis)
    return figure


def lift(share: Floats, times: Floats) -> Figure:
    """How many times more late ones are among the riskiest than among all."""
    with _axes("Lift on the hold-out", "share of orders looked at, riskiest first", "times as many late ones as in all") as (figure, axes):
        seen = share >= 0.01  # among the first few it is chance
        axes.axhline(1, color=GREY, linestyle="--", linewidth=1)
        axes.plot(share[seen], times[seen], color=BLUE, linewidth=1.8)
        place = int(np.searchsorted(share, 0.1))
        axes.annotate(
            f"{times[place]:.1f} times among the riskiest tenth",
            (share[place], times[place]),
            xytext=(12, 8),
            textcoords="offset points",
            color=INK,
        )
        axes.plot(share[place], times[place], "o", color=BLUE, markersize=5)
        axes.set(xlim=(0, 1), ylim=(0, None))
        _in_percent(axes.xaxis)
    return figure


def importance(entries: Sequence[tuple[str, float]]) -> Figure:
    """How far each feature moves a score."""
    with _axes("What moves a score", "mean change of the log-odds", "") as (figure, axes):
        words, values = zip(*reversed(entries[:_SHOWN]), strict=True)
        axes.barh(words, values, color=BLUE, height=0.6)
        axes.tick_params(axis="y", labelsize=8, length=0)
    return figure


def _in_percent(*scales: Any) -> None:
    from matplotlib.ticker import PercentFormatter

    for scale in scales:
        scale.set_major_formatter(PercentFormatter(1, decimals=0))


@contextmanager
def _axes(title: str, across: str, up: str) -> Iterator[tuple[Figure, Any]]:
    with axes(title, across, up) as (figure, panels):
        yield figure, panels[0]


@contextmanager
def axes(title: str, across: str, up: str, *, panels: int = 1) -> Iterator[tuple[Figure, Any]]:
    """A picture in our style: one panel or several beside each other, which whoever asks draws upon."""
    from matplotlib.figure import Figure  # not pyplot: that one keeps every figure, and asks for a screen

    figure = Figure(figsize=(6.4 * panels, 4.2), layout="constrained")
    several = [figure.add_subplot(1, panels, number + 1) for number in range(panels)]
    for each in several:
        each.set_title(title, loc="left", color=INK, fontsize=11)
        each.set_xlabel(across, color=INK)
        each.set_ylabel(up, color=INK)
        each.spines[["top", "right"]].set_visible(False)
        each.tick_params(colors=INK, labelsize=9)
    yield figure, several


def outlook(rows: Sequence[tuple[Any, float, float, float, float]]) -> Figure:
    """What came in each week, against what was expected of it two weeks before."""
    with _axes("Cash in, as foretold two weeks ahead", "", "million euros a week") as (figure, axes):
        days = [row[0] for row in rows]
        expected, low, high, came = (np.array([row[place] for row in rows]) / 1e6 for place in range(1, 5))
        axes.fill_between(days, low, high, color=PALE, label="in four of five weeks")
        axes.plot(days, expected, color=BLUE, linewidth=1.8, label="expected")
        axes.plot(days, came, "o", color=INK, markersize=4, label="came")
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False, loc="lower left", fontsize=9)
        figure.autofmt_xdate(rotation=30)
    return figure


def errors(ours: Mapping[str, float], naive: Mapping[str, float]) -> Figure:
    """The mean error of each series, as a share of the error of whoever repeats the season."""
    with _axes("Error against repeating the last four weeks", "share of that error", "") as (figure, axes):
        names = sorted(ours, key=lambda name: ours[name] / max(naive[name], 1.0), reverse=True)
        axes.barh(names, [ours[name] / max(naive[name], 1.0) for name in names], color=BLUE, height=0.6)
        axes.axvline(1, color=GREY, linestyle="--", linewidth=1)
        _in_percent(axes.xaxis)
    return figure
