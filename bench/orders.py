"""Five million orders of sixteen mixed columns: the data that `sql`, `changes` and `quality` measure on.

Made chunk by chunk from seeds, so every run and every contender sees the same rows. One row in ten thousand breaks rules: a
gate that never rejects has not been measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import psycopg

from connectors.sql.connector import SqlConnector
from connectors.sql.options import SqlOptions
from pilothouse.kernel.lake.hashing import Hashes
from pilothouse.local.postgres import EmbeddedPostgres

ROWS: Final = 5_000_000
CHUNK: Final = 250_000
BROKEN: Final = 10_000  # one row in so many breaks rules
STATUSES: Final = ("new", "paid", "shipped", "delivered", "returned", "cancelled")
COUNTRIES: Final = ("DE", "FR", "US", "GB", "IT", "ES", "NL", "PL")
TABLE: Final = """
CREATE TABLE orders (
    id bigint PRIMARY KEY, customer_id integer, order_ts timestamptz, updated_at timestamptz, ship_date date, status text, country text,
    quantity smallint, amount numeric(12, 2), unit_price double precision, discount real, is_priority boolean, email text, note text,
    ref uuid, attrs jsonb)
"""
_YEAR: Final = 365 * 86_400_000_000
_LATEST: Final = 40 * 86_400_000_000  # how long after it was made an order may change
_BEGIN: Final = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
_WORDS: Final = ("deliver", "after", "noon", "call", "before", "gate", "four", "pallet", "fragile", "invoice", "by", "mail")
_CHANNELS: Final = ("web", "edi", "phone")


def frames(rows: int = ROWS, first: int = 0) -> Iterator[pl.DataFrame]:
    """Orders with ids from `first` on."""
    for begin in range(first, first + rows, CHUNK):
        yield _frame(begin, min(CHUNK, first + rows - begin))


@contextmanager
def database(folder: Path, rows: int = ROWS) -> Iterator[str]:
    """A PostgreSQL that holds these orders in `public.orders`; yields its URL."""
    with EmbeddedPostgres(folder / "postgres", durable=False) as server:
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute(TABLE)
            for frame in frames(rows):
                insert(connection, frame)
            connection.execute("CREATE INDEX ON orders (updated_at)")
            connection.execute("VACUUM (ANALYZE) orders")
        yield server.url()


def insert(connection: psycopg.Connection[tuple[object, ...]], frame: pl.DataFrame) -> None:
    """Add these orders by COPY."""
    with connection.cursor() as cursor, cursor.copy(f"COPY orders ({', '.join(frame.columns)}) FROM STDIN (FORMAT csv)") as copy:
        copy.write(frame.write_csv(include_header=False))


def source(url: str) -> SqlConnector:
    """The orders as a source of ours, read by when they changed. Deletions are not looked for: the peer does not find them."""
    table = {"key": ["id"], "cursor": "updated_at", "deletes": "never"}
    return SqlConnector("shop", SqlOptions.model_validate({"url": url, "schema": "public", "streams": {"orders": table}}))


def _frame(first: int, count: int) -> pl.DataFrame:
    dice = np.random.default_rng(first)
    number = np.arange(first, first + count)

    def one_of(values: Sequence[str]) -> pl.Series:
        return pl.Series(values)[dice.integers(0, len(values), count)]

    ordered = _BEGIN + dice.integers(0, _YEAR - _LATEST, count)
    thrown = pl.DataFrame(
        {
            "id": number,
            "customer_id": dice.integers(0, 400_000, count, dtype=np.int32),
            "order_ts": ordered,
            "updated_at": ordered + dice.integers(0, _LATEST, count),
            "status": one_of(STATUSES),
            "country": one_of(COUNTRIES),
            "quantity": dice.integers(1, 41, count, dtype=np.int16),
            "unit_price": dice.integers(100, 50_000, count) / 100,
            "discount": (dice.integers(0, 50, count) / 100).astype(np.float32),
            "is_priority": dice.random(count) < 0.1,
            "words": pl.select(pl.concat_str([one_of(_WORDS) for _ in range(5)], separator=" ")).to_series(),
            "channel": one_of(_CHANNELS),
            "ref": Hashes(*dice.integers(0, 1 << 64, (2, count), dtype=np.uint64)).as_binary(),
            "broken": number % BROKEN == BROKEN - 1,
            "shipped": dice.random(count) < 0.9,
            "discounted": dice.random(count) < 0.95,
            "noted": dice.random(count) < 0.7,
        }
    )
    moment = pl.Datetime("us", "UTC")
    return thrown.select(
        "id",
        "customer_id",
        pl.col("order_ts").cast(moment),
        pl.col("updated_at").cast(moment),
        ship_date=pl.when("shipped").then(pl.col("updated_at").cast(moment).dt.date()),
        status="status",
        country="country",
        quantity=pl.when("broken").then(pl.lit(-1, pl.Int16)).otherwise("quantity"),
        amount=(pl.col("quantity") * pl.col("unit_price") / 2).round(2).cast(pl.Decimal(12, 2)),
        unit_price="unit_price",
        discount=pl.when("discounted").then("discount"),
        is_priority="is_priority",
        email=pl.format(
            "user{}@firm{}.{}", "id", pl.col("customer_id") % 5_000, pl.when("broken").then(pl.lit("")).otherwise(pl.lit("com"))
        ),
        note=pl.when("noted").then("words"),
        ref=pl.col("ref").bin.encode("hex"),
        attrs=pl.format('{{"terms": {}, "channel": "{}"}}', pl.col("customer_id") % 60, "channel"),
    )
