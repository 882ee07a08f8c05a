"""Which decisions bad rows touched: those found are those that provenance names one by one, at the versions that each had read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from models.declared.late_payment_risk import LATE_PAYMENT_RISK
from models.versions import VersionTable
from pilothouse.agents.agent import Request
from pilothouse.agents.capsules import Capsule, Ledger, Signer
from pilothouse.agents.desks.credit_desk import CREDIT_DESK
from pilothouse.agents.running import run
from pilothouse.agents.snapshot import Snapshot, plain
from pilothouse.hindsight.affected import Affected, Touched, again
from pilothouse.kernel.database import Database
from pilothouse.kernel.errors import AgentError
from pilothouse.kernel.lake import Lake
from pilothouse.local.postgres import EmbeddedPostgres
from pilothouse.sandbox.company.sap_finance import OPERATIONAL_ACCTG_DOC_ITEM_CUBE as JOURNAL
from pilothouse.tables.building import Builder
from pilothouse.tables.project import Project
from pilothouse.tables.why.explain import Explainer
from pilothouse.tables.why.impact import Impact
from pilothouse.tables.why.reading import At
from tests.champion import crown
from tests.conftest import _fresh_database
from tests.integration.tables.conftest import NOW
from tests.raw_company import RawCompany

TABLE = "raw/s4/journal_item"
Place = tuple[str, int]


@dataclass
class World:
    """Decisions before a bad batch, after it, and after it was mended; each of other orders."""

    lake: Lake
    ledger: Ledger
    affected: Affected
    explainer: Explainer
    bad: list[tuple[str, str]]
    before: list[Capsule]
    after: list[Capsule]
    mended: list[Capsule]

    @property
    def everything(self) -> list[Capsule]:
        return [*self.before, *self.after, *self.mended]


@pytest.fixture(scope="module")
def database(postgres_server: EmbeddedPostgres, _migrated_template: str) -> Iterator[Database]:
    for url in _fresh_database(postgres_server, _migrated_template):
        database = Database(url)
        yield database
        database.close()


@pytest.fixture(scope="module")
def world(
    raw: RawCompany, builder: Builder, project: Project, work: Path, database: Database, tmp_path_factory: pytest.TempPathFactory
) -> World:
    lake = builder.lake
    ledger = Ledger(database, Signer.open(tmp_path_factory.mktemp("keys") / "key.pem"))
    crown(lake)
    orders = lake.table("features/feat_order_risk").scan().collect().sort("ordered_on", descending=True)["order_id"].to_list()[:36]
    before = decide(lake, ledger, orders[0::3])
    store, lines = raw.company.store, paid_lines(raw)
    for key, _ in lines:
        store.update(JOURNAL, key, {"IsCleared": 0, "ClearingDate": None}, NOW)
    bad = brought(raw, builder)
    after = decide(lake, ledger, orders[1::3])
    for key, day in lines:
        store.update(JOURNAL, key, {"IsCleared": 1, "ClearingDate": day}, NOW)
    brought(raw, builder)
    crown(lake)
    mended = decide(lake, ledger, orders[2::3])
    explainer = Explainer(lake, project, work)
    affected = Affected(lake, ledger, lambda: Impact(explainer, project.published.values()))
    return World(lake, ledger, affected, explainer, bad, before, after, mended)


@pytest.fixture(scope="module")
def touched(world: World) -> list[Touched]:
    return list(world.affected.by_rows(TABLE, world.bad))


def paid_lines(raw: RawCompany) -> list[tuple[tuple[Any, ...], str]]:
    """Receivables of some customers that were paid: the keys of their lines, and when."""
    condition = "AccountingDocumentType = 'RV' AND FinancialAccountType = 'D' AND IsCleared = 1 AND ClearingDate < '2026-05-01'"
    names = ", ".join(JOURNAL.key)
    rows = raw.company.store.rows(f"SELECT {names}, ClearingDate FROM {JOURNAL.table} WHERE {condition} ORDER BY PostingDate DESC LIMIT 12")
    return [(tuple(row[:-1]), str(row[-1])) for row in rows]


def brought(raw: RawCompany, builder: Builder) -> list[tuple[str, str]]:
    """Bring what changed into the lake; the rows that this brought, as provenance calls them."""
    table = builder.lake.table(TABLE)
    version = table.version()
    assert raw.sync() > 0
    assert not [made.reason for made in builder.build() if made.reason]
    new = table.scan().join(table.scan(version), on=["_row_id", "_seen_at"], how="anti").collect()
    return [(row["_row_id"].hex().upper(), str(int(row["_seen_at"].timestamp() * 1_000_000))) for row in new.iter_rows(named=True)]


def decide(lake: Lake, ledger: Ledger, orders: list[str]) -> list[Capsule]:
    snapshot = Snapshot.take(lake, CREDIT_DESK.tables)
    requests = [
        Request(subject=f"s4/sales_order/{order}", at=datetime(2026, 6, 1, 12, tzinfo=UTC) + timedelta(seconds=number), event={})
        for number, order in enumerate(orders)
    ]
    made = ledger.append([run(CREDIT_DESK, request, snapshot).draft() for request in requests])
    snapshot.close()
    return made


def by_brute_force(world: World, bad: set[tuple[str, str]]) -> set[str]:
    """Every row that a decision looked at is explained at its version; it is touched where one names a bad row."""
    looked: dict[Place, dict[tuple[str, ...], set[str]]] = defaultdict(lambda: defaultdict(set))
    for capsule in world.everything:
        for asked in msgspec.json.decode(world.ledger.blob(capsule.blobs["looked"])):
            place = asked["table"], asked["version"]
            for key in keys_of(world, place, asked["where"]):
                looked[place][key].add(capsule.digest)
    found: set[str] = set()
    for (table, version), keys in looked.items():
        model = world.explainer.model_of(table)
        if model is None:
            continue  # the model's versions: what it learned from is no row that was looked at
        columns = {column.name for column in model.columns if not column.name.startswith("_")}
        with world.explainer.walk() as walk:
            for key, atoms in walk.atoms(At(table, version), dict.fromkeys(keys, columns)).items():
                if any(atom[0] == TABLE and atom[1:3] in bad for atom in atoms):
                    found |= keys[key]
    return found


def keys_of(world: World, place: Place, where: dict[str, Any]) -> list[tuple[str, ...]]:
    model = world.explainer.model_of(place[0])
    if model is None:
        return []
    rows = world.lake.table(place[0]).scan(place[1]).collect()
    mine = [row for row in rows.iter_rows(named=True) if all(plain(row[name]) == value for name, value in where.items())]
    return [tuple(str(row[name]) for name in model.key) for row in mine]


def test_those_found_are_those_that_provenance_names_one_by_one(world: World, touched: list[Touched]) -> None:
    found = {each.capsule.digest for each in touched}
    assert found == by_brute_force(world, set(world.bad))
    after = {capsule.digest for capsule in world.after}
    assert 0 < len(found) < len(after)
    assert found <= after  # those before it did not see it, and those since do not any more


def test_any_version_of_a_row_touches_whoever_saw_one(world: World, touched: list[Touched]) -> None:
    """Decisions before the batch looked at what is made of the same rows as they were then."""
    found = {each.capsule.digest for each in world.affected.by_rows(TABLE, {(row_id,) for row_id, _ in world.bad})}
    assert {each.capsule.digest for each in touched} <= found
    assert {capsule.digest for capsule in world.before} & found


def test_a_decision_says_through_which_rows_it_was_touched(touched: list[Touched]) -> None:
    for each in touched:
        order = str(each.capsule.manifest["subject"]).rpartition("/")[2]
        assert ("features/feat_order_risk", order) in each.through


def test_rows_of_a_mart_touch_who_looked_at_what_is_made_of_them(world: World) -> None:
    capsule = world.after[0]
    order = str(capsule.manifest["subject"]).rpartition("/")[2]
    found = {each.capsule.digest for each in world.affected.by_rows("marts/fct_order", [(order,)])}
    assert capsule.digest in found
    firm = capsule.body["output"]["firm_id"]
    assert all(world.ledger.get(each).body["output"]["firm_id"] == firm for each in found)


def test_a_model_touches_the_decisions_that_it_had_a_word_in(world: World) -> None:
    first = {each.capsule.digest for each in world.affected.by_model("late_payment_risk@1")}
    assert first == {capsule.digest for capsule in [*world.before, *world.after]}
    assert {each.capsule.digest for each in world.affected.by_model("2")} == {capsule.digest for capsule in world.mended}
    assert list(world.affected.by_model("late_payment_risk@7")) == []
    assert list(world.affected.by_model("cash_in@1")) == []


def test_a_merge_touches_who_looked_at_the_firm_that_came_of_it(world: World) -> None:
    members = world.lake.table("intermediate/int_firm_member").scan().collect()
    firms = {capsule.body["output"]["firm_id"] for capsule in world.everything}
    several = (
        members.filter(pl.col("firm_id").is_in(list(firms)))
        .group_by("firm_id")
        .agg("source", "record_id", pl.len())
        .filter(pl.col("len") > 1)
    )
    row = several.sort("firm_id").row(0, named=True)
    left, right = list(zip(row["source"], row["record_id"], strict=True))[:2]
    found = {each.capsule.digest for each in world.affected.by_merge(left, right)}
    mine = {capsule.digest for capsule in world.everything if capsule.body["output"]["firm_id"] == row["firm_id"]}
    assert mine
    assert mine <= found
    other = members.filter(pl.col("firm_id") != row["firm_id"]).row(0, named=True)
    assert list(world.affected.by_merge(left, (other["source"], other["record_id"]))) == []  # they are no firm


def test_touched_decisions_are_made_again_by_todays_data(world: World, touched: list[Touched]) -> None:
    """What was bad is mended, so a decision that it touched is today what it would have been: that of its order without the batch."""
    remade = list(again(world.ledger, world.lake, {CREDIT_DESK.name: CREDIT_DESK}, touched))
    assert len(remade) == len(touched)
    assert any(each.changes for each in remade)
    snapshot = Snapshot.take(world.lake, CREDIT_DESK.tables)
    for each in remade:
        request = Request.from_json(msgspec.json.decode(world.ledger.blob(each.touched.capsule.blobs["request"])))
        now = msgspec.json.decode(run(CREDIT_DESK, request, snapshot).output)
        assert each.action == now["action"]
        assert each.changes == {name: (each.touched.capsule.body["output"][name], now[name]) for name in each.changes}
    snapshot.close()
    nobody = list(again(world.ledger, world.lake, {}, touched[:1]))
    assert nobody[0].why_not == "there is no agent credit_desk any more"
    assert len(list(world.ledger.entries(kind="decision"))) == len(world.everything)  # nothing was kept of it


def test_a_row_that_nobody_looked_at_touches_nothing(world: World) -> None:
    assert list(world.affected.by_rows("raw/s4/product", [("00" * 16,)])) == []
    assert VersionTable(world.lake, LATE_PAYMENT_RISK).champion().version == 2


def test_what_cannot_be_told_is_an_error_and_no_empty_answer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from pilothouse.kernel.errors import LakeError

    def broken(*_: object) -> Iterator[Any]:
        raise LakeError("version 3 was removed", hint="raise lake.keep")
        yield

    monkeypatch.setattr(Impact, "of_rows", broken)
    with pytest.raises(AgentError, match="cannot be told: version 3 was removed"):
        list(world.affected.by_rows(TABLE, world.bad))
