"""Twenty expectations about five million rows: our engine over Polars against Great Expectations on pandas, on the same Parquet.

Both end in GX's own results, and those must agree, expectation by expectation. Both sides' seconds include reading the file;
what GX takes when its rows are in memory already stands beside it.
"""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from bench import orders
from bench.apart import ours, peer
from bench.figure import Figure, figure
from bench.sql import complete
from quality.rule import Rule, rules

RULES = rules(
    "sql/orders",
    Rule("about as many as there were", "expect_table_row_count_to_be_between", {"min_value": 100_000, "max_value": 5_100_000}),
    Rule("no column more", "expect_table_column_count_to_equal", {"value": 16}),
    Rule("id is there", "expect_column_values_to_not_be_null", {"column": "id"}),
    Rule("id is unique", "expect_column_values_to_be_unique", {"column": "id"}),
    Rule("customer is there", "expect_column_values_to_not_be_null", {"column": "customer_id"}),
    Rule("customer is in range", "expect_column_values_to_be_between", {"column": "customer_id", "min_value": 0, "max_value": 400_000}),
    Rule("status is known", "expect_column_values_to_be_in_set", {"column": "status", "value_set": list(orders.STATUSES[:-1])}),
    Rule("country is known", "expect_column_values_to_be_in_set", {"column": "country", "value_set": list(orders.COUNTRIES)}),
    Rule("country is two letters", "expect_column_value_lengths_to_equal", {"column": "country", "value": 2}),
    Rule("quantity is in range", "expect_column_values_to_be_between", {"column": "quantity", "min_value": 1, "max_value": 39}),
    Rule("amount is in range", "expect_column_values_to_be_between", {"column": "amount", "min_value": 0, "max_value": 10_000}),
    Rule("amounts are as ever", "expect_column_mean_to_be_between", {"column": "amount", "min_value": 2_000, "max_value": 3_000}),
    Rule("price is in range", "expect_column_values_to_be_between", {"column": "unit_price", "min_value": 0, "max_value": 500}),
    Rule("prices are as ever", "expect_column_median_to_be_between", {"column": "unit_price", "min_value": 200, "max_value": 300}),
    Rule(
        "discount is mostly small",
        "expect_column_values_to_be_between",
        {"column": "discount", "min_value": 0, "max_value": 0.45, "mostly": 0.85},
    ),
    Rule("address is one", "expect_column_values_to_match_regex", {"column": "email", "regex": r"^[a-z0-9]+@[a-z0-9]+\.com$"}),
    Rule("note is mostly there", "expect_column_values_to_not_be_null", {"column": "note", "mostly": 0.6}),
    Rule("note is short", "expect_column_value_lengths_to_be_between", {"column": "note", "min_value": 5, "max_value": 80}),
    Rule("reference is unique", "expect_column_values_to_be_unique", {"column": "ref"}),
    Rule("dearest price is plausible", "expect_column_max_to_be_between", {"column": "unit_price", "min_value": 400, "max_value": 500}),
)
COMPARED = ("element_count", "missing_count", "unexpected_count", "observed_value")


def figures(rows: int = orders.ROWS) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="pilothouse-bench-") as folder:
        place = Path(folder)
        data, suite, mine_said, theirs_said = (str(place / name) for name in ("orders.parquet", "suite.json", "ours.json", "theirs.json"))
        _write(data, rows)
        Path(suite).write_text(json.dumps([{"type": rule.expectation, "kwargs": dict(rule.kwargs)} for rule in RULES]))
        mine = ours("bench.judging:judge", data, mine_said)
        theirs = peer("quality.py", data, suite, theirs_said)
        said = json.loads(Path(theirs_said).read_text())
        agree(json.loads(Path(mine_said).read_text())["results"], said["results"])
    complete(mine, rows)
    complete(theirs, rows)
    name = "GX on pandas"
    return [
        figure(
            f"{len(RULES)} expectations on {rows:,} rows, same results",
            mine.seconds,
            "s",
            better="lower",
            peer=name,
            peer_value=theirs.seconds,
            ratio_bar=20,
        ),
        figure(
            "the same, ours with reading the file",
            mine.seconds,
            "s",
            better="lower",
            peer=f"{name}, rows in memory already",
            peer_value=theirs.seconds - said["reading"],
        ),
        figure("peak memory", mine.peak_mb, "MB", better="lower", peer=name, peer_value=theirs.peak_mb),
    ]


def agree(mine: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> None:
    """Raise where the two differ on an expectation: a faster answer that is another answer is no answer."""
    if len(mine) != len(RULES) or len(theirs) != len(RULES):
        raise RuntimeError(f"{len(RULES)} expectations, but {len(mine)} and {len(theirs)} results")
    for rule, ours_said, theirs_said in zip(RULES, mine, theirs, strict=True):
        if ours_said["success"] != theirs_said["success"]:
            raise RuntimeError(f"{rule}: {ours_said} is not {theirs_said}")
        for name in COMPARED:
            left, right = ours_said["result"].get(name), theirs_said["result"].get(name)
            equal = math.isclose(left, right, rel_tol=1e-9) if isinstance(left, float) and isinstance(right, float) else left == right
            if not equal:
                raise RuntimeError(f"{rule}: {name} is {left} here and {right} there")


def _write(file: str, rows: int) -> None:
    """The orders as Parquet; amounts as doubles, because pandas would make a Python object of each decimal."""
    frames = (frame.with_columns(pl.col("amount").cast(pl.Float64)).to_arrow() for frame in orders.frames(rows))
    first = next(frames)
    with pq.ParquetWriter(file, first.schema) as writer:
        writer.write_table(first)
        for frame in frames:
            writer.write_table(frame)
