"""The company's clock: each beat changes something, nothing contradicts, and a crash loses or keeps whole beats."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pilothouse.sandbox.company import clock as clock_module
from pilothouse.sandbox.company import sap
from pilothouse.sandbox.company.agenda import Agenda
from pilothouse.sandbox.company.beat import Beat
from pilothouse.sandbox.company.clock import CATCH_UP, PACE, ROUND
from pilothouse.sandbox.company.company import ENTITIES, Company
from pilothouse.sandbox.company.salesforce import SALESFORCE
from pilothouse.sandbox.company.store import timestamp

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("generated")
    Company.open(home, seed=7, scale=0.02, now=NOW).close()
    return home


@pytest.fixture
def home(generated: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(generated, tmp_path / "home"))


@pytest.fixture
def company(home: Path) -> Iterator[Company]:
    opened = Company.open(home, seed=7, scale=0.02, now=NOW)
    yield opened
    opened.close()


def live(company: Company, beats: int, pace: timedelta = PACE, start: datetime = NOW) -> list[list[str]]:
    return [company.clock.step(start + pace * (number + 1)) for number in range(beats)]


def contents(company: Company) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for table, order in [*((entity.table, ", ".join(entity.key)) for entity in ENTITIES), ("changes", "seq"), ("agenda", "due, document")]:
        rows += company.store.rows(f"SELECT * FROM {table} ORDER BY {order}")
    return rows


def test_every_beat_makes_something_visible(company: Company) -> None:
    for beat in range(60):
        before = company.store.last_change()
        assert company.clock.step(NOW + PACE * beat)
        assert company.store.last_change() > before


def test_within_two_rounds_both_systems_see_inserts_updates_and_hard_deletes(company: Company) -> None:
    live(company, 2 * len(ROUND), HOUR)
    seen = Counter(company.store.rows("SELECT entity, operation FROM changes"))
    streams = (
        *(("sap_BusinessPartner", act) for act in ("insert", "update", "delete")),
        *(("sap_BusinessPartnerTaxNumber", act) for act in ("insert", "delete")),
        *(("sap_SalesOrder", act) for act in ("insert", "update", "delete")),
        *(("sap_SalesOrderItem", act) for act in ("insert", "update", "delete")),
        *(("sap_SalesOrderPartner", act) for act in ("insert", "delete")),
        *(("sap_OutbDeliveryHeader", act) for act in ("insert", "update", "delete")),
        *(("sap_BillingDocument", act) for act in ("insert", "update")),
        *(("sap_OperationalAcctgDocItemCube", act) for act in ("insert", "update", "delete")),
        *(("sap_Product", act) for act in ("insert", "update", "delete")),
        *((f"salesforce_{name}", act) for name in ("Account", "Contact", "Opportunity", "Case") for act in ("insert", "update", "delete")),
        *(("warehouse_credit_rating", act) for act in ("insert", "update")),
        ("warehouse_exchange_rate", "insert"),
        ("warehouse_ownership", "update"),
    )
    assert {stream for stream in streams if not seen[stream]} == set()


def test_sums_and_references_hold_after_weeks_of_life(company: Company) -> None:
    live(company, 4 * len(ROUND), timedelta(hours=6))
    for entity in ENTITIES:
        for field in entity.fields:
            target, _, name = field.reference.partition(".")
            if not target:
                continue
            sql = f"""SELECT {field.name} FROM {entity.table} WHERE COALESCE({field.name}, '') <> ''
                      AND {field.name} NOT IN (SELECT {name} FROM {entity.system}_{target})"""
            assert list(company.store.rows(sql)) == [], (entity.table, field.name)
    unbalanced = """SELECT AccountingDocument FROM sap_OperationalAcctgDocItemCube GROUP BY CompanyCode, FiscalYear, AccountingDocument
                    HAVING ABS(SUM(CAST(AmountInCompanyCodeCurrency AS REAL))) > 0.0011"""
    assert list(company.store.rows(unbalanced)) == []
    unequal = """SELECT o.SalesOrder FROM sap_SalesOrder AS o JOIN sap_SalesOrderItem AS i ON i.SalesOrder = o.SalesOrder
                 GROUP BY o.SalesOrder HAVING ABS(SUM(CAST(i.NetAmount AS REAL)) - CAST(o.TotalNetAmount AS REAL)) > 0.0011"""
    assert list(company.store.rows(unequal)) == []


def test_an_order_is_shipped_billed_and_paid_in_its_time(company: Company) -> None:
    live(company, 3 * len(ROUND), timedelta(days=1))
    new = {change.key[0] for change in company.store.changes(sap.SALES_ORDER) if change.operation == "insert"}
    billed = {row[0] for row in company.store.rows("SELECT SalesDocument FROM sap_BillingDocumentItem")}
    cleared = {row[0] for row in company.store.rows("SELECT SalesDocument FROM sap_OperationalAcctgDocItemCube WHERE IsCleared = 1")}
    assert len(new & billed) > 5
    assert len(new & cleared) > 3
    expected = {row[0] for row in company.truth.rows("SELECT sales_order FROM invoice")}
    assert new & billed <= expected


def test_two_companies_led_through_the_same_moments_are_the_same(home: Path, tmp_path: Path) -> None:
    twin_home = shutil.copytree(home, tmp_path / "twin")
    company, twin = (Company.open(Path(place), seed=7, scale=0.02, now=NOW) for place in (home, twin_home))
    assert live(company, 50, HOUR) == live(twin, 50, HOUR)
    assert contents(company) == contents(twin)
    company.close()
    twin.close()


def test_a_company_resumed_after_each_beat_lives_as_if_never_stopped(home: Path, tmp_path: Path) -> None:
    twin_home = Path(shutil.copytree(home, tmp_path / "twin"))
    twin = Company.open(twin_home, seed=7, scale=0.02, now=NOW)
    live(twin, 25, HOUR)
    for number in range(25):
        resumed = Company.open(home, seed=7, scale=0.02, now=NOW)
        resumed.clock.step(NOW + HOUR * (number + 1))
        resumed.close()
    resumed = Company.open(home, seed=7, scale=0.02, now=NOW)
    assert contents(resumed) == contents(twin)
    assert resumed.clock.beats == 25
    resumed.close()
    twin.close()


def test_a_beat_that_fails_leaves_no_trace_and_is_lived_again(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(beat: Beat) -> list[str]:
        beat.store.insert(sap.PRODUCT, {"Product": "half-done"}, beat.at)
        raise OSError("the disk is full")

    before = contents(company)
    with monkeypatch.context() as patch:
        patch.setattr(clock_module, "ROUND", (fail,))
        with pytest.raises(OSError, match="disk is full"):
            company.clock.step(NOW + PACE)
    assert contents(company) == before
    assert company.clock.beats == 0
    assert company.clock.step(NOW + PACE)


_LIFE = """
import sys
from datetime import datetime, timedelta
from pathlib import Path
from pilothouse.sandbox.company.company import Company
now = datetime.fromisoformat(sys.argv[2])
company = Company.open(Path(sys.argv[1]), seed=7, scale=0.02, now=now)
while True:
    company.clock.step(now + timedelta(hours=1) * (company.clock.beats + 1))
    print(company.clock.beats, flush=True)
