"""A tree as closures: what runs when it decides."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from models.trees.document import TreeFile
from models.trees.facts import Fact
from models.trees.proof import Checked
from models.trees.sets import Choices, Known, Spans, Values

Way: TypeAlias = tuple[tuple[str, int | None], ...]  # node and case, from the start
Test: TypeAlias = Callable[[Any], bool]
Row: TypeAlias = Sequence[Known | None]


def readers(facts: Mapping[str, Fact], inputs: Sequence[str]) -> tuple[tuple[str, Callable[[Any], Known | None]], ...]:
    """What reads each input."""
    return tuple((name, facts[name].reader()) for name in inputs)


def compiled(document: TreeFile, checked: Checked) -> Callable[[Row], tuple[str, Way]]:
    """A function from the values of the inputs to a leaf, and the way to it."""
    places = {name: number for number, name in enumerate(checked.inputs)}
    nodes: dict[str, tuple[list[list[tuple[int, Test]]], list[int | None], list[str]]] = {}
    for name, node in document.nodes.items():
        ways: list[list[tuple[int, Test]]] = []
        taken: list[int | None] = []
        targets: list[str] = []
        for number, (case, boxes) in enumerate(zip(node.cases, checked.cases[name], strict=True)):
            for box in boxes:
                ways.append([(places[each], test(values)) for each, values in box.items()])
                taken.append(number)
                targets.append(case.then)
        if node.otherwise is not None:
            ways.append([])
            taken.append(None)
            targets.append(node.otherwise)
        nodes[name] = ways, taken, targets
    start = document.start

    def decide(row: Row) -> tuple[str, Way]:
        here, trail = start, []
        while (node := nodes.get(here)) is not None:
            for number, way in enumerate(node[0]):  # noqa: B007 - the number is read behind the loop
                for place, holds in way:
                    if not holds(row[place]):
                        break
                else:
                    break
            else:  # proved not to be; a value that the proof does not know would be a fault of ours
                raise AssertionError(f"{document.name}: node '{here}' has no case for {row}")
            trail.append((here, node[1][number]))
            here = node[2][number]
        return here, tuple(trail)

    return decide


def test(values: Values) -> Test:
    """Whether a value is in a set, the common cases without a search."""
    known, missing = values.known, values.missing
    if not known:
        return (lambda value: value is None) if missing else (lambda _: False)
    if isinstance(known, Choices):
        return _choice(known, missing=missing)
    if len(known.cuts) == 2:
        return _span(known, missing=missing)
    cuts = known.cuts
    return lambda value: missing if value is None else bisect_right(cuts, (value, 0)) % 2 == 1


def _choice(known: Choices, *, missing: bool) -> Test:
    names = known.names
    if known.others:
        return (lambda value: value not in names) if missing else (lambda value: value is not None and value not in names)
    all_names = names | {None} if missing else names
    return lambda value: value in all_names


def _span(known: Spans, *, missing: bool) -> Test:
    (low, above), (high, up_to) = known.cuts
    if above and up_to:
        return lambda value: missing if value is None else low < value <= high
    if above:
        return lambda value: missing if value is None else low < value < high
    if up_to:
        return lambda value: missing if value is None else low <= value <= high
    return lambda value: missing if value is None else low <= value < high
