"""The books that a cash forecast reads, of the tables that a model names."""

from __future__ import annotations

import polars as pl

from models.cash import TOTAL, Books
from models.model import Model, Tables

OTHERS = "others"


def books_of(model: Model, tables: Tables, series: str, fewest: int) -> Books:
    """Invoices, orders and payments by series. Firms of a series with too few payments a week count as others."""
    invoices, payments = tables[model.features.table], tables[model.target.table]
    orders, firms = (tables[name] for name in model.beside)
    named = firms.select("firm_id", pl.col(series).fill_null(OTHERS).alias("series"))
    weeks = max(payments["paid_on"].n_unique() / 7, 1.0)
    counted = payments.join(named, on="firm_id", how="left")["series"].fill_null(OTHERS).value_counts()
    common = sorted(counted.filter((pl.col("count") / weeks >= fewest) & (pl.col("series") != OTHERS))["series"])
    named = named.with_columns(pl.when(pl.col("series").is_in(common)).then("series").otherwise(pl.lit(OTHERS)).alias("series"))
    euros = pl.col("owed_eur").cast(pl.Float64)
    billed = (
        invoices.filter(~pl.col("is_cancelled").fill_null(value=False))
        .drop_nulls(["due_on", "owed_eur"])
        .select("invoice_id", "order_id", "firm_id", "invoiced_on", "due_on", "paid_on", "days_late", euros)
        .sort("invoice_id")
    )
    net = billed.join(orders.select("order_id", pl.col("net_amount_eur").cast(pl.Float64)), on="order_id")
    gross = float(net["owed_eur"].sum()) / max(float(net["net_amount_eur"].sum()), 1.0)
    placed = (
        orders.join(billed.group_by("order_id").agg(pl.col("invoiced_on").min()), on="order_id", how="left")
        .select(
            "order_id",
            "firm_id",
            "ordered_on",
            "invoiced_on",
            (pl.col("net_amount_eur").cast(pl.Float64) * gross).fill_null(0.0).alias("owed_eur"),
            pl.col("payment_days").fill_null(30).alias("terms"),
        )
        .sort("order_id")
    )
    paid = payments.select("firm_id", "paid_on", pl.col("amount_eur").cast(pl.Float64).fill_null(0.0)).sort("paid_on")
    bills, sold, cash = (
        frame.join(named, on="firm_id", how="left").with_columns(pl.col("series").fill_null(OTHERS)) for frame in (billed, placed, paid)
    )
    names = [name for name in (*common, OTHERS) if not cash.filter(pl.col("series") == name).is_empty()]
    return Books(bills, sold, cash, (TOTAL, *names))
