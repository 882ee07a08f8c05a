"""The data steward by its trials and over small tables: what it says of doubtful records and of held rows, and what it looks for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pyarrow as pa
import pytest

from graph.resolution.corrections import Corrections
from pilothouse.agents.agent import Request
from pilothouse.agents.capsules import Ledger, Signer
from pilothouse.agents.desks.data_steward import DATA_STEWARD, StewardDecision, asked_about, what_is_unsure
from pilothouse.agents.running import Run, replay, run
from pilothouse.agents.snapshot import Snapshot
from pilothouse.agents.toolset.stewardship.drift import OfDrift
from pilothouse.agents.toolset.stewardship.held import OfHeld
from pilothouse.agents.toolset.stewardship.pairs import LINKS, MEMBERS, PARTIES, OfPair
from pilothouse.agents.trials.case import Case, Decided, decided_on
from pilothouse.agents.trials.shipped import shipped_cases
from pilothouse.agents.trials.trying import tried
from pilothouse.kernel.database import Database
from pilothouse.kernel.errors import ToolFailed
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.lake.commit import Commit
from quality import quarantine
from quality.amendments import Amendments, HeldRules
from quality.drift import Drift, DriftPolicy
from quality.gate import REJECTED
from quality.refusals import Readers, Refusals
from quality.rule import Rule, written

assert DATA_STEWARD.trials is not None
CASES = {case.name: case for case in shipped_cases(DATA_STEWARD.trials.cases)}
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
LEFT, RIGHT, THIRD = "crm:A", "s4:1", "s4:2"
RULE = "status is known"
DOUBT, HELD = OfPair(left=LEFT, right=RIGHT).key, OfHeld(source="crm", stream="case", rule=RULE).key


def decided(case: Case) -> StewardDecision:
    return StewardDecision.model_validate_json(decided_on(DATA_STEWARD, case).output)


def test_the_steward_stands_up_to_its_trials() -> None:
    report = tried(DATA_STEWARD, list(CASES.values()))
    assert [each.case.name for each in report.decided if not each.passed] == []
    assert report.violations == ()


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("taken as one although their tax numbers differ", "different"),
        ("taken as one by name and place alone", "same"),
        ("one tax number and nearly one name", "same"),
        ("taken as two, and their tax numbers differ", "different"),
        ("two that are taken as two, and nothing settles it", None),
        ("somebody has spoken", None),
    ],
)
def test_a_word_about_a_pair_is_proposed_where_something_settles_it(name: str, verdict: str | None) -> None:
    proposal = decided(CASES[name]).proposal
    assert (proposal.values if proposal else None) == ({"verdict": verdict} if verdict else None)
    if proposal is not None:
        assert (proposal.target, proposal.record, proposal.seen) == ("pilothouse", "firm_pair", {"verdict": ""})
        assert proposal.identity == {"left": "crm:001J8000000000AIAQ", "right": "s4:10100018"}


def test_a_release_is_of_the_rows_that_were_seen_and_no_later_ones() -> None:
    proposal = decided(CASES["many rows with one new status"]).proposal
    assert proposal is not None
    until = "2026-06-01T08:00:00+00:00"
    assert proposal.identity == {"source": "crm", "stream": "case", "rule": "status is known", "until": until}
    assert (proposal.values, proposal.seen) == ({"status": "released"}, {"status": "open"})
    assert decided(CASES["a newer version went through"]).proposal is None


def test_a_rule_is_changed_from_what_it_takes_to_what_would_take_the_rows() -> None:
    found = decided(CASES["many rows with one new status that the rule could take"])
    assert found.proposal is not None
    assert (found.proposal.target, found.proposal.record) == ("pilothouse", "stream_rule")
    assert found.proposal.identity == {"source": "crm", "stream": "case", "rule": "status is known"}
    assert found.proposal.seen == {"arguments": '{"column": "Status", "value_set": ["New", "Closed"]}'}
    assert found.proposal.values == {"arguments": '{"column": "Status", "value_set": ["New", "Closed", "On Hold"]}'}
    assert 'The rule takes {"column": "Status", "value_set": ["New", "Closed"]}' in found.reasons
    assert decided(CASES["many scores far above the highest"]).proposal is None


def test_a_schema_is_accepted_as_it_was_seen_and_not_where_something_reads_what_changed() -> None:
    found = decided(CASES["a column is gone that nothing reads"])
    assert found.proposal is not None
    assert (found.proposal.target, found.proposal.record) == ("pilothouse", "stream_drift")
    assert found.proposal.identity == {"source": "s4", "stream": "product", "seen": "1f0c2a9d7be43a55"}
    assert (found.proposal.values, found.proposal.seen) == ({"status": "accepted"}, {"status": "refused"})
    assert found.reasons[1:] == [
        "Nothing of s4/product is loaded since 2026-06-01T08:00",
        "Column 'VolumeUnit' (string) is gone: nothing of ours reads it",
    ]
    read = decided(CASES["one column of two is read"])
    assert (read.proposal, len(read.differences)) == (None, 2)
    assert "read by rule 'product has a base unit' of sap/product" in read.reasons[-1]
    assert decided(CASES["the policy lets nobody accept it"]).proposal is None


def test_what_no_decision_may_do_is_found() -> None:
    case = CASES["taken as one although their tax numbers differ"]
    made = decided_on(DATA_STEWARD, case)
    right = msgspec.json.decode(made.output)
    assert DATA_STEWARD.trials is not None
    (rule,) = DATA_STEWARD.trials.properties

    def told(**values: Any) -> list[str]:
        found = Decided(case=case, output={**right, **values}, run=made)
        return list(rule.violations(found, lambda _: found))

    assert told() == []
    assert "confirm proposes" in told(action="confirm")[0]
    strangers = {**right["proposal"], "identity": {"left": "crm:X", "right": "s4:Y"}}
    assert "was not asked about" in told(proposal=strangers)[0]


def test_a_key_names_a_pair_a_rule_or_a_stream_whatever_it_is_called() -> None:
    several = (
        OfPair(left="crm:A", right="s4:1"),
        OfHeld(source="s4", stream="order", rule="a/b: c = d"),
        OfDrift(source="s4", stream="order"),
    )
    for asked in several:
        assert "/" not in asked.key
        assert asked_about(asked.key)[1] == asked
    for key in ("doubt:crm:A", "held:s4", "drift:s4", "4711"):
        with pytest.raises(ToolFailed, match="names nothing that a steward decides on"):
            asked_about(key)


# -- over tables -------------------------------------------------------------------------------------------------------


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(str(tmp_path / "lake"))
    link = {"probability": 0.9995, "is_same": True, "weights_version": "w", "_synthetic": True}
    evidence = json.dumps({"name": ["the same words", 9.0], "tax_number": ["another", -3.0]})
    unsure = {**link, "left_id": LEFT, "right_id": RIGHT, "weight": 11.0, "evidence": evidence}
    sure = {**link, "left_id": RIGHT, "right_id": THIRD, "weight": 40.0, "evidence": "{}"}
    put(lake, LINKS, [unsure, sure], ("left_id", "right_id"))
    shown = dict.fromkeys(("street", "postal_code", "city", "country", "tax_number"), "x")
    records = [each.split(":") for each in (LEFT, RIGHT, THIRD)]
    put(lake, PARTIES, [{"source": s, "record_id": r, "name": f"Firm {r}", **shown} for s, r in records], ("source", "record_id"))
    put(lake, MEMBERS, [{"source": s, "record_id": r, "firm_id": LEFT} for s, r in records], ("source", "record_id"))
    Corrections(lake).ensure()
    return lake


def put(lake: Lake, name: str, rows: Sequence[dict[str, Any]], key: tuple[str, ...]) -> None:
    lake.table(name).replace(pl.DataFrame(rows).to_arrow().to_reader(), key=key)


def hold(lake: Lake, *values: str | None, at: datetime = NOON) -> pl.DataFrame:
    """Rows that a rule holds back."""
    rows = [
        {"key": json.dumps({"Id": f"{number}"}), "rule": RULE, "column": "Status", "value": value, "row": json.dumps({"Id": f"{number}"})}
        for number, value in enumerate(values)
    ]
    found = quarantine.records(pl.DataFrame(rows, schema=REJECTED), source="crm", stream="case", batch_id="b", synthetic=True, at=at)
    append(lake, found)
    return pl.DataFrame(found)


def append(lake: Lake, records: pa.Table) -> None:
    table = lake.quarantine("crm", "case")
    last = table.last_commit() if table.exists() else None
    number = last.sequence + 1 if last else 1
    table.append(
        records.to_reader(),
        Commit(sequence=number, batch_id=f"b{number}", load_id="l", watermark=None, seen_at=NOON.isoformat(), backfill=False),
    )


@pytest.fixture
def snapshot(lake: Lake) -> Iterator[Snapshot]:
    hold(lake, *["On Hold"] * 30, "?")
    snapshot = Snapshot.take(lake, DATA_STEWARD.tables)
    yield snapshot
    snapshot.close()


def steward(snapshot: Snapshot, key: str) -> Run:
    return run(DATA_STEWARD, Request(subject=f"{DATA_STEWARD.subject}/{key}", at=NOON, event={}), snapshot)


def test_a_round_finds_held_rows_and_doubts_of_which_nobody_has_spoken(lake: Lake, snapshot: Snapshot) -> None:
    assert what_is_unsure(snapshot, NOON) == [HELD, DOUBT]
    Corrections(lake).say(LEFT, RIGHT, "same", by="ada")
    assert what_is_unsure(Snapshot.take(lake, DATA_STEWARD.tables), NOON) == [HELD]
    Corrections(lake).say(LEFT, RIGHT, "withdrawn", by="ada")
    assert what_is_unsure(Snapshot.take(lake, DATA_STEWARD.tables), NOON)[-1] == DOUBT


def test_it_decides_over_the_tables_of_its_snapshot(lake: Lake, snapshot: Snapshot) -> None:
    made = steward(snapshot, DOUBT)
    found = StewardDecision.model_validate_json(made.output)
    assert (found.action, found.probability, [each["name"] for each in found.records]) == ("split", 0.9995, ["Firm A", "Firm 1"])
    assert made.synthetic
    rows = StewardDecision.model_validate_json(steward(snapshot, HELD).output)
    assert (rows.action, rows.rows, rows.values[0]) == ("release", 31, {"value": "On Hold", "count": 30})
    assert rows.proposal is not None
    assert rows.proposal.identity["until"] == NOON.isoformat()


def test_it_is_replayed_byte_for_byte(lake: Lake, snapshot: Snapshot, database: Database, tmp_path: Path) -> None:
    """What a tool answered is kept without the order of its names: nothing that is said may hang on it."""
    ledger = Ledger(database, Signer.open(tmp_path / "key.pem"))
    refuse(lake, Drift("removed", pa.field("Origin", pa.string()), None), readers=lambda _: ("staging/stg_crm__case",))
    later = Snapshot.take(lake, DATA_STEWARD.tables)
    made = [steward(snapshot, DOUBT), steward(snapshot, HELD), steward(later, OfDrift(source="crm", stream="case").key)]
    several = [decided_on(DATA_STEWARD, case) for case in CASES.values()]
    for capsule in ledger.append([each.draft() for each in (*made, *several)]):
        assert replay(ledger, capsule, DATA_STEWARD).identical


def test_rows_of_which_a_newer_version_went_through_are_left(lake: Lake, snapshot: Snapshot) -> None:
    newer = {"Id": "3", "_seen_at": NOON + timedelta(hours=1)}
    put(lake, "raw/crm/case", [newer], ("Id",))
    found = StewardDecision.model_validate_json(steward(Snapshot.take(lake, DATA_STEWARD.tables), HELD).output)
    assert (found.action, found.proposal) == ("leave", None)
    assert "cover with the old one" in found.reasons[0]


def test_what_a_rule_takes_is_read_where_it_was_taken_down(lake: Lake) -> None:
    declared = Rule(RULE, "expect_column_values_to_be_in_set", {"column": "Status", "value_set": ["New"]}, "quarantine", table="crm/case")
    hold(lake, *["On Hold"] * 30, "?")
    HeldRules(lake).note("crm", "case", [declared])

    def decided_now() -> StewardDecision:
        return StewardDecision.model_validate_json(steward(Snapshot.take(lake, DATA_STEWARD.tables), HELD).output)

    found = decided_now()
    assert (found.action, found.rule) == ("change", {"expectation": declared.expectation, "arguments": written(declared.kwargs)})
    assert found.proposal is not None
    Amendments(lake).say_after(None, "crm", "case", declared, found.proposal.values["arguments"], by="ada")
    later = decided_now()
    assert (later.action, later.rule) == ("release", {"expectation": declared.expectation, "arguments": found.proposal.values["arguments"]})
    newest = Amendments(lake).newest("crm", "case", RULE)
    assert newest is not None
    Amendments(lake).say_after(newest.said_at, "crm", "case", declared, written(declared.kwargs), by="ada")
    assert decided_now().action == "change"


def test_what_was_released_is_held_no_longer(lake: Lake) -> None:
    rejections = hold(lake, *["On Hold"] * 30)
    append(lake, quarantine.release(rejections, lake.quarantine("crm", "case").scan(), by="ada").records)
    later = Snapshot.take(lake, DATA_STEWARD.tables)
    assert HELD not in what_is_unsure(later, NOON)
    found = StewardDecision.model_validate_json(steward(later, HELD).output)
    assert (found.action, found.rows) == ("leave", 0)


def refuse(lake: Lake, *drifts: Drift, readers: Readers) -> None:
    policy = DriftPolicy()
    Refusals(lake).refuse("crm", "case", drifts, policy, by="a sync", readers=readers, synthetic=True)


def test_a_refused_schema_is_found_first_and_until_it_is_settled(lake: Lake) -> None:
    hold(lake, "?")
    gone = Drift("removed", pa.field("Origin", pa.string()), None)
    refuse(lake, gone, readers=lambda _: ())
    snapshot = Snapshot.take(lake, DATA_STEWARD.tables)
    key = OfDrift(source="crm", stream="case").key
    assert what_is_unsure(snapshot, NOON) == [key, HELD, DOUBT]
    found = StewardDecision.model_validate_json(steward(snapshot, key).output)
    assert (found.action, found.differences[0]["column"]) == ("accept", "Origin")
    Refusals(lake).settle("crm", "case", "gone", by="a sync")
    later = Snapshot.take(lake, DATA_STEWARD.tables)
    assert what_is_unsure(later, NOON) == [HELD, DOUBT]
    left = StewardDecision.model_validate_json(steward(later, key).output)
    assert (left.action, left.proposal) == ("leave", None)


def test_its_version_is_another_with_another_tree() -> None:
    assert replace(DATA_STEWARD, instructions="Leave everything.").version() != DATA_STEWARD.version()
