"""What follows an order: its delivery, and the billing document that follows the delivery.

Both are copies of the order's own rows under new numbers, as in the real system; so the same functions serve thousands
of orders just drawn and one order read back from the store.
"""

from __future__ import annotations

import numpy as np

from pilothouse.sandbox.company.columns import Array, Columns, dates, days, decimals, hundredths, moments
from pilothouse.sandbox.company.world import DAY

FIRST_DELIVERY = 80_000_001
FIRST_BILLING = 90_000_001


def draw_shipping(rng: np.random.Generator, at: Array) -> Array:
    """When orders placed at these moments leave: one in eight within two hours, the others after some days."""
    express = at + rng.integers(300, 7_200, len(at))
    usual = at + (DAY * np.clip(rng.lognormal(1.0, 0.6, len(at)), 0.3, 25)).astype(np.int64)
    leaves: Array = np.where(rng.random(len(at)) < 0.12, express, usual)
    return leaves


def draw_billing(rng: np.random.Generator, shipped: Array) -> Array:
    """When deliveries that left at these moments are billed: between ten minutes and a day later."""
    return shipped + rng.integers(600, DAY, len(shipped))


def deliveries(orders: Columns, items: Columns, item_order: Array, numbers: list[str], at: Array) -> tuple[Columns, Columns]:
    """Headers and items that deliver whole orders at these moments; `item_order` is the place of each item's order."""
    day = days(at)
    weights = np.bincount(item_order, weights=[float(weight) for weight in items.texts("ItemNetWeight")], minlength=orders.count)
    headers = Columns(
        orders.count,
        {
            "DeliveryDocument": numbers,
            "DeliveryDocumentType": "LF",
            "ShippingPoint": orders["SalesOrganization"],
            "SalesOrganization": orders["SalesOrganization"],
            "SoldToParty": orders["SoldToParty"],
            "ShipToParty": orders["SoldToParty"],
            "CreationDate": day,
            "CreatedByUser": "SHIPPING",
            "LastChangeDate": day,
            "LastChangedByUser": "SHIPPING",
            "DocumentDate": day,
            "DeliveryDate": dates(at // DAY + 2),
            "PickingDate": day,
            "LoadingDate": day,
            "PlannedGoodsIssueDate": day,
            "ActualGoodsMovementDate": day,
            "DeliveryPriority": "02",
            "DeliveryBlockReason": "",
            "IncotermsClassification": orders["IncotermsClassification"],
            "ShippingCondition": orders["ShippingCondition"],
            "HeaderGrossWeight": [f"{weight * 1.08:.3f}" for weight in weights.tolist()],
            "HeaderNetWeight": [f"{weight:.3f}" for weight in weights.tolist()],
            "HeaderWeightUnit": "KG",
            "OverallPickingStatus": "C",
            "OverallGoodsMovementStatus": "C",
            "OverallSDProcessStatus": "B",
        },
    )
    lines = Columns(
        items.count,
        {
            "DeliveryDocument": [numbers[place] for place in item_order.tolist()],
            "DeliveryDocumentItem": items["SalesOrderItem"],
            "DeliveryDocumentItemCategory": "TAN",
            "DeliveryDocumentItemText": items["SalesOrderItemText"],
            "Material": items["Product"],
            "ActualDeliveryQuantity": items["RequestedQuantity"],
            "DeliveryQuantityUnit": items["RequestedQuantitySAPUnit"],
            "ItemGrossWeight": [f"{float(weight) * 1.08:.3f}" for weight in items.texts("ItemNetWeight")],
            "ItemNetWeight": items["ItemNetWeight"],
            "ItemWeightUnit": items["ItemWeightSAPUnit"],
            "Plant": items["Plant"],
            "StorageLocation": items["StorageLocation"],
            "ReferenceSDDocument": items["SalesOrder"],
            "ReferenceSDDocumentItem": items["SalesOrderItem"],
            "ReferenceSDDocumentCategory": "C",
            "GoodsMovementStatus": "C",
            "SDProcessStatus": "C",
        },
    )
    return headers, lines


def billings(
    orders: Columns, items: Columns, item_order: Array, delivered: list[str], countries: list[str], numbers: list[str], at: Array
) -> tuple[Columns, Columns]:
    """Headers and items that bill whole orders, delivered under the numbers `delivered`, at these moments."""
    day = days(at)
    net = hundredths(items["NetAmount"])
    tax = hundredths(items["TaxAmount"])
    total_net, total_tax = (np.bincount(item_order, weights=part, minlength=orders.count).astype(np.int64) for part in (net, tax))
    headers = Columns(
        orders.count,
        {
            "BillingDocument": numbers,
            "SDDocumentCategory": "M",
            "BillingDocumentCategory": "L",
            "BillingDocumentType": "F2",
            "CreationDate": day,
            "CreatedByUser": "BILLING",
            "LastChangeDate": day,
            "LastChangeDateTime": moments(at),
            "SalesOrganization": orders["SalesOrganization"],
            "DistributionChannel": orders["DistributionChannel"],
            "Division": orders["OrganizationDivision"],
            "BillingDocumentDate": day,
            "BillingDocumentIsCancelled": 0,
            "CancelledBillingDocument": "",
            "TotalNetAmount": decimals(total_net),
            "TaxAmount": decimals(total_tax),
            "TotalGrossAmount": decimals(total_net + total_tax),
            "TransactionCurrency": orders["TransactionCurrency"],
            "CustomerPaymentTerms": orders["CustomerPaymentTerms"],
            "PaymentMethod": orders["PaymentMethod"],
            "CompanyCode": orders["SalesOrganization"],
            "FiscalYear": [date[:4] for date in day],
            "AccountingDocument": [journal_number(number) for number in numbers],
            "IncotermsClassification": orders["IncotermsClassification"],
            "PayerParty": orders["SoldToParty"],
            "SoldToParty": orders["SoldToParty"],
            "Country": countries,
            "OverallBillingStatus": "C",
            "AccountingPostingStatus": "C",
            "InvoiceClearingStatus": "A",
        },
    )
    lines = Columns(
        items.count,
        {
            "BillingDocument": [numbers[place] for place in item_order.tolist()],
            "BillingDocumentItem": items["SalesOrderItem"],
            "SalesDocumentItemCategory": "TAN",
            "BillingDocumentItemText": items["SalesOrderItemText"],
            "Material": items["Product"],
            "MaterialGroup": items["ProductGroup"],
            "Plant": items["Plant"],
            "BillingQuantity": items["RequestedQuantity"],
            "BillingQuantityUnit": items["RequestedQuantitySAPUnit"],
            "NetAmount": items["NetAmount"],
            "TaxAmount": items["TaxAmount"],
            "GrossAmount": decimals(net + tax),
            "TransactionCurrency": items["TransactionCurrency"],
            "SalesDocument": items["SalesOrder"],
            "SalesDocumentItem": items["SalesOrderItem"],
            "ReferenceSDDocument": [delivered[place] for place in item_order.tolist()],
            "ReferenceSDDocumentItem": items["SalesOrderItem"],
        },
    )
    return headers, lines


def journal_number(billing: str) -> str:
    """The journal entry that posts a billing document: number range 94, as delivered with the system."""
    return f"94{billing[-8:]}"
