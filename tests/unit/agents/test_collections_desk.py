"""The collections desk by its trials: what is chased, in which order, and whose task it becomes."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from pilothouse.agents.desks.collections_desk import COLLECTIONS_DESK, CollectionsDecision
from pilothouse.agents.figures import figures, first, weight
from pilothouse.agents.trials.case import Case, Decided, decided_on
from pilothouse.agents.trials.shipped import shipped_cases
from pilothouse.agents.trials.trying import tried

assert COLLECTIONS_DESK.trials is not None
CASES = {case.name: case for case in shipped_cases(COLLECTIONS_DESK.trials.cases)}
MUCH = CASES["much that will not come by itself"]


def decided(case: Case) -> CollectionsDecision:
    return CollectionsDecision.model_validate_json(decided_on(COLLECTIONS_DESK, case).output)


def test_the_desk_stands_up_to_its_trials() -> None:
    report = tried(COLLECTIONS_DESK, list(CASES.values()))
    assert [each.case.name for each in report.decided if not each.passed] == []
    assert report.violations == ()


def test_what_is_expected_is_what_is_open_times_its_chance_and_what_brings_most_is_named_first() -> None:
    found = decided(MUCH)
    told = [(each.invoice_id, each.open_eur, each.chance, each.expected_eur) for each in found.invoices]
    assert told == [
        ("90000101", Decimal("26000.00"), 0.45, Decimal("11700.00")),
        ("90000102", Decimal("600.00"), 0.6, Decimal("360.00")),
    ]
    assert (found.overdue_eur, found.expected_eur, found.at_stake_eur) == (Decimal("26600.00"), Decimal("12060.00"), Decimal("14540.00"))
    assert found.chance == 0.453
    assert found.otherwise is not None
    assert found.otherwise["changes"]


def test_a_small_invoice_that_is_sure_to_come_is_named_after_a_large_one_that_may() -> None:
    swapped = MUCH.changed("payment_chances", chances={"90000101": 0.02, "90000102": 0.95})
    assert [each.invoice_id for each in decided(swapped).invoices] == ["90000102", "90000101"]


def test_without_a_model_nothing_is_expected_and_the_oldest_comes_first() -> None:
    found = decided(MUCH.changed("payment_chances", known=False, chances={}))
    assert (found.expected_eur, found.at_stake_eur, found.chance) == (None, None, None)
    assert [each.days_overdue for each in found.invoices] == [30, 14]
    assert {each.expected_eur for each in found.invoices} == {None}


def test_a_task_is_for_whoever_owns_the_account_and_spells_out_the_invoices() -> None:
    proposal = decided(MUCH).proposal
    assert proposal is not None
    assert (proposal.target, proposal.record, proposal.identity, proposal.amount) == ("crm", "Task", {}, Decimal(0))
    said = proposal.values
    assert (said["WhatId"], said["OwnerId"], said["ActivityDate"]) == ("001J8000000000AIAQ", "005J80000000001IAA", "2026-06-03")
    assert said["Subject"] == "Call about overdue invoices: Bertolini Macchine S.r.l., 26,600.00 EUR"
    first_line = "1. Invoice 90000101: 26,000.00 EUR, 30 days overdue, 11,700.00 EUR expected within 30 days"
    assert first_line in said["Description"].splitlines()


@pytest.mark.parametrize("name", ["a firm that sales does not know", "a fresh complaint", "everything was paid meanwhile"])
def test_where_nobody_could_do_it_or_nothing_is_to_be_done_no_task_is_proposed(name: str) -> None:
    assert decided(CASES[name]).proposal is None


def altered(**values: Any) -> list[str]:
    """What the properties say of a decision that is right but for these values."""
    run = decided_on(COLLECTIONS_DESK, MUCH)
    output = {**msgspec.json.decode(run.output), **values}
    assert COLLECTIONS_DESK.trials is not None
    told = Decided(case=MUCH, output=output, run=replace(run, output=b""))
    return [said for each in COLLECTIONS_DESK.trials.properties for said in each.violations(told, lambda case: told)]


def test_what_no_decision_may_do_is_found() -> None:
    assert altered() == []
    right = msgspec.json.decode(decided_on(COLLECTIONS_DESK, MUCH).output)
    assert "named after one that brings less" in altered(invoices=right["invoices"][::-1])[0]
    assert "not those that are overdue" in altered(invoices=right["invoices"][:1])[0]
    more = [{**right["invoices"][0], "open_eur": "99.00"}, right["invoices"][1]]
    assert "another amount of an invoice" in altered(invoices=more)[0]
    assert "wait proposes Task" in altered(action="wait")[0]
    elsewhere = {**right["proposal"], "record": "Account", "identity": {"Id": "001"}}
    assert "and not a new task" in altered(proposal=elsewhere)[0]
    stranger = {**right["proposal"], "values": {**right["proposal"]["values"], "WhatId": "001X"}}
    assert "not for whoever owns an account" in altered(proposal=stranger)[0]


def test_a_page_knows_its_figures_from_its_definition_alone() -> None:
    known = figures(msgspec.json.decode(COLLECTIONS_DESK.definition_bytes()))
    output = msgspec.json.decode(decided_on(COLLECTIONS_DESK, MUCH).output)
    assert [(each.words, each.shown(output)) for each in known] == [
        ("overdue", "26,600.00 EUR"),
        ("expected in 30 days", "12,060.00 EUR"),
        ("at stake", "14,540.00 EUR"),
        ("expected of it", "45.3%"),
        ("oldest overdue for", "30 days"),
        ("firm", "Bertolini Macchine S.r.l."),
    ]
    assert (first(known, "EUR", output), weight(known, output)) == ("26,600.00 EUR", Decimal("14540.00"))
    assert first(known, "name", output) == "Bertolini Macchine S.r.l."
