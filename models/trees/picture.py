"""A tree as a picture: SVG of our own, from left to right, so that conditions have room.

Every leaf has a line of its own and every node stands amid what follows it. A place to which several ways lead is drawn once for
each: it is the ways that people follow. A decision can be drawn into it: the way that was taken stands out.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from typing import Final

from models.trees.boxes import Box
from models.trees.conditions import told_box
from models.trees.tree import Decision, Tree

GAP: Final = 18  # between leaves
LETTER: Final = 6.6  # the width of one, about
BOX: Final = 250
WIDE: Final = 30  # letters on a line of a box
COLOURS: Final = (
    ("#e7f5ec", "#2f8f5b"),
    ("#fdf3dc", "#b7791f"),
    ("#fbe7e6", "#c0392b"),
    ("#e8eefb", "#3056a8"),
    ("#f1e9f9", "#7a4fb0"),
    ("#e6f4f6", "#20808d"),
)
STYLE: Final = (
    "text{font-family:Inter,'Segoe UI','Helvetica Neue',Arial,sans-serif;font-size:12px;fill:#1f2933}"
    ".name{font-weight:600}.small{font-size:11px;fill:#52606d}.title{font-size:16px;font-weight:600}"
    ".edge{fill:none;stroke:#b8c2cc;stroke-width:1.5}.on{stroke:#1f2933;stroke-width:3}.pill{fill:#fff}"
)


@dataclass
class _Spot:
    """One box of the picture, and what hangs on it."""

    name: str
    title: list[str]
    text: list[str]
    colours: tuple[str, str]
    label: list[str]  # of the line that leads here
    on: bool
    depth: int
    below: list[_Spot] = field(default_factory=list)
    y: float = 0.0

    @property
    def height(self) -> float:
        return 22 + 15 * (len(self.title) + len(self.text))

    @property
    def room(self) -> float:
        """What it needs, its label included."""
        return max(self.height, 14 * len(self.label) + 6)


def svg(tree: Tree, decision: Decision | None = None) -> str:
    """The picture; of one decision, where it is given."""
    taken = {} if decision is None else {**dict(decision.way), decision.leaf: None}
    root = _spot(tree, tree.document.start, [], 0, taken, on=decision is not None)
    spots = list(_all(root))
    columns = _columns(spots)
    bottom = _laid(root, 64.0) + 16
    width = max(columns[spot.depth] + BOX for spot in spots) + 24
    body = [*(_line(spot, child, columns) for spot in spots for child in spot.below), *(_drawn(spot, columns) for spot in spots)]
    title = f'<text x="24" y="30" class="title">{escape(tree.name)}</text>'
    told = "" if decision is None else f" · {decision.action}: {decision.reason}"
    under = f'<text x="24" y="48" class="small">version {tree.version[:12]}{escape(told)}</text>'
    size = f'width="{width:.0f}" height="{bottom:.0f}" viewBox="0 0 {width:.0f} {bottom:.0f}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">'
        f"<title>{escape(tree.name)}</title><style>{STYLE}</style>"
        f'<rect width="100%" height="100%" fill="#fff"/>{title}{under}{"".join(body)}</svg>\n'
    )


def _spot(tree: Tree, name: str, label: list[str], depth: int, taken: dict[str, int | None], *, on: bool) -> _Spot:
    leaf = tree.leaves.get(name)
    if leaf is not None:
        action = leaf.action + "".join(f", {each.replace('_', ' ')} {value}" for each, value in leaf.terms.items())
        return _Spot(
            name, _wrapped(action), _wrapped(leaf.reason), COLOURS[tree.actions.index(leaf.action) % len(COLOURS)], label, on, depth
        )
    node = tree.document.nodes[name]
    spot = _Spot(name, _wrapped(node.ask or name.replace("_", " ")), [], ("#f5f7fa", "#52606d"), label, on, depth)
    for number, case in enumerate(node.cases):
        here = on and taken.get(name, -1) == number
        lines = [line for place, box in enumerate(tree.checked_as.cases[name][number]) for line in _label(box, tree, place)]
        spot.below.append(_spot(tree, case.then, lines, depth + 1, taken, on=here))
    if node.otherwise is not None:
        spot.below.append(_spot(tree, node.otherwise, ["otherwise"], depth + 1, taken, on=on and name in taken and taken[name] is None))
    return spot


def _label(box: Box, tree: Tree, place: int) -> list[str]:
    """A condition, each of its tests on a line of its own."""
    tests = [told_box({name: values}, tree.facts) for name, values in box.items()]
    words = [f"{'or ' if place and not number else 'and ' if number else ''}{test}" for number, test in enumerate(tests)]
    return [line for word in words for line in textwrap.wrap(word, 40)]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDE) or [""]


def _all(spot: _Spot) -> Iterator[_Spot]:
    yield spot
    for child in spot.below:
        yield from _all(child)


def _columns(spots: list[_Spot]) -> list[float]:
    """Where the boxes of each depth begin: behind the longest label that leads to them."""
    columns = [24.0]
    for depth in range(1, max(spot.depth for spot in spots) + 1):
        longest = max(len(line) for spot in spots if spot.depth == depth for line in spot.label)
        columns.append(columns[-1] + BOX + 54 + longest * LETTER)
    return columns


def _laid(spot: _Spot, top: float) -> float:
    """Give every box its height; the bottom of all that hangs on this one."""
    if not spot.below:
        spot.y = top + spot.room / 2
        return top + spot.room + GAP
    bottom = top
    for child in spot.below:
        bottom = _laid(child, bottom)
    spot.y = (spot.below[0].y + spot.below[-1].y) / 2
    return max(bottom, spot.y + spot.room / 2 + GAP)


def _drawn(spot: _Spot, columns: list[float]) -> str:
    x, y = columns[spot.depth], spot.y - spot.height / 2
    fill, edge = spot.colours
    lines = [(line, "name") for line in spot.title] + [(line, "small") for line in spot.text]
    texts = "".join(
        f'<text x="{x + 12:.0f}" y="{y + 21 + 15 * row:.1f}" class="{kind}">{escape(line)}</text>' for row, (line, kind) in enumerate(lines)
    )
    return (
        f'<g><title>{escape(spot.name)}</title><rect x="{x:.0f}" y="{y:.1f}" width="{BOX}" height="{spot.height:.0f}" rx="8" fill="{fill}" '
        f'stroke="{edge}" stroke-width="{3 if spot.on else 1}"/>{texts}</g>'
    )


def _line(spot: _Spot, child: _Spot, columns: list[float]) -> str:
    begin, end = columns[spot.depth] + BOX, columns[child.depth]
    longest = max(len(line) for line in child.label) * LETTER
    text_at = end - longest - 22
    bend = f"C{begin + 24:.0f},{spot.y:.1f} {text_at - 24:.0f},{child.y:.1f} {text_at - 2:.0f},{child.y:.1f}"
    path = f"M{begin:.0f},{spot.y:.1f} {bend} L{end:.0f},{child.y:.1f}"
    height = 14 * len(child.label)
    top = child.y - height / 2
    words = "".join(
        f'<text x="{text_at + 6:.0f}" y="{top + 11 + 14 * row:.1f}" class="small">{escape(line)}</text>'
        for row, line in enumerate(child.label)
    )
    pill = f'<rect class="pill" x="{text_at:.0f}" y="{top:.1f}" width="{longest + 12:.0f}" height="{height}" rx="4"/>'
    return f'<path class="edge{" on" if child.on else ""}" d="{path}"/>{pill}{words}'
