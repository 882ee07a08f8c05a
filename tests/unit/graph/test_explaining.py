"""What a firm's measures are made of, against the code that computes them: of the rows that are named alone it says the same, and
without any one of them something else."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest

from graph.analytics.firms import firm_tables
from graph.explaining import FIRM, INVOICE, ORDER, OWNS, MadeOf, Measured

DAY = date(2026, 3, 1)
KEYS = {FIRM: ("firm_id",), OWNS: ("owner_firm_id", "owned_firm_id"), INVOICE: ("invoice_id",), ORDER: ("order_id",)}
Marts = dict[str, list[dict[str, Any]]]


def some_company(dice: random.Random) -> Marts:
    firms = [f"f{number}" for number in range(dice.randrange(2, 8))]
    shares = {(dice.choice(firms), dice.choice(firms)): dice.choice([20, 50, 50, 80, None]) for _ in range(dice.randrange(10))}
    invoices: list[dict[str, Any]] = []
    for number in range(dice.randrange(12)):
        day = DAY - timedelta(days=dice.randrange(0, 80))
        paid = dice.choice([None, None, day, day + timedelta(days=dice.randrange(90))])
        owed = {"due_on": day + timedelta(days=dice.choice([0, 14, 30])), "paid_on": paid, "owed_eur": dice.choice([0, 5, 7, None])}
        told = {"invoice_id": f"i{number}", "firm_id": dice.choice(firms), "invoiced_on": day, "is_cancelled": dice.random() < 0.1}
        invoices.append({**told, **owed})
    orders = [
        {"order_id": f"o{number}", "firm_id": dice.choice(firms), "ordered_on": DAY - timedelta(days=dice.choice([0, 0, 3, 40]))}
        for number in range(dice.randrange(1, 6))
    ]
    return {
        FIRM: [{"firm_id": firm} for firm in firms],
        OWNS: [
            {"owner_firm_id": mine, "owned_firm_id": its, "share_percent": share} for (mine, its), share in shares.items() if mine != its
        ],
        INVOICE: invoices,
        ORDER: orders,
    }


def frames(marts: Marts) -> dict[str, pl.LazyFrame]:
    euro = pl.Decimal(18, 2)
    schemas: dict[str, dict[str, Any]] = {
        FIRM: {"firm_id": pl.String},
        OWNS: {"owner_firm_id": pl.String, "owned_firm_id": pl.String, "share_percent": pl.Decimal(5, 2)},
        INVOICE: {
            "invoice_id": pl.String, "firm_id": pl.String, "invoiced_on": pl.Date, "is_cancelled": pl.Boolean, "due_on": pl.Date,
            "paid_on": pl.Date, "owed_eur": euro,
        },
        ORDER: {"order_id": pl.String, "firm_id": pl.String, "ordered_on": pl.Date},
    }  # fmt: skip
    return {name: pl.DataFrame(rows, schema=schemas[name]).with_columns(_synthetic=pl.lit(True)).lazy() for name, rows in marts.items()}


def exposures(invoices: pl.DataFrame) -> pl.LazyFrame:
    """What the mart of exposures says, worked out anew for each day on which anything may change."""
    counting = invoices.filter(~pl.col("is_cancelled") & pl.col("owed_eur").is_not_null())
    rows = []
    for (firm,), its in counting.group_by("firm_id", maintain_order=True):
        days = {day for each in its.iter_rows(named=True) for day in (each["invoiced_on"], each["paid_on"]) if day is not None}
        days |= {each["due_on"] + timedelta(days=days) for each in its.iter_rows(named=True) for days in (1, 31, 61, 91)}
        first = min(its["invoiced_on"])
        for day in sorted(day for day in days if day >= first):
            standing = [
                each
                for each in its.iter_rows(named=True)
                if each["invoiced_on"] <= day and (each["paid_on"] is None or each["paid_on"] > day)
            ]
            overdue = sum(each["owed_eur"] for each in standing if each["due_on"] < day)
            rows.append((firm, day, sum(each["owed_eur"] for each in standing), overdue, 0, 0, 0))
    euro = pl.Decimal(18, 2)
    names = ("open_eur", "overdue_1_30_eur", "overdue_31_60_eur", "overdue_61_90_eur", "overdue_over_90_eur")
    return pl.LazyFrame(rows, schema={"firm_id": pl.String, "day": pl.Date, **dict.fromkeys(names, euro)}, orient="row")


def measured(marts: Marts, firm: str, columns: tuple[str, ...]) -> tuple[Any, ...] | None:
    given = frames(marts)
    items = pl.LazyFrame(schema={"order_id": pl.String, "product_id": pl.String})
    every = {**given, "marts/fct_exposure": exposures(given[INVOICE].collect()), "marts/fct_order_item": items}
    rows = firm_tables(every)["graph/firm_measures"].filter(pl.col("firm_id") == firm).select(columns).rows()
    return rows[0] if rows else None


def kept(marts: Marts, made: MadeOf, gone: tuple[str, tuple[str, ...]] | None = None) -> Marts:
    def named(table: str, row: Mapping[str, Any]) -> bool:
        key = tuple(row[name] for name in KEYS[table])
        return key in made.rows.get(table, {}) and (table, key) != gone

    return {table: [row for row in rows if named(table, row)] for table, rows in marts.items()}


@pytest.mark.parametrize(
    "columns", [("group_open_eur", "group_overdue_eur"), ("group_open_eur",), ("open_eur", "group_firms"), ("owners",)]
)
def test_what_is_named_says_the_same_and_without_any_of_it_something_else(columns: tuple[str, ...]) -> None:
    dice, checked = random.Random(11), 0
    for _ in range(12):
        marts = some_company(dice)
        firm = dice.choice(marts[FIRM])["firm_id"]
        before = measured(marts, firm, columns)
        made = Measured(frames(marts)).made_of(firm, columns, dice.choice(marts[ORDER])["order_id"])
        assert measured(kept(marts, made), firm, columns) == before
        for table, keys in made.rows.items():
            for key in keys:
                if table == ORDER or (table == FIRM and key != (firm,)):
                    continue  # any order of the day would do; a firm that is tied in is gone with its share
                checked += 1
                assert measured(kept(marts, made, (table, key)), firm, columns) != before, (table, key)
    assert checked > 10


def test_what_is_not_exact_is_said() -> None:
    marts = some_company(random.Random(1))
    marts[FIRM] = [{"firm_id": firm} for firm in ("f0", "f1", "f2")]
    marts[OWNS] = [
        {"owner_firm_id": mine, "owned_firm_id": its, "share_percent": 60} for mine, its in (("f0", "f1"), ("f1", "f2"), ("f0", "f2"))
    ]
    measured = Measured(frames(marts))
    assert "1 more shares of control tie the same firms" in measured.made_of("f2", ("group_firms",)).notes[0]
    assert "the whole network of 3 shares" in measured.made_of("f2", ("ownership_pagerank",)).notes[0]
    assert measured.made_of("f2", ("open_eur",)).rows[FIRM].keys() == {("f2",)}
