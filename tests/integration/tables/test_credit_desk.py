"""The credit desk over a real company's tables: every order gets a decision that says why, and can be made again."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import polars as pl
import pytest
import sqlalchemy as sa

from models.declared.late_payment_risk import LATE_PAYMENT_RISK
from models.scoring import score_table
from models.trees import declared_facts, tree_from
from pilothouse.agents.agent import Agent, Request
from pilothouse.agents.brains.gateway import Gateway
from pilothouse.agents.brains.language import speaking
from pilothouse.agents.brains.speakers import Speaker
from pilothouse.agents.capsules import Ledger, Signer
from pilothouse.agents.desks.credit_desk import CREDIT_DESK, CreditDecision
from pilothouse.agents.policy import Policy
from pilothouse.agents.running import Run, replay, run
from pilothouse.agents.snapshot import Snapshot
from pilothouse.agents.tools import Permitted, Toolbox
from pilothouse.kernel.database import Database
from pilothouse.kernel.errors import ToolDenied, ToolFailed
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.registry import discover
from pilothouse.kernel.settings import LanguageModelSettings, ProviderSettings
from pilothouse.kernel.versions import Pinned
from pilothouse.tables.building import Builder
from tests.aimock import Aimock, calls
from tests.champion import crown
from tests.llama import KEY, NAME, Llama

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def lake(builder: Builder) -> Lake:
    """With a model in force."""
    crown(builder.lake)
    return builder.lake


@pytest.fixture(scope="module")
def snapshot(lake: Lake) -> Iterator[Snapshot]:
    snapshot = Snapshot.take(lake, CREDIT_DESK.tables)
    yield snapshot
    snapshot.close()


@pytest.fixture(scope="module")
def orders(lake: Lake) -> list[str]:
    return lake.table("marts/fct_order").scan().sort("order_id").collect()["order_id"].to_list()


@pytest.fixture(scope="module")
def runs(snapshot: Snapshot, orders: list[str]) -> list[Run]:
    return [run(CREDIT_DESK, about(order), snapshot) for order in orders[::8]]


@pytest.fixture
def ledger(database: Database, tmp_path: Path) -> Ledger:
    return Ledger(database, Signer.open(tmp_path / "key.pem"))


def about(order: str) -> Request:
    return Request(subject=f"s4/sales_order/{order}", at=NOON, event={"topic": "order.created", "order": order})


def decided(made: Run) -> CreditDecision:
    return CreditDecision.model_validate_json(made.output)


def test_the_desk_is_found_by_the_registry() -> None:
    assert discover("pilothouse.agents.desks", Agent)["credit_desk"] is CREDIT_DESK


def test_every_order_gets_a_decision_that_says_why(runs: list[Run]) -> None:
    actions = Counter(decided(made).action for made in runs)
    assert set(actions) == {"release", "prepayment", "hold"}
    for made in runs:
        found = decided(made)
        assert found.reasons[0]
        assert found.path
        assert made.synthetic  # a company in a box decides nothing that passes for real
        assert (found.proposal is None) or found.action != "release"


def test_the_decision_is_the_trees_over_the_tables_own_values(runs: list[Run], lake: Lake) -> None:
    """Decided a second time by other means: the batch scores, the features as a frame, the tree over frames."""
    assert isinstance(CREDIT_DESK.brain, Policy)
    tree = CREDIT_DESK.brain.tree
    scores = score_table(lake, LATE_PAYMENT_RISK).frame.select("order_id", pl.col("score").alias("risk.probability"))
    features = lake.table("features/feat_order_risk").scan().collect().join(scores, on="order_id", how="left")
    nothing = {name: pl.lit(None, dtype=pl.Float64) for name in ("graph.group_exposure", "graph.group_overdue", "graph.group_firms")}
    frame = features.with_columns(**{name: value for name, value in nothing.items() if name in tree.inputs})
    expected = dict(zip(frame["order_id"], tree.decide_frame(frame)["action"], strict=True))
    told = {made.request.subject.rpartition("/")[2]: decided(made).action for made in runs}
    assert told == {order: expected[order] for order in told}


def test_the_version_vector_names_all_that_was_read(runs: list[Run], snapshot: Snapshot) -> None:
    read = runs[0].versions.read
    assert {entry.name for entry in read if entry.kind == "table"} == set(snapshot.tables)
    assert Pinned("model", "late_payment_risk", "1", "f") in read
    assert any(entry.kind == "policy" and entry.name == "credit_release" for entry in read)


def test_decisions_are_replayed_byte_for_byte(runs: list[Run], ledger: Ledger) -> None:
    capsules = ledger.append([made.draft() for made in runs])
    assert all(replay(ledger, capsule, CREDIT_DESK).identical for capsule in capsules)
    assert list(ledger.verify()) == []


def test_another_tree_decides_otherwise_and_leaves_old_decisions_as_they_were(runs: list[Run], snapshot: Snapshot, ledger: Ledger) -> None:
    assert isinstance(CREDIT_DESK.brain, Policy)
    text = CREDIT_DESK.brain.tree.document.canonical().replace('"above":5000', '"above":1')
    stricter = replace(CREDIT_DESK, brain=replace(CREDIT_DESK.brain, tree=tree_from(text, declared_facts())))
    assert stricter.version() != CREDIT_DESK.version()
    (capsule,) = ledger.append([runs[0].draft()])
    assert replay(ledger, capsule, stricter).identical


def test_a_capsule_is_small(runs: list[Run], ledger: Ledger, database: Database) -> None:
    ledger.append([made.draft() for made in runs])
    with database.reading() as connection:
        held = connection.scalar(sa.text("SELECT sum(length(content)) FROM pilothouse.capsule_blobs"))
    assert held is not None
    assert held / len(runs) < 50_000


def test_the_desk_decides_with_every_socket_refused(runs: list[Run], lake: Lake, cut_off: Callable[[], None]) -> None:
    cut_off()
    fresh = Snapshot.take(lake, CREDIT_DESK.tables)
    assert [run(CREDIT_DESK, made.request, fresh).output for made in runs[:10]] == [made.output for made in runs[:10]]
    fresh.close()


def test_no_agent_declares_a_tool_that_acts() -> None:
    assert not [tool.name for agent in discover("pilothouse.agents.desks", Agent).values() for tool in agent.tools if tool.effect == "act"]


def test_fuzzed_calls_of_the_desks_own_tools_answer_from_the_snapshot_or_not_at_all(
    snapshot: Snapshot, lake: Lake, orders: list[str], cut_off: Callable[[], None]
) -> None:
    """Some more of the ten thousand in `tests/unit/agents/test_tools.py`, over the tools that decide on orders."""
    cut_off()
    dice, answered, hints = random.Random(13), 0, []
    before = {name: lake.table(name).version() for name in snapshot.tables}
    permitted = Permitted(Toolbox(CREDIT_DESK.tools, snapshot), CREDIT_DESK.permissions | {"act", "*"})
    names = [*(tool.name for tool in CREDIT_DESK.tools), "order ", "sap.patch", "../order", ""]
    values = [orders[0], orders[-1], "", None, 0, ["1"], "' OR 1=1; DROP VIEW table_0; --", "../../etc/passwd", "\x00"]
    for _ in range(600):
        arguments = {dice.choice(["order_id", "firm_id", "table", "sql"]): dice.choice(values) for _ in range(dice.randrange(3))}
        try:
            permitted.call(dice.choice(names), arguments)
        except (ToolDenied, ToolFailed) as error:
            hints.append(error.hint)
        else:
            answered += 1
    assert answered > 20
    assert all(hints)
    assert {name: lake.table(name).version() for name in snapshot.tables} == before


def test_an_order_that_is_gone_is_told(snapshot: Snapshot) -> None:
    with pytest.raises(ToolFailed, match="there is no order 999"):
        run(CREDIT_DESK, about("999"), snapshot)


def test_a_held_order_proposes_its_block_and_a_blocked_one_nothing(runs: list[Run]) -> None:
    for made in runs:
        found = decided(made)
        order = next(heard["answer"] for heard in msgspec.json.decode(made.cassette) if heard["name"] == "order")
        there = order["delivery_block"] == {"hold": "01", "prepayment": "02"}.get(found.action)
        due = found.action != "release" and not (there or order["is_complete"] or order["is_rejected"])
        assert (found.proposal is not None) == due
        if found.proposal:
            assert found.proposal.identity == {"SalesOrder": order["order_id"]}


def test_a_language_model_decides_in_the_desks_own_shape(runs: list[Run], snapshot: Snapshot, ledger: Ledger) -> None:
    """It has the last word on the action and the reasons, and none on figures, records and blocks."""
    released = next(made for made in runs if decided(made).action == "release" and decided(made).probability is not None)
    with Aimock() as server:
        url = f"{server.url}/v1"
        price = Decimal(1)
        given = LanguageModelSettings(provider="one", name="m", input_price=price, output_price=price)
        gateway = Gateway([Speaker("small", given, ProviderSettings(kind="compatible", url=url))])
        spoken = speaking(CREDIT_DESK, ("small",), gateway)
        judged = {"reasons": ["nobody knows it"], "confidence": 0.6, "other_action": "release", "what_would_change_it": "a rating"}
        server.says(calls("late_payment_risk", order_id=released.request.subject[-7:]), calls("decide", action="hold", **judged))
        made = run(spoken, released.request, snapshot)
        asked = server.asked()
        offered = {each["function"]["name"] for each in asked[0]["tools"]}
        gateway.close()
    then, now = decided(released), decided(made)
    assert (now.action, now.reasons, now.otherwise and now.otherwise["action"]) == ("hold", ["nobody knows it"], "release")
    figures = ("amount_eur", "at_risk_eur", "probability", "firm_id", "open_cases", "owners")
    assert [getattr(now, name) for name in figures] == [getattr(then, name) for name in figures]
    assert offered == {tool.name for tool in CREDIT_DESK.tools if not tool.aside} | {"decide"}
    assert now.firm == then.firm
    assert now.firm
    assert now.firm not in str(asked)  # a name is shown to people, and no model judges by it
    assert made.synthetic
    assert {each for each in released.versions.read if each.kind != "policy"} < set(made.versions.read)
    (capsule,) = ledger.append([made.draft()])
    assert replay(ledger, capsule, CREDIT_DESK).identical


def test_what_a_server_makes_of_its_prompt_is_a_decision_and_replayed_without_it(
    runs: list[Run], snapshot: Snapshot, ledger: Ledger
) -> None:
    with Llama() as server:
        given = LanguageModelSettings(provider="own", name=NAME, input_price=Decimal(1), output_price=Decimal(1))
        provider = ProviderSettings.model_validate({"kind": "compatible", "url": f"{server.url}/v1", "key": KEY})
        gateway = Gateway([Speaker("real", given, provider)])
        made = [run(speaking(CREDIT_DESK, ("real",), gateway), each.request, snapshot) for each in runs[:3]]
        gateway.close()
    for then, now in zip(runs, made, strict=False):
        figures = ("amount_eur", "at_risk_eur", "probability", "firm_id", "open_cases", "owners")
        assert [getattr(decided(now), name) for name in figures] == [getattr(decided(then), name) for name in figures]
        assert now.spent.tokens > 1_000
    for capsule in ledger.append([each.draft() for each in made]):
        assert replay(ledger, capsule, CREDIT_DESK).identical
