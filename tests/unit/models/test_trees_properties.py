"""Trees against brute force: an evaluator of our tests' own tries every combination of values that matters."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.trees import Tree
from models.trees.document import Changeable, TreeFile
from models.trees.reading import Lines
from pilothouse.kernel.errors import ConfigError
from tests.unit.models.random_trees import FACTS, SEEN, asked, documents, rows, trees, way

LINES = Lines("random.yaml", {})
searching = settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
TYPES = {"number": pl.Float64, "integer": pl.Int64, "text": pl.String, "bool": pl.Boolean, "date": pl.Date}


def checked(document: TreeFile) -> Tree:
    return Tree.checked(document, FACTS, LINES)


def framed(given_rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(given_rows, schema={name: TYPES[FACTS[name].type] for name in given_rows[0]})


@searching
@given(documents())
def test_a_tree_is_refused_exactly_where_some_input_reaches_no_leaf_or_some_branch_no_input(document: TreeFile) -> None:
    reached: set[tuple[str, int | None]] = set()
    hole = False
    for row in rows(asked(document)):
        steps = list(way(document, row))
        reached |= set(steps)
        hole |= not steps or steps[-1][0] not in document.leaves
    branches: set[tuple[str, int | None]] = {(name, number) for name, node in document.nodes.items() for number in range(len(node.cases))}
    branches |= {(name, None) for name, node in document.nodes.items() if node.otherwise is not None}
    sound = not hole and branches <= reached and set(document.leaves) <= {place for place, _ in reached}
    several = any(isinstance(case.when, list) for node in document.nodes.values() for case in node.cases)
    told: ConfigError | None = None
    try:
        checked(document)
    except ConfigError as error:
        # of a list of conditions each must be open to some input, which is more than the rows above look at
        told = error
    assert (told is None) == sound or (told is not None and several and "alternative" in told.message)
    assert told is None or told.hint


@searching
@given(trees())
def test_it_decides_as_it_is_written_and_tells_the_way_that_was_taken(document: TreeFile) -> None:
    tree = checked(document)
    for row in rows(asked(document)):
        decision = tree.decide(row)
        *steps, (leaf, _) = way(document, row)
        assert (list(decision.way), decision.leaf) == (steps, leaf)
        assert [step.then for step in decision.steps][-1:] == [leaf][: len(steps)]
        for step in decision.steps:
            assert all(condition.value == row[condition.input] for condition in step.conditions)
            assert any(condition.held for condition in step.conditions) == (step.case is not None)


@searching
@given(trees())
def test_a_frame_of_rows_is_decided_as_each_row_is(document: TreeFile) -> None:
    tree = checked(document)
    given_rows = list(rows(asked(document)))
    one_by_one = [(each.action, each.reason, each.leaf) for each in map(tree.decide, given_rows)]
    assert tree.decide_frame(framed(given_rows)).rows() == one_by_one


@searching
@given(trees(), st.data())
def test_the_nearest_other_decision_is_the_nearest_of_all(document: TreeFile, data: st.DataObject) -> None:
    names = asked(document)
    changeable = {
        name: Changeable(
            unit=data.draw(st.sampled_from([0.5, 1, 2])),
            cost=data.draw(st.sampled_from([0.5, 3])),
            direction=data.draw(st.sampled_from(["any", "up", "down"])) if FACTS[name].type in {"number", "integer", "date"} else "any",
        )
        for name in names
        if data.draw(st.booleans()) and name != "risk.p"  # which has no step, so that no grid holds its nearest value
    }
    tree = checked(document.model_copy(update={"changeable": changeable}))
    every = [(row, tree.decide(row)) for row in rows(names)]
    row, decision = data.draw(st.sampled_from(every))
    found = tree.nearest(row)
    weights = [weight(row, other, changeable) for other, said in every if said.action != decision.action]
    least = min((each for each in weights if each is not None), default=None)
    assert (found is None) == (least is None)
    if found is not None and least is not None:
        assert found.weight <= least + 1e-9
        there = tree.decide({**row, **{change.input: change.instead for change in found.changes}})
        assert (there.action, there.leaf) == (found.action, found.leaf)
        assert there.action != decision.action
        assert weight(row, {**row, **{change.input: change.instead for change in found.changes}}, changeable) == pytest.approx(found.weight)
        # on this grid every bound and every step beside one is a row, so nothing nearer can lie between
        assert found.weight == pytest.approx(least)


def weight(row: dict[str, Any], other: dict[str, Any], changeable: dict[str, Changeable]) -> float | None:
    """What it would take to come from one row to another; None where that may not be."""
    total = 0.0
    for name, value in row.items():
        instead = other[name]
        if value == instead and (value is None) == (instead is None):
            continue
        declared = changeable.get(name)
        if declared is None or instead is None:
            return None
        if value is None or isinstance(value, str | bool):
            total += declared.cost
            continue
        change = (instead - value).days if hasattr(value, "year") else instead - value
        if (declared.direction == "up" and change < 0) or (declared.direction == "down" and change > 0):
            return None
        total += abs(change) / declared.unit
    return total


def test_every_value_that_is_tried_can_be() -> None:
    for name, values in SEEN.items():
        read = FACTS[name].reader()
        for value in values:
            read(value)
