"""Payments settle decisions, once through every crash, and what they were worth is counted of real ones alone."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import sqlalchemy as sa

from pilothouse.agents.capsules import Capsule, Draft, Ledger, Signer
from pilothouse.hindsight.money import Money
from pilothouse.hindsight.orders import Fates, fates
from pilothouse.hindsight.settling import SETTLED, Settling
from pilothouse.hindsight.table import COLUMNS, TABLE, of_ledger, publish
from pilothouse.hindsight.value import ALWAYS, LIMIT, chosen, judged, value
from pilothouse.kernel.database import Database
from pilothouse.kernel.errors import AgentError, DatabaseError
from pilothouse.kernel.events import EventLog
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.settings import MoneySettings
from pilothouse.tables.building import Builder

MONEY = Money(MoneySettings())
ACTIONS = ("release", "prepayment", "hold")


@pytest.fixture(scope="module")
def lake(builder: Builder) -> Lake:
    return builder.lake


@pytest.fixture(scope="module")
def known(lake: Lake) -> Fates:
    return fates(lake, MONEY)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return tmp_path / "key.pem"


@pytest.fixture
def ledger(database: Database, key: Path) -> Ledger:
    return Ledger(database, Signer.open(key))


@pytest.fixture
def decided(ledger: Ledger, known: Fates) -> list[Capsule]:
    """One decision about each of some orders of the whole year, the three actions in turn."""
    orders = known.frame["order_id"].gather_every(max(1, known.frame.height // 300)).to_list()
    return ledger.append([decision(order, number) for number, order in enumerate(orders)])


@pytest.fixture
def settling(database: Database, ledger: Ledger, lake: Lake) -> Settling:
    return Settling(database, ledger, EventLog(database), lake, MONEY)


def decision(order: str, number: int = 0, *, synthetic: bool = True, **said: object) -> Draft:
    action = ACTIONS[number % 3]
    output = {"action": action, "terms": {"share": 0.5} if action == "prepayment" else {}, "probability": 0.1, **said}
    return Draft(
        kind="decision",
        subject=f"s4/sales_order/{order}",
        at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number),
        body={"output": output},
        agent="credit_desk",
        agent_version="v1",
        synthetic=synthetic,
    )


def settled_events(database: Database) -> list[str]:
    return [event.payload["decision"] for event in EventLog(database).read(topics=[SETTLED], limit=10_000)]


def test_what_became_of_orders_is_what_their_invoices_say(lake: Lake, known: Fates) -> None:
    """Told a second time, invoice by invoice, in plain Python."""
    invoices = lake.table("marts/fct_invoice").scan().filter(~pl.col("is_cancelled") & pl.col("due_on").is_not_null()).collect()
    rejected = dict(lake.table("marts/fct_order").scan().select("order_id", "is_rejected").collect().iter_rows())
    of_order: dict[str, list[dict[str, Any]]] = {}
    for row in invoices.iter_rows(named=True):
        of_order.setdefault(row["order_id"], []).append(row)
    for row in known.frame.iter_rows(named=True):
        mine = of_order.get(row["order_id"], [])
        late = [invoice["days_late"] for invoice in mine]
        expected: str | None
        if mine and all(invoice["paid_on"] for invoice in mine):
            expected = "late" if max(late) > 30 else "paid"
        elif mine and max(invoice["due_on"] for invoice in mine) + timedelta(days=180) < known.today:
            expected = "lost"
        elif mine and max(invoice["due_on"] for invoice in mine) + timedelta(days=30) < known.today:
            expected = "open"
        else:
            expected = "withdrawn" if not mine and rejected[row["order_id"]] else None
        assert row["outcome"] == expected, row
    assert set(known.frame["outcome"].unique()) == {"paid", "late", "lost", "open", "withdrawn", None}


def test_late_orders_that_are_open_are_lost_as_often_as_such_orders_were(known: Fates) -> None:
    """Counted once more: of orders given up or paid by now whatever they are, those that were open for as long."""
    old = known.frame.filter(pl.col("due_on") + timedelta(days=180) < known.today)
    waiting = known.frame.filter(pl.col("outcome") == "open")
    assert waiting.height > 3
    for row in waiting.iter_rows(named=True):
        days = (known.today - row["due_on"]).days
        lost = old.filter(pl.col("outcome") == "lost").height
        later = old.filter((pl.col("outcome") == "late") & (pl.col("days_late") > days))["days_late"]
        assert row["lost_share"] == pytest.approx((lost + 1) / (lost + later.len() + 2))
        assert row["expected_days"] == pytest.approx(later.mean() if later.len() else days + 30)


def test_decisions_are_judged_by_orders_that_would_be_late_paid_or_not(known: Fates) -> None:
    """Not by those that were paid soon: they would say that nobody is late."""
    assert max(known.judged["due_on"].to_list()) < known.today - timedelta(days=30)
    soon = known.frame.filter(pl.col("due_on") + timedelta(days=30) >= known.today, pl.col("outcome") == "paid")
    assert soon.height > 10
    assert not set(soon["order_id"]) & set(known.judged["order_id"])
    of_judged = known.frame.filter(pl.col("due_on") + timedelta(days=30) < known.today)
    assert of_judged["outcome"].null_count() == 0


def test_each_decision_is_settled_once_by_an_entry_and_an_event(
    settling: Settling, ledger: Ledger, database: Database, decided: list[Capsule], known: Fates
) -> None:
    made = list(settling.settle())
    told = dict(known.settled.select("order_id", "outcome").iter_rows())
    orders = {capsule.digest: str(capsule.manifest["subject"]).rpartition("/")[2] for capsule in decided}
    due = {named: told[order] for named, order in orders.items() if order in told}
    assert {each.manifest["about"]: each.body["outcome"] for each in made} == due
    assert Counter(settled_events(database)) == Counter(list(due))
    assert list(settling.settle()) == []
    assert settling.ready().open == len(decided) - len(due)
    assert list(ledger.verify()) == []
    assert all(each.manifest["synthetic"] for each in made)


def test_an_outcome_says_what_the_decision_brought_and_what_would_have_been_best(settling: Settling, decided: list[Capsule]) -> None:
    for each in settling.settle():
        body = each.body
        if body["outcome"] == "withdrawn":
            assert body["worth_eur"] == body["regret_eur"] == 0
        elif body["outcome"] == "paid" and body["action"] == "release" and (body["days_late"] or 0) <= 0:
            assert body["worth_eur"] == pytest.approx(0.2 * float(body["amount_eur"]), abs=0.01)
            assert body["regret_eur"] == 0
        elif body["outcome"] == "lost" and body["action"] == "release":
            assert body["worth_eur"] < 0 < body["regret_eur"]
            assert body["best"]["action"] != "release"
        assert body["regret_eur"] >= 0
    assert decided


def test_a_decision_that_no_payment_can_judge_is_left_alone(settling: Settling, ledger: Ledger, known: Fates) -> None:
    order = known.settled["order_id"][0]
    ledger.append([replace(decision(order), body={"output": {"split": True}}), replace(decision(order), subject=f"s4/invoice/{order}")])
    assert list(settling.settle()) == []


def test_the_database_refuses_a_second_outcome(settling: Settling, ledger: Ledger, decided: list[Capsule]) -> None:
    first = next(settling.settle())
    again = Draft(kind="outcome", subject="x", at=datetime.now(UTC), body={}, about=first.manifest["about"], synthetic=True)
    with pytest.raises(DatabaseError, match="capsules_one_outcome"):
        ledger.append([again])
    assert decided


def test_two_that_settle_at_once_settle_each_decision_once(
    settling: Settling, ledger: Ledger, database: Database, decided: list[Capsule], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one comes between what the first finds and what it writes."""
    ready = settling.ready()
    other = list(settling.settle())
    monkeypatch.setattr(settling, "ready", lambda: ready)
    assert list(settling.settle()) == []
    assert len(settled_events(database)) == len(other) == len({each.manifest["about"] for each in other})
    assert decided


