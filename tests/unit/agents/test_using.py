"""What a decision used of what it looked at: found by deciding again, not declared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from pydantic import BaseModel, Field

from pilothouse.agents.agent import Agent, Request
from pilothouse.agents.capsules import Ledger, Signer
from pilothouse.agents.cassette import Heard
from pilothouse.agents.explaining.looks import Watching
from pilothouse.agents.explaining.opened import Opened
from pilothouse.agents.explaining.using import ASKED_NEXT, Remade, Used, used
from pilothouse.agents.figures import figure
from pilothouse.agents.running import run
from pilothouse.agents.snapshot import Snapshot
from pilothouse.agents.tools import Calls, Tool
from pilothouse.kernel.database import Database
from pilothouse.kernel.errors import AgentError
from pilothouse.kernel.lake import Lake
from tests.unit.agents.test_running import NOON

ORDERS = (
    {"order_id": "1", "firm_id": "f1", "net": "1200.50", "note": "urgent", "is_old": False, "terms": 30},
    {"order_id": "2", "firm_id": "f2", "net": "80.00", "note": "", "is_old": True, "terms": None},
)
CASES = (
    {"case_id": "c1", "firm_id": "f1", "subject": "late", "closed": False},
    {"case_id": "c2", "firm_id": "f1", "subject": "broken", "closed": False},
    {"case_id": "c3", "firm_id": "f2", "subject": "late", "closed": True},
)


class Of(BaseModel):
    id: str


class Said(BaseModel):
    action: str
    amount: Decimal
    cases: int
    confidence: float


@dataclass(frozen=True)
class Rule:
    """Holds what is not old, above a limit and of a firm with cases. Terms are looked at where the order is old and large."""

    def definition(self) -> Any:
        return {}

    def as_defined(self, definition: Any) -> Rule:
        return self

    def decide(self, agent: Agent, request: Request, calls: Calls) -> Mapping[str, Any]:
        order = calls.call("order", {"id": request.subject})
        cases = calls.call("cases", {"id": order["firm_id"]})
        large = Decimal(order["net"]) > 1_000
        hold = large and len(cases) > 0 and (order["terms"] == 90 if order["is_old"] else True)
        sure = len(order["note"] or "") / 10  # commentary
        return {"action": "hold" if hold else "release", "amount": order["net"], "cases": len(cases), "confidence": sure}


TOOLS = (
    Tool(
        name="order",
        description="",
        arguments=Of,
        permission="p",
        run=lambda snapshot, asked: {"found": True, **snapshot.row("orders", {"order_id": asked.id})},
    ),
    Tool(
        name="cases",
        description="",
        arguments=Of,
        permission="p",
        run=lambda snapshot, asked: snapshot.rows("cases", {"firm_id": asked.id, "closed": False}, limit=5, order="case_id"),
    ),
)
DESK = Agent(
    name="desk",
    description="",
    instructions="",
    subject="order",
    tools=TOOLS,
    permissions=frozenset({"p"}),
    output=Said,
    brain=Rule(),
    tables=("orders", "cases"),
)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(str(tmp_path / "lake"))
    for name, rows in (("orders", ORDERS), ("cases", CASES)):
        lake.table(name).replace(pl.DataFrame(list(rows)).to_arrow().to_reader())
    return lake


@pytest.fixture
def decided(lake: Lake, database: Database, tmp_path: Path) -> Iterator[Callable[[str], Opened]]:
    ledger, snapshot = Ledger(database, Signer.open(tmp_path / "key.pem")), Snapshot.take(lake, DESK.tables)

    def decide(order: str) -> Opened:
        made = run(DESK, Request(subject=order, at=NOON, event={}), snapshot)
        return Opened(ledger, ledger.append([made.draft()])[0])

    yield decide
    snapshot.close()


def found(lake: Lake, opened: Opened, agent: Agent = DESK) -> tuple[Remade, list[Used]]:
    snapshot = Snapshot.of(lake, opened.versions)
    try:
        remade = Remade(opened, agent, Watching(snapshot))
        return remade, used(remade, lambda table: lake.table(table).scan().collect().to_dicts())
    finally:
        snapshot.close()


def told(remade: Remade, cells: list[Used]) -> dict[tuple[str, int, str], tuple[str, ...]]:
    return {(remade.looks[each.cell.look].table, each.cell.row, each.cell.column): each.moves for each in cells}


def test_what_is_said_uses_what_moves_it_and_nothing_else(lake: Lake, decided: Callable[[str], Opened]) -> None:
    moves = told(*found(lake, decided("1")))
    assert moves == {
        ("orders", 0, "firm_id"): (ASKED_NEXT,),
        ("orders", 0, "net"): ("action", "amount"),
        ("orders", 0, "is_old"): ("action",),
        ("orders", 0, ""): (ASKED_NEXT,),
        ("cases", 0, ""): ("cases",),
        ("cases", 1, ""): ("cases",),
    }  # not the note, which moves how sure it is; not the terms, which a large order is asked for where it is old


def test_a_row_that_was_found_by_a_condition_is_used_by_being_there(lake: Lake, decided: Callable[[str], Opened]) -> None:
    moves = told(*found(lake, decided("2")))
    assert not [cell for cell in moves if cell[0] == "cases"]  # it has none that is open
    assert ("orders", 0, "is_old") not in moves  # a small order is released, old or not


def test_a_language_model_used_whatever_it_was_told(lake: Lake, decided: Callable[[str], Opened]) -> None:
    opened = decided("1")
    opened.__dict__["heard"] = [*opened.heard, Heard(source="model", name="small", asked=["..."], answer="hold")]
    remade, cells = found(lake, opened)
    assert {each.cell.column for each in cells if remade.looks[each.cell.look].table == "orders"} == {*ORDERS[0], ""} - {"order_id"}


class Named(Said):
    called: str = Field(json_schema_extra=figure(1, "called", "name"))


@dataclass(frozen=True)
class Naming(Rule):
    """Says what the order is called, too."""

    def decide(self, agent: Agent, request: Request, calls: Calls) -> Mapping[str, Any]:
        return {**super().decide(agent, request, calls), "called": calls.call("name", {"id": request.subject})["note"]}


NAME = Tool(name="name", description="", arguments=Of, permission="p", run=lambda s, asked: s.row("names", {"order": asked.id}), aside=True)
NAMING = replace(DESK, tools=(*TOOLS, NAME), output=Named, brain=Naming(), tables=(*DESK.tables, "names"))


def test_a_name_is_shown_and_is_no_reason(lake: Lake, database: Database, tmp_path: Path) -> None:
    lake.table("names").replace(pl.DataFrame({"order": ["1", "2"], "note": ["Acme", "Vandelay"]}).to_arrow().to_reader())
    ledger, snapshot = Ledger(database, Signer.open(tmp_path / "key.pem")), Snapshot.take(lake, NAMING.tables)
    opened = Opened(ledger, ledger.append([run(NAMING, Request(subject="1", at=NOON, event={}), snapshot).draft()])[0])
    snapshot.close()
    assert opened.output["called"] == "Acme"
    looked = msgspec.json.decode(ledger.blob(opened.capsule.blobs["looked"]))
    assert {each["table"] for each in looked} == {"orders", "cases"}  # a name that was wrong touches no decision
    assert {each.name for each in opened.versions.read} >= {"names"}
    moves = told(*found(lake, opened, NAMING))
    assert ("orders", 0, "net") in moves
    assert not [cell for cell in moves if cell[:1] == ("names",) and cell[2]]
    opened.__dict__["heard"] = [*opened.heard, Heard(source="model", name="small", asked=["..."], answer="hold")]
    remade, cells = found(lake, opened, NAMING)
    assert {remade.looks[each.cell.look].table for each in cells} == {"orders", "cases"}  # of names no model is told


def test_a_tool_that_answers_otherwise_than_then_explains_nothing(lake: Lake, decided: Callable[[str], Opened]) -> None:
    changed = replace(DESK, tools=(replace(TOOLS[0], run=lambda snapshot, asked: {**ORDERS[0], "net": "1.00"}), TOOLS[1]))
    with pytest.raises(AgentError, match="answers otherwise than it did then") as raised:
        found(lake, decided("1"), changed)
    assert "in the commit that made it" in raised.value.hint
    with pytest.raises(AgentError, match="called cases, which its agent no longer has"):
        found(lake, decided("1"), replace(DESK, tools=TOOLS[:1]))


def test_a_version_that_is_gone_is_one_clear_error(lake: Lake, decided: Callable[[str], Opened]) -> None:
    opened = decided("1")
    for file in Path(lake.table("orders").uri).glob("*.parquet"):
        file.unlink()
    with pytest.raises(AgentError, match="orders"):
        found(lake, opened)
