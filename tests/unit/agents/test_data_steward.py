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
from pilothouse.agents.desks.data_steward import DATA_STEWARD, StewardDecision
from pilothouse.agents.running import Run, replay, run
from pilothouse.agents.snapshot import Snapshot
from pilothouse.agents.toolset.stewardship import LINKS, MEMBERS, PARTIES, OfHeld, OfPair, asked_about, doubt, held, what_is_unsure
from pilothouse.agents.trials.case import Case, Decided, decided_on
from pilothouse.agents.trials.shipped import shipped_cases
from pilothouse.agents.trials.trying import tried
from pilothouse.kernel.database import Database
from pilothouse.kernel.errors import ToolFailed
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.lake.commit import Commit
from quality import quarantine
from quality.gate import REJECTED

assert DATA_STEWARD.trials is not None
CASES = {case.name: case for case in shipped_cases(DATA_STEWARD.trials.cases)}
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
LEFT, RIGHT, THIRD = "crm:A", "s4:1", "s4:2"
RULE = "status is known"


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


def test_a_key_names_a_pair_or_a_rule_whatever_it_is_called() -> None:
    for asked in (OfPair(left="crm:A", right="s4:1"), OfHeld(source="s4", stream="order", rule="a/b: c = d")):
        key = doubt(asked.left, asked.right) if isinstance(asked, OfPair) else held(asked.source, asked.stream, asked.rule)
        assert "/" not in key
        assert asked_about(key) == asked
    for key in ("doubt:crm:A", "held:s4", "4711"):
        with pytest.raises(ToolFailed, match="neither a doubt nor held rows"):
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
    assert what_is_unsure(snapshot, NOON) == [held("crm", "case", RULE), doubt(LEFT, RIGHT)]
    Corrections(lake).say(LEFT, RIGHT, "same", by="ada")
    assert what_is_unsure(Snapshot.take(lake, DATA_STEWARD.tables), NOON) == [held("crm", "case", RULE)]
    Corrections(lake).say(LEFT, RIGHT, "withdrawn", by="ada")
    assert what_is_unsure(Snapshot.take(lake, DATA_STEWARD.tables), NOON)[-1] == doubt(LEFT, RIGHT)


def test_it_decides_over_the_tables_of_its_snapshot(lake: Lake, snapshot: Snapshot) -> None:
    made = steward(snapshot, doubt(LEFT, RIGHT))
    found = StewardDecision.model_validate_json(made.output)
    assert (found.action, found.probability, [each["name"] for each in found.records]) == ("split", 0.9995, ["Firm A", "Firm 1"])
    assert made.synthetic
    rows = StewardDecision.model_validate_json(steward(snapshot, held("crm", "case", RULE)).output)
    assert (rows.action, rows.rows, rows.values[0]) == ("release", 31, {"value": "On Hold", "count": 30})
    assert rows.proposal is not None
    assert rows.proposal.identity["until"] == NOON.isoformat()


def test_it_is_replayed_byte_for_byte(snapshot: Snapshot, database: Database, tmp_path: Path) -> None:
    """What a tool answered is kept without the order of its names: nothing that is said may hang on it."""
    ledger = Ledger(database, Signer.open(tmp_path / "key.pem"))
    made = [steward(snapshot, doubt(LEFT, RIGHT)), steward(snapshot, held("crm", "case", RULE))]
    several = [decided_on(DATA_STEWARD, case) for case in CASES.values()]
    for capsule in ledger.append([each.draft() for each in (*made, *several)]):
        assert replay(ledger, capsule, DATA_STEWARD).identical


def test_rows_of_which_a_newer_version_went_through_are_left(lake: Lake, snapshot: Snapshot) -> None:
    newer = {"Id": "3", "_seen_at": NOON + timedelta(hours=1)}
    put(lake, "raw/crm/case", [newer], ("Id",))
    found = StewardDecision.model_validate_json(steward(Snapshot.take(lake, DATA_STEWARD.tables), held("crm", "case", RULE)).output)
    assert (found.action, found.proposal) == ("leave", None)
    assert "cover with the old one" in found.reasons[0]


def test_what_was_released_is_held_no_longer(lake: Lake) -> None:
    rejections = hold(lake, *["On Hold"] * 30)
    append(lake, quarantine.release(rejections, lake.quarantine("crm", "case").scan(), by="ada").records)
    later = Snapshot.take(lake, DATA_STEWARD.tables)
    assert held("crm", "case", RULE) not in what_is_unsure(later, NOON)
    found = StewardDecision.model_validate_json(steward(later, held("crm", "case", RULE)).output)
    assert (found.action, found.rows) == ("leave", 0)


def test_its_version_is_another_with_another_tree() -> None:
    assert replace(DATA_STEWARD, instructions="Leave everything.").version() != DATA_STEWARD.version()
