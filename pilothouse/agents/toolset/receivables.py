"""What can be asked about what a firm owes: its overdue invoices, what they are likely to bring, and who looks after it in sales."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from pydantic import Field

from pilothouse.agents.snapshot import Snapshot
from pilothouse.agents.tools import Tool
from pilothouse.agents.toolset.firms import OfFirm
from pilothouse.kernel.versions import Pinned, note_read

if TYPE_CHECKING:
    from models.additive.card import AdditiveCard

INVOICES: Final = "marts/fct_invoice"
CASH: Final = "model/cash_in"
ACCOUNTS: Final = "marts/dim_account"
OWNERS_OF_ACCOUNTS: Final = "staging/stg_crm__account"
DAYS: Final = 30  # within which an invoice is expected to come, or not
_MOST: Final = 500
_HISTORY: Final = 200  # settled invoices by which a firm's habit is known
_ALL: Final = 200_000


class OfFirmOn(OfFirm):
    """Which firm, and on which day."""

    on: date = Field(description="the day, such as 2026-06-01: a run asks no other clock")


def _overdue(snapshot: Snapshot, asked: OfFirmOn) -> list[dict[str, Any]]:
    rows = snapshot.rows(INVOICES, {"firm_id": asked.firm_id, "is_open": True}, limit=_MOST, order="due_on, invoice_id")
    return [
        {
            "invoice_id": row["invoice_id"],
            "order_id": row["order_id"],
            "due_on": row["due_on"],
            "days_overdue": days,
            "open_eur": str(_open_eur(row)),
            "_synthetic": row["_synthetic"],
        }
        for row in rows
        if (days := _days_overdue(row, asked.on)) > 0 and _open_eur(row) > 0
    ]


def _chances(snapshot: Snapshot, asked: OfFirmOn) -> dict[str, Any]:
    """How likely each overdue invoice is paid within `DAYS` days, by the payment model in force and the firm's own habit.

    The model (`models/paying.py`) has learned from all invoices how likely one that is still open is paid on a day, by its age against
    the due date, by the day on which its firm usually pays, and by the share of that firm's invoices that came late. The chance that it
    comes within the next days is the sum over these days: still open before that day, times paid on it. Nothing is known of what a
    call changes: it is what comes as things are.
    """
    settled = snapshot.rows(INVOICES, {"firm_id": asked.firm_id, "is_open": False}, limit=_HISTORY, order="-paid_on, -invoice_id")
    known = [row for row in settled if row["days_late"] is not None and row["paid_on"] < asked.on.isoformat()]
    from models.paying import habit

    usual, late = habit([row["days_late"] for row in known])
    told = {
        "settled": len(known),
        "usual_days_late": usual if known else None,
        "late_share": late if known else None,
        "last_paid_on": max((row["paid_on"] for row in known), default=None),
        "_synthetic": any(row["_synthetic"] for row in known),
    }
    champion = snapshot.row(CASH, {"is_champion": True}) if CASH in snapshot.tables else None
    overdue = _overdue(snapshot, asked)
    if champion is None or not overdue:
        return {"known": False, **told, "chances": {}}
    note_read(Pinned("model", "cash_in", str(champion["version"]), champion["fingerprint"]))
    found = _within(_card(champion["card"]), [each["days_overdue"] for each in overdue], usual, late)
    named = dict(zip((each["invoice_id"] for each in overdue), found, strict=True))
    return {"known": True, "model_version": champion["version"], "days": DAYS, **told, "chances": named}


def _within(card: AdditiveCard, ages: Sequence[int], usual: float, late: float) -> list[float]:
    import numpy as np

    from models.paying import chances

    several = np.asarray(ages, dtype=np.float64)
    found = chances(card, several, np.full(len(ages), usual), np.full(len(ages), late), DAYS).sum(axis=1)
    return [round(float(each), 4) for each in found]


@lru_cache(8)
def _card(text: str) -> AdditiveCard:
    from models.cash import Rates

    return Rates.from_json(json.loads(text)).hazard


def _accounts(snapshot: Snapshot, asked: OfFirm) -> list[dict[str, Any]]:
    """The accounts in Salesforce that stand for a firm, the one known longest first, each with who owns it."""
    rows = snapshot.rows(ACCOUNTS, {"firm_id": asked.firm_id, "source": "crm"}, limit=_MOST, order="known_since, record_id")
    found = []
    for row in rows:
        owner = snapshot.row(OWNERS_OF_ACCOUNTS, {"account_id": row["record_id"]}) if OWNERS_OF_ACCOUNTS in snapshot.tables else None
        told = {"account_id": row["record_id"], "name": row["name"], "owner_id": (owner or {}).get("owner_id")}
        found.append({**told, "_synthetic": row["_synthetic"]})
    return found


def firms_with_overdue_invoices(snapshot: Snapshot, now: datetime) -> list[str]:
    """The firms that owe something overdue, those that owe most of it first."""
    owed: dict[str, Decimal] = {}
    if INVOICES in snapshot.tables:
        for row in snapshot.rows(INVOICES, {"is_open": True}, limit=_ALL, order="due_on, invoice_id"):
            if _days_overdue(row, now.date()) > 0 and _open_eur(row) > 0:
                owed[row["firm_id"]] = owed.get(row["firm_id"], Decimal(0)) + _open_eur(row)
    return sorted(owed, key=lambda firm: (-owed[firm], firm))


def _days_overdue(row: dict[str, Any], on: date) -> int:
    """How long an invoice is overdue; 0 where it is not, where nobody knows when it is due, and where it was cancelled."""
    if row["due_on"] is None or row["is_cancelled"]:
        return 0
    return max(0, (on - date.fromisoformat(row["due_on"])).days)


def _open_eur(row: dict[str, Any]) -> Decimal:
    return Decimal(row["owed_eur"] or 0) - Decimal(row["paid_eur"] or 0)


OVERDUE: Final = Tool(
    name="overdue_invoices",
    description="The invoices of a firm that are overdue on a day, the oldest first, with what is still open of each in euros.",
    arguments=OfFirmOn,
    run=_overdue,
    permission="receivables",
)
CHANCES: Final = Tool(
    name="payment_chances",
    description=f"How a firm usually pays, and how likely each of its overdue invoices is paid within {DAYS} days.",
    arguments=OfFirmOn,
    run=_chances,
    permission="receivables",
)
SALES_ACCOUNTS: Final = Tool(
    name="sales_accounts",
    description="The accounts of a firm in Salesforce, and who owns each.",
    arguments=OfFirm,
    run=_accounts,
    permission="firms",
)