VICTIM = """
import sys
from pathlib import Path
import pilothouse.hindsight.settling as settling
from pilothouse.agents.capsules import Ledger, Signer
from pilothouse.hindsight.money import Money
from pilothouse.kernel.database import Database
from pilothouse.kernel.events import EventLog
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.settings import MoneySettings
settling._TOGETHER = 7
url, key, lake = sys.argv[1:]
database = Database(url)
ledger = Ledger(database, Signer.open(Path(key)))
print("go", flush=True)
list(settling.Settling(database, ledger, EventLog(database), Lake(lake), Money(MoneySettings())).settle())
print("done", flush=True)
"""


def test_kills_lose_no_outcome_and_repeat_none(
    settling: Settling, ledger: Ledger, database: Database, decided: list[Capsule], key: Path, lake: Lake
) -> None:
    chance, killed = random.Random(5), 0
    due = set(settling.ready().fates)
    for _ in range(2):
        command = [sys.executable, "-c", VICTIM, database.url, str(key), lake.url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as victim:
            assert victim.stdout is not None
            assert victim.stdout.readline() == "go\n"
            before = len(list(ledger.entries(kind="outcome")))
            deadline = time.monotonic() + 30
            while len(list(ledger.entries(kind="outcome", most=before + 1))) == before and time.monotonic() < deadline:
                time.sleep(0.005)
            time.sleep(chance.random() * 0.05)
            victim.send_signal(signal.SIGKILL)
            killed += victim.wait() == -signal.SIGKILL
    assert killed
    written = [each.manifest["about"] for each in ledger.entries(kind="outcome")]
    assert 0 < len(written) < len(due)  # it was killed in the middle
    list(settling.settle())
    about = [each.manifest["about"] for each in ledger.entries(kind="outcome")]
    assert Counter(about) == Counter(list(due)) == Counter(settled_events(database))
    assert list(ledger.verify()) == []
    assert decided


def test_the_table_follows_from_the_ledger_and_is_written_once(
    settling: Settling, ledger: Ledger, lake: Lake, decided: list[Capsule]
) -> None:
    made = list(settling.settle())
    first = publish(lake, ledger)
    assert publish(lake, ledger) == first
    rows = lake.table(TABLE).scan().collect()
    assert rows.columns == list(COLUMNS)
    assert sorted(rows["decision"]) == sorted(str(each.manifest["about"]) for each in made)
    assert set(rows["capsule"]) == {each.digest for each in made}
    assert decided


def test_value_counts_the_decisions_against_rules(settling: Settling, ledger: Ledger, decided: list[Capsule]) -> None:
    list(settling.settle())
    rows = chosen(judged(of_ledger(ledger), settling.late_and_open()), synthetic=True)
    found = value(rows, MONEY, synthetic=True)
    settled = of_ledger(ledger).join(rows, on="decision", how="semi")["worth_eur"].to_numpy().sum()
    waiting = value(rows.filter(pl.col("outcome") == "open"), MONEY, synthetic=True)
    assert waiting.decisions > 0
    assert found.earned.value == pytest.approx(settled + waiting.earned.value, abs=rows.height * 0.01)
    assert found.regret.value == pytest.approx(found.best.value - found.earned.value)
    for each in found.against:
        assert each.difference.value == pytest.approx(found.earned.value - each.earned.value)
        assert each.difference.value == pytest.approx(each.saved.value + each.lost.value)
        assert each.difference.low <= each.difference.value <= each.difference.high
    amount = rows["amount_eur"].cast(pl.Float64).to_numpy()
    lost = rows["lost_share"].to_numpy()
    late = rows["outcome"].is_in(["late", "lost", "open"]).to_numpy()
    days = np.maximum(rows["expected_days"].to_numpy(), 0)
    by_hand = 0.2 * amount - (1 - lost) * amount * 0.08 * days / 365 - 40 * (late - lost) - lost * (amount + 250)
    assert {each.baseline: each.earned.value for each in found.against}[ALWAYS] == pytest.approx(by_hand.sum())
    assert {each.baseline for each in found.against} == {ALWAYS, LIMIT}
    assert decided


def test_of_several_decisions_about_an_order_the_last_one_counts(settling: Settling, ledger: Ledger, known: Fates) -> None:
    order = known.settled.filter(pl.col("outcome") == "paid")["order_id"][0]
    ledger.append([decision(order, 2), decision(order, 3)])
    list(settling.settle())
    rows = chosen(judged(of_ledger(ledger), settling.late_and_open()), synthetic=True)
    assert rows["action"].to_list() == ["release"]


def test_value_refuses_synthetic_decisions_unless_asked_for_by_name(settling: Settling, ledger: Ledger, decided: list[Capsule]) -> None:
    list(settling.settle())
    with pytest.raises(AgentError, match="come from the enterprise in a box") as refused:
        chosen(judged(of_ledger(ledger), settling.late_and_open()), synthetic=False)
    assert "--synthetic" in refused.value.hint
    real = (
        judged(of_ledger(ledger), settling.late_and_open()).with_row_index().with_columns(_synthetic=pl.col("index") % 4 > 0).drop("index")
    )
    counts = [chosen(real, synthetic=synthetic) for synthetic in (False, True)]
    assert not set(counts[0]["decision"]) & set(counts[1]["decision"])  # they are never added up
    assert not counts[0]["_synthetic"].any()
    assert decided


def test_before_anything_is_settled_value_says_so(settling: Settling, ledger: Ledger, database: Database) -> None:
    with pytest.raises(AgentError, match="no decision can be judged yet"):
        chosen(judged(of_ledger(ledger), settling.late_and_open()), synthetic=False)
    with database.reading() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM pilothouse.capsules")) == 0


def test_decisions_can_be_chosen_by_time(settling: Settling, ledger: Ledger, decided: list[Capsule]) -> None:
    list(settling.settle())
    everything = judged(of_ledger(ledger), settling.late_and_open())
    assert chosen(everything, synthetic=True, since=date(2026, 1, 1), until=date(2026, 1, 2)).height > 0
    with pytest.raises(AgentError, match="no decision can be judged yet"):
        chosen(everything, synthetic=True, since=date(2026, 1, 2))
    with pytest.raises(AgentError, match="no decision can be judged yet"):
        chosen(everything, synthetic=True, agent="collections_desk")
    assert decided