"""


def test_a_company_killed_in_mid_beat_holds_whole_beats_and_lives_on(home: Path, tmp_path: Path) -> None:
    twin_home = Path(shutil.copytree(home, tmp_path / "twin"))
    life = subprocess.Popen([sys.executable, "-c", _LIFE, str(home), NOW.isoformat()], stdout=subprocess.PIPE, text=True)
    with life:
        assert life.stdout is not None
        told = [int(line) for line, _ in zip(life.stdout, range(20), strict=False)]
        life.kill()
    company, twin = (Company.open(place, seed=7, scale=0.02, now=NOW) for place in (home, twin_home))
    assert company.clock.beats >= max(told)
    live(twin, company.clock.beats, HOUR)
    assert contents(company) == contents(twin)
    assert all(live(company, 5, HOUR, NOW + timedelta(days=90)))
    company.close()
    twin.close()


def test_a_pause_of_weeks_is_made_up_for_in_small_beats(company: Company) -> None:
    waiting = len(Agenda(company.store))
    happened = company.clock.step(NOW + timedelta(days=20))
    assert waiting > CATCH_UP
    assert len(happened) <= CATCH_UP + 15
    live(company, 10, PACE, NOW + timedelta(days=20))
    due = "SELECT COUNT(*) FROM agenda WHERE due < ?"
    assert next(company.store.rows(due, [timestamp(NOW + timedelta(days=20))]))[0] == 0


def test_a_clock_set_back_hides_no_change_below_a_watermark(company: Company) -> None:
    company.clock.step(NOW + HOUR)
    seen = company.store.last_change()
    company.clock.step(NOW - HOUR)
    ats = [str(at) for (at,) in company.store.rows("SELECT at FROM changes WHERE seq > ?", [seen])]
    assert ats
    assert min(ats) >= timestamp(NOW + HOUR)


def test_a_blocked_order_is_not_shipped_until_it_is_released(company: Company) -> None:
    (number,) = next(company.store.rows("SELECT document FROM agenda WHERE step = 'deliver' ORDER BY due LIMIT 1"))
    company.store.update(sap.SALES_ORDER, [number], {"DeliveryBlockReason": "01"}, NOW)
    shipped = "SELECT COUNT(*) FROM sap_OutbDeliveryItem WHERE ReferenceSDDocument = ?"
    live(company, 20, timedelta(days=1))
    if company.store.get(sap.SALES_ORDER, [number]) is None:
        pytest.fail("the order was deleted by chance: choose another seed")
    assert next(company.store.rows(shipped, [number]))[0] == 0
    company.store.update(sap.SALES_ORDER, [number], {"DeliveryBlockReason": ""}, NOW + timedelta(days=20))
    live(company, 10, timedelta(days=1), NOW + timedelta(days=20))
    assert int(str(next(company.store.rows(shipped, [number]))[0])) > 0


def test_an_order_that_a_client_created_is_shipped_too(company: Company) -> None:
    (model,) = next(company.store.rows("SELECT MAX(SalesOrder) FROM sap_SalesOrder WHERE OverallSDProcessStatus = 'C'"))
    order = company.store.get(sap.SALES_ORDER, [model]) or {}
    fresh = {"SalesOrder": "7000001", "OverallSDProcessStatus": "A", "OverallDeliveryStatus": "A", "OverallSDDocumentRejectionSts": "A"}
    company.store.insert(sap.SALES_ORDER, order | fresh, NOW)
    item = company.store.get(sap.SALES_ORDER_ITEM, [model, "10"]) or {}
    company.store.insert(sap.SALES_ORDER_ITEM, item | {"SalesOrder": "7000001", "SDProcessStatus": "A"}, NOW)
    live(company, 30, timedelta(days=1))
    delivered = {row[0] for row in company.store.rows("SELECT ReferenceSDDocument FROM sap_OutbDeliveryItem")}
    assert "7000001" in delivered


def test_an_order_too_incomplete_to_ship_stays_open_and_stops_nobody(company: Company) -> None:
    company.store.insert(sap.SALES_ORDER, {"SalesOrder": "7000002", "OverallSDProcessStatus": "A"}, NOW)
    assert all(live(company, 30, timedelta(days=1)))
    left = company.store.get(sap.SALES_ORDER, ["7000002"])
    assert left is None or left["OverallSDProcessStatus"] == "A"


def test_salesforce_changes_move_the_modstamp_and_the_modified_date_together(company: Company) -> None:
    live(company, 2 * len(ROUND))
    for entity in SALESFORCE:
        for change in company.store.changes(entity):
            row = company.store.get(entity, change.key)
            assert row is None or row["SystemModstamp"] == row["LastModifiedDate"]


def test_a_new_record_of_a_known_firm_is_noted_in_the_truth(company: Company) -> None:
    live(company, 2 * len(ROUND))
    for entity, system in ((sap.BUSINESS_PARTNER, "sap"), (SALESFORCE[1], "salesforce")):
        created = [str(change.key[0]) for change in company.store.changes(entity) if change.operation == "insert"]
        assert created
        assert all(company.truth.firm_of(system, key) is not None for key in created)


def test_the_log_of_changes_does_not_grow_for_ever(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock_module, "_FORGET_EVERY", 10)
    live(company, 10, timedelta(days=1))
    company.clock.step(NOW + timedelta(days=60))
    live(company, 10, PACE, NOW + timedelta(days=60))
    oldest = next(company.store.rows("SELECT MIN(at) FROM changes"))[0]
    assert str(oldest) >= timestamp(NOW + timedelta(days=30))
    assert company.store.forgotten() > 0
