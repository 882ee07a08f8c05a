"""From a steward's decision to a word about two records, or to released rows, and back where there is a way back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from assets.loading import Loader
from assets.own_records import DRIFT, HELD, OWN, PAIR, RULE, final
from assets.platform import Platform
from assets.pointing import by_rule
from connectors.connector import Connector
from connectors.target import Action, decode_plan, encode
from graph.resolution.corrections import Corrections
from pilothouse.agents.agent import Request
from pilothouse.agents.capsules import Draft
from pilothouse.agents.desks.data_steward import DATA_STEWARD
from pilothouse.agents.running import run
from pilothouse.agents.snapshot import Snapshot
from pilothouse.agents.toolset.stewardship.held import OfHeld
from pilothouse.agents.toolset.stewardship.pairs import PARTIES, SAID
from pilothouse.approvals.principals import Principal
from pilothouse.approvals.proposals import Proposal
from pilothouse.approvals.proposing import proposing
from pilothouse.kernel.database import Database
from pilothouse.kernel.errors import AccessDenied, Conflict, TargetError
from pilothouse.kernel.lake.current import current
from pilothouse.kernel.lake.sql import query
from pilothouse.kernel.settings import DatabaseSettings, Settings, SourceSettings
from pilothouse.kernel.streams import Batch, Stream, Watermark

LEFT, RIGHT = "crm:A", "s4:1"
UNIT = "product has a base unit"
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
ADA, STEWARD = Principal("ada", "credit_manager"), Principal("sue", "data_steward")
_NUMBER = pa.decimal128(13, 3)
PRODUCT = pa.schema(
    [
        *((name, pa.string()) for name in ("Product", "BaseUnit", "ProductType")),
        *((name, _NUMBER) for name in ("GrossWeight", "NetWeight")),
        ("LastChangeDateTime", pa.timestamp("us", "UTC")),
    ]
)


class Products(Connector):
    """Products as SAP would bring them."""

    name = "s4"

    def __init__(self, *rows: tuple[str, str | None], weights: Mapping[str, int] | None = None) -> None:
        given = {"ProductType": "FERT", "NetWeight": 1, "LastChangeDateTime": NOON}
        weighing = {product: (weights or {}).get(product, 2) for product, _ in rows}
        self._rows = [{"Product": product, "BaseUnit": unit, "GrossWeight": weighing[product], **given} for product, unit in rows]

    def check(self) -> None: ...

    def streams(self) -> Sequence[Stream]:
        return []

    def schema(self, stream: Stream) -> pa.Schema:
        return PRODUCT

    def read(self, stream: Stream, since: Watermark | None) -> Iterator[Batch]:
        rows = pl.DataFrame(self._rows, schema=pl.Schema(PRODUCT)).to_arrow().cast(PRODUCT)
        yield Batch(rows=rows.to_reader(), watermark=Watermark({"at": NOON.isoformat()}), synthetic=True)

    def keys(self, stream: Stream) -> Iterator[pa.Table]:
        yield pa.table({"Product": [row["Product"] for row in self._rows]})


@pytest.fixture
def platform(database: Database, tmp_path: Path) -> Iterator[Platform]:
    sources = {"s4": SourceSettings(connector="sap", url="http://127.0.0.1")}
    made = Platform(Settings(home=tmp_path, database=DatabaseSettings(url=SecretStr(database.url)), sources=sources))
    parties = pl.DataFrame({"source": ["crm", "s4"], "record_id": ["A", "1"]})
    made.lake.table(PARTIES).replace(parties.to_arrow().to_reader(), key=("source", "record_id"))
    yield made
    made.close()


def pair(verdict: str, seen: str | None = "") -> dict[str, Any]:
    known = {} if seen is None else {"seen": {"verdict": seen}}
    return {"record": PAIR, "identity": {"left": LEFT, "right": RIGHT}, "values": {"verdict": verdict}, **known}


def propose(platform: Platform, written: dict[str, Any]) -> Proposal:
    """A decision of the steward that proposes this."""
    output = {"action": "split", "reasons": ["so"], "proposal": {"target": OWN, "amount": "0", "reason": "so", **written}}
    draft = Draft(
        kind="decision",
        subject="pilothouse/data/doubt",
        at=NOON,
        body={"output": output},
        blobs={"agent": DATA_STEWARD.definition_bytes()},
        agent=DATA_STEWARD.name,
        agent_version=DATA_STEWARD.version(),
        synthetic=True,
    )
    with platform.database.begin() as connection:
        (capsule,) = platform.ledger.append_within(connection, [draft])
        (made,) = proposing(platform.proposals)(connection, capsule, DATA_STEWARD)
        return made


def said(platform: Platform) -> list[str]:
    return [each.verdict for each in Corrections(platform.lake).holding()]


def test_a_split_is_approved_said_once_and_taken_back(platform: Platform) -> None:
    made = propose(platform, pair("different"))
    with pytest.raises(AccessDenied):
        platform.proposals.approve(made.id, ADA)
    platform.proposals.approve(made.id, STEWARD)
    done = platform.executor.execute(made.id)
    assert (done.status, done.change, said(platform)) == ("executed", {"verdict": ["", "different"]}, ["different"])
    assert platform.executor.execute(made.id).status == "executed"
    assert platform.executor.undo(made.id, STEWARD, "they are one after all").status == "undone"
    assert said(platform) == []
    assert platform.lake.table(SAID).rows() == 2  # one word and its withdrawal; the past stays readable
    assert list(platform.ledger.verify()) == []


def test_a_split_of_what_was_confirmed_comes_back_to_the_confirmation(platform: Platform) -> None:
    Corrections(platform.lake).say(LEFT, RIGHT, "same", by="ada")
    made = propose(platform, pair("different", seen="same"))
    platform.proposals.approve(made.id, STEWARD)
    platform.executor.execute(made.id)
    assert said(platform) == ["different"]
    platform.executor.undo(made.id, STEWARD, "wrong")
    assert said(platform) == ["same"]


def test_a_word_that_somebody_said_meanwhile_is_not_covered(platform: Platform) -> None:
    made = propose(platform, pair("different"))
    platform.proposals.approve(made.id, STEWARD)
    Corrections(platform.lake).say(LEFT, RIGHT, "same", by="ada")
    with pytest.raises(Conflict, match="was '', ours 'different', now 'same'"):
        platform.executor.execute(made.id)
    assert (platform.proposals.get(made.id).status, said(platform)) == ("conflict", ["same"])


def test_an_undo_shows_a_conflict_where_somebody_has_spoken_since(platform: Platform) -> None:
    made = propose(platform, pair("different"))
    platform.proposals.approve(made.id, STEWARD)
    platform.executor.execute(made.id)
    Corrections(platform.lake).say(LEFT, RIGHT, "same", by="ada")
    with pytest.raises(Conflict, match="now 'same'"):
        platform.executor.undo(made.id, STEWARD, "wrong")
    assert (platform.proposals.get(made.id).status, said(platform)) == ("executed", ["same"])


def test_a_plan_that_was_executed_before_a_crash_is_found_done(platform: Platform) -> None:
    action = Action(key="k", record=PAIR, identity={"left": LEFT, "right": RIGHT}, values={"verdict": "same"})
    with platform.target(OWN) as target:
        plan = decode_plan(encode(target.plan(action)))
        assert target.execute(plan).found is False
        again = target.execute(plan)
        assert (again.found, platform.lake.table(SAID).rows()) == (True, 1)
        receipt = target.undo(again)
        assert (receipt.found, target.undo(again).found) == (False, True)


@pytest.mark.parametrize(
    ("record", "identity", "values", "told"),
    [
        (PAIR, {"left": LEFT, "right": "s4:9"}, {"verdict": "same"}, "there is no firm_pair"),
        (PAIR, {"left": LEFT}, {"verdict": "same"}, "is named by left, right"),
        (PAIR, {"left": LEFT, "right": RIGHT}, {"colour": "red"}, "has no field"),
        (HELD, {"source": "s4", "stream": "product", "rule": "x", "until": "yesterday"}, {"status": "released"}, "there is no held_rows"),
        (RULE, {"source": "s4", "stream": "product", "rule": "no such"}, {"arguments": "{}"}, "there is no stream_rule"),
        (RULE, {"source": "s9", "stream": "product", "rule": "x"}, {"arguments": "{}"}, "no source 's9'"),
        (DRIFT, {"source": "s4", "stream": "product", "seen": "x"}, {"status": "accepted"}, "there is no stream_drift"),
        ("sales_order", {"SalesOrder": "1"}, {"x": "y"}, "there is no record 'sales_order'"),
        (PAIR, {}, {"verdict": "same"}, "records are only changed here"),
    ],
)
def test_what_is_not_ours_to_write_is_refused(platform: Platform, record: str, identity: Any, values: Any, told: str) -> None:
    with platform.target(OWN) as target, pytest.raises(TargetError, match=told):
        target.execute(target.plan(Action(key="k", record=record, identity=identity, values=values)))


UNTIL = NOON.isoformat()
EDITS: list[tuple[str, dict[str, str], dict[str, str], str, str]] = [
    (PAIR, {"left": LEFT, "right": RIGHT}, {"verdict": "maybe"}, "firm_pair: verdict = 'maybe'", "same or different"),
    (HELD, {"source": "s4", "stream": "product", "rule": "x", "until": UNTIL}, {"status": "open"}, "status = 'open'", "released"),
    (DRIFT, {"source": "s4", "stream": "product", "seen": "x"}, {"status": "gone"}, "status = 'gone'", "accepted or refused"),
    (RULE, {"source": "s4", "stream": "product", "rule": "gone"}, {"arguments": "{}"}, "no such rule is declared", "reject"),
    *(
        (RULE, {"source": "s4", "stream": "product", "rule": "weight is not negative"}, {"arguments": arguments}, told, hint)
        for arguments, told, hint in (
            ('{"column": "GrossWeight", "min_value": "heavy"}', "argument 'min_value' is 'heavy'", "min_value (a number"),
            ('{"column": "GrossWeight", "least": 0}', "has no argument 'least'", "min_value (a number"),
            ('{"column": "GrossWeight", "min_value": 5, "max_value": 1}', "'min_value' is above 'max_value'", "min_value (a number"),
            ('{"column": "NetWeight", "min_value": 0}', "it judges GrossWeight", "another rule"),
            ('{"column": "GrossWeight", "min_value": }', "arguments are no JSON", '"min_value": 0'),
        )
    ),
]


@pytest.mark.parametrize(("record", "identity", "edit", "told", "hint"), EDITS, ids=[f"{each[0]} {each[3]}" for each in EDITS])
def test_an_edit_that_could_not_be_written_is_told_at_once_and_changes_nothing(
    platform: Platform, record: str, identity: dict[str, str], edit: dict[str, str], told: str, hint: str
) -> None:
    values = dict.fromkeys(edit, "something that the steward would have proposed")
    made = propose(platform, {"record": record, "identity": identity, "values": values})
    ((field, value),) = edit.items()
    with pytest.raises(TargetError) as error:
        platform.proposals.edit(made.id, STEWARD, edit, "better")
    assert f"{record}: {field} = {value!r} cannot be written: " in error.value.message
    assert told in error.value.message
    assert hint in error.value.hint
    assert (platform.proposals.get(made.id), platform.proposals.remarks(made)) == (made, [])


def test_an_edit_that_can_be_written_is_approved_by_somebody_else_and_written(platform: Platform) -> None:
    made = propose(platform, {"record": RULE, "identity": WEIGHT, "values": {"arguments": takes(-5)}, "seen": {"arguments": takes(0)}})
    assert platform.proposals.edit(made.id, STEWARD, {"arguments": takes(-2)}, "less will do").revision == 2
    platform.proposals.approve(made.id, Principal("sam", "data_steward"))
    platform.executor.execute(made.id)
    assert weight_rule(platform)["min_value"] == -2


def test_nothing_but_same_or_different_is_said(platform: Platform) -> None:
    action = Action(key="k", record=PAIR, identity={"left": LEFT, "right": RIGHT}, values={"verdict": "maybe"})
    with platform.target(OWN) as target, pytest.raises(TargetError, match="'maybe' is nothing to say"):
        target.execute(target.plan(action))


# -- rules -------------------------------------------------------------------------------------------------------------

WEIGHT = {"source": "s4", "stream": "product", "rule": "weight is not negative"}


def takes(least: float) -> str:
    return json.dumps({"column": "GrossWeight", "min_value": least})


def weight_rule(platform: Platform) -> Any:
    (rule,) = (each for each in platform.rules("s4", "product") if each.name == WEIGHT["rule"])
    return rule.kwargs


def changed_rule(platform: Platform, least: float, seen: float = 0) -> Proposal:
    """An approved change of a rule."""
    values, known = {"arguments": takes(least)}, {"arguments": takes(seen)}
    made = propose(platform, {"record": RULE, "identity": WEIGHT, "values": values, "seen": known})
    return platform.proposals.approve(made.id, STEWARD)


def test_a_rule_is_changed_once_and_taken_back_to_what_it_took_before(platform: Platform) -> None:
    first = changed_rule(platform, -5)
    assert platform.executor.execute(first.id).status == "executed"
    assert final(first.action, first.target) == ""
    second = changed_rule(platform, -9, seen=-5)
    platform.executor.execute(second.id)
    assert weight_rule(platform) == {"column": "GrossWeight", "min_value": -9}
    with pytest.raises(Conflict, match="has changed since"):
        platform.executor.undo(first.id, STEWARD, "wrong")
    for made, least in ((second, -5), (first, 0)):
        assert platform.executor.undo(made.id, STEWARD, "wrong").status == "undone"
        assert weight_rule(platform)["min_value"] == least
    assert platform.lake.raw("pilothouse", "stream_rule").rows() == 4
    with platform.target(OWN) as target:
        plan = target.plan(Action(key="k", record=RULE, identity=WEIGHT, values={"arguments": takes(-1)}))
        assert [target.execute(plan).found, target.execute(plan).found] == [False, True]


def test_a_rule_that_somebody_changed_meanwhile_is_not_covered(platform: Platform) -> None:
    late = changed_rule(platform, -5)
    platform.executor.execute(changed_rule(platform, -7).id)
    with pytest.raises(Conflict, match=r"now .*-7"):
        platform.executor.execute(late.id)
    assert (platform.proposals.get(late.id).status, weight_rule(platform)["min_value"]) == ("conflict", -7)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("-5", "no JSON object"),
        ('{"column": "NetWeight", "min_value": 0}', "it judges GrossWeight"),
        ('{"column": "GrossWeight", "min_value": "heavy"}', "must be a number"),
    ],
)
def test_what_a_rule_cannot_take_is_refused(platform: Platform, arguments: str, told: str) -> None:
    action = Action(key="k", record=RULE, identity=WEIGHT, values={"arguments": arguments})
    with platform.target(OWN) as target, pytest.raises(TargetError, match=told):
        target.execute(target.plan(action))
    assert not platform.lake.raw("pilothouse", "stream_rule").exists()


def test_a_rule_takes_nothing_that_its_columns_kind_cannot_be_compared_with(platform: Platform) -> None:
    """A day is a bound of days; a weight has none. Before the first load nobody knows what the column holds."""
    sync(platform, ("P1", "KG"))
    day = json.dumps({"column": "GrossWeight", "min_value": "2026-01-01"})
    action = Action(key="k", record=RULE, identity=WEIGHT, values={"arguments": day})
    with platform.target(OWN) as target, pytest.raises(TargetError, match="'2026-01-01' cannot be compared with Decimal"):
        target.execute(target.plan(action))
    made = propose(platform, {"record": RULE, "identity": WEIGHT, "values": {"arguments": takes(-5)}, "seen": {"arguments": takes(0)}})
    with pytest.raises(TargetError, match="cannot be judged") as error:
        platform.proposals.edit(made.id, STEWARD, {"arguments": day}, "better")
    assert "column's own kind" in error.value.hint
    assert not platform.lake.raw("pilothouse", "stream_rule").exists()


def test_what_a_changed_rule_let_through_is_told_when_it_is_taken_back(platform: Platform) -> None:
    several = [(product, "KG") for product in ("P1", "P2", "P3", "P4")]
    sync(platform, *several[:3])
    made = changed_rule(platform, -5)
    platform.executor.execute(made.id)
    sync(platform, *several[:3], weights={"P2": -3, "P3": -4})  # which it takes now
    sync(platform, *several, weights={"P2": -3, "P3": 4, "P4": -9})  # one was mended, and one is held still
    done = platform.executor.undo(made.id, STEWARD, "wrong")
    (entry,) = platform.ledger.entries(kind="undo", about=made.decision)
    left = entry.body["receipt"]["left"]
    assert done.said == f"undone by sue: wrong. {left}"
    assert left.startswith("1 row that it let through stays in raw/s4/product, from batch '")
    shown = re.search(r'`pilothouse query "(.+?)"` shows them', left)
    checked = re.search(r'`pilothouse affected --check "(.+?)"`', left)
    assert shown
    assert checked
    rows = query(platform.lake, shown[1])
    assert rows["Product"].to_pylist() == ["P2"]
    (pointed,) = by_rule(platform, checked[1])
    assert len(pointed.keys) == 2  # any version that a decision may have looked at
    assert products(platform) == {"P1", "P2", "P3"}
    (held,) = platform.lake.quarantine("s4", "product").scan().collect().to_dicts()
    assert json.loads(held["row"])["Product"] == "P4"


def test_a_changed_rule_that_let_nothing_through_leaves_nothing(platform: Platform) -> None:
    sync(platform, ("P1", "KG"))
    made = changed_rule(platform, -5)
    platform.executor.execute(made.id)
    sync(platform, ("P2", "KG"))
    assert platform.executor.undo(made.id, STEWARD, "wrong").said == "undone by sue: wrong"


def test_a_receipt_that_was_kept_before_receipts_told_what_is_left_is_still_ours(platform: Platform) -> None:
    made = changed_rule(platform, -5)
    done = platform.executor.execute(made.id)
    assert done.receipt is not None
    kept = json.loads(done.receipt)
    with platform.database.begin() as connection:
        connection.execute(
            sa.text("UPDATE pilothouse.proposals SET receipt = :it"),
            {"it": json.dumps({name: each for name, each in kept.items() if name != "left"}).encode()},
        )
    assert platform.executor.undo(made.id, STEWARD, "wrong").status == "undone"


# -- held rows ---------------------------------------------------------------------------------------------------------


def sync(platform: Platform, *rows: tuple[str, str | None], weights: Mapping[str, int] | None = None) -> None:
    stream = platform.source("s4").stream("product")
    Loader(platform.lake, Products(*rows, weights=weights), stream, platform.rules("s4", "product")).run()


def products(platform: Platform) -> set[str]:
    return set(current(platform.lake.raw("s4", "product").scan()).collect()["Product"])


def test_a_release_that_cannot_be_taken_back_says_so_and_is_of_what_was_seen(platform: Platform) -> None:
    sync(platform, ("P1", "KG"), *((f"Q{number}", None) for number in range(3)))
    assert products(platform) == {"P1"}
    snapshot = Snapshot.take(platform.lake, DATA_STEWARD.tables)
    made = run(
        DATA_STEWARD,
        Request(subject=f"pilothouse/data/{OfHeld(source='s4', stream='product', rule=UNIT).key}", at=NOON, event={}),
        snapshot,
    )
    snapshot.close()
    until = DATA_STEWARD.output.model_validate_json(made.output)
    assert until.model_dump()["action"] == "mend"  # it lacks what only SAP can say; somebody else might see it otherwise
    seen = max(platform.lake.quarantine("s4", "product").scan().collect()["rejected_at"]).isoformat()
    identity = {"source": "s4", "stream": "product", "rule": UNIT, "until": seen}
    proposal = propose(platform, {"record": HELD, "identity": identity, "values": {"status": "released"}, "seen": {"status": "open"}})
    assert "only appended to" in final(proposal.action, proposal.target)
    sync(platform, ("P1", "KG"), *((f"Q{number}", None) for number in range(4)))  # one more is held, of which nobody has decided
    platform.proposals.approve(proposal.id, STEWARD)
    assert platform.executor.execute(proposal.id).status == "executed"
    assert products(platform) == {"P1", "Q0", "Q1", "Q2"}
    with pytest.raises(TargetError, match="cannot be taken back") as told:
        platform.executor.undo(proposal.id, STEWARD, "wrong")
    assert "correct them in their source" in told.value.hint
    assert (platform.proposals.get(proposal.id).status, products(platform)) == ("executed", {"P1", "Q0", "Q1", "Q2"})
    with platform.target(OWN) as target:
        assert proposal.plan is None
        kept = platform.proposals.get(proposal.id).plan
        assert kept is not None
        assert target.execute(decode_plan(kept)).found


def test_a_decision_of_the_steward_becomes_a_proposal_to_pilothouse_itself(platform: Platform) -> None:
    sync(platform, ("P1", "KG"), ("P2", "KG"))
    from pilothouse.agents.trials.case import decided_on
    from tests.unit.agents.test_data_steward import CASES

    made = decided_on(DATA_STEWARD, CASES["taken as one although their tax numbers differ"])
    with platform.database.begin() as connection:
        (capsule,) = platform.ledger.append_within(connection, [made.draft()])
        (proposal,) = proposing(platform.proposals)(connection, capsule, DATA_STEWARD)
    assert (proposal.target, proposal.roles, proposal.amount) == (OWN, ("data_steward",), Decimal(0))
    assert platform.proposals.needed(proposal) == 1
    assert final(proposal.action, proposal.target) == ""
