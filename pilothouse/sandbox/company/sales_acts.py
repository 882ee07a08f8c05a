"""What happens in sales from beat to beat: orders come, change and vanish; due deliveries, invoices and payments are made."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np

from pilothouse.sandbox.company import fulfilment, receivables, sap
from pilothouse.sandbox.company.beat import Beat
from pilothouse.sandbox.company.columns import Columns, moments
from pilothouse.sandbox.company.numbering import new_key
from pilothouse.sandbox.company.sales import draw_orders, order_score
from pilothouse.sandbox.company.store import Row
from pilothouse.sandbox.company.world import DAY

_NEEDED = ("NetAmount", "TaxAmount", "ItemNetWeight", "RequestedQuantity", "TransactionCurrency", "Product")
_NEEDED_HEAD = ("SoldToParty", "SalesOrganization", "TransactionCurrency", "CustomerPaymentTerms")
_BOOKS = ("1010", "1710")
_JOURNAL = sap.OPERATIONAL_ACCTG_DOC_ITEM_CUBE


def place_order(beat: Beat) -> list[str]:
    """A customer orders."""
    world = beat.world
    bounds = np.cumsum(world.appetite(beat.seconds // DAY))
    partner = np.searchsorted(bounds, beat.rng.random(1) * bounds[-1], side="right")
    number = new_key(beat.store, sap.SALES_ORDER)
    drawn = draw_orders(beat.rng, world, beat.rates, partner, beat.now, int(number), beat.history_ends)
    beat.truth.weigh([number], drawn.firm, order_score(drawn))
    for entity, rows in ((sap.SALES_ORDER, drawn.orders), (sap.SALES_ORDER_ITEM, drawn.items), (sap.SALES_ORDER_PARTNER, drawn.partners)):
        beat.insert(entity, rows)
    head = next(drawn.orders.rows())
    return [f"order {number} from {world.partner_name[int(partner[0])]}: {head['TotalNetAmount']} {head['TransactionCurrency']}"]


def change_order(beat: Beat) -> list[str]:
    """A customer asks for another delivery date, or purchasing corrects its reference."""
    order = beat.pick(sap.SALES_ORDER, "OverallSDProcessStatus = 'A'")
    if order is None:
        return []
    if beat.rng.random() < 0.6 and order["RequestedDeliveryDate"]:
        asked = date.fromisoformat(str(order["RequestedDeliveryDate"])) + timedelta(days=int(beat.rng.integers(1, 15)))
        beat.update(sap.SALES_ORDER, order, RequestedDeliveryDate=asked.isoformat())
        return [f"order {order['SalesOrder']} moved to {asked}"]
    beat.update(sap.SALES_ORDER, order, PurchaseOrderByCustomer=f"{str(order['PurchaseOrderByCustomer'])[:30]}-A")
    return [f"order {order['SalesOrder']} has a new customer reference"]


def delete_order(beat: Beat) -> list[str]:
    """An order placed by mistake is deleted, with its items and partners."""
    order = beat.pick(sap.SALES_ORDER, "OverallSDProcessStatus = 'A'")
    if order is None:
        return []
    for entity in (sap.SALES_ORDER_ITEM, sap.SALES_ORDER_PARTNER):
        for row in beat.find(entity, "SalesOrder = ?", [order["SalesOrder"]]):
            beat.delete(entity, row)
    beat.delete(sap.SALES_ORDER, order)
    return [f"order {order['SalesOrder']} deleted"]


def change_item(beat: Beat) -> list[str]:
    """A line of an order that has not shipped moves to another storage location."""
    order = beat.pick(sap.SALES_ORDER, "OverallSDProcessStatus = 'A'")
    items = beat.find(sap.SALES_ORDER_ITEM, "SalesOrder = ?", [order["SalesOrder"]]) if order else []
    if not items:
        return []
    item = items[int(beat.rng.integers(len(items)))]
    beat.update(sap.SALES_ORDER_ITEM, item, StorageLocation="101B" if item["StorageLocation"] == "101A" else "101A")
    return [f"order {item['SalesOrder']} item {item['SalesOrderItem']} comes from another storage location"]


def adopt_orders(beat: Beat) -> None:
    """Plan the delivery of orders created since the last beat, ours or a client's.

    A client may create an order too incomplete to be shipped; it stays open, as it would in a real system.
    """
    seen = int(beat.store.fact("orders adopted") or 0)
    latest = beat.store.last_change()
    created = [str(change.key[0]) for change in beat.store.changes(sap.SALES_ORDER, seen, latest) if change.operation == "insert"]
    ships = fulfilment.draw_shipping(beat.rng, np.full(len(created), beat.seconds))
    beat.agenda.plan("deliver", zip(moments(ships), created, strict=True))
    beat.store.set_fact("orders adopted", str(latest))


def deliver(beat: Beat, number: str) -> list[str]:
    """Ship an order whose time has come. One that is blocked waits for a day, one that is gone or rejected is forgotten."""
    order = beat.store.get(sap.SALES_ORDER, [number])
    if order is None or order["OverallSDProcessStatus"] != "A" or order["OverallSDDocumentRejectionSts"] == "C":
        return []
    if order["DeliveryBlockReason"]:
        beat.agenda.plan("deliver", [(moments(beat.now + DAY)[0], number)])
        return []
    items = beat.find(sap.SALES_ORDER_ITEM, "SalesOrder = ?", [number])
    if not _complete(order, items):
        return []
    delivery = new_key(beat.store, sap.OUTB_DELIVERY_HEADER)
    belongs = np.zeros(len(items), dtype=np.int64)
    headers, lines = fulfilment.deliveries(Columns.of([order]), Columns.of(items), belongs, [delivery], beat.now)
    beat.insert(sap.OUTB_DELIVERY_HEADER, headers)
    beat.insert(sap.OUTB_DELIVERY_ITEM, lines)
    _advance(beat, order, items, "B")
    beat.agenda.plan("bill", [(moments(fulfilment.draw_billing(beat.rng, beat.now))[0], delivery)])
    return [f"order {number} shipped as delivery {delivery}"]


def reverse_delivery(beat: Beat) -> list[str]:
    """A delivery that was not yet billed is taken back and deleted; its order is open again."""
    delivery = beat.pick(sap.OUTB_DELIVERY_HEADER, "OverallSDProcessStatus = 'B'")
    lines = beat.find(sap.OUTB_DELIVERY_ITEM, "DeliveryDocument = ?", [delivery["DeliveryDocument"]]) if delivery else []
    order = beat.store.get(sap.SALES_ORDER, [lines[0]["ReferenceSDDocument"]]) if lines else None
    if delivery is None or order is None:
        return []
    for line in lines:
        beat.delete(sap.OUTB_DELIVERY_ITEM, line)
    beat.delete(sap.OUTB_DELIVERY_HEADER, delivery)
    _advance(beat, order, beat.find(sap.SALES_ORDER_ITEM, "SalesOrder = ?", [order["SalesOrder"]]), "A")
    beat.agenda.plan("deliver", [(moments(beat.now + DAY)[0], str(order["SalesOrder"]))])
    return [f"delivery {delivery['DeliveryDocument']} reversed"]


def bill(beat: Beat, number: str) -> list[str]:
    """Bill a delivery, post the invoice to the journal, and decide in secret whether it will be paid in time."""
    delivery = beat.store.get(sap.OUTB_DELIVERY_HEADER, [number])
    lines = beat.find(sap.OUTB_DELIVERY_ITEM, "DeliveryDocument = ?", [number])
    order = beat.store.get(sap.SALES_ORDER, [lines[0]["ReferenceSDDocument"]]) if lines else None
    if delivery is None or order is None or delivery["OverallSDProcessStatus"] != "B":
        return []
    sold = str(order["SalesOrder"])
    items = beat.find(sap.SALES_ORDER_ITEM, "SalesOrder = ?", [sold])
    if not _complete(order, items):
        return []
    customer = _customer(beat, str(order["SoldToParty"]))
    document = new_key(beat.store, sap.BILLING_DOCUMENT)
    belongs = np.zeros(len(items), dtype=np.int64)
    headers, rows = fulfilment.billings(Columns.of([order]), Columns.of(items), belongs, [number], [customer[1]], [document], beat.now)
    firm = beat.truth.firm_of("sap", str(order["SoldToParty"]))
    score = np.array([beat.truth.log_odds(sold)])
    habit = beat.world.firms.habit[[firm]] if firm is not None else np.zeros(1)
    outcomes = receivables.draw_outcomes(beat.rng, score, habit, beat.now, np.array([_payment_days(order)]))
    if firm is not None:
        beat.truth.expect([document], [sold], np.array([firm]), score, outcomes)
    beat.insert(sap.BILLING_DOCUMENT, headers)
    beat.insert(sap.BILLING_DOCUMENT_ITEM, rows)
    for entry in receivables.invoice_entries(headers, [sold], [customer[0]], beat.rates, beat.now, outcomes.due):
        beat.insert(_JOURNAL, entry)
    beat.update(sap.OUTB_DELIVERY_HEADER, delivery, OverallSDProcessStatus="C")
    _advance(beat, order, items, "C")
    if not outcomes.loss[0]:
        beat.agenda.plan("pay", [(moments(outcomes.paid_at)[0], document)])
    return [f"delivery {number} billed as invoice {document}"]


def pay(beat: Beat, number: str) -> list[str]:
    """The money for an invoice arrives and clears it."""
    owed = beat.find(_JOURNAL, "BillingDocument = ? AND AccountingDocumentType = 'RV' AND IsCleared = 0", [number])
    owed = [line for line in owed if line["FinancialAccountType"] == "D"]
    invoice = beat.store.get(sap.BILLING_DOCUMENT, [number])
    if not owed or invoice is None:
        return []
    payment = [str(beat.store.next_number("payment", receivables.FIRST_PAYMENT))]
    for entry in receivables.payment_entries(Columns.of(owed[:1]), payment, beat.now):
        beat.insert(_JOURNAL, entry)
    cleared = next(Columns(1, receivables.clearing(payment, beat.now)).rows())
    beat.update(_JOURNAL, owed[0], **cleared)
    beat.update(sap.BILLING_DOCUMENT, invoice, InvoiceClearingStatus="C")
    return [f"invoice {number} paid by {payment[0]}"]


def dun(beat: Beat) -> list[str]:
    """Customers are reminded of what is overdue, two weeks after the last reminder; the longest overdue first."""
    since = (beat.at - timedelta(days=14)).date().isoformat()
    condition = (
        "IsCleared = 0 AND NetDueDate < ? AND DunningLevel < '3' AND COALESCE(LastDunningDate, '') < ? AND FinancialAccountType = 'D'"
    )
    lines = beat.find(_JOURNAL, condition, [since, since], limit=1, by=("NetDueDate", *_JOURNAL.key))
    for line in lines:
        level = str(int(str(line["DunningLevel"] or 0)) + 1)
        beat.update(_JOURNAL, line, DunningLevel=level, LastDunningDate=beat.today)
    return [f"invoice {line['BillingDocument']} dunned" for line in lines]


def archive_journal(beat: Beat) -> list[str]:
    """The oldest payment that is more than ten months cleared leaves the journal for the archive, with the invoice it cleared."""
    before = (beat.at - timedelta(days=300)).date().isoformat()
    condition = "AccountingDocumentType = 'DZ' AND IsCleared = 1 AND ClearingDate < ?"
    paid = beat.find(_JOURNAL, condition, [before], limit=1)
    if not paid:
        return []
    lines = beat.find(_JOURNAL, "BillingDocument = ?", [paid[0]["BillingDocument"]])
    for line in lines:
        beat.delete(_JOURNAL, line)
    return [f"journal entries of invoice {paid[0]['BillingDocument']} archived"]


def _complete(order: Row, items: list[Row]) -> bool:
    """Whether an order says enough to be shipped and billed."""
    whole = all(order[name] for name in _NEEDED_HEAD) and order["SalesOrganization"] in _BOOKS
    return whole and bool(items) and all(item[name] is not None for item in items for name in _NEEDED)


def _advance(beat: Beat, order: Row, items: list[Row], status: str) -> None:
    """Set an order and its items to the status open (A), shipped (B) or billed (C)."""
    shipped = "A" if status == "A" else "C"
    beat.update(sap.SALES_ORDER, order, OverallSDProcessStatus=status, OverallDeliveryStatus=shipped)
    for item in items:
        beat.update(sap.SALES_ORDER_ITEM, item, SDProcessStatus=status, DeliveryStatus=shipped)


def _customer(beat: Beat, number: str) -> tuple[str, str]:
    """Name and country of a customer, as SAP has them."""
    partner = beat.store.get(sap.BUSINESS_PARTNER, [number]) or {}
    addresses = beat.find(sap.BUSINESS_PARTNER_ADDRESS, "BusinessPartner = ?", [number], limit=1)
    return str(partner.get("BusinessPartnerFullName") or number), str(addresses[0]["Country"]) if addresses else ""


def _payment_days(order: Row) -> int:
    """The days of terms such as NT30; thirty where the terms are unknown."""
    terms = str(order["CustomerPaymentTerms"])
    return int(terms[2:]) if terms.startswith("NT") and terms[2:].isdigit() else 30
