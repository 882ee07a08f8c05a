"""A backtest sees what was known then and nothing later, and counts what another version would have earned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import msgspec
import polars as pl
import pytest

from graph.analytics.ownership import groups
from models.declared.late_payment_risk import LATE_PAYMENT_RISK
from models.trees import find_tree
from models.versions import VersionTable
from pilothouse.agents.capsules import Ledger, Signer
from pilothouse.agents.desks.credit_desk import CREDIT_DESK
from pilothouse.agents.policy import Policy
from pilothouse.agents.running import run
from pilothouse.agents.snapshot import Snapshot
from pilothouse.hindsight.backtest.candidate import Candidate, candidate, with_thresholds
from pilothouse.hindsight.backtest.comparison import CANDIDATE, DECIDED, Comparison, compared
from pilothouse.hindsight.backtest.events import Event, about_orders, occasions, since_unseen
from pilothouse.hindsight.backtest.past import past
from pilothouse.hindsight.backtest.picture import write
from pilothouse.hindsight.backtest.running import Backtest, Tried
from pilothouse.hindsight.money import Money
from pilothouse.hindsight.orders import fates
from pilothouse.kernel.database import Database
from pilothouse.kernel.errors import AgentError, ConfigError, ModelError
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.settings import MoneySettings
from pilothouse.tables.building import Builder
from tests.champion import crown
from tests.integration.tables.test_point_in_time import change_in_place, keep_firms_as_they_are, plant_bad_news, plant_orders_and_debts
from tests.raw_company import RawCompany

MODELS = {LATE_PAYMENT_RISK.name: LATE_PAYMENT_RISK}
MONEY = Money(MoneySettings())
THE_AGENT = candidate(CREDIT_DESK)
LENIENT = candidate(CREDIT_DESK, thresholds=["risk.probability:0.28=0.9", "risk.probability:0.34=0.95", "risk.probability:0.22=0.9"])
Told = dict[str, bytes]


@pytest.fixture(scope="module")
def lake(builder: Builder) -> Lake:
    crown(builder.lake)
    return builder.lake


@pytest.fixture(scope="module")
def events(lake: Lake) -> list[Event]:
    """Each third order that the model has not seen."""
    return occasions(lake, None, CREDIT_DESK, since_unseen(lake, [LATE_PAYMENT_RISK], CREDIT_DESK), None)[::3]


@pytest.fixture(scope="module")
def before(lake: Lake, events: list[Event]) -> Told:
    return told(lake, THE_AGENT, events)


@pytest.fixture
def ledger(database: Database, tmp_path: Path) -> Ledger:
    return Ledger(database, Signer.open(tmp_path / "key.pem"))


def over(lake: Lake, tried: Candidate, events: list[Event]) -> list[Tried]:
    return list(Backtest(lake, MODELS, tried).over(events))


def told(lake: Lake, tried: Candidate, events: list[Event]) -> Told:
    found = over(lake, tried, events)
    assert all(each.output for each in found), {each.why_not for each in found}
    return {each.event.order: each.output for each in found}


@pytest.fixture
def planted(lake: Lake) -> Iterator[None]:
    """Marts say again what they said when a test that plants rows is over."""
    kept = {
        name: lake.table(name).scan().collect()
        for name in ("marts/fct_order", "marts/fct_case", "marts/fct_ownership", "marts/fct_exposure")
    }
    versions = VersionTable(lake, LATE_PAYMENT_RISK).all()
    yield
    for name, frame in kept.items():
        plant(lake, name, frame)
    VersionTable(lake, LATE_PAYMENT_RISK).keep(versions)


def plant(lake: Lake, table: str, rows: pl.DataFrame) -> None:
    lake.table(table).replace(rows.to_arrow().to_reader())


def test_it_decides_on_orders_from_before_the_ledger(before: Told, events: list[Event]) -> None:
    assert len(before) == len(events) > 50
    actions = {msgspec.json.decode(output)["action"] for output in before.values()}
    assert {"release", "prepayment"} <= actions


CANARIES = [
    "every order has been delivered, blocked or rejected since",
    "firms complained later",
    "firms were bought later",
    "firms left everything unpaid later",
    "a model has learned from these very orders",
]


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize("canary", CANARIES)
def test_no_later_row_changes_what_is_decided(canary: str, lake: Lake, events: list[Event], before: Told) -> None:
    last = max(event.day for event in events)
    firms = lake.table("marts/dim_firm").scan().select("firm_id").collect()["firm_id"]
    if canary == CANARIES[0]:
        rows = lake.table("marts/fct_order").scan().collect()
        changed = {"delivery_block": pl.lit("01"), "is_rejected": pl.lit(value=True), "net_amount_eur": pl.col("net_amount_eur") * 7}
        changed |= {
            "is_complete": pl.lit(value=True),
            "changed_at": pl.lit(datetime(2027, 1, 1, tzinfo=UTC)),
            "items": pl.lit(99, pl.Int64),
        }
        plant(lake, "marts/fct_order", rows.with_columns(**changed).cast(dict(rows.schema)))  # type: ignore[arg-type]
    elif canary == CANARIES[1]:
        rows = lake.table("marts/fct_case").scan().collect()
        begins = datetime(last.year, last.month, last.day, tzinfo=UTC)
        later = rows.head(1).drop("firm_id", "case_id").join(firms.to_frame(), how="cross").with_row_index("case_id")
        later = later.with_columns(pl.format("canary{}", "case_id").alias("case_id"), is_closed=False, opened_at=begins, closed_at=None)
        closed = pl.when(pl.col("closed_at") >= begins).then(None).otherwise(pl.col("closed_at"))
        moved = rows.with_columns(status=pl.lit("Changed"), changed_at=begins, is_escalated=True, closed_at=closed)
        plant(lake, "marts/fct_case", pl.concat([moved, later.select(rows.columns).cast(dict(rows.schema))]))  # type: ignore[arg-type]
    elif canary == CANARIES[2]:
        rows = lake.table("marts/fct_ownership").scan().collect()
        bought = pl.DataFrame(
            {"owner_firm_id": firms[0], "owned_firm_id": firms[1:], "share_percent": 100, "since": last, "_synthetic": True}
        )
        plant(lake, "marts/fct_ownership", pl.concat([rows, bought.select(rows.columns).cast(dict(rows.schema))]))  # type: ignore[arg-type]
    elif canary == CANARIES[3]:
        rows = lake.table("marts/fct_exposure").scan().collect()
        owed = firms.to_frame().with_columns(day=pl.lit(last), open_eur=9e8, not_due_eur=0, overdue_1_30_eur=9e8, _synthetic=True)
        owed = owed.with_columns(overdue_31_60_eur=0, overdue_61_90_eur=0, overdue_over_90_eur=0)
        plant(lake, "marts/fct_exposure", pl.concat([rows, owed.select(rows.columns).cast(dict(rows.schema))]))  # type: ignore[arg-type]
    else:
        table = VersionTable(lake, LATE_PAYMENT_RISK)
        first = table.champion()
        learned = replace(first, version=2, seen_until=last + timedelta(days=1), card={**first.card, "intercept": 9.0})
        table.keep([learned, replace(first, is_champion=False)])
    assert told(lake, THE_AGENT, events) == before


@pytest.mark.usefixtures("planted")
def test_the_canaries_would_be_heard_if_they_were_looked_at(lake: Lake, events: list[Event], before: Told) -> None:
    """The same rows dated earlier change what is decided: nothing above is silent because nobody listens."""
    first = min(event.day for event in events) - timedelta(days=1)
    firms = lake.table("marts/dim_firm").scan().select("firm_id").collect()["firm_id"]
    rows = lake.table("marts/fct_exposure").scan().collect()
    owed = firms.to_frame().with_columns(day=pl.lit(first), open_eur=9e8, not_due_eur=0, overdue_1_30_eur=9e8, _synthetic=True)
    owed = owed.with_columns(overdue_31_60_eur=0, overdue_61_90_eur=0, overdue_over_90_eur=0)
    earlier = pl.concat([rows.filter(pl.col("day") < first), owed.select(rows.columns).cast(dict(rows.schema))])  # type: ignore[arg-type]
    plant(lake, "marts/fct_exposure", earlier)
    changed = told(lake, THE_AGENT, events)
    assert {order for order in before if changed[order] != before[order]}
    assert any(msgspec.json.decode(output)["action"] == "hold" for output in changed.values())


def test_the_groups_of_a_day_are_those_that_analytics_would_have_found_on_it(lake: Lake) -> None:
    ownership, exposure = (lake.table(name).scan().collect() for name in ("marts/fct_ownership", "marts/fct_exposure"))
    day = date(2026, 3, 2)
    owned = ownership.filter(pl.col("since").is_null() | (pl.col("since") < day))
    share = (pl.col("share_percent").cast(pl.Float64) / 100).fill_null(1.0)
    firms = lake.table("marts/dim_firm").scan().select("firm_id").collect()["firm_id"].sort()
    found = groups(owned.select(owner="owner_firm_id", owned="owned_firm_id", share=share), firms)
    last = exposure.filter(pl.col("day") < day).sort("day").unique("firm_id", keep="last").select("firm_id", "open_eur")
    together = dict(found.join(last, on="firm_id", how="left").group_by("group_id").agg(pl.col("open_eur").fill_null(0).sum()).iter_rows())
    snapshot = past(lake, CREDIT_DESK.tables, [LATE_PAYMENT_RISK]).on(day)
    several = found.filter(pl.col("group_firms") > 1)
    assert several.height > 2
    for firm, group, count in found.select("firm_id", "group_id", "group_firms").iter_rows():
        row = snapshot.row("graph/firm_measures", {"firm_id": firm})
        assert row is not None
        assert (row["group_id"], row["group_firms"]) == (group, count)
        assert Decimal(row["group_open_eur"]) == together[group]


def test_decisions_of_the_ledger_are_made_again_by_what_they_heard(lake: Lake, ledger: Ledger, events: list[Event]) -> None:
    """Even where every table says something else by now, and the one of the model is another."""
    with_snapshot = Snapshot.take(lake, CREDIT_DESK.tables)
    made = [run(CREDIT_DESK, event.request, with_snapshot) for event in events[:40]]
    with_snapshot.close()
    ledger.append([each.draft() for each in made])
    kept = {name: lake.table(name).scan().collect() for name in ("features/feat_order_risk", "marts/fct_order")}
    versions = VersionTable(lake, LATE_PAYMENT_RISK).all()
    try:
        for name, frame in kept.items():
            plant(lake, name, frame.clear())
        again = occasions(lake, ledger, CREDIT_DESK, None, None)
        assert [event.order for event in again] == [event.order for event in events[:40]]
        assert [each.output for each in over(lake, THE_AGENT, again)] == [each.output for each in made]
        with_model = candidate(CREDIT_DESK, model=1)
        assert [each.output for each in over(lake, with_model, again)] == [each.output for each in made]
        otherwise = over(lake, LENIENT, again)
        assert [each.output for each in otherwise] != [each.output for each in made]
    finally:
        for name, frame in kept.items():
            plant(lake, name, frame)
        VersionTable(lake, LATE_PAYMENT_RISK).keep(versions)


def test_what_was_decided_is_what_the_ledger_says_and_the_last_word_on_an_order(lake: Lake, ledger: Ledger, events: list[Event]) -> None:
    snapshot = Snapshot.take(lake, CREDIT_DESK.tables)
    strict = candidate(CREDIT_DESK, thresholds=["risk.probability:0.28=0.001", "risk.probability:0.22=0.001"]).agent
    ledger.append([run(agent, events[0].request, snapshot).draft() for agent in (CREDIT_DESK, strict)])
    snapshot.close()
    (event,) = occasions(lake, ledger, CREDIT_DESK, events[0].day, events[0].day + timedelta(days=1))[:1]
    assert event.capsule is not None
    assert event.decided[0] == event.capsule.body["output"]["action"] != "release"
    rest = occasions(lake, ledger, CREDIT_DESK, events[0].day, None)
    assert len({each.order for each in rest}) == len(rest)


def test_a_model_is_not_asked_about_orders_that_it_has_learned_from(lake: Lake) -> None:
    early = occasions(lake, None, CREDIT_DESK, date(2025, 9, 1), date(2025, 9, 15))
    assert early
    found = over(lake, candidate(CREDIT_DESK, model=1), early)
    assert {each.action for each in found} == {None}
    assert all("has learned from what came before" in each.why_not for each in found)
    assert all(each.probability is None and each.action for each in over(lake, THE_AGENT, early))  # as if no model were in force


def test_money_and_outcomes_are_compared_on_the_orders_that_can_be_judged(lake: Lake, events: list[Event]) -> None:
    found = comparison(lake, LENIENT, events)
    known = fates(lake, MONEY).judged
    assert found.judged == known.filter(pl.col("order_id").is_in([event.order for event in events])).height
    assert found.synthetic
    assert found.moves["decisions"].sum() == found.occasions == len(events) - sum(count for _, count in found.undecided)
    beside = dict(found.beside)
    assert beside[DECIDED].value == 0
    assert beside["the best in hindsight"].value >= beside[CANDIDATE].value
    assert dict(found.earned)[CANDIDATE].value - dict(found.earned)[DECIDED].value == pytest.approx(found.difference.value)
    assert found.curve["difference"][-1] == pytest.approx(found.difference.value)
    assert (found.curve["low"] <= found.curve["high"]).all()
    assert sum(each.decisions for each in dict(found.outcomes)[CANDIDATE]) == found.judged


def test_a_candidate_that_decides_as_was_decided_earns_the_same(lake: Lake, events: list[Event]) -> None:
    released = [each for each in over(lake, LENIENT, events) if each.action == "release"]
    found = compared(LENIENT, released, fates(lake, MONEY), MONEY)
    assert found.same.value == 1
    assert (found.difference.value, found.difference.low, found.difference.high) == (0, 0, 0)
    assert found.most.is_empty()


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_the_chart_is_a_picture(kind: str, lake: Lake, events: list[Event], tmp_path: Path) -> None:
    write(comparison(lake, LENIENT, events), tmp_path / f"chart.{kind}")
    content = (tmp_path / f"chart.{kind}").read_bytes()
    assert len(content) > 5_000
    assert content.startswith({"png": b"\x89PNG", "svg": b"<?xml"}[kind])
    assert kind == "png" or b"SYNTHETIC" in content or b"glyph" in content or b"DejaVu" in content


def test_what_cannot_be_tried_is_told_with_the_way_out(lake: Lake, tmp_path: Path) -> None:
    tree = find_tree("credit_release")
    with pytest.raises(ConfigError, match=r"holds risk\.probability against no 0\.5") as refused:
        with_thresholds(tree, ["risk.probability:0.5=0.6"])
    assert "0.22" in refused.value.hint
    with pytest.raises(ConfigError, match="holds overdue_eur against no 5") as refused:
        with_thresholds(tree, ["overdue_eur:5=6"])
    assert "invoices_late_and_open" in refused.value.hint
    with pytest.raises(ConfigError, match="sets no threshold"):
        with_thresholds(tree, ["risk above 3"])
    with pytest.raises(ConfigError, match="no input reaches it"):
        with_thresholds(tree, ["risk.probability:0.43=0.01"])  # a case that nothing reaches any more
    with pytest.raises(ConfigError, match="cannot be read"):
        candidate(CREDIT_DESK, instructions=tmp_path / "none.txt")
    with pytest.raises(ModelError, match="no version 7"):
        over(lake, candidate(CREDIT_DESK, model=7), [])
    with pytest.raises(AgentError, match="does not decide about sales orders"):
        about_orders(replace(CREDIT_DESK, subject="s4/journal_item"))
    with pytest.raises(AgentError, match="cannot be seen as it was"):
        past(lake, ["marts/dim_product"], [])
    with pytest.raises(ConfigError, match="no kind of picture"):
        write(comparison(lake, THE_AGENT, []), tmp_path / "chart.txt")
    with pytest.raises(ConfigError, match="nothing to draw"):
        write(comparison(lake, THE_AGENT, []), tmp_path / "chart.png")


def test_another_tree_and_other_instructions_are_other_versions(tmp_path: Path) -> None:
    (tmp_path / "say.txt").write_text("Be kind.")
    assert isinstance(CREDIT_DESK.brain, Policy)
    versions = {
        candidate(CREDIT_DESK).agent.version(),
        LENIENT.agent.version(),
        candidate(CREDIT_DESK, instructions=tmp_path / "say.txt").agent.version(),
    }
    assert len(versions) == 3
    assert candidate(CREDIT_DESK).is_the_agent
    assert not LENIENT.is_the_agent


def comparison(lake: Lake, tried: Candidate, events: list[Event]) -> Comparison:
    return compared(tried, over(lake, tried, events), fates(lake, MONEY), MONEY)


def test_a_future_that_is_planted_at_the_sources_changes_no_decision_of_the_past(
    lake: Lake, raw: RawCompany, builder: Builder, events: list[Event], before: Told
) -> None:
    """Every customer owes and orders hugely, is rated worst, complains and is bought; every order says something else by now. The last
    test of this file: it leaves the tables so."""
    day = date(2026, 4, 15)
    then = [event for event in events if event.day < day]
    assert len(then) > 40
    orders = lake.table("marts/fct_order").scan().filter(pl.col("ordered_on") < day).collect()
    customers = sorted(set(orders["customer_id"]))
    keep_firms_as_they_are(raw)
    plant_orders_and_debts(raw, customers, day + timedelta(days=1))
    plant_bad_news(raw, day + timedelta(days=1))
    change_in_place(raw, orders["order_id"].to_list(), customers)
    assert raw.sync() > 500
    assert not [made.reason for made in builder.build() if made.reason]
    assert told(lake, THE_AGENT, then) == {event.order: before[event.order] for event in then}
    later = occasions(lake, None, CREDIT_DESK, day + timedelta(days=2), None)
    assert any(each.action == "hold" for each in over(lake, THE_AGENT, later[:40]))  # the plants are real: orders after them see them
