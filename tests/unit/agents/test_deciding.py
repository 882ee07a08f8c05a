"""What happens to an agent's occasions: each is decided once, waits for its tables, or is given up with a reason, through every crash."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from pydantic import BaseModel

from pilothouse.agents import inbox
from pilothouse.agents.agent import Agent, Backlog, Request, Rounds
from pilothouse.agents.budget import Cost
from pilothouse.agents.capsules import Capsule, Ledger, Signer
from pilothouse.agents.deciding import Came, Deciding
from pilothouse.agents.registry import Registry
from pilothouse.agents.running import replay, run
from pilothouse.agents.snapshot import Snapshot
from pilothouse.agents.tools import Calls
from pilothouse.approvals.policy import Policy
from pilothouse.approvals.proposals import UNKNOWN, Proposals
from pilothouse.approvals.proposing import proposing
from pilothouse.kernel.database import Database
from pilothouse.kernel.errors import DatabaseError, ModelUnavailable, ToolFailed
from pilothouse.kernel.events import Event, EventLog
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.lake.pins import Pins
from pilothouse.tables.record import Notes, Read, Record
from tests.unit.agents.test_running import DESK, Limit, OfOrder, publish

ORDERS = "marts/fct_order"


class Held(BaseModel):
    action: str
    amount: Decimal
    reason: str
    proposal: dict[str, Any] | None = None
    proposals: list[dict[str, Any]] = []


@dataclass(frozen=True)
class Holding(Limit):
    """Proposes a block where it holds, and is broken for some orders."""

    def decide(self, agent: Agent, request: Request, calls: Calls) -> Mapping[str, Any]:
        key = request.subject.rpartition("/")[2]
        if key == "broken":
            raise KeyError("firm_id")
        decided = dict(super().decide(agent, request, calls))
        if decided["action"] == "hold":
            known = None if key == "unknown" else decided["amount"]
            values = None if key == "garbled" else {"DeliveryBlockReason": "01"}
            block = {"target": "s4", "record": "sales_order", "identity": {"SalesOrder": key}, "values": values}
            decided["proposal"] = block | {"amount": known, "reason": decided["reason"], "seen": {"DeliveryBlockReason": ""}}
        return decided


AGENT = replace(DESK, output=Held, brain=Holding(1_000), awaits={ORDERS: "order_id"}, wakes_on=("order.created",))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(str(tmp_path / "lake"))
    publish(lake, ("1", "1200.50", True), ("2", "80.00", True))
    return lake


@pytest.fixture
def ledger(database: Database, tmp_path: Path) -> Ledger:
    return Ledger(database, Signer.open(tmp_path / "key.pem"))


@pytest.fixture
def proposals(database: Database, ledger: Ledger) -> Proposals:
    return Proposals(database, ledger, Policy(four_eyes_above=Decimal(50_000)), timedelta(days=3))


@pytest.fixture
def deciding(lake: Lake, database: Database, ledger: Ledger, proposals: Proposals) -> Callable[..., Deciding]:
    def made(agent: Agent = AGENT, **more: Any) -> Deciding:
        parts = {"lake": lake, "database": database, "ledger": ledger, "pins": Pins(database), "follow": proposing(proposals)}
        return Deciding(agent, **{**parts, **more})

    return made


Make = Callable[..., Deciding]


def happened(database: Database, *orders: str, **payload: Any) -> None:
    EventLog(database).append([Event("order.created", order, payload) for order in orders])


def told(came: list[Came]) -> dict[str, str]:
    return {each.occasion.key: each.how for each in came}


def decisions(ledger: Ledger) -> list[str]:
    return [str(capsule.manifest["subject"]) for capsule in ledger.entries(kind="decision")]


def test_an_event_becomes_a_decision_and_a_proposal(deciding: Make, database: Database, ledger: Ledger, proposals: Proposals) -> None:
    happened(database, "1", "2")
    came = list(deciding().decide())
    assert [(each.how, each.output["action"]) for each in came] == [("decided", "hold"), ("decided", "release")]
    (proposal,) = proposals.all()
    assert (proposal.decision, proposal.amount, proposal.roles) == (came[0].capsule.digest, Decimal("1200.50"), ("credit_manager",))  # type: ignore[union-attr]
    assert proposal.change == {"DeliveryBlockReason": ["", "01"]}
    for capsule in ledger.entries(kind="decision"):
        assert set(capsule.blobs) == {"agent", "versions", "request", "cassette", "output", "looked"}
        assert replay(ledger, capsule, AGENT).identical
    request = Request.from_json(json.loads(ledger.blob(came[0].capsule.blobs["request"])))  # type: ignore[union-attr]
    assert (request.event["topic"], request.event_id) == ("order.created", "1")


def test_an_event_is_decided_once_however_often_it_comes(deciding: Make, database: Database, ledger: Ledger) -> None:
    happened(database, "1")
    assert told(list(deciding().decide())) == {"1": "decided"}
    assert list(deciding().decide()) == []
    EventLog(database).forget("agent/desk")  # the log is read from its beginning again
    assert list(deciding().decide()) == []
    assert decisions(ledger) == ["s4/sales_order/1"]


def test_two_runs_at_once_decide_once(deciding: Make, database: Database, ledger: Ledger) -> None:
    happened(database, "1")
    one = deciding()
    one.inbox.collect()
    (occasion,) = one.inbox.waiting()
    snapshot = Snapshot.take(Lake(one._lake.url), [ORDERS])
    assert told(list(one._work_on([occasion], snapshot))) == {"1": "decided"}
    (late,) = deciding()._work_on([occasion], snapshot)
    assert (late.how, late.said) == ("waiting", "somebody else has settled it meanwhile")
    assert len(decisions(ledger)) == 1
    snapshot.close()


def test_an_order_that_is_not_in_the_tables_waits_for_them(deciding: Make, database: Database, lake: Lake) -> None:
    happened(database, "3", "1")
    assert told(list(deciding().decide())) == {"3": "waiting", "1": "decided"}
    before = deciding().state()
    assert before == deciding().state()  # nothing has changed: no run is worth it
    publish(lake, ("3", "5.00", True))
    assert deciding().state() != before
    assert told(list(deciding().decide())) == {"3": "decided"}
    assert deciding().state() is None


def test_an_order_that_never_comes_is_given_up(deciding: Make, database: Database) -> None:
    happened(database, "3")
    list(deciding().decide())
    (came,) = deciding(patience=timedelta(0)).decide()
    assert (came.how, came.said) == ("undecidable", "s4/sales_order/3 did not come into marts/fct_order within 0:00:00")
    assert deciding().inbox.counts() == {"undecidable": 1}
    assert deciding().state() is None


def test_an_order_that_was_deleted_in_its_source_is_undecidable(deciding: Make, database: Database, lake: Lake, ledger: Ledger) -> None:
    now = datetime.now(UTC)
    rows = [(b"\1" * 16, "upsert", now), (b"\1" * 16, "delete", now + timedelta(seconds=1)), (b"\2" * 16, "upsert", now)]
    frame = pl.DataFrame(rows, schema={"_row_id": pl.Binary, "_change": pl.String, "_seen_at": pl.Datetime("us", "UTC")}, orient="row")
    frame = frame.with_columns(_changed_at=pl.col("_seen_at"))
    lake.table("raw/s4/sales_order").replace(frame.to_arrow().to_reader(), key=("_row_id", "_seen_at"))
    # The first is in the mart still, which has not been built since; the other one is nowhere yet.
    happened(database, "1", row_id="01" * 16, table="raw/s4/sales_order")
    happened(database, "7", row_id="02" * 16, table="raw/s4/sales_order")
    came = {each.occasion.key: each for each in deciding().decide()}
    assert (came["1"].how, came["7"].how) == ("undecidable", "waiting")
    assert came["1"].said == "s4/sales_order/1 was deleted in its source before it could be decided"
    assert decisions(ledger) == []


def test_an_order_that_changes_while_it_is_decided_is_decided_as_it_was(
    deciding: Make, database: Database, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pilothouse.agents.deciding.TOGETHER", 1)
    happened(database, "1", "2")
    working = deciding().decide()
    first = next(working)
    publish(lake, ("1", "7.00", True), ("2", "9000.00", True))
    second = next(working)
    assert (first.output["action"], second.output["action"]) == ("hold", "release")
    assert first.versions == second.versions


def failing(how: Callable[[Snapshot, OfOrder], Any]) -> Agent:
    def look(snapshot: Snapshot, asked: OfOrder) -> Any:
        return how(snapshot, asked) if asked.order == "2" else DESK.tools[0].run(snapshot, asked)

    return replace(AGENT, tools=(replace(DESK.tools[0], run=look, worst=Cost(calls=1, seconds=0.2)),))


def refuse(snapshot: Snapshot, asked: OfOrder) -> Any:
    raise ToolFailed("the files of the table are gone", hint="restore them")


def hang(snapshot: Snapshot, asked: OfOrder) -> Any:
    time.sleep(3)


def crash(snapshot: Snapshot, asked: OfOrder) -> Any:
    raise ZeroDivisionError("in a tool")


@pytest.mark.parametrize(
    ("how", "why"), [(refuse, "the files of the table are gone"), (hang, "gave no answer within"), (crash, "ZeroDivisionError")]
)
def test_a_tool_that_fails_for_one_stops_no_other_and_is_given_up_after_three_runs(
    deciding: Make, database: Database, lake: Lake, how: Callable[[Snapshot, OfOrder], Any], why: str
) -> None:
    publish(lake, ("1", "5.00", True), ("2", "5.00", True), ("4", "5.00", True))
    happened(database, "1", "2", "4")
    assert told(list(deciding(failing(how)).decide())) == {"1": "decided", "2": "failed", "4": "decided"}
    assert told(list(deciding(failing(how)).decide())) == {"2": "failed"}
    (last,) = deciding(failing(how)).decide()
    assert last.how == "undecidable"
    assert last.said.startswith("no decision in 3 runs")
    assert why in last.said


def test_a_brain_that_is_broken_for_one_order_decides_on_the_others(deciding: Make, database: Database, lake: Lake) -> None:
    publish(lake, ("1", "5.00", True), ("broken", "5.00", True))
    happened(database, "broken", "1")
    came = {each.occasion.key: each for each in deciding().decide()}
    assert (came["broken"].how, came["1"].how) == ("failed", "decided")
    assert "KeyError: 'firm_id'" in came["broken"].said


@dataclass(frozen=True)
class Unheard(Holding):
    """No server of a language model answers."""

    def decide(self, agent: Agent, request: Request, calls: Calls) -> Mapping[str, Any]:
        raise ModelUnavailable("no language model answers", hint="`pilothouse gateway`")


def test_an_order_is_not_given_up_because_no_model_answers(deciding: Make, database: Database) -> None:
    happened(database, "1", "2")
    unheard = replace(AGENT, brain=Unheard(1_000))
    keys = set()
    for _ in range(5):
        keys.add(json.dumps(deciding(unheard).state()))
        assert told(list(deciding(unheard).decide())) == {"1": "failed"}  # nobody waits for as long for the others too
    assert len(keys) == 5  # each is worth another run
    assert told(list(deciding().decide())) == {"1": "decided", "2": "decided"}


def test_a_tool_that_works_again_is_asked_again(deciding: Make, database: Database) -> None:
    happened(database, "2")
    assert told(list(deciding(failing(refuse)).decide())) == {"2": "failed"}
    assert told(list(deciding().decide())) == {"2": "decided"}


def test_an_amount_that_nobody_knows_is_above_every_limit(deciding: Make, database: Database, lake: Lake, proposals: Proposals) -> None:
    publish(lake, ("unknown", "5000.00", True))
    happened(database, "unknown")
    list(deciding().decide())
    (proposal,) = proposals.all()
    assert proposal.amount == UNKNOWN


def test_a_proposal_that_is_no_write_is_one_clear_error(deciding: Make, database: Database, lake: Lake, ledger: Ledger) -> None:
    publish(lake, ("garbled", "5000.00", True), ("1", "5000.00", True))
    happened(database, "garbled", "1")
    came = {each.occasion.key: each for each in deciding().decide()}
    assert (came["garbled"].how, came["1"].how) == ("failed", "decided")
    assert came["garbled"].said.startswith("what it proposes is no write: values: ")
    assert decisions(ledger) == ["s4/sales_order/1"]


def test_what_follows_from_a_decision_stands_or_falls_with_it(deciding: Make, database: Database, ledger: Ledger) -> None:
    def follow(*_: Any) -> None:
        raise DatabaseError("the disk is full")

    happened(database, "1")
    with pytest.raises(DatabaseError):
        list(deciding(follow=follow).decide())
    assert decisions(ledger) == []
    assert Registry(database).versions() == []
    assert told(list(deciding().decide())) == {"1": "decided"}


def test_decisions_share_a_commit_and_one_that_nothing_can_follow_from_keeps_none_back(
    deciding: Make, database: Database, lake: Lake, ledger: Ledger, proposals: Proposals
) -> None:
    publish(lake, *((order, "5000.00", True) for order in "123"))
    follow, commits, refused = proposing(proposals), set(), set[str]()

    def noting(connection: sa.Connection, decision: Capsule, agent: Agent) -> None:
        if str(decision.manifest["subject"])[-1] in refused:
            raise ValueError("no such role")
        follow(connection, decision, agent)
        commits.add(connection.scalar(sa.text("SELECT txid_current()")))

    happened(database, "1", "2", "3")
    assert told(list(deciding(follow=noting).decide())) == {"1": "decided", "2": "decided", "3": "decided"}
    assert len(commits) == 1
    happened(database, "1", "2", "3")
    refused.add("2")
    came = {each.occasion.key: each for each in deciding(follow=noting).decide()}
    assert {key: each.how for key, each in came.items()} == {"1": "decided", "2": "failed", "3": "decided"}
    assert came["2"].said == "desk: ValueError: no such role"
    assert (len(decisions(ledger)), len(proposals.all())) == (5, 5)
    refused.clear()
    assert told(list(deciding(follow=noting).decide())) == {"2": "decided"}
    assert list(ledger.verify()) == []


def test_what_a_decision_stands_on_is_pinned_down_to_raw_tables(deciding: Make, database: Database, lake: Lake) -> None:
    frame = pl.DataFrame({"order_id": ["1"]})
    raw = lake.table("raw/s4/sales_order").replace(frame.to_arrow().to_reader(), key=("order_id",))
    Notes(lake).write(lake.table(ORDERS), Record("code", {raw.name: Read(raw.identity, int(raw.version), int(raw.version))}))
    happened(database, "1")
    list(deciding().decide())
    assert Pins(database).all() == {ORDERS: frozenset({0}), raw.name: frozenset({0})}


BACKLOG = Backlog(table=ORDERS, key="order_id", where={"_synthetic": True}, newest="net", most=2)


def test_an_agent_that_looks_for_the_first_time_decides_what_is_open_and_recent(
    deciding: Make, database: Database, lake: Lake, ledger: Ledger
) -> None:
    publish(lake, ("1", "1.00", True), ("2", "2.00", True), ("3", "3.00", True), ("4", "4.00", False))
    agent = replace(AGENT, backlog=BACKLOG)
    came = list(deciding(agent).decide())
    assert told(came) == {"3": "decided", "2": "decided"}
    assert "older ones are history" in came[0].occasion.event["why"]
    assert came[0].occasion.event["topic"] == "subject.found"
    happened(database, "1")
    assert told(list(deciding(agent).decide())) == {"1": "decided"}
    assert sorted(decisions(ledger)) == ["s4/sales_order/1", "s4/sales_order/2", "s4/sales_order/3"]


@dataclass
class Finding:
    """What a round finds, in its order."""

    keys: list[str]

    def __call__(self, snapshot: Snapshot, now: datetime) -> list[str]:
        assert snapshot.tables == (ORDERS,)
        return self.keys


def test_a_round_finds_what_no_event_tells_of_and_is_made_once_in_its_time(deciding: Make, database: Database) -> None:
    finding = Finding(["2", "1"])
    agent = replace(AGENT, rounds=Rounds(find=finding, why="it is old", every=timedelta(days=400)))
    assert deciding(agent).state() is not None
    came = list(deciding(agent).decide())
    assert told(came) == {"1": "decided", "2": "decided"}
    assert came[0].occasion.event["topic"] == "subject.found"
    assert came[0].occasion.event["why"].startswith("it is old; found by a round of desk")
    finding.keys = ["1", "2", "3"]
    assert deciding(agent).state() is None
    assert list(deciding(agent).decide()) == []


def test_what_a_round_has_decided_rests_and_the_weightiest_come_first(deciding: Make, database: Database, lake: Lake) -> None:
    publish(lake, *((str(number), "5.00", True) for number in range(1, 6)))
    rounds = Rounds(find=Finding(["5", "3", "1", "3"]), why="it is old", every=timedelta(milliseconds=1), most=2)
    assert set(told(list(deciding(replace(AGENT, rounds=rounds)).decide()))) == {"5", "3"}
    assert set(told(list(deciding(replace(AGENT, rounds=rounds)).decide()))) == {"1"}
    assert list(deciding(replace(AGENT, rounds=rounds)).decide()) == []
    tireless = replace(AGENT, rounds=replace(rounds, rests=timedelta(0)))
    assert set(told(list(deciding(tireless).decide()))) == {"5", "3"}


def test_a_round_waits_until_there_are_tables_to_look_at(deciding: Make, database: Database, tmp_path: Path) -> None:
    agent = replace(AGENT, rounds=Rounds(find=lambda *_: [], why="it is old"))
    assert deciding(agent, lake=Lake(str(tmp_path / "empty"))).state() is None


def test_what_it_has_found_and_what_is_long_ago_is_not_decided_again(deciding: Make, database: Database, lake: Lake) -> None:
    agent = replace(AGENT, backlog=BACKLOG)
    before = datetime.now(UTC)
    EventLog(database).append([Event("order.created", "1", at=before - timedelta(days=2))])
    assert told(list(deciding(agent).decide())) == {"1": "decided", "2": "decided"}
    EventLog(database).append([Event("order.created", "2", at=before)])
    assert list(deciding(agent).decide()) == []
    assert deciding(agent).inbox.counts()["covered"] == 2
    EventLog(database).append([Event("order.created", "2")])  # this happened afterwards
    assert told(list(deciding(agent).decide())) == {"2": "decided"}


def test_versions_that_ran_are_kept_and_can_run_again(deciding: Make, database: Database, ledger: Ledger, lake: Lake) -> None:
    stricter = replace(AGENT, brain=Holding(50))
    happened(database, "2")
    list(deciding().decide())
    happened(database, "2")
    (came,) = deciding(stricter).decide()
    assert came.output["action"] == "hold"
    known = Registry(database).versions("desk")
    assert {each.version: each.decisions for each in known} == {AGENT.version(): 1, stricter.version(): 1}
    then = Registry(database).as_it_was(stricter, AGENT.version()[:12])
    assert then.version() == AGENT.version()
    snapshot = Snapshot.take(lake, [ORDERS])
    assert json.loads(run(then, came.occasion.request(datetime.now(UTC)), snapshot).output)["action"] == "release"
    snapshot.close()
    old = next(capsule for capsule in ledger.entries(kind="decision") if capsule.manifest["agent_version"] == AGENT.version())
    assert replay(ledger, old, stricter).identical


def test_what_was_settled_long_ago_is_removed_and_what_waits_is_not(deciding: Make, database: Database, ledger: Ledger) -> None:
    happened(database, "1", "3")
    list(deciding().decide())
    with database.begin() as connection:
        connection.execute(
            sa.text("UPDATE pilothouse.agent_inbox SET noted_at = now() - interval '9 days', settled_at = settled_at - interval '9 days'")
        )
    assert inbox.prune(database, timedelta(days=5)) == 1
    assert deciding().inbox.counts() == {"waiting": 1}
    assert len(decisions(ledger)) == 1


VICTIM = """
import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from tests.unit.agents.test_deciding import AGENT
from pilothouse.agents.capsules import Capsule, Ledger, Signer
from pilothouse.agents.deciding import Deciding
from pilothouse.approvals.policy import Policy
from pilothouse.approvals.proposals import Proposals
from pilothouse.approvals.proposing import proposing
from pilothouse.kernel.database import Database
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.lake.pins import Pins
url, key, lake = sys.argv[1:4]
database = Database(url)
ledger = Ledger(database, Signer.open(Path(key)))
follow = proposing(Proposals(database, ledger, Policy(four_eyes_above=Decimal(50_000)), timedelta(days=3)))
deciding = Deciding(AGENT, lake=Lake(lake), database=database, ledger=ledger, pins=Pins(database), follow=follow)
print("ready", flush=True)
sys.stdin.readline()
for came in deciding.decide():
    print(came.how, flush=True)
"""


def test_a_kill_at_any_moment_decides_each_once(
    deciding: Make, database: Database, ledger: Ledger, proposals: Proposals, lake: Lake, tmp_path: Path
) -> None:
    orders = [str(number) for number in range(100, 160)]
    publish(lake, *((order, "5000.00", True) for order in orders))
    happened(database, *orders)
    command = [sys.executable, "-c", VICTIM, database.url, str(tmp_path / "key.pem"), lake.url]
    survived = 0
    for delay in (0.0, 0.05, 0.15):
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.stdin.write("go\n")
            process.stdin.flush()
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
            survived += len(process.stdout.readlines())
    list(deciding().decide())
    assert survived < len(orders)  # or nothing was interrupted
    assert Counter(decisions(ledger)) == Counter(f"s4/sales_order/{order}" for order in orders)
    assert len(proposals.all()) == len(orders)
    assert list(ledger.verify()) == []
