"""The streaming gate: every bad row is held back with every rule it breaks, and what passes is what was judged."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilothouse.kernel.errors import DataRejected, SourceContractChanged
from quality.gate import Gate
from quality.rule import Rule

AMOUNT = Rule("amount is not negative", "expect_column_values_to_be_between", {"column": "amount", "min_value": 0}, "quarantine")
CURRENCY = Rule("currency is a code", "expect_column_values_to_match_regex", {"column": "currency", "regex": "^[A-Z]{3}$"}, "quarantine")
ROWS = pl.DataFrame({"id": [1, 2, 3, 4], "amount": [10, -1, -2, None], "currency": ["EUR", "eur", "USD", None]})


def test_every_broken_rule_of_every_row_is_kept_with_key_value_and_row() -> None:
    split = Gate([AMOUNT, CURRENCY], ["id"]).split(ROWS)
    assert split.passed["id"].to_list() == [1, 4]
    assert split.rejected.select("key", "rule", "column", "value").rows() == [
        ('{"id":2}', "amount is not negative", "amount", "-1"),
        ('{"id":3}', "amount is not negative", "amount", "-2"),
        ('{"id":2}', "currency is a code", "currency", "eur"),
    ]
    assert json.loads(split.rejected["row"][0]) == {"id": 2, "amount": -1, "currency": "eur"}


def test_rows_with_an_incomplete_key_are_held_back() -> None:
    split = Gate([], ["a", "b"]).split(pl.DataFrame({"a": [1, None, None], "b": [None, "x", None]}))
    assert split.passed.is_empty()
    assert split.rejected.select("rule", "column").rows() == [("key is complete", "a")] * 2 + [("key is complete", "b")] * 2


def test_an_unreadable_row_is_held_back_with_its_defect_which_never_passes_on() -> None:
    gate = Gate([], ["id"])
    split = gate.split(pl.DataFrame({"id": [1, 2], "_defect": [None, "amount: 'twelve' is no Edm.Decimal"]}))
    assert split.passed.columns == ["id"]
    assert split.rejected.select("rule", "value").rows() == [("row is readable", "amount: 'twelve' is no Edm.Decimal")]
    assert "_defect" not in json.loads(split.rejected["row"][0])
    assert gate.split(pl.DataFrame({"id": [3]})).rejected.is_empty()
    assert (gate.finish().arrived, gate.finish().rejected) == (3, 1)


def test_blocking_rules_judge_what_passes_not_what_is_held_back() -> None:
    there = Rule("amount is there", "expect_column_values_to_not_be_null", {"column": "amount"}, "block")
    gate = Gate([there], ["id"])
    gate.split(pl.DataFrame({"id": [1, 2], "amount": [5, None], "_defect": [None, "amount: unreadable"]}))
    assert gate.finish().blocked == ()


def test_a_broken_blocking_rule_stops_the_load_and_shows_the_first_offenders() -> None:
    gate = Gate([Rule("small", "expect_column_values_to_be_between", {"column": "n", "max_value": 9}, "block")], ["id"])
    for start in (0, 8):
        gate.split(pl.DataFrame({"id": range(8), "n": range(start, start + 8)}))
    with pytest.raises(DataRejected, match=r"raw/s4/x: 1 blocking.*\n.*small: 6 of 16 rows, such as 10, 11, 12"):
        gate.finish().require("raw/s4/x")


def test_a_warning_does_not_stop_the_load() -> None:
    gate = Gate([Rule("small", "expect_column_values_to_be_between", {"column": "n", "max_value": 0}, "warn")], ["id"])
    gate.split(pl.DataFrame({"id": [1], "n": [1]}))
    report = gate.finish()
    report.require("raw/s4/x")
    assert [result.rule.name for result in report.warnings] == ["small"]


@pytest.mark.parametrize("on_failure", ["block", "quarantine"])
def test_a_rule_whose_column_is_gone_is_never_taken_for_kept(on_failure: str) -> None:
    gate = Gate([Rule("gone", "expect_column_values_to_not_be_null", {"column": "gone"}, on_failure)], ["id"])  # type: ignore[arg-type]
    gate.split(pl.DataFrame({"id": [1]}))
    with pytest.raises(DataRejected, match="gone: cannot be judged: there is no column 'gone'"):
        gate.finish().require("raw/s4/x")


def test_a_rule_that_makes_no_sense_for_its_column_says_so_alone() -> None:
    text = Rule("text", "expect_column_values_to_match_regex", {"column": "n", "regex": "a"}, "warn")
    gate = Gate([text, AMOUNT], ["id"])
    gate.split(pl.DataFrame({"id": [1], "n": [1.5], "amount": [2]}))
    found = {result.rule.name: result for result in gate.finish().results}
    assert "only text and whole numbers" in found["text"].problem
    assert found["amount is not negative"].success


def test_a_missing_key_column_is_a_changed_contract() -> None:
    with pytest.raises(SourceContractChanged, match="key column 'id'"):
        Gate([], ["id"]).split(pl.DataFrame({"a": [1]}))


def test_an_increment_is_not_judged_as_if_it_were_the_table() -> None:
    mean = Rule("mean", "expect_column_mean_to_be_between", {"column": "n", "min_value": 5}, "block")
    for complete, blocked in ((True, 1), (False, 0)):
        gate = Gate([mean], ["id"], complete=complete)
        gate.split(pl.DataFrame({"id": [1], "n": [1]}))
        assert len(gate.finish().blocked) == blocked


def test_an_empty_snapshot_breaks_a_rule_on_the_row_count() -> None:
    report = Gate([Rule("not empty", "expect_table_row_count_to_be_between", {"min_value": 1})], ["id"]).finish()
    assert [result.rule.name for result in report.blocked] == ["not empty"]


def test_released_rows_pass_without_the_rules_they_were_released_from() -> None:
    split = Gate([AMOUNT, CURRENCY], ["id"], without=["amount is not negative"]).split(ROWS)
    assert split.passed["id"].to_list() == [1, 3, 4]
    assert Gate([], ["id"], without=["key is complete", "row is readable"]).split(
        pl.DataFrame({"id": [None], "_defect": ["x"]}, schema_overrides={"id": pl.Int64})
    ).passed.shape == (1, 1)


def test_a_rejected_row_of_any_types_becomes_json() -> None:
    rows = pl.DataFrame(
        {
            "id": [None],
            "when": [datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)],
            "day": [date(2026, 1, 2)],
            "exact": [Decimal("1.230")],
            "raw": [b"\xff\x00"],
            "list": [["a"]],
            "odd": [[b"\xff"]],
        }
    )
    rejected = Gate([], ["id"]).split(rows).rejected
    row = json.loads(rejected["row"][0])
    assert (row["when"], row["day"], row["exact"], row["raw"]) == ("2026-01-02T03:04:05.000678+00:00", "2026-01-02", "1.230", "/wA=")


@given(values=st.lists(st.one_of(st.none(), st.integers(-5, 5)), max_size=60), cut=st.integers(1, 20))
@settings(max_examples=60)
def test_no_row_is_lost_or_doubled_and_chunks_make_no_difference(values: list[int | None], cut: int) -> None:
    frame = pl.DataFrame({"id": range(len(values)), "amount": values}, schema={"id": pl.Int64, "amount": pl.Int64})
    gate, whole = Gate([AMOUNT], ["id"]), Gate([AMOUNT], ["id"])
    splits = [gate.split(frame[start : start + cut]) for start in range(0, len(values), cut)]
    passed = [i for split in splits for i in split.passed["id"]]
    rejected = [json.loads(key)["id"] for split in splits for key in split.rejected["key"]]
    assert sorted(passed + rejected) == list(range(len(values)))
    assert all((values[i] or 0) >= 0 for i in passed)
    whole.split(frame)
    if values:
        assert gate.finish() == whole.finish()


def test_the_gate_does_not_import_great_expectations() -> None:
    code = "import sys, quality.gate, quality.rule, quality.suite, quality.rules.sap; sys.exit('great_expectations' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
