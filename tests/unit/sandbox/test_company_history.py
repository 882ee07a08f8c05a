"""The history that is generated: consistent, reproducible, noisy as life, and with signals that can be found."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from pilothouse.sandbox.company.company import ENTITIES, Company
from pilothouse.sandbox.company.risk import SIGNALS, Ceiling, probability
from pilothouse.sandbox.company.schema import Entity
from pilothouse.sandbox.company.store import Store
from pilothouse.sandbox.company.truth import Truth
from pilothouse.sandbox.company.world import Sizes

NOW = datetime(2026, 11, 21, 10, 17, 3, tzinfo=UTC)
SCALE = 0.1
REFERENCES = [(entity, field.name, field.reference) for entity in ENTITIES for field in entity.fields if field.reference]


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    opened = Company.open(tmp_path_factory.mktemp("home"), seed=7, scale=SCALE, now=NOW)
    yield opened
    opened.close()


def count(company: Company, sql: str) -> int:
    return int(str(next(company.store.rows(sql))[0]))


def digest(store: Store) -> str:
    """One hash over every row of every table."""
    sums = hashlib.sha256()
    for entity in ENTITIES:
        for row in store.rows(f"SELECT * FROM {entity.table} ORDER BY {', '.join(entity.key)}"):
            sums.update(repr(row).encode())
    return sums.hexdigest()


def test_the_company_has_the_sizes_of_its_scale(company: Company) -> None:
    tables = ("sap_BusinessPartner", "salesforce_Account", "sap_Product", "sap_SalesOrder", "salesforce_Opportunity", "salesforce_Case")
    assert [count(company, f"SELECT COUNT(*) FROM {table}") for table in tables] == [200, 180, 300, 4000, 500, 800]


def test_the_default_sizes_are_those_of_a_medium_sized_manufacturer() -> None:
    assert Sizes.at(1.0) == Sizes(2_000, 1_800, 3_000, 40_000, 5_000, 8_000)


@pytest.mark.parametrize(("entity", "field", "reference"), REFERENCES, ids=lambda value: getattr(value, "table", value))
def test_references_resolve(company: Company, entity: Entity, field: str, reference: str) -> None:
    target, name = reference.split(".")
    known = f"SELECT {name} FROM {entity.system}_{target}"
    assert count(company, f"SELECT COUNT(*) FROM {entity.table} WHERE COALESCE({field}, '') <> '' AND {field} NOT IN ({known})") == 0


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.table)
def test_values_fit_their_declared_lengths_scales_and_picklists(company: Company, entity: Entity) -> None:
    for field in entity.fields:
        column, table = f'"{field.name}"', entity.table
        if field.length is not None:
            assert count(company, f"SELECT COUNT(*) FROM {table} WHERE length({column}) > {field.length}") == 0, field.name
        if field.kind == "decimal":
            point = f"length({column}) - instr({column} || '.', '.')"
            whole = f"instr({column} || '.', '.') - 1"
            assert field.scale is not None
            assert count(company, f"SELECT COUNT(*) FROM {table} WHERE {column} LIKE '%.%' AND {point} <> {field.scale}") == 0, field.name
            assert count(company, f"SELECT COUNT(*) FROM {table} WHERE {column} LIKE '%.%' AND {whole} > {field.precision}") == 0, (
                field.name
            )
        if field.picklist:
            words = ", ".join(f"'{word}'" for word in field.picklist)
            assert count(company, f"SELECT COUNT(*) FROM {table} WHERE {column} IS NOT NULL AND {column} NOT IN ({words})") == 0, field.name


@pytest.mark.parametrize(
    ("head", "total", "item", "part", "key"),
    [
        ("sap_SalesOrder", "TotalNetAmount", "sap_SalesOrderItem", "NetAmount", "SalesOrder"),
        ("sap_BillingDocument", "TotalNetAmount", "sap_BillingDocumentItem", "NetAmount", "BillingDocument"),
        ("sap_BillingDocument", "TotalGrossAmount", "sap_BillingDocumentItem", "GrossAmount", "BillingDocument"),
        ("sap_OutbDeliveryHeader", "HeaderNetWeight", "sap_OutbDeliveryItem", "ItemNetWeight", "DeliveryDocument"),
    ],
)
def test_items_add_up_to_their_document(company: Company, head: str, total: str, item: str, part: str, key: str) -> None:
    sql = f"""SELECT COUNT(*) FROM {head} LEFT JOIN (SELECT {key} AS k, SUM(CAST({part} AS REAL)) AS s FROM {item} GROUP BY 1) ON k = {key}
              WHERE s IS NULL OR ABS(s - CAST({total} AS REAL)) > 0.0011"""
    assert count(company, sql) == 0


@pytest.mark.parametrize("amount", ["AmountInCompanyCodeCurrency", "AmountInTransactionCurrency"])
def test_every_journal_entry_balances(company: Company, amount: str) -> None:
    sql = f"""SELECT COUNT(*) FROM (SELECT SUM(CAST({amount} AS REAL)) AS s FROM sap_OperationalAcctgDocItemCube
              GROUP BY CompanyCode, FiscalYear, AccountingDocument) WHERE ABS(s) > 0.0011"""
    assert count(company, sql) == 0


def test_a_payment_clears_its_invoice_with_the_same_amount(company: Company) -> None:
    sql = """SELECT COUNT(*), SUM(paid.ClearingAccountingDocument <> paid.AccountingDocument),
                    SUM(CAST(owed.AmountInTransactionCurrency AS REAL) + CAST(paid.AmountInTransactionCurrency AS REAL) <> 0),
                    SUM(owed.ClearingDate <> paid.PostingDate), SUM(invoice.InvoiceClearingStatus <> 'C')
             FROM sap_OperationalAcctgDocItemCube AS owed
             JOIN sap_OperationalAcctgDocItemCube AS paid ON paid.AccountingDocument = owed.ClearingAccountingDocument
              AND paid.AccountingDocumentItem = '002' AND paid.Customer = owed.Customer AND paid.BillingDocument = owed.BillingDocument
             JOIN sap_BillingDocument AS invoice ON invoice.BillingDocument = owed.BillingDocument
             WHERE owed.AccountingDocumentType = 'RV' AND owed.IsCleared = 1"""
    pairs, *faults = next(company.store.rows(sql))
    assert int(str(pairs)) > 2_000
    assert faults == [0, 0, 0, 0]
    cleared = "SELECT COUNT(*) FROM sap_OperationalAcctgDocItemCube WHERE AccountingDocumentType = 'RV' AND IsCleared = 1"
    assert count(company, cleared) == pairs


def test_orders_deliveries_invoices_and_payments_follow_each_other_in_time(company: Company) -> None:
    sql = """SELECT SUM(o.CreationDate > d.CreationDate), SUM(d.CreationDate > b.CreationDate), SUM(b.CreationDate > j.PostingDate),
                    SUM(COALESCE(j.ClearingDate, '9999') < j.PostingDate), SUM(j.NetDueDate < j.PostingDate), COUNT(*)
             FROM sap_BillingDocument AS b
             JOIN sap_BillingDocumentItem AS i ON i.BillingDocument = b.BillingDocument AND i.BillingDocumentItem = '10'
             JOIN sap_OutbDeliveryHeader AS d ON d.DeliveryDocument = i.ReferenceSDDocument
             JOIN sap_SalesOrder AS o ON o.SalesOrder = i.SalesDocument
             JOIN sap_OperationalAcctgDocItemCube AS j ON j.BillingDocument = b.BillingDocument AND j.GLAccount = '12100000'
              AND j.AccountingDocumentType = 'RV'"""
    *faults, invoices = next(company.store.rows(sql))
    assert faults == [0] * 5
    assert invoices == count(company, "SELECT COUNT(*) FROM sap_BillingDocument")


def test_nothing_in_the_history_happened_after_now(company: Company) -> None:
    now = NOW.strftime("%Y-%m-%dT%H:%M:%S.999999Z")
    for entity in ENTITIES:
        for name in filter(None, (entity.changed, entity.created)):
            last = str(next(company.store.rows(f"SELECT COALESCE(MAX({name}), '') FROM {entity.table} WHERE {name} < '9999'"))[0])
            allowed = now[:10] + "T23" if entity.name == "exchange_rate" else now
            assert last <= allowed, (entity.table, name)


def test_the_history_is_a_year_long_and_every_month_has_orders(company: Company) -> None:
    months = [row[0] for row in company.store.rows("SELECT DISTINCT substr(CreationDate, 1, 7) FROM sap_SalesOrder ORDER BY 1")]
    assert months[0] == "2025-11"
    assert months[-1] == "2026-11"
    assert len(months) == 13


def test_statuses_tell_what_has_become_of_an_order(company: Company) -> None:
    delivered = "SELECT ReferenceSDDocument FROM sap_OutbDeliveryItem"
    billed = "SELECT SalesDocument FROM sap_BillingDocumentItem"
    assert count(company, f"SELECT COUNT(*) FROM sap_SalesOrder WHERE OverallDeliveryStatus = 'C' AND SalesOrder NOT IN ({delivered})") == 0
    assert count(company, f"SELECT COUNT(*) FROM sap_SalesOrder WHERE OverallSDProcessStatus = 'A' AND SalesOrder IN ({delivered})") == 0
    finished = "OverallSDProcessStatus = 'C' AND OverallSDDocumentRejectionSts = 'A'"
    assert count(company, f"SELECT COUNT(*) FROM sap_SalesOrder WHERE {finished} AND SalesOrder NOT IN ({billed})") == 0
    assert count(company, "SELECT COUNT(*) FROM sap_SalesOrder WHERE OverallSDProcessStatus = 'A'") > 0


def test_about_seven_of_ten_accounts_are_business_partners_under_a_noisy_name(company: Company) -> None:
    sap = {firm for (firm,) in company.truth.rows("SELECT firm FROM identity WHERE system = 'sap'")}
    known = {str(key): firm for key, firm in company.truth.rows("SELECT id, firm FROM identity WHERE system = 'salesforce'")}
    assert sum(firm in sap for firm in known.values()) / len(known) == pytest.approx(0.70, abs=0.01)
    registered = {firm: str(name) for firm, name in company.truth.rows("SELECT firm, name FROM firm")}
    written = {str(key): name for key, name in company.store.rows("SELECT Id, Name FROM salesforce_Account")}
    same = sum(registered[firm] == written[key] for key, firm in known.items()) / len(known)
    assert 0.15 < same < 0.45


def test_many_accounts_lack_the_tax_number_that_would_give_them_away(company: Company) -> None:
    given = count(company, "SELECT COUNT(Tax_Number__c) FROM salesforce_Account") / 180
    assert 0.3 < given < 0.6
    assert 0.9 < count(company, "SELECT COUNT(*) FROM sap_BusinessPartnerTaxNumber") / 200 < 1.0
    rated = "SELECT COUNT(DISTINCT bureau_id) FROM warehouse_credit_rating"
    assert 0.7 < count(company, f"{rated} WHERE tax_number IS NOT NULL") / count(company, rated) < 0.95


def test_every_bureau_number_has_one_current_rating(company: Company) -> None:
    sql = "SELECT bureau_id FROM warehouse_credit_rating GROUP BY bureau_id HAVING SUM(is_current) <> 1"
    assert list(company.store.rows(sql)) == []


def test_the_same_seed_gives_the_same_company_and_another_seed_another(tmp_path: Path) -> None:
    digests = []
    for place, seed in enumerate((3, 3, 4)):
        company = Company.open(tmp_path / str(place), seed=seed, scale=0.01, now=NOW)
        digests.append((digest(company.store), company.truth.rows("SELECT * FROM invoice")))
        company.close()
    assert digests[0] == digests[1]
    assert digests[0][0] != digests[2][0]


def test_the_best_reachable_auc_is_neither_trivial_nor_hopeless(company: Company) -> None:
    assert 0.7 < company.truth.best_auc < 0.95
    worths = company.truth.worths()
    assert {worth.signal.name for worth in worths} == {signal.name for signal in SIGNALS}
    assert all(worth.alone < company.truth.best_auc for worth in worths)


def test_outcomes_reach_the_auc_that_the_probabilities_promise(company: Company) -> None:
    rows = np.array(company.truth.rows("SELECT probability, late FROM invoice"))
    late, punctual = rows[rows[:, 1] == 1, 0], np.sort(rows[rows[:, 1] == 0, 0])
    below = (np.searchsorted(punctual, late, "left") + np.searchsorted(punctual, late, "right")) / 2
    assert below.mean() / len(punctual) == pytest.approx(company.truth.best_auc, abs=0.035)
    assert late.size / len(rows) == pytest.approx(rows[:, 0].mean(), abs=0.02)


def test_firms_of_high_latent_risk_pay_late_more_often(company: Company) -> None:
    sql = "SELECT AVG(late) FROM invoice JOIN firm_risk USING (firm) WHERE firm_risk.probability"
    risky, sound = (float(str(company.truth.rows(f"{sql} {bound}")[0][0])) for bound in ("> 0.2", "< 0.05"))
    assert risky > 4 * sound
    assert 0 < company.truth.risk(0) < 1


def test_the_ceiling_counted_in_bins_is_the_exact_expected_auc() -> None:
    rng = np.random.default_rng(5)
    values = {signal.name: rng.standard_normal(400) for signal in SIGNALS}
    score = rng.standard_normal(400) * 1.5
    ceiling = Ceiling()
    ceiling.add(values, score)
    chance = probability(score)
    wins = (score[:, None] > score[None, :]) + 0.5 * (score[:, None] == score[None, :])
    weight = chance[:, None] * (1 - chance[None, :])
    assert ceiling.auc() == pytest.approx((wins * weight).sum() / weight.sum(), abs=1e-3)


def late_share(company: Company, condition: str) -> float:
    """The share of invoices cleared more than thirty days late, among served rows that meet a condition."""
    sql = f"""SELECT AVG(julianday(COALESCE(j.ClearingDate, '2026-11-21')) - julianday(j.NetDueDate) > 30)
              FROM sap_OperationalAcctgDocItemCube AS j JOIN sap_SalesOrder AS o ON o.SalesOrder = j.SalesDocument
              WHERE j.AccountingDocumentType = 'RV' AND j.GLAccount = '12100000' AND j.NetDueDate < '2026-09-15' AND {condition}"""
    return float(str(next(company.store.rows(sql))[0]))


def test_the_bureaus_grade_is_a_signal_that_served_data_show(company: Company) -> None:
    graded = """j.Customer IN (SELECT t.BusinessPartner FROM sap_BusinessPartnerTaxNumber AS t
                JOIN warehouse_credit_rating AS r ON r.tax_number = t.BPTaxNumber WHERE r.is_current = 1 AND r.rating_grade IN ({}))"""
    assert late_share(company, graded.format("'D', 'E'")) > 2 * late_share(company, graded.format("'A', 'B'"))


def test_earlier_overdue_payments_are_a_signal_that_served_data_show(company: Company) -> None:
    earlier = """SELECT Customer FROM sap_OperationalAcctgDocItemCube WHERE AccountingDocumentType = 'RV' AND ClearingDate < '2026-05-01'
                 GROUP BY Customer HAVING AVG(ClearingDate > NetDueDate) {}"""
    later = "j.PostingDate > '2026-05-01' AND j.Customer IN ({})"
    assert late_share(company, later.format(earlier.format("> 0.75"))) > 1.5 * late_share(company, later.format(earlier.format("< 0.45")))


def test_an_interrupted_generation_starts_again_cleanly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Truth, "keep_ceiling", die)
        with pytest.raises(Killed):
            Company.open(tmp_path / "home", seed=3, scale=0.01, now=NOW)
    assert not (tmp_path / "home" / "company").exists()
    company, whole = (Company.open(tmp_path / name, seed=3, scale=0.01, now=NOW) for name in ("home", "other"))
    assert digest(company.store) == digest(whole.store)
    company.close()
    whole.close()


def test_a_company_that_exists_keeps_its_history_whatever_is_asked_for(tmp_path: Path) -> None:
    first = Company.open(tmp_path, seed=3, scale=0.01, now=NOW)
    before = digest(first.store)
    first.close()
    again = Company.open(tmp_path, seed=99, scale=0.02, now=NOW + timedelta(days=9))
    assert digest(again.store) == before
    again.close()
