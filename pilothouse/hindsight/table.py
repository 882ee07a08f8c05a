"""The settled decisions as a table of the lake, for whoever asks what decisions brought.

Retraining learns from the same payments, of all orders and not of decided ones alone (`features/feat_order_outcome`). The table
follows from the ledger alone and is written as a whole: written twice it is the same table, and no new version.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

import polars as pl

from pilothouse.agents.capsules import Capsule, Ledger
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.versions import Pinned

TABLE: Final = "outcomes/decisions"
KEY: Final = ("decision",)
_EURO: Final = pl.Decimal(18, 2)
COLUMNS: Final[dict[str, tuple[Any, str]]] = {
    "decision": (pl.String, "Digest of the decision"),
    "subject": (pl.String, "What it was about"),
    "order_id": (pl.String, "Number of the order"),
    "firm_id": (pl.String, "The firm that ordered"),
    "agent": (pl.String, "Who decided"),
    "agent_version": (pl.String, "Its version"),
    "decided_at": (pl.Datetime("us", "UTC"), "When"),
    "action": (pl.String, "What was decided: release, prepayment, or hold"),
    "share": (pl.Float64, "Of a prepayment, the part asked for"),
    "probability": (pl.Float64, "How likely a late payment was said to be"),
    "model": (pl.String, "Whose word that was: model@version"),
    "outcome": (pl.String, "paid (at most 30 days late), late, lost, or withdrawn"),
    "days_late": (pl.Int64, "Days from due to settled, of the latest invoice"),
    "lost_share": (pl.Float64, "Of what was owed, the part that was never paid"),
    "amount_eur": (_EURO, "Net value of the order when it was placed"),
    "exposure_eur": (_EURO, "What the firm owed when it ordered"),
    "owed_eur": (_EURO, "What was owed for it"),
    "paid_eur": (_EURO, "What was paid of that"),
    "due_on": (pl.Date, "When the last of its invoices was due"),
    "settled_on": (pl.Date, "From when on the outcome was known"),
    "worth_eur": (pl.Float64, "What the decision brought, by the settings under [money]"),
    "best_action": (pl.String, "What would have brought most"),
    "best_share": (pl.Float64, "Of a prepayment, the part"),
    "best_worth_eur": (pl.Float64, "What that would have brought"),
    "regret_eur": (pl.Float64, "How much more that is"),
    "money": (pl.String, "Which figures it was counted by"),
    "capsule": (pl.String, "Digest of the entry that tells the outcome"),
    "_synthetic": (pl.Boolean, "Whether any row behind it comes from the enterprise in a box"),
}


def of_ledger(ledger: Ledger) -> pl.DataFrame:
    """Every settled decision, the first one first."""
    rows = list(_rows(ledger))
    return pl.DataFrame(rows, schema={name: kind for name, (kind, _) in COLUMNS.items()}, orient="row").reverse()


def publish(lake: Lake, ledger: Ledger) -> Pinned:
    """Make the table say what the ledger says."""
    return lake.table(TABLE).replace(of_ledger(ledger).to_arrow().to_reader(), key=KEY)


def _rows(ledger: Ledger) -> Iterator[list[Any]]:
    for capsule in ledger.entries(kind="outcome"):
        told = _told(capsule)
        yield [told[name] for name in COLUMNS]


def _told(capsule: Capsule) -> dict[str, Any]:
    said, body = capsule.manifest, capsule.body
    best = body["best"]
    return {
        **body,
        **{name: None if body[name] is None else Decimal(body[name]) for name in ("amount_eur", "exposure_eur", "owed_eur", "paid_eur")},
        "subject": said["subject"],
        "order_id": str(said["subject"]).rpartition("/")[2],
        "agent": said["agent"],
        "agent_version": said["agent_version"],
        "decided_at": datetime.fromisoformat(body["decided_at"]),
        "due_on": None if body["due_on"] is None else date.fromisoformat(body["due_on"]),
        "settled_on": date.fromisoformat(body["settled_on"]),
        "best_action": best["action"],
        "best_share": best["share"],
        "best_worth_eur": best["worth_eur"],
        "capsule": capsule.digest,
        "_synthetic": said["synthetic"],
    }
