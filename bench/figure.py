"""One measured figure, beside what a peer takes for the same work, and the bar we set ourselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Figure:
    """A row of `bench/results/<name>.json`. `ratio` says how many times better than the peer we are; `met` is None without a bar."""

    figure: str
    value: float
    unit: str
    peer: str | None = None
    peer_value: float | None = None
    ratio: float | None = None
    bar: str | None = None
    met: bool | None = None


def figure(
    name: str,
    value: float,
    unit: str,
    *,
    better: Literal["higher", "lower"] = "higher",
    bar: float | None = None,
    peer: str | None = None,
    peer_value: float | None = None,
    ratio_bar: float | None = None,
) -> Figure:
    """A figure with its ratio and verdict. `bar` bounds the value itself, `ratio_bar` how many times better than the peer it must be."""
    ratio = None
    if peer_value:
        ratio = value / peer_value if better == "higher" else peer_value / value
    verdicts: list[bool] = []
    texts: list[str] = []
    if bar is not None:
        verdicts.append(value >= bar if better == "higher" else value <= bar)
        texts.append(f"at {'least' if better == 'higher' else 'most'} {bar:,g} {unit}")
    if ratio_bar is not None:
        verdicts.append(ratio is not None and ratio >= ratio_bar)
        texts.append(f"at least {ratio_bar:g} times {peer}")
    return Figure(
        figure=name,
        value=round(value, 4),
        unit=unit,
        peer=peer,
        peer_value=None if peer_value is None else round(peer_value, 4),
        ratio=None if ratio is None else round(ratio, 2),
        bar=" and ".join(texts) or None,
        met=all(verdicts) if verdicts else None,
    )
