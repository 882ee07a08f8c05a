"""The default rules fit the default enterprise: each names a stream and columns that exist, and judges its types."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
import pytest

from pilothouse.sandbox.company import salesforce, sap, warehouse
from pilothouse.sandbox.company.schema import Entity, Field
from quality import rules as rule_package
from quality.gate import Gate
from quality.rule import Rule
from quality.rules import salesforce as salesforce_rules
from quality.rules import sap as sap_rules
from quality.rules import warehouse as warehouse_rules

STREAMS: Mapping[str, str] = {
    "sap/business_partner": "BusinessPartner",
    "sap/business_partner_address": "BusinessPartnerAddress",
    "sap/business_partner_tax_number": "BusinessPartnerTaxNumber",
    "sap/sales_order": "SalesOrder",
    "sap/sales_order_item": "SalesOrderItem",
    "sap/sales_order_partner": "SalesOrderPartner",
    "sap/outbound_delivery": "OutbDeliveryHeader",
    "sap/billing_document": "BillingDocument",
    "sap/journal_item": "OperationalAcctgDocItemCube",
    "sap/product": "Product",
    "salesforce/account": "Account",
    "salesforce/contact": "Contact",
    "salesforce/opportunity": "Opportunity",
    "salesforce/case": "Case",
    "sql/credit_rating": "credit_rating",
    "sql/exchange_rate": "exchange_rate",
    "sql/industry_index": "industry_index",
    "sql/ownership": "ownership",
}
ENTITIES: Mapping[str, Entity] = {entity.name: entity for entity in (*sap.SAP, *salesforce.SALESFORCE, *warehouse.WAREHOUSE)}
DECLARED: tuple[Rule, ...] = (*sap_rules.RULES, *salesforce_rules.RULES, *warehouse_rules.RULES)


def dtype(field: Field) -> pl.DataType:
    match field.kind:
        case "decimal":
            return pl.Decimal(field.precision or 38, field.scale or 0)
        case "datetime":
            return pl.Datetime("us", "UTC")
        case kind:
            return {"string": pl.String(), "bool": pl.Boolean(), "int": pl.Int64(), "double": pl.Float64(), "date": pl.Date()}[kind]


def schema(entity: Entity) -> pl.Schema:
    return pl.Schema({field.name: dtype(field) for field in entity.fields})


def test_every_default_stream_has_rules_and_every_rule_a_default_stream() -> None:
    assert {rule.table for rule in DECLARED} == set(STREAMS)
    assert rule_package.__doc__


@pytest.mark.parametrize("table", STREAMS)
def test_every_rule_can_judge_the_columns_of_its_stream(table: str) -> None:
    entity = ENTITIES[STREAMS[table]]
    gate = Gate([rule for rule in DECLARED if rule.table == table], entity.key)
    gate.split(pl.DataFrame(schema=schema(entity)))
    assert {result.rule.name: result.problem for result in gate.finish().results if result.problem} == {}


@pytest.mark.parametrize("table", STREAMS)
def test_values_that_a_picklist_allows_break_no_rule(table: str) -> None:
    entity = ENTITIES[STREAMS[table]]
    listed = {field.name: field.picklist for field in entity.fields if field.picklist}
    judged = [rule for rule in DECLARED if rule.table == table and rule.columns and set(rule.columns) <= set(listed)]
    for rule in judged:
        gate = Gate([rule], [])
        gate.split(pl.DataFrame({rule.columns[0]: listed[rule.columns[0]]}))
        assert gate.finish().success, rule
