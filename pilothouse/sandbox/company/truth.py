"""The ground truth, in a file of its own that no server reads: who is who, each firm's traits and risk, what signals are worth.

Benchmarks compare answers with it. The clock reads from it what kind of firm it is dealing with, and notes what it
draws: keyed by record, so that a beat repeated after a crash leaves nothing twice.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from pilothouse.sandbox.company.columns import Array, dates, days
from pilothouse.sandbox.company.firms import Firms
from pilothouse.sandbox.company.receivables import Outcomes
from pilothouse.sandbox.company.risk import INTERCEPT, Ceiling, Signal, Worth, probability
from pilothouse.sandbox.company.salesforce import record_id
from pilothouse.sandbox.company.world import World, bureau_number

Cell = str | int | float | None
_TABLES = (
    f"firm(firm INTEGER PRIMARY KEY, {', '.join(field.name for field in fields(Firms))})",
    "identity(system TEXT, id TEXT, firm INTEGER, PRIMARY KEY (system, id)) WITHOUT ROWID",
    "partner(number TEXT PRIMARY KEY, firm INTEGER, name TEXT)",
    "product(place INTEGER PRIMARY KEY, price INTEGER, weight INTEGER, family INTEGER)",
    "sales_order(sales_order TEXT PRIMARY KEY, firm INTEGER, log_odds REAL, probability REAL) WITHOUT ROWID",
    "invoice(billing_document TEXT PRIMARY KEY, sales_order TEXT, firm INTEGER, probability REAL,"
    " late INTEGER, loss INTEGER, due_on TEXT, paid_on TEXT) WITHOUT ROWID",
    "firm_risk(firm INTEGER PRIMARY KEY, log_odds REAL, probability REAL)",
    "signal(name TEXT PRIMARY KEY, weight REAL, seen_in TEXT, alone REAL, lost_without REAL)",
    "summary(name TEXT PRIMARY KEY, value REAL)",
)


class Truth:
    """The ground truth of one company."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._writing() as connection:
            for table in _TABLES:
                connection.execute(f"CREATE TABLE IF NOT EXISTS {table}")

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        # A connection for each use: the truth is written rarely, by the one thread that beats, and read by benchmarks.
        connection = sqlite3.connect(self.path, timeout=60)
        try:
            with connection:
                yield connection
        finally:
            connection.close()

    def rows(self, sql: str, parameters: Sequence[Cell] = ()) -> list[tuple[Cell, ...]]:
        """Rows of a SELECT."""
        with self._writing() as connection:
            return connection.execute(sql, parameters).fetchall()

    def keep_world(self, world: World) -> None:
        """Write the firms and who is who."""
        traits = [_listed(getattr(world.firms, field.name)) for field in fields(Firms)]
        with self._writing() as connection:
            marks = ", ".join("?" * (len(traits) + 1))
            connection.executemany(f"INSERT INTO firm VALUES ({marks})", zip(range(len(world.firms)), *traits, strict=True))
            products = zip(range(len(world.price)), world.price.tolist(), world.weight.tolist(), world.group.tolist(), strict=True)
            connection.executemany("INSERT INTO product VALUES (?, ?, ?, ?)", products)
            partners = zip(world.partner_number, world.partner_firm.tolist(), world.partner_name, strict=True)
            connection.executemany("INSERT INTO partner VALUES (?, ?, ?)", partners)
            for system, ids in (
                ("sap", zip(world.partner_number, world.partner_firm.tolist(), strict=True)),
                ("salesforce", ((record_id("Account", place + 1), firm) for place, firm in enumerate(world.account_firm.tolist()))),
                ("bureau", ((bureau_number(place), firm) for place, firm in enumerate(world.bureau_firm.tolist()))),
            ):
                connection.executemany("INSERT INTO identity VALUES (?, ?, ?)", ((system, key, firm) for key, firm in ids))

    def world(self) -> World:
        """The world as it was drawn, with the customers that came since."""
        stored = self.rows(f"SELECT {', '.join(field.name for field in fields(Firms))} FROM firm ORDER BY firm")
        columns: dict[str, Any] = {}
        for field, column in zip(fields(Firms), zip(*stored, strict=True), strict=True):
            columns[field.name] = np.array(column) if field.type == "Array" else list(column)
        partners = self.rows("SELECT number, firm, name FROM partner ORDER BY number")
        products = np.array(self.rows("SELECT price, weight, family FROM product ORDER BY place"))
        bureau = {str(key): firm for key, firm in self.rows("SELECT id, firm FROM identity WHERE system = 'bureau'")}
        return World(
            firms=Firms(**columns),
            partner_number=[str(number) for number, _, _ in partners],
            partner_firm=np.array([firm for _, firm, _ in partners]),
            partner_name=[str(name) for _, _, name in partners],
            account_firm=np.array([firm for (firm,) in self.rows("SELECT firm FROM identity WHERE system = 'salesforce' ORDER BY id")]),
            bureau_firm=np.array([bureau[bureau_number(place)] for place in range(len(bureau))]),
            price=products[:, 0],
            weight=products[:, 1],
            group=products[:, 2],
        )

    def add_partner(self, number: str, firm: int, name: str, day: int) -> None:
        """Note that a firm became a customer; noting it again changes nothing."""
        self.identify("sap", number, firm)
        with self._writing() as connection:
            connection.execute("INSERT OR REPLACE INTO partner VALUES (?, ?, ?)", (number, firm, name))
            connection.execute("UPDATE firm SET customer_from = ? WHERE firm = ?", (day, firm))

    def drop_partner(self, number: str) -> None:
        """Note that a business partner is gone; who it was stays known."""
        with self._writing() as connection:
            connection.execute("DELETE FROM partner WHERE number = ?", (number,))

    def identify(self, system: str, key: str, firm: int) -> None:
        """Note that a new record stands for a firm; noting it again changes nothing."""
        with self._writing() as connection:
            connection.execute("INSERT OR REPLACE INTO identity VALUES (?, ?, ?)", (system, key, firm))

    def firm_of(self, system: str, key: str) -> int | None:
        """The firm that a record of `sap`, `salesforce` or `bureau` stands for; None for one that nobody drew."""
        found = self.rows("SELECT firm FROM identity WHERE system = ? AND id = ?", (system, key))
        return int(found[0][0]) if found and found[0][0] is not None else None

    def weigh(self, numbers: Sequence[str], firm: Array, score: Array) -> None:
        """Note the log-odds that the invoices of these sales orders are paid late; noting an order again replaces it."""
        rows = zip(numbers, firm.tolist(), score.tolist(), probability(score).tolist(), strict=True)
        with self._writing() as connection:
            connection.executemany("INSERT OR REPLACE INTO sales_order VALUES (?, ?, ?, ?)", rows)

    def log_odds(self, sales_order: str) -> float:
        """The log-odds of an order; those of an average one where somebody else placed it."""
        found = self.rows("SELECT log_odds FROM sales_order WHERE sales_order = ?", (sales_order,))
        return float(str(found[0][0])) if found else INTERCEPT

    def expect(self, bills: Sequence[str], orders: Sequence[str], firm: Array, score: Array, outcomes: Outcomes) -> None:
        """Note what will become of invoices; noting one again replaces it. `paid_on` is null for a loss and may lie in the future."""
        paid = [None if lost else day for lost, day in zip(outcomes.loss.tolist(), days(outcomes.paid_at), strict=True)]
        flags = (outcomes.late.astype(int).tolist(), outcomes.loss.astype(int).tolist())
        rows = zip(bills, orders, firm.tolist(), probability(score).tolist(), *flags, dates(outcomes.due), paid, strict=True)
        with self._writing() as connection:
            connection.executemany("INSERT OR REPLACE INTO invoice VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def keep_risks(self, score: Array) -> None:
        """Write each firm's latent risk: the log-odds of a usual order on the last day of the history."""
        rows = zip(range(len(score)), score.tolist(), probability(score).tolist(), strict=True)
        with self._writing() as connection:
            connection.executemany("INSERT OR REPLACE INTO firm_risk VALUES (?, ?, ?)", rows)

    def risk(self, firm: int) -> float:
        """The probability that a firm would pay a usual order late, had it placed one on the last day of the history."""
        return float(str(self.rows("SELECT probability FROM firm_risk WHERE firm = ?", (firm,))[0][0]))

    def keep_ceiling(self, ceiling: Ceiling) -> None:
        """Write what the history's signals are worth."""
        worths = [(w.signal.name, w.signal.weight, w.signal.seen_in, w.alone, w.lost_without) for w in ceiling.worths()]
        with self._writing() as connection:
            connection.executemany("INSERT OR REPLACE INTO signal VALUES (?, ?, ?, ?, ?)", worths)
            summary = [("best_auc", ceiling.auc()), ("late_share", ceiling.late_share), ("orders", ceiling.orders)]
            connection.executemany("INSERT OR REPLACE INTO summary VALUES (?, ?)", summary)

    @property
    def best_auc(self) -> float:
        """The AUC that a model which knew the true probabilities would reach on the history's orders."""
        return float(str(self.rows("SELECT value FROM summary WHERE name = 'best_auc'")[0][0]))

    def worths(self) -> list[Worth]:
        """What each planted signal is worth, the most valuable first."""
        rows = self.rows("SELECT name, weight, seen_in, alone, lost_without FROM signal ORDER BY lost_without DESC")
        return [Worth(Signal(str(n), float(str(w)), str(s)), float(str(a)), float(str(lost))) for n, w, s, a, lost in rows]


def _listed(column: list[str] | Array) -> list[Cell]:
    return list(column) if isinstance(column, list) else column.tolist()
