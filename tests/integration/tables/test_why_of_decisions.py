"""Why of a decision over a real company's tables, against brute force: tables made again of nothing but what was named, and decided on.

Made of the named raw rows alone the decision must come out the same: so none is missing. Taking any one of them away must change it, at
once or once others are gone: so none is idle. But for records that are named because they were compared.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from io import StringIO
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from rich.console import Console
from typer.testing import CliRunner

from assets.measuring import Measuring
from pilothouse.agents.agent import Request
from pilothouse.agents.capsules import Capsule, Ledger, Signer
from pilothouse.agents.explaining.differing import Side, against_today, between
from pilothouse.agents.explaining.opened import Opened
from pilothouse.agents.explaining.since import sources
from pilothouse.agents.explaining.why import Deciding, Why
from pilothouse.agents.running import run
from pilothouse.agents.snapshot import Snapshot
from pilothouse.cli.app import app
from pilothouse.cli.why_page import page
from pilothouse.kernel.database import Database
from pilothouse.kernel.errors import AgentError
from pilothouse.kernel.lake import Lake
from pilothouse.local.postgres import EmbeddedPostgres
from pilothouse.sandbox.company.sap import SAP
from pilothouse.tables.building import Builder
from pilothouse.tables.project import Project
from pilothouse.tables.why.explain import Explainer
from pilothouse.tables.why.reading import At
from pilothouse.tables.why.row import Row
from tests.champion import crown
from tests.desk import DESK, TREE, desk
from tests.integration.tables.decided_again import DecidedAgain, resolved
from tests.integration.tables.remade import compiled, rows_of
from tests.integration.tables.removal import is_cause
from tests.integration.tables.test_building import built, lived
from tests.raw_company import RawCompany

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
CHECKED = 3  # of the raw rows behind each decision


@pytest.fixture(scope="module")
def lake(raw: RawCompany, builder: Builder) -> Lake:
    """A company some of whose rows have several versions, measured, and with a model in force."""
    lived(raw, 40)
    built(builder)
    list(Measuring(raw.lake).measure())
    crown(raw.lake)
    return raw.lake


@pytest.fixture(scope="module")
def database(postgres_server: EmbeddedPostgres) -> Iterator[Database]:
    database = Database(Database(postgres_server.url()).ensure_database("why_of_decisions"))
    database.upgrade()
    yield database
    database.close()


@pytest.fixture(scope="module")
def ledger(database: Database, work: Path) -> Ledger:
    return Ledger(database, Signer.open(work / "keys" / "capsules.pem"))


@pytest.fixture(scope="module")
def decisions(lake: Lake, ledger: Ledger) -> dict[str, list[Capsule]]:
    """Decisions by what was decided; those first whose firms have a group."""
    snapshot = Snapshot.take(lake, DESK.tables)
    orders = lake.table("marts/fct_order").scan().select("order_id", "firm_id").collect()
    measures = lake.table("graph/firm_measures").scan().select("firm_id", "group_firms").collect()
    ordered = orders.join(measures, on="firm_id", how="left").sort("group_firms", "order_id", descending=[True, False])
    made = [run(DESK, about(order), snapshot).draft() for order in [*ordered["order_id"][:12], *ordered["order_id"][12::5]]]
    snapshot.close()
    found: dict[str, list[Capsule]] = {}
    for capsule in ledger.append(made):
        found.setdefault(capsule.body["output"]["action"], []).append(capsule)
    return found


@pytest.fixture(scope="module")
def deciding(lake: Lake, project: Project, work: Path) -> Deciding:
    return Deciding(lake, Explainer(lake, project, work))


@pytest.fixture(scope="module")
def again(lake: Lake, project: Project, work: Path) -> DecidedAgain:
    return DecidedAgain(lake, project, compiled(lake, project, work), DESK)


def about(order: str) -> Request:
    return Request(subject=f"s4/sales_order/{order}", at=NOON, event={"topic": "order.created", "order": order})


def raw_rows(why: Why) -> list[tuple[str, str]]:
    return sorted((source.table, source.row_id + source.seen_at) for source in why.sources)


def grouped(capsules: list[Capsule], lake: Lake) -> Capsule:
    """One whose way asked what the group owes."""
    return next(each for each in capsules if "graph.group_exposure" in json.dumps(each.body["output"]["path"]))


@pytest.mark.timeout(900)
def test_what_is_named_is_all_that_it_takes_and_nothing_idle(
    lake: Lake, ledger: Ledger, decisions: Mapping[str, list[Capsule]], deciding: Deciding, again: DecidedAgain
) -> None:
    dice = random.Random(3)
    for capsule in (grouped(decisions["release"], lake), decisions["hold"][0], decisions["prepayment"][-1]):
        opened = Opened.of(ledger, capsule.digest)
        why = deciding.why(opened, DESK)
        snapshot = Snapshot.of(lake, opened.versions)
        expected = again.said(run(DESK, opened.request, snapshot))
        snapshot.close()
        named = raw_rows(why)
        small = again.whole(named)
        assert again.answer(small, opened.request) == expected, opened.subject
        answer = cache(partial(again.answer, small, opened.request))
        rows = rows_of(named)
        made = sorted(rows - resolved(why.rows))
        for row in dice.sample(made, min(CHECKED, len(made))):
            assert is_cause(row, rows, answer), (opened.subject, row)


def test_facts_say_what_of_the_decision_they_move(
    lake: Lake, ledger: Ledger, decisions: Mapping[str, list[Capsule]], deciding: Deciding
) -> None:
    why = deciding.why(Opened.of(ledger, grouped(decisions["release"], lake).digest), DESK)
    seen = {name for step in why.opened.output["path"] for name in [each["input"] for each in step["conditions"]]}
    assert [fact.column for fact in why.facts if fact.column and "graph.group_exposure" in fact.asked] == ["group_open_eur"]
    assert {name for fact in why.facts for name in fact.asked} == seen
    (amount,) = (fact for fact in why.facts if fact.column == "net_amount_eur")
    assert {"amount_eur", "at_risk_eur"} <= set(amount.moves)
    assert "path" not in amount.moves
    assert [(each.name, each.version) for each in why.models] == [("late_payment_risk", "1")]
    (measures,) = (row for row in why.rows if row.table == "graph/firm_measures")
    assert {row.table for row in measures.sources} <= {"marts/dim_firm", "marts/fct_invoice", "marts/fct_ownership", "marts/fct_order"}


def test_records_that_were_taken_for_one_firm_are_told_with_their_evidence(
    lake: Lake, ledger: Ledger, decisions: Mapping[str, list[Capsule]], deciding: Deciding
) -> None:
    merges = [merge for each in decisions["hold"][:3] for merge in deciding.why(Opened.of(ledger, each.digest), DESK).merges]
    members = lake.table("intermediate/int_firm_member").scan().collect()
    assert merges
    for merge in merges:
        source, _, number = merge.record.partition(":")
        told = members.row(by_predicate=(pl.col("source") == source) & (pl.col("record_id") == number), named=True)
        assert (told["firm_id"], told["evidence"], told["weight"]) == (merge.firm, merge.evidence, merge.weight)
        assert [{link.left, link.right} for link in merge.links] == [
            {*pair} for pair in zip(merge.through, merge.through[1:], strict=False)
        ]


def test_source_rows_are_told_as_they_were_and_as_they_are(
    raw: RawCompany, lake: Lake, ledger: Ledger, decisions: Mapping[str, list[Capsule]], deciding: Deciding
) -> None:
    opened = Opened.of(ledger, decisions["hold"][0].digest)
    before = deciding.why(opened, DESK)
    orders = [source for source in before.sources if source.table == "raw/s4/sales_order"]
    changed = orders[0].called
    entities = {entity.name: entity for entity in SAP}
    raw.company.store.update(entities["SalesOrder"], [changed], {"SoldToParty": "1"}, NOON)
    gone = next(source for source in before.sources if source.table == "raw/s4/billing_document")
    raw.company.store.delete(entities["BillingDocument"], [gone.called], NOON)
    raw.sync()
    after = deciding.why(opened, DESK)
    assert raw_rows(after) == raw_rows(before)
    now = {(source.table, source.called): source for source in after.sources}
    assert now["raw/s4/sales_order", changed].state == "changed"
    assert now["raw/s4/sales_order", changed].then["SoldToParty"] != "1"
    assert (now["raw/s4/sales_order", changed].now or {})["SoldToParty"] == "1"
    assert (now["raw/s4/billing_document", gone.called].state, now["raw/s4/billing_document", gone.called].now) == ("deleted", None)
    assert all(source.then == again.then for source, again in zip(before.sources, after.sources, strict=True))
    for name in ("raw/s4/sales_order", "raw/s4/billing_document"):  # then none of the files of then is left
        assert lake.table(name).delta().optimize.compact()["numFilesRemoved"]
    told = [(source.table, source.called, source.state, source.now) for source in after.sources]
    assert [(source.table, source.called, source.state, source.now) for source in deciding.why(opened, DESK).sources] == told


def test_what_a_row_said_before_it_said_something_else_has_not_changed(raw: RawCompany, lake: Lake, deciding: Deciding) -> None:
    table, entity = "raw/s4/sales_order", next(each for each in SAP if each.name == "SalesOrder")
    order = lake.table(table).scan().select("SalesOrder").first().collect().item()
    for number in range(2):
        then = lake.table(table).delta().version()
        raw.company.store.update(entity, [order], {"CustomerPaymentTerms": f"N{number}"}, NOON + timedelta(minutes=number))
        raw.sync()
    reading = deciding._explainer.reading
    connection = reading.connection()
    told = f"SELECT hex(_row_id), epoch_us(_seen_at), CustomerPaymentTerms FROM ({reading.rows_of(At(table, then))}) WHERE SalesOrder = ?"
    rows = [
        Row(table, then, {"_row_id": row_id, "_seen_at": str(seen)}, [], {"CustomerPaymentTerms": terms})
        for row_id, seen, terms in connection.duck.execute(told, [order]).fetchall()
    ]
    state = {source.then["CustomerPaymentTerms"]: source.state for source in sources(deciding._explainer, connection, rows)}
    assert len(state) > 1
    assert state == dict.fromkeys(state, "same") | {"N0": "changed"}
    reading.give_back(connection)


def test_a_decision_beside_todays_tells_whether_agent_or_rows_have_changed(
    lake: Lake, ledger: Ledger, decisions: Mapping[str, list[Capsule]]
) -> None:
    stricter = desk(TREE.replace("{below: 0.2, or_missing: true}", "{below: 0.0001, or_missing: true}"))
    capsules = (Opened.of(ledger, capsule.digest) for capsule in decisions["release"])
    released = next(each for each in capsules if each.output["path"][-1]["then"] == "release_low")
    same, other = against_today(released, DESK, lake), against_today(released, stricter, lake)
    assert same.same
    assert same.because is not None
    assert same.because.cause == "nothing"
    assert not same.agent
    assert other.parted is not None
    assert (other.parted.left, other.parted.right) == ("release_low", "prepay_risk")
    assert [(each.left, each.right) for each in other.agent if each.name.endswith("below")] == [(0.2, 0.0001)]
    assert other.because is not None
    assert other.because.cause == "agent"
    two = between(Side.of(released), Side.of(Opened.of(ledger, decisions["hold"][0].digest)))
    assert {each.name for each in two.output} >= {"action", "reasons"}


def test_a_lake_that_no_longer_says_what_was_heard_explains_nothing(
    ledger: Ledger, decisions: Mapping[str, list[Capsule]], deciding: Deciding
) -> None:
    def otherwise(snapshot: Snapshot, asked: Any) -> list[Any]:
        return []

    changed = replace(DESK, tools=tuple(replace(each, run=otherwise) if each.name == "order" else each for each in DESK.tools))
    with pytest.raises(AgentError, match=r"order .* answers otherwise than it did then"):
        deciding.why(Opened.of(ledger, decisions["hold"][0].digest), changed)


def test_the_command_tells_it_as_json(
    lake: Lake,
    database: Database,
    ledger: Ledger,
    decisions: Mapping[str, list[Capsule]],
    work: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "tables").symlink_to(work)
    (tmp_path / "pilothouse.toml").write_text(f'home = "{tmp_path}"\n[lake]\nurl = "{lake.url}"\n')
    monkeypatch.setenv("PILOTHOUSE_CONFIG", str(tmp_path / "pilothouse.toml"))
    monkeypatch.setenv("PILOTHOUSE_DATABASE__URL", database.url)
    held = decisions["hold"][0].digest
    told = CliRunner().invoke(app, ["why", held, "--json"])
    assert told.exit_code == 0, told.output
    plain = json.loads(told.stdout)
    assert {row["table"] for row in plain["rows"]} >= {"marts/fct_order", "raw/s4/sales_order"}
    assert len(plain["sources"]) == sum(
        row["table"].startswith("raw/") for row in {json.dumps(r["key"]): r for r in plain["rows"]}.values()
    )
    assert CliRunner().invoke(app, ["why", held, "-c", "items"]).exit_code == 2


def test_a_page_tells_it_to_people(ledger: Ledger, decisions: Mapping[str, list[Capsule]], deciding: Deciding) -> None:
    why = deciding.why(Opened.of(ledger, decisions["hold"][0].digest), DESK)
    shown = Console(width=200, file=StringIO(), record=True)
    shown.print(page(why, tree=True, every=True))
    text = shown.export_text()
    assert "the way (invoices_late_and_open)" in text
    assert f"The {len(why.sources)} source rows; " in text
    assert all(source.called in text for source in why.sources)
