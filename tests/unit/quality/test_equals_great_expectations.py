"""Our verdicts and counts are those of Great Expectations on pandas, for every expectation we claim to know.

GX's own arithmetic on pandas is the judge. Hypothesis makes the frames; each frame meets every expectation several times,
and three answers are compared: GX's, our report's, and GX's on our engine.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from quality.expectations import EXPECTATIONS
from quality.profile import Profile, profiled
from quality.report import RuleResult, judge
from quality.rule import Rule
from quality.suite import suite, validate

START = datetime(2026, 1, 1, tzinfo=UTC)
PAIR = {"column_A": "n", "column_B": "m"}
MANY = {"column_list": ["n", "m", "k"]}
CASES: Mapping[str, Sequence[dict[str, Any]]] = {
    "expect_column_values_to_not_be_null": [{"column": "n"}, {"column": "x", "mostly": 0.5}, {"column": "s"}],
    "expect_column_values_to_be_null": [{"column": "n"}, {"column": "x", "mostly": 0.5}],
    "expect_column_values_to_be_between": [
        {"column": "n", "min_value": 0, "max_value": 2},
        {"column": "n", "min_value": 0, "max_value": 2, "strict_min": True, "strict_max": True, "mostly": 0.6},
        {"column": "x", "min_value": 0.5},
        {"column": "x", "max_value": 1, "strict_max": True},
        {"column": "d", "min_value": "2026-01-02T00:00:00", "strict_min": True},
        {"column": "t", "min_value": "2026-01-01T12:00:00+00:00", "max_value": "2026-01-03T00:00:00Z"},
    ],
    "expect_column_values_to_be_in_set": [
        {"column": "n", "value_set": [0, 1, 2.0, 2.5]},
        {"column": "x", "value_set": [0, 0.5]},
        {"column": "s", "value_set": ["a", "b1", 3], "mostly": 0.4},
    ],
    "expect_column_values_to_not_be_in_set": [{"column": "n", "value_set": [1]}, {"column": "s", "value_set": ["a"]}],
    "expect_column_values_to_match_regex": [
        {"column": "s", "regex": "a"},
        {"column": "s", "regex": r"^\w+$", "mostly": 0.5},
        {"column": "c", "regex": r"^-?[0-2]$"},
    ],
    "expect_column_values_to_not_match_regex": [{"column": "s", "regex": r"\s"}],
    "expect_column_values_to_match_regex_list": [
        {"column": "s", "regex_list": ["^a", r"\d"]},
        {"column": "s", "regex_list": ["a", "b"], "match_on": "all"},
    ],
    "expect_column_values_to_not_match_regex_list": [{"column": "s", "regex_list": ["^a", r"\d"], "mostly": 0.3}],
    "expect_column_value_lengths_to_be_between": [
        {"column": "s", "min_value": 1, "max_value": 2},
        {"column": "s", "min_value": 1, "strict_min": True},
    ],
    "expect_column_value_lengths_to_equal": [{"column": "s", "value": 1}],
    "expect_column_pair_values_a_to_be_greater_than_b": [
        PAIR,
        {**PAIR, "or_equal": True, "ignore_row_if": "either_value_is_missing"},
        {**PAIR, "ignore_row_if": "neither", "mostly": 0.3},
    ],
    "expect_column_pair_values_to_be_equal": [PAIR, {**PAIR, "ignore_row_if": "either_value_is_missing"}],
    "expect_column_pair_values_to_be_in_set": [{**PAIR, "value_pairs_set": [[0, 0], [1, None], [1, 2]]}],
    "expect_multicolumn_sum_to_equal": [{**MANY, "sum_total": 3}, {**MANY, "sum_total": 0, "ignore_row_if": "any_value_is_missing"}],
    "expect_multicolumn_values_to_be_equal": [MANY, {**MANY, "ignore_row_if": "never"}],
    "expect_select_column_values_to_be_unique_within_record": [MANY, {**MANY, "ignore_row_if": "any_value_is_missing"}],
    "expect_column_values_to_be_unique": [{"column": "n"}, {"column": "s", "mostly": 0.5}, {"column": "x"}, {"column": "t"}],
    "expect_compound_columns_to_be_unique": [
        {"column_list": ["n", "s"]},
        {"column_list": ["n", "m"], "ignore_row_if": "any_value_is_missing"},
    ],
    "expect_column_min_to_be_between": [{"column": "n", "min_value": 0}, {"column": "t", "min_value": "2026-01-01T00:00:00+00:00"}],
    "expect_column_max_to_be_between": [{"column": "x", "max_value": 1}, {"column": "d", "max_value": "2026-01-02T12:00:00"}],
    "expect_column_mean_to_be_between": [{"column": "n", "min_value": 0.3}, {"column": "x", "max_value": 0.7}],
    "expect_column_median_to_be_between": [{"column": "n", "min_value": 0.7}, {"column": "x", "max_value": 0.7}],
    "expect_column_sum_to_be_between": [{"column": "n", "min_value": 0, "max_value": 5}],
    "expect_column_stdev_to_be_between": [{"column": "x", "min_value": 0.1, "max_value": 1.1}, {"column": "n", "max_value": 1}],
    "expect_column_unique_value_count_to_be_between": [{"column": "s", "min_value": 1, "max_value": 3}],
    "expect_column_proportion_of_unique_values_to_be_between": [{"column": "n", "min_value": 0.4}],
    "expect_column_proportion_of_non_null_values_to_be_between": [{"column": "x", "min_value": 0.4, "max_value": 0.9}],
    "expect_column_distinct_values_to_be_in_set": [{"column": "s", "value_set": ["a", "b1", ""]}],
    "expect_column_distinct_values_to_contain_set": [{"column": "n", "value_set": [0, 1]}, {"column": "s", "value_set": ["a", "zz"]}],
    "expect_column_distinct_values_to_equal_set": [{"column": "n", "value_set": [0, 1]}],
    "expect_table_row_count_to_be_between": [{"min_value": 2, "max_value": 5}],
    "expect_table_row_count_to_equal": [{"value": 3}],
    "expect_table_column_count_to_be_between": [{"min_value": 2, "max_value": 6}],
    "expect_table_column_count_to_equal": [{"value": 8}],
    "expect_table_columns_to_match_set": [{"column_set": ["n"]}, {"column_set": ["n", "zz"], "exact_match": False}],
    "expect_table_columns_to_match_ordered_list": [{"column_list": ["n", "m", "k", "x", "s", "d", "t", "c"]}],
    "expect_column_to_exist": [{"column": "n"}, {"column": "zz"}],
}
RULES = [Rule(f"{name} {number}", name, kwargs, "warn") for name, all_kwargs in CASES.items() for number, kwargs in enumerate(all_kwargs)]
SMALL = st.one_of(st.none(), st.integers(-1, 3))
MOMENT = st.one_of(st.none(), st.integers(0, 4).map(lambda half_days: START + timedelta(hours=12 * half_days)))
ROW = st.tuples(
    SMALL,
    SMALL,
    SMALL,
    st.one_of(st.none(), st.sampled_from([0.0, 0.5, 1.0, 1.5, float("nan")])),
    st.one_of(st.none(), st.sampled_from(["", "a", "b1", "é", "a\n", "a b", "ab", "7"])),
    MOMENT,
    MOMENT,
    st.integers(-3, 3),
)
NOTHING = (*(None,) * 7, 1)
MIXED: list[tuple[Any, ...]] = [
    (0, 0, 0, 0.5, "a", START, START, -3),
    (1, None, 2, float("nan"), "b1", START + timedelta(days=1), START + timedelta(hours=12), -2),
    (1, 2, 0, 1.5, "a\n", None, START + timedelta(days=2), -1),
    (3, 3, 3, None, "", START + timedelta(days=2), None, 0),
    (None, 2, None, 0.5, "é", START + timedelta(hours=36), START + timedelta(days=2), 1),
    NOTHING,
    (-1, 1, 1, 1.0, "a b", START, START, 2),
    (2, 1, None, 0.0, None, START, START + timedelta(days=1), 3),
    (2, 1, 0, 1.0, "7", None, None, 4),
]
_INT, _FLOAT, _TEXT = pl.Int64(), pl.Float64(), pl.String()
SCHEMA = pl.Schema(
    {"n": _INT, "m": _INT, "k": _INT, "x": _FLOAT, "s": _TEXT, "d": pl.Datetime("us"), "t": pl.Datetime("us", "UTC"), "c": _INT}
)


def polars_frame(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    naive = [(*row[:5], row[5] and row[5].replace(tzinfo=None), *row[6:]) for row in rows]
    return pl.DataFrame(naive, schema=SCHEMA, orient="row")


def pandas_frame(frame: pl.DataFrame) -> pd.DataFrame:
    kinds = {"s": "object", "d": "datetime64[ns]", "t": "datetime64[ns, UTC]", "c": "int64"}
    columns = {name: pd.Series(frame[name].to_list(), dtype=kinds.get(name, "float64")) for name in SCHEMA}
    return pd.DataFrame(columns)


def great_expectations_on_pandas(frame: pd.DataFrame, rules: Sequence[Rule]) -> dict[str, Mapping[str, Any]]:
    configurations = suite("pandas", rules).expectation_configurations
    from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine

    from quality.engine import SilentValidator

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        engine = PandasExecutionEngine(batch_data_dict={"frame": frame})
        found = SilentValidator(engine).graph_validate(
            configurations, {"catch_exceptions": True, "result_format": {"result_format": "SUMMARY"}}
        )
    told: list[Mapping[str, Any]] = json.loads(json.dumps([result.to_json_dict() for result in found]))
    return {result["expectation_config"]["meta"]["rule"]: result for result in told}


def same(rule: Rule, theirs: Mapping[str, Any], ours: RuleResult) -> str:
    """What differs, in words; empty when nothing does."""
    told = theirs["result"]
    if theirs["exception_info"].get("raised_exception", True):
        return f"{rule.name}: GX could not judge: {theirs['exception_info']}"
    compared: list[tuple[str, Any, Any]] = [("success", theirs["success"], ours.success)]
    if rule.kind.map:
        compared += [
            ("element_count", told["element_count"], ours.evaluated),
            ("unexpected_count", told["unexpected_count"], ours.unexpected),
            ("missing_count", told.get("missing_count", ours.missing), ours.missing),
        ]
    elif isinstance(told.get("observed_value"), int | float) and ours.observed is not None:
        compared.append(("observed_value", pytest.approx(told["observed_value"], rel=1e-9, abs=1e-12), ours.observed))
    return "; ".join(f"{rule.name}: {what} is {own!r}, GX says {gx!r}" for what, gx, own in compared if gx != own)


def test_every_expectation_we_know_is_compared() -> None:
    assert set(CASES) == set(EXPECTATIONS)


def differences(rows: list[tuple[Any, ...]], rules: Sequence[Rule]) -> list[str]:
    """Where our report and GX on pandas disagree about these rows."""
    frame = polars_frame(rows)
    theirs = great_expectations_on_pandas(pandas_frame(frame), rules)
    profile = profiled(rules, frame.lazy())
    return [difference for rule in rules if (difference := same(rule, theirs[rule.name], judge(profile, rule)))]


@pytest.mark.parametrize("rows", [[], [NOTHING] * 3, MIXED], ids=["no rows", "only nulls", "mixed rows"])
def test_every_verdict_and_count_equals_great_expectations_on_pandas(rows: list[tuple[Any, ...]]) -> None:
    assert differences(rows, RULES) == []


# 8 rules a frame, because GX on pandas takes 30 ms a rule.
@given(rows=st.lists(ROW, max_size=12), rules=st.lists(st.sampled_from(RULES), min_size=8, max_size=8, unique_by=lambda rule: rule.name))
@settings(max_examples=30, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate])
def test_verdicts_and_counts_equal_great_expectations_on_any_rows(rows: list[tuple[Any, ...]], rules: list[Rule]) -> None:
    assert differences(rows, rules) == []


@pytest.mark.parametrize("cut", [1, 5, 100])
def test_our_engine_tells_great_expectations_what_our_report_says(cut: int) -> None:
    frame = polars_frame(MIXED)
    profile = Profile(RULES)
    for start in range(0, len(MIXED), cut):
        profile.add(frame[start : start + cut])
    result = validate(RULES, profile)
    told = {found["expectation_config"]["meta"]["rule"]: found for found in result.expectations["results"]}
    assert list(told) == [rule.name for rule in RULES]
    assert [difference for found in result.report.results if (difference := same(found.rule, told[found.rule.name], found))] == []
