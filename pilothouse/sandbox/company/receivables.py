"""The journal: what customers owe by an invoice, what they pay, and whether they pay late."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pilothouse.sandbox.company import risk
from pilothouse.sandbox.company.columns import Array, Column, Columns, dates, days, decimals, hundredths
from pilothouse.sandbox.company.rates import CODES, Rates
from pilothouse.sandbox.company.world import DAY

FIRST_PAYMENT = 1_400_000_001
LOSS_SHARE = 0.12  # of the late invoices, never paid
_BOOKS = {"1010": ("Helmsman Drives GmbH", "EUR"), "1710": ("Helmsman Drives Inc.", "USD")}
_ACCOUNTS = {"12100000": "Trade Receivables", "41000000": "Revenue Domestic", "22000000": "Output Tax", "11001000": "Bank 1"}


@dataclass(frozen=True)
class Outcomes:
    """What becomes of invoices: late or not, lost or not, and when the money arrives (seconds since 1970; for a loss, in vain)."""

    late: Array
    loss: Array
    due: Array  # days since 1970
    paid_at: Array


def draw_outcomes(rng: np.random.Generator, score: risk.Floats, habit: Array, billed_at: Array, payment_days: Array) -> Outcomes:
    """Outcomes of invoices with these log-odds. A punctual invoice still comes some days early or late, as is the firm's habit."""
    count = len(score)
    late = rng.random(count) < risk.probability(score)
    due = billed_at // DAY + payment_days
    usual = np.clip(np.rint(rng.normal(1.0, 7.0, count) + 4.0 * habit), -25, risk.LATE_DAYS)
    slow = risk.LATE_DAYS + 1 + np.minimum(np.rint(rng.exponential(24.0, count)), 200)
    paid = np.maximum(due + np.where(late, slow, usual).astype(np.int64), billed_at // DAY + 1)
    return Outcomes(late, late & (rng.random(count) < LOSS_SHARE), due, paid * DAY + rng.integers(6 * 3_600, 16 * 3_600, count))


def invoice_entries(bills: Columns, sales_orders: list[str], names: list[str], rates: Rates, at: Array, due: Array) -> list[Columns]:
    """The lines that post billing documents: receivable, revenue and, where there is any, tax. They balance in both currencies."""
    rate = rates.at(np.array([CODES.index(code) for code in bills.texts("TransactionCurrency")], dtype=np.int64), at // DAY)
    own = rates.at(np.array([CODES.index(_BOOKS[code][1]) for code in bills.texts("CompanyCode")], dtype=np.int64), at // DAY)
    gross = hundredths(bills["TotalGrossAmount"])
    net = hundredths(bills["TotalNetAmount"])
    gross_own, net_own = (np.rint(amount / rate * own).astype(np.int64) for amount in (gross, net))
    common = _document(bills, bills.texts("AccountingDocument"), at, "RV")
    common |= {"TransactionCurrency": bills["TransactionCurrency"], "BillingDocument": bills["BillingDocument"]}
    common |= {
        "DocumentReferenceID": bills["BillingDocument"],
        "SalesDocument": sales_orders,
        "PaymentTerms": bills["CustomerPaymentTerms"],
    }
    owed = _line(bills.count, common, "001", "12100000", gross, gross_own)
    owed.values |= {
        "Customer": bills["PayerParty"],
        "CustomerName": [name[:80] for name in names],
        "CustomerCountry": bills["Country"],
        "NetDueDate": dates(due),
        "DueCalculationBaseDate": bills["BillingDocumentDate"],
    }
    taxed = gross != net
    revenue = _line(bills.count, common, "002", "41000000", -net, -net_own)
    tax = _line(bills.count, common, "003", "22000000", net - gross, net_own - gross_own)
    return [owed, revenue, tax.where(taxed)]


def payment_entries(owed: Columns, numbers: list[str], at: Array) -> list[Columns]:
    """The lines by which money arrives for receivables: bank, and the customer's line that clears the receivable."""
    common = _document(owed, numbers, at, "DZ")
    copied = ("TransactionCurrency", "BillingDocument", "SalesDocument", "DocumentReferenceID", "PaymentTerms")
    common |= {name: owed[name] for name in copied}
    amount = hundredths(owed["AmountInTransactionCurrency"])
    own = hundredths(owed["AmountInCompanyCodeCurrency"])
    bank = _line(owed.count, common, "001", "11001000", amount, own)
    customer = _line(owed.count, common, "002", "12100000", -amount, -own)
    customer.values |= {name: owed[name] for name in ("Customer", "CustomerName", "CustomerCountry")}
    customer.values |= {"NetDueDate": days(at), "DueCalculationBaseDate": days(at), **clearing(numbers, at)}
    return [bank, customer]


def clearing(numbers: list[str], at: Array) -> dict[str, Column]:
    """What a cleared line says of the payments that cleared it."""
    day = days(at)
    return {"IsCleared": 1, "ClearingDate": day, "ClearingAccountingDocument": numbers, "ClearingDocFiscalYear": [date[:4] for date in day]}


def dunning_level(due: Array, today: int) -> Array:
    """How often an open invoice has been dunned: every two weeks after it was due, three times at most."""
    level: Array = np.clip((today - due) // 14, 0, 3)
    return level


def _document(source: Columns, numbers: list[str], at: Array, kind: str) -> dict[str, Column]:
    day = days(at)
    company = source.texts("CompanyCode")
    return {
        "CompanyCode": company,
        "CompanyCodeName": [_BOOKS[code][0] for code in company],
        "CompanyCodeCurrency": [_BOOKS[code][1] for code in company],
        "FiscalYear": [date[:4] for date in day],
        "FiscalPeriod": [f"0{date[5:7]}" for date in day],
        "AccountingDocument": numbers,
        "AccountingDocumentType": kind,
        "AccountingDocumentTypeName": {"RV": "Billing doc.transfer", "DZ": "Customer payment"}[kind],
        "AccountingDocumentCategory": "",
        "PostingDate": day,
        "DocumentDate": day,
        "AccountingDocumentCreationDate": day,
        "PaymentBlockingReason": "",
        "DunningLevel": "0",
        "DocumentItemText": "",
    }


def _line(count: int, common: dict[str, Column], item: str, account: str, amount: Array, own: Array) -> Columns:
    debit = amount >= 0
    keys = {"12100000": ("01", "15"), "41000000": ("40", "50"), "22000000": ("40", "50"), "11001000": ("40", "50")}[account]
    return Columns(
        count,
        {
            **common,
            "AccountingDocumentItem": item,
            "FinancialAccountType": "D" if account == "12100000" else "S",
            "GLAccount": account,
            "GLAccountName": _ACCOUNTS[account],
            "PostingKey": [keys[0] if plus else keys[1] for plus in debit.tolist()],
            "DebitCreditCode": ["S" if plus else "H" for plus in debit.tolist()],
            "AmountInTransactionCurrency": decimals(amount),
            "AmountInCompanyCodeCurrency": decimals(own),
            "IsCleared": 0,
            "ClearingAccountingDocument": "",
        },
    )
