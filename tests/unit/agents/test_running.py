"""A run is a function of its agent, its request and a snapshot: made again from its capsule alone, it says the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

import polars as pl
import pytest
import sqlalchemy as sa
from pydantic import BaseModel

from pilothouse.agents.agent import Agent, Request
from pilothouse.agents.capsules import Ledger, Signer
from pilothouse.agents.running import replay, run
from pilothouse.agents.snapshot import Snapshot
from pilothouse.agents.tools import Calls, Tool
from pilothouse.kernel.database import Database
from pilothouse.kernel.errors import AgentError, ToolFailed
from pilothouse.kernel.lake import Lake

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


class OfOrder(BaseModel):
    order: str


class Answer(BaseModel):
    action: str
    amount: Decimal
    reason: str


def order(snapshot: Snapshot, asked: OfOrder) -> dict[str, Any]:
    found = snapshot.row("marts/fct_order", {"order_id": asked.order})
    if found is None:
        raise ToolFailed(f"there is no order {asked.order}", hint="it was deleted")
    return found


@dataclass(frozen=True)
class Limit:
    """The smallest brain: hold what is larger than a limit."""

    limit: int

    def definition(self) -> Any:
        return {"limit": self.limit}

    def as_defined(self, definition: Any) -> Self:
        return replace(self, limit=definition["limit"])

    def decide(self, agent: Agent, request: Request, calls: Calls) -> Mapping[str, Any]:
        found = calls.call("order", {"order": request.subject.rpartition("/")[2]})
        action = "hold" if Decimal(found["net"]) > self.limit else "release"
        return {"action": action, "amount": found["net"], "reason": f"limit {self.limit} on {request.at:%Y-%m-%d}"}


DESK = Agent(
    name="desk",
    description="Holds large orders.",
    instructions="Hold what is large.",
    subject="s4/sales_order",
    tools=(Tool(name="order", description="one order", arguments=OfOrder, run=order, permission="orders"),),
    permissions=frozenset({"orders"}),
    output=Answer,
    brain=Limit(1_000),
    tables=("marts/fct_order",),
)


def publish(lake: Lake, *rows: tuple[str, str, bool]) -> None:
    frame = pl.DataFrame(rows, schema={"order_id": pl.String, "net": pl.String, "_synthetic": pl.Boolean}, orient="row")
    frame = frame.with_columns(pl.col("net").cast(pl.Decimal(18, 2)))
    lake.table("marts/fct_order").replace(frame.to_arrow().to_reader(), key=("order_id",))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(str(tmp_path / "lake"))
    publish(lake, ("1", "1200.50", True), ("2", "80.00", False))
    return lake


@pytest.fixture
def snapshot(lake: Lake) -> Iterator[Snapshot]:
    snapshot = Snapshot.take(lake, [*DESK.tables, "marts/not_there"])
    yield snapshot
    snapshot.close()


@pytest.fixture
def ledger(database: Database, tmp_path: Path) -> Ledger:
    return Ledger(database, Signer.open(tmp_path / "key.pem"))


def about(order: str) -> Request:
    return Request(subject=f"s4/sales_order/{order}", at=NOON, event={"topic": "order.created"})


def test_a_run_decides_and_says_what_it_read(snapshot: Snapshot, lake: Lake) -> None:
    made = run(DESK, about("1"), snapshot)
    assert made.output == b'{"action":"hold","amount":"1200.50","reason":"limit 1000 on 2026-06-01"}'
    assert made.versions.read == (lake.table("marts/fct_order").pinned(),)
    assert (made.synthetic, run(DESK, about("2"), snapshot).synthetic) == (True, False)


def test_a_snapshot_does_not_move(snapshot: Snapshot, lake: Lake) -> None:
    publish(lake, ("1", "5.00", True))
    assert b"hold" in run(DESK, about("1"), snapshot).output
    later = Snapshot.take(lake, DESK.tables)
    assert b"release" in run(DESK, about("1"), later).output
    again = Snapshot.of(lake, run(DESK, about("1"), snapshot).versions)
    assert run(DESK, about("1"), again).output == run(DESK, about("1"), snapshot).output


def test_an_order_that_is_gone_is_told(snapshot: Snapshot) -> None:
    with pytest.raises(ToolFailed, match="there is no order 9"):
        run(DESK, about("9"), snapshot)


@pytest.mark.parametrize(
    ("table", "where", "told"),
    [
        ("marts/not_there", {}, "not in this snapshot"),
        ("marts/fct_order", {"nothing": 1}, "nothing"),
        ("marts/fct_order", {}, "more than one row"),
    ],
)
def test_what_cannot_be_looked_at_is_one_clear_error(snapshot: Snapshot, table: str, where: Mapping[str, Any], told: str) -> None:
    with pytest.raises(ToolFailed, match=told) as raised:
        snapshot.row(table, where)
    assert raised.value.hint


def test_a_replay_says_the_same_without_the_lake(snapshot: Snapshot, lake: Lake, ledger: Ledger) -> None:
    (capsule,) = ledger.append([run(DESK, about("1"), snapshot).draft()])
    publish(lake, ("1", "1.00", False))
    replayed = replay(ledger, ledger.get(capsule.digest), DESK)
    assert (replayed.identical, replayed.same_code, capsule.manifest["synthetic"]) == (True, True, True)


def test_a_replay_decides_as_was_decided_then_and_not_as_today(snapshot: Snapshot, ledger: Ledger) -> None:
    (capsule,) = ledger.append([run(DESK, about("1"), snapshot).draft()])
    today = replace(DESK, brain=Limit(10_000), instructions="Hold what is huge.")
    assert replay(ledger, capsule, today).identical
    assert today.version() != DESK.version() == capsule.manifest["agent_version"]
    assert b"release" in run(today, about("1"), snapshot).output


def test_a_capsule_that_lacks_a_blob_is_not_replayed(snapshot: Snapshot, ledger: Ledger, database: Database) -> None:
    (capsule,) = ledger.append([run(DESK, about("1"), snapshot).draft()])
    with database.begin() as connection:
        gone = {"digest": bytes.fromhex(capsule.blobs["cassette"])}
        connection.execute(sa.text("DELETE FROM pilothouse.capsule_blobs WHERE digest = :digest"), gone)
    with pytest.raises(AgentError, match="is missing"):
        replay(ledger, capsule, DESK)


def test_what_decisions_share_is_kept_once(snapshot: Snapshot, ledger: Ledger, database: Database) -> None:
    capsules = ledger.append([run(DESK, about(order), snapshot).draft() for order in ("1", "2") * 10])
    assert len({capsule.blobs["agent"] for capsule in capsules}) == len({capsule.blobs["versions"] for capsule in capsules}) == 1


def test_a_decision_that_is_none_is_refused(snapshot: Snapshot) -> None:
    @dataclass(frozen=True)
    class Careless(Limit):
        def decide(self, agent: Agent, request: Request, calls: Calls) -> Mapping[str, Any]:
            return {"action": "hold"}

    with pytest.raises(AgentError, match="its decision is not one: amount: Field required"):
        run(replace(DESK, brain=Careless(1)), about("1"), snapshot)


def test_runs_share_a_snapshot_from_several_threads(snapshot: Snapshot) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda number: run(DESK, about("12"[number % 2]), snapshot), range(40)))
    assert [b"hold" in each.output for each in made] == [number % 2 == 0 for number in range(40)]
    assert [each.synthetic for each in made] == [number % 2 == 0 for number in range(40)]
