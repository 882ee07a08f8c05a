"""Features know nothing of what came after their order: what is planted later, or changed later, is not found in them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

import polars as pl

from graph.resolution.corrections import Corrections
from pilothouse.sandbox.company.salesforce import CASE
from pilothouse.sandbox.company.sap import BUSINESS_PARTNER, BUSINESS_PARTNER_ADDRESS, SALES_ORDER, SALES_ORDER_ITEM
from pilothouse.sandbox.company.sap_finance import BILLING_DOCUMENT, OPERATIONAL_ACCTG_DOC_ITEM_CUBE
from pilothouse.sandbox.company.schema import Entity
from pilothouse.sandbox.company.warehouse import CREDIT_RATING, INDUSTRY_INDEX, OWNERSHIP
from pilothouse.tables.building import Builder
from tests.integration.tables.conftest import NOW
from tests.raw_company import RawCompany


def test_a_future_that_is_planted_is_found_in_no_feature(raw: RawCompany, builder: Builder) -> None:
    before = features(raw)
    middle = before["ordered_on"].median()
    assert isinstance(middle, datetime)
    day = middle.date()
    past = before.filter(pl.col("ordered_on") < day)
    assert past.height > 100
    orders = raw.lake.table("marts/fct_order").scan().filter(pl.col("order_id").is_in(past["order_id"].implode())).collect()
    customers = sorted(set(orders["customer_id"]))

    keep_firms_as_they_are(raw)
    plant_orders_and_debts(raw, customers, day + timedelta(days=1))
    plant_bad_news(raw, day + timedelta(days=1))
    change_in_place(raw, past["order_id"].to_list(), customers)
    assert raw.sync() > 500
    assert [made.reason for made in builder.build() if made.reason] == []

    after = features(raw)
    kept = after.filter(pl.col("order_id").is_in(past["order_id"].implode()))
    assert [name for name in past.columns if not kept[name].equals(past[name])] == []

    # The plants are real: orders after them see them.
    known = pl.col("order_id").is_in(before["order_id"].implode())
    assert after.filter(~known).height == len(customers)
    later = after.filter(known & (pl.col("ordered_on") > day + timedelta(days=45)))
    assert later["open_eur"].cast(pl.Float64).to_numpy().max() > 800_000
    soon = after.filter(known & pl.col("ordered_on").is_between(day + timedelta(days=2), day + timedelta(days=10)))
    assert (soon["rating_grade"].drop_nulls() == "E").mean() > 0.5  # type: ignore[operator]  # the others were rated anew since
    assert later["owners_in_distress"].sum() > before.filter(pl.col("ordered_on") > day)["owners_in_distress"].sum()
    assert later["open_cases"].sum() > 0


def keep_firms_as_they_are(raw: RawCompany) -> None:
    """Who is who is told by what is known today, addresses among it: whatever they say later, these records stay one firm."""
    ways = [way.split(" ") for way in raw.lake.table("intermediate/int_firm_member").scan().collect()["through"]]
    Corrections(raw.lake).say_all([(left, right) for way in ways for left, right in pairwise(way)], "same", by="test")


def features(raw: RawCompany) -> pl.DataFrame:
    return raw.lake.table("features/feat_order_risk").scan().collect().sort("order_id")


def plant_orders_and_debts(raw: RawCompany, customers: Sequence[str], day: date) -> None:
    """Every customer places a huge order, and owes a huge sum at once."""
    on, owed = day.isoformat(), "AccountingDocumentType = 'RV' AND Customer IS NOT NULL"
    order, invoice, line = some(raw, SALES_ORDER), some(raw, BILLING_DOCUMENT), some(raw, OPERATIONAL_ACCTG_DOC_ITEM_CUBE, owed)
    for number, customer in enumerate(customers):
        placed = {"SalesOrder": f"9{number:06}", "SoldToParty": customer, "CreationDate": on, "TotalNetAmount": "900000.000"}
        billed = {"BillingDocument": f"8{number:07}", "SoldToParty": customer, "BillingDocumentDate": on}
        unpaid = {"IsCleared": 0, "ClearingDate": None, "AmountInCompanyCodeCurrency": "900000.000", "PostingDate": on, "NetDueDate": on}
        posted = {"AccountingDocument": f"7{number:09}", "Customer": customer, "BillingDocument": billed["BillingDocument"]}
        plant(raw, SALES_ORDER, order | placed)
        plant(raw, BILLING_DOCUMENT, invoice | billed)
        plant(raw, OPERATIONAL_ACCTG_DOC_ITEM_CUBE, line | posted | unpaid)


def plant_bad_news(raw: RawCompany, day: date) -> None:
    """Every firm is rated worst, complains, and is owned by another one; every industry slumps."""
    on, at = day.isoformat(), f"{day}T00:00:00.000000Z"
    newest = "SELECT bureau_id, max(rating_id) FROM warehouse_credit_rating GROUP BY 1 ORDER BY 1"
    rated = list(raw.company.store.rows(newest))
    for number, (_, rating) in enumerate(rated):
        worst = {"rating_id": 900_000 + number, "rated_on": on, "rating_grade": "E", "score": 600}
        plant(raw, CREDIT_RATING, some(raw, CREDIT_RATING, "rating_id = ?", [rating]) | worst)
    complaint = some(raw, CASE) | {"CreatedDate": at, "LastModifiedDate": at, "IsEscalated": 1, "IsClosed": 0, "ClosedDate": None}
    for number, (account,) in enumerate(list(raw.company.store.rows("SELECT Id FROM salesforce_Account"))):
        plant(raw, CASE, complaint | {"Id": f"500XX{number:010}XXX", "CaseNumber": f"9{number:07}", "AccountId": account})
    owned = set(raw.company.store.rows("SELECT owner_id, owned_id FROM warehouse_ownership"))
    for (owner, _), (firm, _) in pairwise(rated):
        if (owner, firm) not in owned:
            plant(raw, OWNERSHIP, {"owner_id": owner, "owned_id": firm, "share_percent": "51.00", "since": on})
    for (industry,) in list(raw.company.store.rows("SELECT DISTINCT industry FROM warehouse_industry_index")):
        slump = {"output_index": 1.0, "insolvencies_per_10000": 999.0}
        raw.company.store.update(INDUSTRY_INDEX, (industry, day.replace(day=1).isoformat()), slump, NOW)


def change_in_place(raw: RawCompany, orders: Sequence[str], customers: Sequence[str]) -> None:
    """What is changed in place says later what it did not say then."""
    for order in orders:
        raw.company.store.update(SALES_ORDER, (order,), {"TotalNetAmount": "1.000", "CustomerPaymentTerms": "NT00"}, NOW)
        raw.company.store.update(SALES_ORDER_ITEM, (order, "10"), {"RequestedQuantity": "9999.000"}, NOW)
    for customer in customers:
        raw.company.store.update(BUSINESS_PARTNER, (customer,), {"Industry": "RETL"}, NOW)
        address = some(raw, BUSINESS_PARTNER_ADDRESS, "BusinessPartner = ?", [customer])
        raw.company.store.update(BUSINESS_PARTNER_ADDRESS, (customer, address["AddressID"]), {"Country": "US"}, NOW)


def plant(raw: RawCompany, entity: Entity, row: dict[str, Any]) -> None:
    raw.company.store.insert(entity, row, NOW)


def some(raw: RawCompany, entity: Entity, where: str = "1 = 1", values: Sequence[Any] = ()) -> dict[str, Any]:
    names = [field.name for field in entity.fields]
    columns = ", ".join(f'"{name}"' for name in names)
    row = next(iter(raw.company.store.rows(f"SELECT {columns} FROM {entity.table} WHERE {where}", values)))
    return dict(zip(names, row, strict=True))
