"""What a rule takes, and the smallest change by which it would take more."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.agents.toolset.stewardship.taking import broken, wider
from quality.gate import Gate
from quality.rule import Rule, written

SET, BETWEEN = "expect_column_values_to_be_in_set", "expect_column_values_to_be_between"


def change(expectation: str, values: list[str | None], **kwargs: Any) -> Any:
    found = wider(expectation, written({"column": "x", **kwargs}), Counter(values))
    return None if found is None else ({k: v for k, v in json.loads(found["arguments"]).items() if k != "column"}, found["beyond"])


@pytest.mark.parametrize(
    ("expectation", "values", "kwargs", "told"),
    [
        (SET, ["C", "C", "D", None], {"value_set": ["A"]}, ({"value_set": ["A", "C"]}, None)),
        (SET, ["3"], {"value_set": [1, 2]}, ({"value_set": [1, 2, 3]}, None)),
        (SET, ["x"], {"value_set": [1, 2]}, None),  # no whole number, as the others are
        (SET, ["x"], {"value_set": [True, 1]}, None),
        (SET, [None], {"value_set": ["A"]}, None),
        (BETWEEN, ["610", "95"], {"min_value": 100, "max_value": 600}, ({"min_value": 95, "max_value": 610}, 0.02)),
        (BETWEEN, ["110.5"], {"max_value": 100}, ({"max_value": 110.5}, 0.105)),
        (BETWEEN, ["-1"], {"min_value": 0}, None),  # nothing is a little below nothing
        (BETWEEN, ["x"], {"max_value": 100}, None),
        (BETWEEN, ["NaN"], {"max_value": 100}, None),
        (BETWEEN, ["1969-01-01"], {"min_value": "1970-01-01"}, None),
        (BETWEEN, ["100"], {"max_value": 100, "strict_max": True}, None),
        ("expect_column_values_to_match_regex", ["x"], {"regex": "y"}, None),
    ],
)
def test_the_smallest_change_is_found_where_there_is_one(expectation: str, values: list[str | None], kwargs: Any, told: Any) -> None:
    assert change(expectation, values, **kwargs) == told


@given(st.lists(st.integers(-500, 500), min_size=1), st.integers(-200, 200), st.integers(0, 200))
def test_what_is_broken_is_what_a_gate_holds_and_a_wider_rule_holds_nothing(values: list[int], low: int, width: int) -> None:
    rule = Rule("r", BETWEEN, {"column": "x", "min_value": low, "max_value": low + width}, "quarantine")
    texts = Counter[str | None](map(str, values))
    assert broken(rule.expectation, written(rule.kwargs), texts) == held(rule, values)
    found = wider(rule.expectation, written(rule.kwargs), texts)
    if found is not None:
        stretched = Rule("r", BETWEEN, json.loads(found["arguments"]), "quarantine")
        assert held(stretched, values) == broken(BETWEEN, found["arguments"], texts) == 0


def held(rule: Rule, values: list[int]) -> int:
    rows = pl.DataFrame({"k": range(len(values)), "x": values})
    return Gate([rule], ("k",)).split(rows).rejected.height
