"""Proves a tree: every input that can be reaches exactly one leaf, and every branch is open to some input.

The space of inputs flows through the tree as boxes that do not overlap. What a node's cases leave is its hole; a case that gets
nothing is dead. Nothing is sampled or estimated, so a tree that passes answers everything, and one that is refused is shown an
input that proves it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.trees.boxes import Box, split
from models.trees.conditions import as_written, boxes_of, told_box, told_example
from models.trees.document import Case, Condition, TreeFile
from models.trees.facts import Fact
from pilothouse.kernel.errors import ConfigError

if TYPE_CHECKING:
    from models.trees.reading import Lines


@dataclass(frozen=True)
class Checked:
    """What is known of a tree once it is proved: its inputs, the boxes of each case, and the inputs that reach each place."""

    inputs: tuple[str, ...]
    cases: Mapping[str, tuple[tuple[Box, ...], ...]]  # node → case → boxes, any of which holds
    regions: Mapping[str, tuple[Box, ...]]  # node or leaf, each behind all that lead to it → the inputs that reach it, as boxes


def proved(document: TreeFile, facts: Mapping[str, Fact], lines: Lines) -> Checked:
    """What a tree is known to do; ConfigError names the place where it does not, and the way out."""
    order = _ordered(document, lines)
    cases = {name: _boxes(document, name, facts, lines) for name in document.nodes}
    asked = sorted({name for node in cases.values() for case in node for box in case for name in box})
    _changeable(document, facts, asked, lines)
    domains = {name: facts[name].domain for name in asked}
    regions: dict[str, list[Box]] = {document.start: [{}]}
    for name in order:
        if name in document.nodes:
            for target, boxes in _flow(document, name, regions.get(name, []), cases[name], _Space(facts, domains, lines)):
                regions.setdefault(target, []).extend(boxes)
    return Checked(tuple(asked), cases, {name: tuple(regions[name]) for name in order})


@dataclass(frozen=True)
class _Space:
    facts: Mapping[str, Fact]
    domains: Mapping[str, object]
    lines: Lines


def _flow(
    document: TreeFile, name: str, region: list[Box], cases: tuple[tuple[Box, ...], ...], space: _Space
) -> Iterator[tuple[str, list[Box]]]:
    """Where the inputs that reach a node go on to."""
    node, lines, left = document.nodes[name], space.lines, region
    for number, (case, alternatives) in enumerate(zip(node.cases, cases, strict=True)):
        taken: list[Box] = []
        for place, box in enumerate(alternatives):
            here = f"{lines('nodes', name, 'cases', number)}: node '{name}', case {number + 1}"
            inside, left = split(left, box, space.domains, here)  # type: ignore[arg-type]
            if not inside:
                which = f", alternative {place + 1}" if len(alternatives) > 1 else ""
                raise ConfigError(
                    f"{here}{which} {as_written(_conditions(case)[place])}: no input reaches it",
                    hint=_why_dead(box, region, space, name, then=case.then),
                )
            taken += inside
        yield case.then, taken
    if node.otherwise is not None:
        if not left:
            raise ConfigError(
                f"{lines('nodes', name, 'otherwise')}: node '{name}', otherwise: no input is left for it",
                hint=f"the cases cover everything that gets here: leave it out, or ask less in the cases; it leads to '{node.otherwise}'",
            )
        yield node.otherwise, left
    elif left:
        smallest = min(left, key=len)
        last = as_written(_conditions(node.cases[-1])[-1])
        raise ConfigError(
            f"{lines('nodes', name)}: node '{name}' has a hole after its last case {last}: {told_box(smallest, space.facts)} "
            f"reaches no leaf, such as {told_example(smallest, space.facts)}",
            hint="add a case for it, or `otherwise`",
        )


def _why_dead(box: Box, region: list[Box], space: _Space, node: str, *, then: str) -> str:
    impossible = next((name for name, values in box.items() if not values), None)
    if impossible is not None:
        return f"no {impossible} meets it: change the test, or what is declared that it can be, or leave the case out"
    met, _ = split(region, box, space.domains, node)  # type: ignore[arg-type]
    if met:
        return f"earlier cases of '{node}' take all of it: put it before them, or leave it out; it leads to '{then}'"
    seen = sorted({name for other in region for name in other if name in box})
    about = f" On the way to '{node}', {', '.join(seen)} was asked already." if seen else ""
    return f"it contradicts the conditions on the way to '{node}': change one of them, or leave the case out.{about}"


def _ordered(document: TreeFile, lines: Lines) -> list[str]:
    """Nodes and leaves, each behind all that lead to it; ConfigError for a loop, an unknown name, or one to which nothing leads."""
    both = sorted(set(document.nodes) & set(document.leaves))
    if both:
        raise ConfigError(f"{lines('leaves', both[0])}: '{both[0]}' is a node and a leaf", hint="rename one of the two")
    order: list[str] = []
    state: dict[str, bool] = {}  # whether it is done

    def visit(name: str, trail: tuple[str, ...], place: tuple[str | int, ...]) -> None:
        if name in trail:
            circle = " → ".join((*trail[trail.index(name) :], name))
            raise ConfigError(
                f"{lines(*place)}: node '{trail[-1]}', {_named(place)}: leads back to '{name}', a loop: {circle}",
                hint=f"lead it to a leaf, or to a node that does not come back to '{name}'",
            )
        if name in state:
            return
        if name not in document.nodes and name not in document.leaves:
            near = difflib.get_close_matches(name, [*document.nodes, *document.leaves], n=1)
            raise ConfigError(
                f"{lines(*place)}: there is no node and no leaf '{name}'",
                hint=f"is '{near[0]}' meant?" if near else "declare it, or lead to another",
            )
        if name in document.nodes:
            for target, where in _ways(document, name):
                visit(target, (*trail, name), where)
        state[name] = True
        order.append(name)

    visit(document.start, (), ("start",))
    for kind, names in (("nodes", document.nodes), ("leaves", document.leaves)):
        for name in names:
            if name not in state:
                raise ConfigError(
                    f"{lines(kind, name)}: nothing leads to {'node' if kind == 'nodes' else 'leaf'} '{name}'",
                    hint="lead a case to it, or leave it out",
                )
    return order[::-1]


def _ways(document: TreeFile, name: str) -> Iterator[tuple[str, tuple[str | int, ...]]]:
    node = document.nodes[name]
    for number, case in enumerate(node.cases):
        yield case.then, ("nodes", name, "cases", number, "then")
    if node.otherwise is not None:
        yield node.otherwise, ("nodes", name, "otherwise")


def _named(place: tuple[str | int, ...]) -> str:
    return f"case {place[3] + 1}" if len(place) > 3 and isinstance(place[3], int) else "otherwise"


def _boxes(document: TreeFile, name: str, facts: Mapping[str, Fact], lines: Lines) -> tuple[tuple[Box, ...], ...]:
    return tuple(_case_boxes(case, number, name, facts, lines) for number, case in enumerate(document.nodes[name].cases))


def _case_boxes(case: Case, number: int, name: str, facts: Mapping[str, Fact], lines: Lines) -> tuple[Box, ...]:
    where = f"{lines('nodes', name, 'cases', number)}: node '{name}', case {number + 1}"
    for condition in _conditions(case):
        if not condition:
            raise ConfigError(f"{where}: its condition asks nothing", hint="name an input, or make it the node's `otherwise`")
        for input_ in condition:
            if input_ not in facts:
                near = difflib.get_close_matches(input_, facts, n=3)
                raise ConfigError(
                    f"{where}: there is no input '{input_}'",
                    hint=f"is {' or '.join(near)} meant?"
                    if near
                    else "`pilothouse tree schema` lists what can be asked; `inputs` declares more",
                )
    try:
        return boxes_of(case.when, facts)
    except ValueError as error:
        raise ConfigError(
            f"{where}: {error}", hint="words are is, in, not_in, above, at_least, below, at_most, missing, or_missing"
        ) from error


def _conditions(case: Case) -> list[Condition]:
    return case.when if isinstance(case.when, list) else [case.when]


def _changeable(document: TreeFile, facts: Mapping[str, Fact], asked: list[str], lines: Lines) -> None:
    for name, change in document.changeable.items():
        if name not in asked:
            known = "the tree never asks it" if name in facts else "there is no such input"
            raise ConfigError(
                f"{lines('changeable', name)}: '{name}' cannot be changed: {known}", hint=f"it asks {', '.join(asked) or 'nothing'}"
            )
        if change.direction != "any" and facts[name].type in {"text", "bool"}:
            raise ConfigError(
                f"{lines('changeable', name)}: '{name}' is a {facts[name].type}, and has no direction", hint="leave `direction` out"
            )
