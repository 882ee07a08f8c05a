"""A version of an agent is tried by cases, by people's words and by properties; a worse one does not come into force."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from models.trees import declared_facts, tree_from
from pilothouse.agents.agent import Agent
from pilothouse.agents.capsules import Capsule, Draft, Ledger, Signer
from pilothouse.agents.desks.credit_desk import CREDIT_DESK
from pilothouse.agents.policy import Policy
from pilothouse.agents.registry import Registry
from pilothouse.agents.trials.case import Case, Decided, decided_on
from pilothouse.agents.trials.feedback import Word, speak, spoken_cases
from pilothouse.agents.trials.judging import Judged
from pilothouse.agents.trials.property import EVERYWHERE
from pilothouse.agents.trials.shipped import shipped_cases
from pilothouse.agents.trials.standing import GOOD, WORSE, Standings
from pilothouse.agents.trials.trying import Report, tried
from pilothouse.kernel.database import Database
from pilothouse.kernel.errors import AgentError, ConfigError

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
assert CREDIT_DESK.trials is not None
CASES = shipped_cases(CREDIT_DESK.trials.cases)
GOOD_CUSTOMER = CASES[0]


def with_tree(*changes: tuple[str, str]) -> Agent:
    assert isinstance(CREDIT_DESK.brain, Policy)
    text = CREDIT_DESK.brain.tree.document.canonical()
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    return replace(CREDIT_DESK, brain=replace(CREDIT_DESK.brain, tree=tree_from(text, declared_facts())))


LAX = with_tree(('"invoices_late_and_open":{"at_least":3}', '"invoices_late_and_open":{"at_least":300}'))
BACKWARDS = with_tree(('"when":{"risk.probability":{"below":0.22}}', '"when":{"risk.probability":{"above":0.8}}'))


@pytest.fixture
def ledger(database: Database, tmp_path: Path) -> Ledger:
    return Ledger(database, Signer.open(tmp_path / "key.pem"))


def decision(ledger: Ledger, case: Case, agent: Agent = CREDIT_DESK) -> Capsule:
    return ledger.append([decided_on(agent, case).draft()])[0]


def test_the_desk_stands_up_to_its_trials() -> None:
    report = tried(CREDIT_DESK, CASES)
    assert [each.case.name for each in report.decided if not each.passed] == []
    assert report.violations == ()
    assert report.score == 1
    assert report.objections(None) == []


def test_what_is_overdue_is_told_before_what_the_model_expects() -> None:
    output = CREDIT_DESK.output.model_validate_json(decided_on(CREDIT_DESK, CASES[1]).output).model_dump()
    assert output["reasons"][1] == "14,000 EUR were overdue when it ordered, and 3 invoices had been for more than 30 days"
    assert output["reasons"][2].startswith("The model expects")
    settled = CREDIT_DESK.output.model_validate_json(decided_on(CREDIT_DESK, GOOD_CUSTOMER).output).model_dump()
    assert not any("overdue" in each for each in settled["reasons"])


def test_a_laxer_tree_fails_the_cases_that_it_is_laxer_in() -> None:
    report, standing = tried(LAX, CASES), tried(CREDIT_DESK, CASES)
    assert "three invoices long overdue" in standing.passed - report.passed
    (objection,) = report.objections(standing)
    assert "three invoices long overdue" in objection
    assert standing.objections(report) == []


def test_a_tree_that_is_milder_to_worse_risks_violates_a_property() -> None:
    violations = tried(BACKWARDS, CASES).violations
    assert {each.property for each in violations} == {"a higher probability never leads to a milder action"}
    assert "with probability = 0.95 it decides release" in violations[0].said
    assert tried(BACKWARDS, CASES).objections(None) == ["it violates: a higher probability never leads to a milder action"]


def altered(**values: Any) -> list[str]:
    """What the properties say of a decision that is right but for these values."""
    run = decided_on(CREDIT_DESK, CASES[1])
    output = {**CREDIT_DESK.output.model_validate_json(run.output).model_dump(mode="json"), **values}
    assert CREDIT_DESK.trials is not None
    decided = Decided(case=CASES[1], output=output, run=replace(run, synthetic=values.pop("synthetic", True)))
    cheap = [each for each in (*EVERYWHERE, *CREDIT_DESK.trials.properties) if not each.dear]
    return [said for each in cheap for said in each.violations(decided, lambda case: decided)]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"action": "release"}, "release proposes"),
        ({"action": "prepayment"}, "prepayment proposes"),
        (
            {"proposal": {"target": "crm", "record": "account", "identity": {}, "values": {"DeliveryBlockReason": "01"}}},
            "which it was not asked about",
        ),
        ({"amount_eur": "1.00"}, "amount_eur is 1.00, and order says 4200.00"),
        ({"synthetic": False}, "rests on synthetic rows and does not say so"),
        ({"reasons": [" "]}, "gives no reason"),
    ],
)
def test_what_no_decision_may_do_is_found(values: dict[str, Any], told: str) -> None:
    assert altered() == []
    (said,) = altered(**values)
    assert told in said


def test_a_word_on_a_decision_becomes_a_case(ledger: Ledger) -> None:
    first, second = decision(ledger, GOOD_CUSTOMER), decision(ledger, CASES[1])
    speak(ledger, CREDIT_DESK, first, Word(verdict="bad", why="they are bankrupt", by="ada", should="hold"))
    speak(ledger, CREDIT_DESK, second, Word(verdict="good", why="right", by="ada"))
    of_second, of_first = spoken_cases(ledger, CREDIT_DESK)
    assert of_first.wanted == {"hold"}
    assert (of_first.because, of_first.source) == ("ada: they are bankrupt", str(first.digest))
    assert of_second.wanted == {"hold"}
    report = tried(CREDIT_DESK, [of_first, of_second])
    assert [each.passed for each in report.decided] == [False, True]
    assert {entry.manifest["synthetic"] for entry in ledger.entries(kind="feedback")} == {True}
    assert list(ledger.verify()) == []


def test_the_last_word_counts_and_a_bad_one_without_another_action_excludes_what_was_decided(ledger: Ledger) -> None:
    made = decision(ledger, GOOD_CUSTOMER)
    speak(ledger, CREDIT_DESK, made, Word(verdict="good", why="right", by="ada"))
    speak(ledger, CREDIT_DESK, made, Word(verdict="bad", why="no, wrong", by="bob"))
    (case,) = spoken_cases(ledger, CREDIT_DESK)
    assert (set(case.wanted), set(case.unwanted), case.told()) == (set(), {"release"}, "not release")


def test_who_rejects_a_proposal_has_said_that_the_decision_was_wrong(ledger: Ledger) -> None:
    made = decision(ledger, CASES[1])
    body = {"verb": "reject", "by": "ada", "why": "they paid this morning"}
    at = Draft(kind="approval", subject="s4/sales_order/1", at=NOON, body=body, about=made.digest, agent="credit_desk", synthetic=True)
    ledger.append([at, replace(at, body={**body, "verb": "approve"}, about=decision(ledger, GOOD_CUSTOMER).digest)])
    (case,) = spoken_cases(ledger, CREDIT_DESK)
    assert (set(case.unwanted), case.because) == ({"hold"}, "ada: they paid this morning")


def test_a_word_that_cannot_be_one_is_refused(ledger: Ledger) -> None:
    made = decision(ledger, GOOD_CUSTOMER)
    with pytest.raises(AgentError, match="knows no action 'maybe'") as raised:
        speak(ledger, CREDIT_DESK, made, Word(verdict="bad", why="x", by="ada", should="maybe"))
    assert "release" in raised.value.hint
    said = speak(ledger, CREDIT_DESK, made, Word(verdict="bad", why="x", by="ada"))
    with pytest.raises(AgentError, match="entry of kind feedback"):
        speak(ledger, CREDIT_DESK, said, Word(verdict="bad", why="x", by="ada"))


def keep(standings: Standings, agent: Agent, standing: Report | None) -> list[str]:
    report = tried(agent, CASES)
    objections = report.objections(standing)
    standings.keep(agent, report, WORSE if objections else GOOD, {"objections": objections})
    return objections


def test_a_worse_version_does_not_decide(database: Database) -> None:
    standings = Standings(database)
    assert standings.in_force(CREDIT_DESK) is CREDIT_DESK
    assert standings.rival(CREDIT_DESK) is None
    assert keep(standings, CREDIT_DESK, None) == []
    rival = standings.rival(LAX)
    assert rival is not None
    assert standings.in_force(LAX) is LAX  # nobody has tried it yet
    assert standings.in_force(LAX, only_tried=True).brain.definition() == CREDIT_DESK.brain.definition()
    assert keep(standings, LAX, tried(rival, CASES))
    assert standings.in_force(LAX).brain.definition() == CREDIT_DESK.brain.definition()
    assert standings.in_force(CREDIT_DESK) is CREDIT_DESK
    assert keep(standings, LAX, None) == []  # tried again, with nothing to compare it to
    assert standings.in_force(LAX) is LAX


def test_a_version_that_decided_is_the_rival_of_the_first_that_is_tried(database: Database, ledger: Ledger) -> None:
    with database.begin() as connection:
        (made,) = ledger.append_within(connection, [decided_on(CREDIT_DESK, GOOD_CUSTOMER).draft()])
        Registry.note_within(connection, made)
    rival = Standings(database).rival(LAX)
    assert rival is not None
    assert rival.brain.definition() == CREDIT_DESK.brain.definition()
    assert keep(Standings(database), LAX, tried(rival, CASES))
    assert Standings(database).in_force(LAX).brain.definition() == CREDIT_DESK.brain.definition()


def test_a_worse_version_stays_worse_when_only_the_code_changes(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    standings = Standings(database)
    keep(standings, CREDIT_DESK, None)
    keep(standings, LAX, tried(CREDIT_DESK, CASES))
    before = LAX.version()
    monkeypatch.setattr("pilothouse.agents.agent.code_digest", lambda *_: "after an upgrade")
    upgraded = replace(LAX)  # in another process: an agent works its version out once
    assert upgraded.version() != before
    assert standings.in_force(upgraded).brain.definition() == CREDIT_DESK.brain.definition()


def test_what_was_right_and_is_not_any_more_is_told_also_where_only_code_has_changed(database: Database) -> None:
    standings = Standings(database)
    keep(standings, CREDIT_DESK, None)
    assert standings.rival(CREDIT_DESK) is None
    good = standings.last_good("credit_desk")
    assert tried(CREDIT_DESK, CASES).regressions(good) == []
    (told,) = tried(LAX, CASES).regressions(good)
    assert "three invoices long overdue" in told


def test_reasons_that_convince_less_are_an_objection() -> None:
    report = tried(CREDIT_DESK, CASES[:2])
    names = [case.name for case in CASES[:2]]
    good, poor = (replace(report, judged={name: Judged(score=score, said="") for name in names}) for score in (4, 3))
    assert poor.objections(good) == ["its reasons are judged 3.0 of 5, and not 4.0"]
    assert good.objections(poor) == poor.objections(report) == []


def test_a_file_of_cases_that_is_wrong_is_told_where(tmp_path: Path) -> None:
    file = tmp_path / "desk.cases.yaml"
    for text, told in [
        ("at: 2026-06-01\nsubject: x\ntools: {}\ncases: []", "cases"),
        ("at: 2026-06-01\nsubject: x\ntools: {}\ncases: [{name: a, wanted: [hold], tools: {order: {}}}]", "no tool 'order' answers"),
        ("at: [", "desk.cases.yaml"),
    ]:
        file.write_text(text)
        with pytest.raises(ConfigError, match=told):
            shipped_cases(file)
