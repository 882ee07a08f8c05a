"""The nearest other decision: the smallest change of what may change that leads to another action.

A tree's inputs lie in boxes that do not overlap, so the nearest value in each box is found input by input, and the nearest box is
the answer: exact, not searched for. What a change weighs is declared with the tree: how much of an amount weighs as much as
another category. An input that is not declared to be changeable stays as it is, and no change makes a value missing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from models.trees.boxes import Box
from models.trees.document import Changeable
from models.trees.facts import Fact
from models.trees.sets import Choices, Cut, Known, Spans
from pilothouse.kernel.errors import ModelError

if TYPE_CHECKING:
    from models.trees.tree import Tree


@dataclass(frozen=True)
class Change:
    """One input that would have to be otherwise."""

    input: str
    value: Any
    instead: Any
    weight: float


@dataclass(frozen=True)
class Other:
    """Another decision, and what would have to change for it."""

    action: str
    leaf: str
    changes: tuple[Change, ...]
    weight: float

    def as_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {**vars(self), "changes": [vars(change) for change in self.changes]}


def nearest(tree: Tree, facts: Mapping[str, Any], actions: Sequence[str] | None = None) -> Other | None:
    """The nearest decision for another action; None where no change of what may change leads to one."""
    for action in actions or ():
        if action not in tree.actions:
            raise ModelError(f"tree {tree.name}: there is no action '{action}'", hint=f"it has {', '.join(tree.actions)}")
    values = dict(zip(tree.inputs, tree.read(facts), strict=True))
    now = tree.decide(facts).action
    # Of several that are as near the first by name: how a file orders its leaves says nothing.
    found: list[tuple[float, int, str, str, Other]] = []
    for leaf, told in tree.leaves.items():
        if told.action == now or (actions is not None and told.action not in actions):
            continue
        for box in tree.checked_as.regions[leaf]:
            changes = _changes(box, values, tree)
            if changes is not None:
                weight = sum(change.weight for change in changes)
                found.append((weight, len(changes), leaf, repr(changes), Other(told.action, leaf, tuple(changes), weight)))
    return min(found, key=lambda each: each[:4])[4] if found else None


def _changes(box: Box, values: Mapping[str, Known | None], tree: Tree) -> list[Change] | None:
    changes = []
    for name, wanted in sorted(box.items()):
        value, fact = values[name], tree.facts[name]
        if value in wanted:
            continue
        declared = tree.document.changeable.get(name)
        if declared is None or not wanted.known:
            return None
        near = _nearest(value, wanted.known, declared, fact)
        if near is None:
            return None
        instead, weight = near
        changes.append(Change(name, fact.outer(value), fact.outer(instead), weight))
    return changes


def _nearest(value: Known | None, known: Spans | Choices, declared: Changeable, fact: Fact) -> tuple[Known, float] | None:
    if isinstance(known, Choices):
        return known.example(), declared.cost
    if value is None:
        reached = next(_grid(pair, None, fact) for pair in known.pairs())
        return None if reached is None else (reached, declared.cost)
    assert not isinstance(value, str)
    candidates = [
        (candidate, abs(candidate - value) / declared.unit)
        for candidate in _reached(float(value) if fact.type == "number" else value, known, fact)
        if not (declared.direction == "up" and candidate < value) and not (declared.direction == "down" and candidate > value)
    ]
    return min(candidates, key=lambda each: each[1], default=None)


def _reached(value: float, known: Spans, fact: Fact) -> Iterator[float]:
    for pair in known.pairs():
        reached = _grid(pair, value, fact)
        if reached is not None:
            yield reached


def _grid(pair: tuple[Cut, Cut], value: float | None, fact: Fact) -> float | None:
    """The value of an interval nearest to one outside of it, such that people would name it."""
    low, high = pair
    from_below = (value < low[0] or (value, 0) < low) if value is not None else not math.isinf(low[0])
    cut = low if from_below else high
    if math.isinf(cut[0]):
        return 0.0
    if fact.type != "number":
        return cut[0] if from_below else cut[0] - 1
    reached = _stepped(cut, fact.step, up=from_below) if fact.step else _float(cut, up=from_below)
    return reached if low <= (reached, 0) < high else None


def _float(cut: Cut, *, up: bool) -> float:
    """The first number behind a cut, or the last before it."""
    at, side = cut
    if up:
        return math.nextafter(at, math.inf) if side else at
    return at if side else math.nextafter(at, -math.inf)


def _stepped(cut: Cut, step: float, *, up: bool) -> float:
    at, side = Fraction(repr(float(cut[0]))), cut[1]
    unit = Fraction(repr(float(step)))
    steps = at / unit
    before, behind = (math.floor(steps), math.floor(steps) + 1) if side else (math.ceil(steps) - 1, math.ceil(steps))
    return float((behind if up else before) * unit)
