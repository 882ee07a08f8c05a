"""The collections desk over a real company's tables: which firms it finds, and that its figures are those of the books and the model."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from models.cash import Rates
from models.declared.cash_in import CASH_IN
from models.paying import Habits, chances, habit
from models.versions import VersionTable
from pilothouse.agents.agent import Agent, Request
from pilothouse.agents.capsules import Ledger, Signer
from pilothouse.agents.desks.collections_desk import COLLECTIONS_DESK, CollectionsDecision
from pilothouse.agents.explaining.opened import Opened
from pilothouse.agents.explaining.why import Deciding
from pilothouse.agents.running import Run, replay, run
from pilothouse.agents.snapshot import Snapshot
from pilothouse.kernel.database import Database
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.registry import discover
from pilothouse.kernel.versions import Pinned
from pilothouse.tables.building import Builder
from pilothouse.tables.why.explain import Explainer
from tests.champion import crown

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def lake(builder: Builder) -> Lake:
    """With a payment model in force."""
    crown(builder.lake, CASH_IN)
    return builder.lake


@pytest.fixture(scope="module")
def snapshot(lake: Lake) -> Iterator[Snapshot]:
    snapshot = Snapshot.take(lake, COLLECTIONS_DESK.tables)
    yield snapshot
    snapshot.close()


@pytest.fixture(scope="module")
def firms(snapshot: Snapshot) -> list[str]:
    assert COLLECTIONS_DESK.rounds is not None
    return list(COLLECTIONS_DESK.rounds.find(snapshot, NOON))


@pytest.fixture(scope="module")
def runs(snapshot: Snapshot, firms: list[str]) -> list[Run]:
    return [run(COLLECTIONS_DESK, Request(subject=f"pilothouse/firm/{firm}", at=NOON, event={}), snapshot) for firm in firms]


@pytest.fixture(scope="module")
def overdue(lake: Lake) -> pl.DataFrame:
    rows = lake.table("marts/fct_invoice").scan().collect()
    return rows.filter(pl.col("is_open"), pl.col("due_on") < date(2026, 6, 1), ~pl.col("is_cancelled").fill_null(value=False))


def decided(made: Run) -> CollectionsDecision:
    return CollectionsDecision.model_validate_json(made.output)


def test_the_desk_is_found_by_the_registry() -> None:
    assert discover("pilothouse.agents.desks", Agent)["collections_desk"] is COLLECTIONS_DESK


def test_a_round_finds_every_firm_with_overdue_invoices_those_that_owe_most_first(firms: list[str], overdue: pl.DataFrame) -> None:
    owed = overdue.group_by("firm_id").agg((pl.col("owed_eur") - pl.col("paid_eur")).sum().alias("owed")).filter(pl.col("owed") > 0)
    assert len(firms) > 3
    assert firms == owed.sort("owed", "firm_id", descending=[True, False])["firm_id"].to_list()


def test_each_firm_gets_a_decision_whose_figures_are_those_of_the_books(runs: list[Run], overdue: pl.DataFrame) -> None:
    for made in runs:
        found = decided(made)
        its = overdue.filter(pl.col("firm_id") == found.firm_id)
        assert found.overdue_eur == (its["owed_eur"] - its["paid_eur"]).sum()
        assert {each.invoice_id for each in found.invoices} == set(its["invoice_id"])
        assert found.expected_eur == sum((each.expected_eur or Decimal(0) for each in found.invoices), Decimal(0))
        assert found.at_stake_eur == found.overdue_eur - found.expected_eur
        assert len(found.reasons) >= 3
        assert found.path
        assert made.synthetic
        assert found.proposal is None or found.proposal.values["OwnerId"]
        assert (found.proposal is None) == (found.action == "wait" or found.account_id is None)
    assert {decided(made).action for made in runs} >= {"wait", "remind", "call"}


def test_the_chances_are_those_that_the_payment_model_gives_by_other_means(runs: list[Run], lake: Lake) -> None:
    """The habits of all firms as frames, as the model itself forecasts by them."""
    rows = lake.table("marts/fct_invoice").scan().collect()
    habits = Habits.of(rows)
    card = Rates.from_json(VersionTable(lake, CASH_IN).champion().card).hazard
    for made in runs:
        found = decided(made)
        known = habits.on(pl.DataFrame({"firm_id": [found.firm_id], "_day": [date(2026, 6, 1)]}), "_day")
        ages = np.array([float(each.days_overdue) for each in found.invoices])
        usual, late = (np.full(len(ages), known[name].item()) for name in ("usual", "late_share"))
        expected = chances(card, ages, usual, late, 30).sum(axis=1)
        assert [each.chance for each in found.invoices] == [pytest.approx(value, abs=5e-5) for value in expected]


def test_one_firms_habit_is_that_of_all_firms_at_once(lake: Lake) -> None:
    rows = lake.table("marts/fct_invoice").scan().collect()
    known = Habits.of(rows).on(rows.select("firm_id").unique().with_columns(_day=pl.lit(date(2026, 6, 2))), "_day")
    for firm, usual, late in known.select("firm_id", "usual", "late_share").iter_rows():
        settled = rows.filter(pl.col("firm_id") == firm).drop_nulls("paid_on")["days_late"].to_list()
        assert habit(settled) == pytest.approx((usual, late))


def test_it_is_replayed_byte_for_byte_and_names_what_it_read(runs: list[Run], database: Database, tmp_path: Path) -> None:
    ledger = Ledger(database, Signer.open(tmp_path / "key.pem"))
    for capsule in ledger.append([made.draft() for made in runs]):
        assert replay(ledger, capsule, COLLECTIONS_DESK).identical
    read = runs[0].versions.read
    assert Pinned("model", "cash_in", "1", "f") in read
    assert any(entry.kind == "policy" and entry.name == "collections" for entry in read)
    assert {"marts/fct_invoice", "marts/dim_account"} <= {entry.name for entry in read}


def test_why_goes_from_a_decision_to_the_invoices_behind_it(
    runs: list[Run], lake: Lake, builder: Builder, work: Path, database: Database, tmp_path: Path
) -> None:
    ledger = Ledger(database, Signer.open(tmp_path / "key.pem"))
    small = min(runs, key=lambda made: len(made.cassette))
    (capsule,) = ledger.append([small.draft()])
    why = Deciding(lake, Explainer(lake, builder.project, work)).why(Opened.of(ledger, capsule.digest), COLLECTIONS_DESK)
    used = {(fact.table, fact.column) for fact in why.facts}
    assert ("marts/fct_invoice", "owed_eur") in used
    assert any(fact.asked for fact in why.facts)
    assert any(source.table == "raw/s4/journal_item" for source in why.sources)
