"""Rules: refused when they are declared, not when they first run at night."""

from __future__ import annotations

from typing import Any

import pytest

from pilothouse.kernel.errors import ConfigError
from quality.rule import Rule, rules, rules_for

NOT_NULL = "expect_column_values_to_not_be_null"
BETWEEN = "expect_column_values_to_be_between"


@pytest.mark.parametrize(
    ("expectation", "kwargs", "named"),
    [
        ("expect_column_kl_divergence_to_be_less_than", {}, "expect_column_kl_divergence_to_be_less_than"),
        (NOT_NULL, {"colum": "a"}, "colum"),
        (NOT_NULL, {}, "column"),
        (NOT_NULL, {"column": "a", "mostly": 1.5}, "mostly"),
        (NOT_NULL, {"column": "a", "row_condition": "b > 1"}, "row_condition"),
        (BETWEEN, {"column": "a"}, "min_value"),
        (BETWEEN, {"column": "a", "min_value": 3, "max_value": 2}, "min_value"),
        (BETWEEN, {"column": "a", "min_value": "soon"}, "min_value"),
        (BETWEEN, {"column": "a", "min_value": "2026-01-01", "max_value": 2}, "cannot be compared"),
        (BETWEEN, {"column": "a", "min_value": 1, "strict_min": "yes"}, "strict_min"),
        ("expect_column_values_to_be_in_set", {"column": "a", "value_set": []}, "value_set"),
        ("expect_column_values_to_match_regex", {"column": "a", "regex": "("}, "regex"),
        ("expect_column_values_to_match_regex", {"column": "a", "regex": r"(?=a)b"}, "look-around"),
        ("expect_column_pair_values_to_be_equal", {"column_A": "a", "column_B": "b", "ignore_row_if": "never"}, "ignore_row_if"),
        ("expect_compound_columns_to_be_unique", {"column_list": ["a"]}, "column_list"),
    ],
)
def test_a_rule_that_cannot_run_is_refused_and_names_itself_and_its_argument(expectation: str, kwargs: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match="rule 'broken'") as refusal:
        Rule("broken", expectation, kwargs)
    assert named in str(refusal.value)


def test_a_rule_on_the_whole_table_cannot_quarantine() -> None:
    with pytest.raises(ConfigError, match="judges the table as a whole"):
        Rule("unique", "expect_column_values_to_be_unique", {"column": "a"}, "quarantine")


def test_an_unknown_reaction_or_a_nameless_rule_is_refused() -> None:
    with pytest.raises(ConfigError, match="on_failure"):
        Rule("a", NOT_NULL, {"column": "a"}, "explode")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="no name"):
        Rule(" ", NOT_NULL, {"column": "a"})


def test_rules_are_bound_to_their_table_and_their_names_are_unique_in_it() -> None:
    one = Rule("a is there", NOT_NULL, {"column": "a"})
    assert rules("sap/sales_order", one)[0].table == "sap/sales_order"
    with pytest.raises(ConfigError, match="two rules are named 'a is there'"):
        rules("sap/sales_order", one, one)
    with pytest.raises(ConfigError, match="no table"):
        rules("sales order", one)


def test_a_source_replaces_a_rule_of_its_kind_by_name() -> None:
    general = rules("sap/product", Rule("weight", BETWEEN, {"column": "w", "min_value": 0}), Rule("unit", NOT_NULL, {"column": "u"}))
    own = rules("raw/s5/product", Rule("weight", BETWEEN, {"column": "w", "min_value": 5}))
    for order in ((*general, *own), (*own, *general)):
        chosen = {rule.name: rule for rule in rules_for(order, connector="sap", source="s5", stream="product")}
        assert chosen["weight"].kwargs["min_value"] == 5
        assert set(chosen) == {"weight", "unit"}
    assert rules_for([*general, *own], connector="sap", source="s4", stream="product") == general
    assert rules_for(general, connector="sql", source="s4", stream="product") == ()


def test_equal_measurements_are_recognised_however_they_are_written() -> None:
    short = Rule("a", BETWEEN, {"column": "x", "min_value": 1})
    long = Rule("b", BETWEEN, {"strict_min": False, "min_value": 1, "max_value": None, "column": "x", "mostly": 0.5})
    assert short.identity == long.identity
    assert hash(short) != hash(long)
