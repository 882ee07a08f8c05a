"""Suites, results and Data Docs are Great Expectations' own, whether a table was read or a load passed the gate."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from pilothouse.kernel.errors import ConfigError
from quality.expectations import EXPECTATIONS
from quality.gate import Gate
from quality.report import refuse_unjudgeable
from quality.rule import Rule, rules
from quality.rules import salesforce, sap, warehouse
from quality.suite import suite, validate

RULES = rules(
    "raw/s4/order",
    Rule("amount is there", "expect_column_values_to_not_be_null", {"column": "amount"}, "quarantine"),
    Rule("amount is small", "expect_column_values_to_be_between", {"column": "amount", "max_value": 9}, "warn"),
    Rule("mean is small", "expect_column_mean_to_be_between", {"column": "amount", "max_value": 4}),
    Rule("kinds are known", "expect_column_distinct_values_to_be_in_set", {"column": "kind", "value_set": ["a"]}, "warn"),
    Rule("no such column", "expect_column_values_to_be_unique", {"column": "gone"}, "warn"),
)
TABLE = pl.DataFrame({"id": [1, 2, 3, 4], "amount": [1, 2, None, 12], "kind": ["a", "b", "a", "a"]})


def test_a_table_is_judged_and_shown_on_a_page_of_data_docs(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    first = validate(RULES, TABLE.lazy(), tmp_path)
    second = validate(RULES, TABLE.lazy(), tmp_path)
    other = validate(RULES[:1], TABLE.lazy(), tmp_path, name="raw/s4/other")
    assert [result.success for result in second.report.results] == [False] * 5
    assert second.expectations["statistics"]["unsuccessful_expectations"] == 5
    assert second.page is not None
    assert "amount" in second.page.read_text()
    assert first.page is not None
    assert not first.page.exists() or first.page == second.page
    index = (tmp_path / "site" / "index.html").read_text()
    assert "raw.s4.order" in index
    assert "raw.s4.other" in index
    assert other.page is not None
    assert capfd.readouterr() == ("", "")
    assert [record.message for record in caplog.records] == []


def test_the_profile_of_a_load_gives_great_expectations_results_without_a_second_look(tmp_path: Path) -> None:
    gate = Gate(RULES, ["id"])
    for start in (0, 2):
        gate.split(TABLE[start : start + 2])
    result = validate(RULES, gate, tmp_path)
    told = {found["expectation_config"]["meta"]["rule"]: found for found in result.expectations["results"]}
    assert told["amount is there"]["result"]["unexpected_count"] == 1
    assert told["amount is there"]["result"]["element_count"] == 4
    assert told["amount is small"]["result"]["element_count"] == 3
    assert told["mean is small"]["result"]["observed_value"] == 5
    assert told["no such column"]["exception_info"]["exception_message"] == "there is no column 'gone'"
    assert {found.rule.name: found.success for found in result.report.results} == {name: found["success"] for name, found in told.items()}
    assert result.page is not None
    assert result.page.exists()


def test_severity_and_description_travel_with_a_rule() -> None:
    configuration = suite("raw/s4/order", RULES).expectation_configurations[0]
    assert configuration.severity == "warning"
    assert configuration.meta == {"rule": "amount is there", "table": "raw/s4/order", "on_failure": "quarantine"}


def test_great_expectations_accepts_every_default_rule_and_every_argument_we_know() -> None:
    declared = (*sap.RULES, *salesforce.RULES, *warehouse.RULES)
    assert len(suite("all", declared).expectations) == len(declared)
    from great_expectations.expectations.registry import get_expectation_impl

    for name, kind in EXPECTATIONS.items():
        assert set(kind.takes) <= set(get_expectation_impl(name).__fields__), name


@pytest.mark.parametrize(
    ("expectation", "kwargs", "told"),
    [
        ("expect_column_values_to_be_between", {"column": "amount", "max_value": "2026-01-01"}, "cannot be compared with Int64"),
        ("expect_column_values_to_match_regex", {"column": "paid", "regex": "^[a-z]$"}, "only text and whole numbers have characters"),
        ("expect_column_mean_to_be_between", {"column": "kind", "max_value": 1}, "not a number"),
        ("expect_column_values_to_not_be_null", {"column": "gone"}, "there is no column 'gone'"),
    ],
)
def test_a_rule_that_makes_no_sense_for_its_column_is_refused_before_there_are_rows(
    expectation: str, kwargs: dict[str, object], told: str
) -> None:
    schema = pl.Schema({"amount": pl.Int64, "kind": pl.String, "paid": pl.Date})
    for rule in RULES[:4]:
        refuse_unjudgeable(rule, schema)
    with pytest.raises(ConfigError, match=told):
        refuse_unjudgeable(Rule("r", expectation, kwargs), schema)
