"""Five million rows of sixteen columns out of PostgreSQL into a raw Delta table, checked by twenty rules on the way.

Ours is the product's whole way: connector, gate, quarantine, identity columns, repeats, commit. The peer is dlt with its fastest
backend (connectorx) and without a single check; of its two ways to use it, in one piece or streamed, the faster counts. It is
measured to the same end, a table whose rows say which they are and which load brought them (its `_dlt_id` and `_dlt_load_id`), and
as it comes, without these. Peers do the same work to the same end, so the bar is held against the first; the second stands beside it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path

from assets.loading import Loader
from bench import orders
from bench.apart import Measured, ours, peer
from bench.figure import Figure, figure
from pilothouse.kernel.lake import Lake
from quality.rule import Rule, rules

_held = partial(Rule, on_failure="quarantine")
RULES = rules(
    "sql/orders",
    _held("order has a customer", "expect_column_values_to_not_be_null", {"column": "customer_id"}),
    _held("order has a time", "expect_column_values_to_not_be_null", {"column": "order_ts"}),
    _held("order has a status", "expect_column_values_to_not_be_null", {"column": "status"}),
    _held("order has an amount", "expect_column_values_to_not_be_null", {"column": "amount"}),
    _held("order has a reference", "expect_column_values_to_not_be_null", {"column": "ref"}),
    _held("customer is in range", "expect_column_values_to_be_between", {"column": "customer_id", "min_value": 0, "max_value": 400_000}),
    _held("quantity is positive", "expect_column_values_to_be_between", {"column": "quantity", "min_value": 1, "max_value": 40}),
    _held("amount is in range", "expect_column_values_to_be_between", {"column": "amount", "min_value": 0, "max_value": 10_000}),
    _held("price is in range", "expect_column_values_to_be_between", {"column": "unit_price", "min_value": 0, "max_value": 500}),
    _held(
        "time is plausible",
        "expect_column_values_to_be_between",
        {"column": "order_ts", "min_value": "2024-01-01", "max_value": "2030-01-01"},
    ),
    _held(
        "day is plausible",
        "expect_column_values_to_be_between",
        {"column": "ship_date", "min_value": "2024-01-01", "max_value": "2030-01-01"},
    ),
    _held("status is known", "expect_column_values_to_be_in_set", {"column": "status", "value_set": list(orders.STATUSES)}),
    _held("country is known", "expect_column_values_to_be_in_set", {"column": "country", "value_set": list(orders.COUNTRIES)}),
    _held("country is two letters", "expect_column_value_lengths_to_equal", {"column": "country", "value": 2}),
    _held("address is one", "expect_column_values_to_match_regex", {"column": "email", "regex": r"^[a-z0-9]+@[a-z0-9]+\.com$"}),
    _held("reference is hexadecimal", "expect_column_values_to_match_regex", {"column": "ref", "regex": r"^[0-9a-f-]{36}$"}),
    Rule("note is short", "expect_column_value_lengths_to_be_between", {"column": "note", "min_value": 5, "max_value": 80}, "warn"),
    Rule("discount is a share", "expect_column_values_to_be_between", {"column": "discount", "min_value": 0, "max_value": 1}, "warn"),
    Rule("terms are there", "expect_column_values_to_match_regex", {"column": "attrs", "regex": '"terms"'}, "warn"),
    Rule("change time is there", "expect_column_values_to_not_be_null", {"column": "updated_at"}),
)


def figures(rows: int = orders.ROWS) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="pilothouse-bench-") as folder:
        place = Path(folder)
        with orders.database(place, rows) as url:
            mine = ours("bench.sql:load", url, str(place / "lake"))
            others = {
                (said, ids): peer("sql.py", url, str(place / f"{way} {ids}"), way, *ids.split())
                for way, said in (("arrow", "in one piece"), ("arrow_stream", "streamed"))
                for ids in ("ids", "")
            }
    for contender in (mine, *others.values()):
        complete(contender, rows)
    (said, _), theirs = _fastest(others, "ids")
    (bare_said, _), bare = _fastest(others, "")
    name = f"dlt, connectorx, {said}, with identities, unchecked"
    return [
        figure(
            f"{rows:,} rows of PostgreSQL, {len(RULES)} rules, to raw",
            rows / mine.seconds,
            "rows/s",
            peer=name,
            peer_value=rows / theirs.seconds,
            ratio_bar=2.5,
        ),
        figure("the same in seconds", mine.seconds, "s", better="lower", peer=name, peer_value=theirs.seconds),
        figure(
            "the same beside rows without identities",
            mine.seconds,
            "s",
            better="lower",
            peer=f"dlt, connectorx, {bare_said}, without identities, unchecked",
            peer_value=bare.seconds,
        ),
        figure("peak memory", mine.peak_mb, "MB", better="lower", bar=1_500, peer=name, peer_value=theirs.peak_mb),
    ]


def _fastest(contenders: Mapping[tuple[str, str], Measured], ids: str) -> tuple[tuple[str, str], Measured]:
    return min(((key, one) for key, one in contenders.items() if key[1] == ids), key=lambda found: found[1].seconds)


def load(url: str, lake: str) -> int:
    """Our side: how many rows came to rest, in the raw table or in quarantine."""
    with closing(orders.source(url)) as source:
        loader = Loader(Lake(lake), source, source.streams()[0], RULES)
        done = loader.run()
        return loader.table.rows() + done.rejected


def complete(measured: Measured, rows: int) -> None:
    """A contender that lost rows, or brought some twice, has not been measured."""
    if measured.rows != rows:
        raise RuntimeError(f"{measured.rows:,} of {rows:,} rows arrived: nothing was measured")
