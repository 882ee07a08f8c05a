"""Two million rows of a Bulk API 2.0 result, gzipped CSV, from a static server into a raw Delta table.

Ours is the product's whole way: connector, gate, hashes, identity columns, commit. simple-salesforce fetches the same pages
by its own bulk query, at its own page size, pandas parses them, and each is appended to a Delta table, unchecked.
"""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl

from assets.loading import Loader
from bench.apart import Measured, ours, peer
from bench.figure import Figure, figure
from bench.static_server import Rendered
from connectors.salesforce.connector import SalesforceConnector
from connectors.salesforce.options import SalesforceOptions
from pilothouse.kernel.lake import Lake

ROWS = 2_000_000
PAGE = 50_000  # what simple-salesforce asks for by default
BASE = "/services/data/v62.0"
JOB = "750000000000001AAA"
FIELDS: Mapping[str, Mapping[str, Any]] = {
    "Id": {"type": "id", "length": 18},
    "Name": {"type": "string", "length": 255},
    "AccountNumber": {"type": "string", "length": 40},
    "AnnualRevenue": {"type": "currency", "precision": 18, "scale": 2},
    "NumberOfEmployees": {"type": "int"},
    "Industry": {"type": "picklist", "length": 255},
    "Email__c": {"type": "email", "length": 80},
    "Phone": {"type": "phone", "length": 40},
    "IsDeleted": {"type": "boolean"},
    "Description": {"type": "textarea", "length": 32000},
    "BillingCity": {"type": "string", "length": 40},
    "BillingCountry": {"type": "string", "length": 80},
    "CreatedDate": {"type": "datetime"},
    "LastModifiedDate": {"type": "datetime"},
    "SystemModstamp": {"type": "datetime"},
}


def figures(rows: int = ROWS) -> list[Figure]:
    mine, theirs = _both(rows)
    small, _ = _both(rows // 4, with_peer=False)
    assert theirs is not None
    name = "simple-salesforce's bulk query, pandas, Delta"
    growth = mine.peak_mb / small.peak_mb
    return [
        figure(
            f"{rows:,} rows of Bulk API CSV to raw", rows / mine.seconds, "rows/s", peer=name, peer_value=rows / theirs.seconds, ratio_bar=2
        ),
        figure("the same in seconds", mine.seconds, "s", better="lower", peer=name, peer_value=theirs.seconds),
        figure("peak memory", mine.peak_mb, "MB", better="lower", peer=name, peer_value=theirs.peak_mb),
        figure(f"peak memory of {rows:,} rows over that of {rows // 4:,}", growth, "times", better="lower", bar=1.3),
    ]


def load(url: str, lake: str) -> int:
    """Our side: how many rows reached the raw table."""
    options = {"url": url, "client_id": "bench", "client_secret": "bench", "streams": {"account": {"object": "Account"}}}
    with closing(SalesforceConnector("crm", SalesforceOptions.model_validate(options))) as connector:
        loader = Loader(Lake(lake), connector, connector.streams()[0])
        loader.run()
        return loader.table.rows()


def render(folder: Path, rows: int) -> Rendered:
    """An org with one finished bulk job, and the few answers a reader needs before it gets there."""
    rendered = Rendered(folder)

    def answer(method: str, path: str, content: Any) -> None:
        rendered.add(method, path, json.dumps(content).encode(), "application/json")

    job = {"id": JOB, "object": "Account", "operation": "query", "state": "JobComplete", "numberRecordsProcessed": rows}
    newest = _accounts(rows - 1, 1)["SystemModstamp"].item()
    answer("POST", "/services/oauth2/token", {"access_token": "bench", "token_type": "Bearer"})
    answer(
        "GET", f"{BASE}/sobjects/Account/describe", {"replicateable": True, "fields": [{"name": name, **FIELDS[name]} for name in FIELDS]}
    )
    answer("GET", f"{BASE}/query/", {"totalSize": rows, "done": True, "records": [{"SystemModstamp": newest}]})
    answer("POST", f"{BASE}/jobs/query", {**job, "state": "UploadComplete"})
    for method in ("GET", "DELETE"):
        answer(method, f"{BASE}/jobs/query/{JOB}", job)
    for first in range(0, rows, PAGE):
        count = min(PAGE, rows - first)
        body = gzip.compress(_accounts(first, count).write_csv(quote_style="always").encode(), compresslevel=6)
        place, then = ("" if first == 0 else str(first)), (str(first + PAGE) if first + PAGE < rows else "null")
        headers = {"Content_Encoding": "gzip", "Sforce_Locator": then, "Sforce_NumberOfRecords": str(count)}
        rendered.add("GET", f"{BASE}/jobs/query/{JOB}/results", body, "text/csv", place=place, **headers)
    return rendered


def _both(rows: int, *, with_peer: bool = True) -> tuple[Measured, Measured | None]:
    with tempfile.TemporaryDirectory(prefix="pilothouse-bench-") as folder:
        place = Path(folder)
        with render(place / "result", rows).served() as url:
            mine = ours("bench.bulk:load", url, str(place / "lake"))
            theirs = peer("bulk.py", url, str(place / "peer")) if with_peer else None
    for measured in (mine, theirs):
        if measured is not None:
            measured.require(rows)
    return mine, theirs


def _accounts(first: int, count: int) -> pl.DataFrame:
    number = pl.int_range(first, first + count, eager=True)
    mixed = number * 2_654_435_761 % 1_000_003
    text = mixed.cast(pl.String)
    changed = pl.lit("2025-") + (number * 11 // 10_000_000 % 12 + 1).cast(pl.String).str.zfill(2) + pl.lit("-14T") + _clock(number)
    columns: list[pl.Expr | pl.Series] = [
        pl.lit("001") + number.cast(pl.String).str.zfill(12) + pl.lit("AAA"),
        pl.lit("Firm ") + text + pl.lit(' & "Sons", Ltd.'),
        pl.lit("A-") + text,
        (mixed % 100_000_000 * 17 / 100).round(2),
        mixed % 5_000,
        pl.when(mixed % 5 == 0).then(None).otherwise(pl.lit("Manufacturing")),
        pl.lit("office") + text + pl.lit("@firm.example"),
        pl.lit("+49 30 ") + text,
        pl.lit(value=False),
        pl.when(mixed % 10 == 0).then(pl.lit("Met at the fair,\nwants a call back")).otherwise(pl.lit("Customer since ") + text),
        pl.when(mixed % 2 == 0).then(pl.lit("Berlin")).otherwise(pl.lit("Köln")),
        pl.lit("Germany"),
        pl.lit("2024-05-17T08:30:00.000Z"),
        changed,
        changed,
    ]
    return pl.select([column.alias(name) for name, column in zip(FIELDS, columns, strict=True)])


def _clock(number: pl.Series) -> pl.Expr:
    """A time of day with milliseconds, written as Salesforce writes it."""
    second = number % 86_400
    parts = [(second // 3_600, 2, ":"), (second // 60 % 60, 2, ":"), (second % 60, 2, "."), (number % 1_000, 3, "Z")]
    return pl.concat_str([pl.lit(part.cast(pl.String).str.zfill(width)) + pl.lit(end) for part, width, end in parts])
