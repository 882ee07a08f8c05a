"""Rules that people changed, over those that are declared."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from pilothouse.kernel.errors import ConfigError
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.lake.notes import Overtaken
from quality.amendments import Amendments, HeldRules
from quality.rule import Rule, written

STATUS = Rule(
    "status is known", "expect_column_values_to_be_in_set", {"column": "status", "value_set": ["A"]}, "quarantine", table="book/thing"
)
NAME = Rule("thing has a name", "expect_column_values_to_not_be_null", {"column": "name"}, "quarantine", table="book/thing")
WIDER = '{"column": "status", "value_set": ["A", "B"]}'


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path))


def said_at(lake: Lake) -> datetime | None:
    newest = Amendments(lake).newest("shop", "thing", STATUS.name)
    return None if newest is None else newest.said_at


def say(lake: Lake, arguments: str, rule: Rule = STATUS) -> None:
    Amendments(lake).say_after(said_at(lake), "shop", "thing", rule, arguments, by="ada")


def test_a_change_holds_for_its_rule_in_its_stream_alone(lake: Lake) -> None:
    say(lake, WIDER)
    changed, name = Amendments(lake).over([STATUS, NAME], "shop", "thing")
    assert (changed.kwargs, changed.on_failure, changed.table) == (
        {"column": "status", "value_set": ["A", "B"]},
        "quarantine",
        "book/thing",
    )
    assert name is NAME
    for source, stream in (("other", "thing"), ("shop", "order")):
        assert Amendments(lake).over([STATUS, NAME], source, stream) == (STATUS, NAME)


def test_what_a_rule_declares_comes_back_and_follows_its_declaration_from_then_on(lake: Lake) -> None:
    say(lake, WIDER)
    say(lake, written(STATUS.kwargs))
    later = replace(STATUS, kwargs={"column": "status", "value_set": ["A", "C"]})
    assert Amendments(lake).over([later], "shop", "thing") == (later,)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("no json", "arguments are no JSON"),
        ("[1]", "and no JSON object"),
        ('{"column": "status"}', "argument 'value_set' is missing"),
        ('{"column": "status", "value_set": [], "more": 1}', "has no argument 'more'"),
        ('{"column": "name", "value_set": ["A"]}', "it judges status"),
    ],
)
def test_what_an_expectation_does_not_take_is_refused(lake: Lake, arguments: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        say(lake, arguments)
    assert Amendments(lake).newest("shop", "thing", STATUS.name) is None


def test_a_change_that_no_longer_fits_is_left_aside_and_told(lake: Lake) -> None:
    say(lake, WIDER)
    other = Rule(STATUS.name, "expect_column_values_to_match_regex", {"column": "status", "regex": "^A"}, "quarantine")
    renamed = replace(STATUS, kwargs={"column": "state", "value_set": ["A"]})
    for declared, why in (
        ((other,), "it is expect_column_values_to_match_regex now"),
        ((NAME,), "no such rule"),
        ((renamed,), "judges state"),
    ):
        with capture_logs() as logs:
            assert Amendments(lake).over(declared, "shop", "thing") == declared
        (warning,) = logs
        assert (warning["log_level"], warning["rule"], warning["table"]) == ("warning", STATUS.name, "shop/thing")
        assert why in warning["why"]


def test_who_knows_an_older_state_changes_nothing(lake: Lake) -> None:
    say(lake, WIDER)
    with pytest.raises(Overtaken):
        Amendments(lake).say_after(None, "shop", "thing", STATUS, '{"column": "status", "value_set": ["Z"]}', by="bo")
    assert Amendments(lake).over([STATUS], "shop", "thing")[0].kwargs["value_set"] == ["A", "B"]


def test_a_rule_that_held_rows_is_taken_down_when_it_is_another(lake: Lake) -> None:
    for rule in (STATUS, STATUS, replace(STATUS, kwargs={"column": "status", "value_set": ["A", "B"]}), STATUS):
        HeldRules(lake).note("shop", "thing", [rule, NAME])
    rows = lake.raw("pilothouse", "held_rule").scan().sort("_seen_at").collect()
    assert rows.filter(rule=STATUS.name)["arguments"].to_list() == [written(STATUS.kwargs), WIDER, written(STATUS.kwargs)]
    assert rows.filter(rule=NAME.name).height == 1


def test_what_a_rule_takes_is_written_as_json_whatever_it_is_made_of() -> None:
    kwargs = {"value_set": {"b", "a"}, "min_value": Decimal("1.5"), "max_value": Decimal(2), "since": date(2026, 6, 1)}
    assert written(kwargs) == '{"max_value": 2, "min_value": 1.5, "since": "2026-06-01", "value_set": ["a", "b"]}'
    assert written({"at": datetime(2026, 6, 1, tzinfo=UTC)}) == '{"at": "2026-06-01T00:00:00+00:00"}'
