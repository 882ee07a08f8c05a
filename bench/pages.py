"""A million rows in OData pages of 5,000, from a static server into a raw Delta table.

Ours is the product's whole way: the SAP connector reads by cursor as it reads sales orders, and the loader checks, hashes,
deduplicates, stamps and commits piece by piece. dlt's rest_api source follows the same links into a Delta table, unchecked.
"""

from __future__ import annotations

import json
import tempfile
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl

from assets.loading import Loader
from bench.apart import ours, peer
from bench.figure import Figure, figure
from bench.static_server import Rendered
from connectors.sap.connector import SapConnector
from connectors.sap.options import SapOptions
from pilothouse.kernel.lake import Lake

ROWS = 1_000_000
PAGE = 5_000
SERVICE = "/sap/opu/odata4/sap/bench/0001"
ENTITIES = f"{SERVICE}/SalesOrder"
FIRST = datetime(2025, 1, 1, tzinfo=UTC)
FIELDS = {  # the shape of a sales order
    "SalesOrder": 'Edm.String" MaxLength="10" Nullable="false',
    "SalesOrderType": 'Edm.String" MaxLength="4',
    "SalesOrganization": 'Edm.String" MaxLength="4',
    "SoldToParty": 'Edm.String" MaxLength="10',
    "PurchaseOrderByCustomer": 'Edm.String" MaxLength="35',
    "TotalNetAmount": 'Edm.Decimal" Precision="16" Scale="3',
    "TransactionCurrency": 'Edm.String" MaxLength="3',
    "PriceDetnExchangeRate": "Edm.Double",
    "NumberOfItems": "Edm.Int32",
    "CompleteDeliveryIsDefined": "Edm.Boolean",
    "HeaderBillingBlockReason": 'Edm.String" MaxLength="2',
    "OverallSDProcessStatus": 'Edm.String" MaxLength="1',
    "CustomerPaymentTerms": 'Edm.String" MaxLength="4',
    "CreationDate": "Edm.Date",
    "LastChangeDateTime": 'Edm.DateTimeOffset" Precision="6',
}


def figures(rows: int = ROWS) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="pilothouse-bench-") as folder:
        place = Path(folder)
        rendered = render(place / "pages", rows)
        with rendered.served() as url:
            mine = ours("bench.pages:load", url, str(place / "lake"))
            theirs = peer("pages.py", url + SERVICE, str(place / "dlt"))
    mine.require(rows)
    theirs.require(rows)
    name = "dlt, rest_api to a Delta table"
    return [
        figure(
            f"{rows:,} rows in OData pages of {PAGE:,} to raw",
            rows / mine.seconds,
            "rows/s",
            peer=name,
            peer_value=rows / theirs.seconds,
            ratio_bar=10,
        ),
        figure("the same in seconds", mine.seconds, "s", better="lower", peer=name, peer_value=theirs.seconds),
        figure("peak memory", mine.peak_mb, "MB", better="lower", peer=name, peer_value=theirs.peak_mb),
    ]


def load(url: str, lake: str) -> int:
    """Our side: how many rows reached the raw table."""
    declared = {"name": "order", "path": ENTITIES, "key": ["SalesOrder"], "cursor": "LastChangeDateTime"}
    options = {"url": url, "user": "bench", "password": "bench", "streams": ["order"], "extra_streams": [declared], "page_size": PAGE}
    with closing(SapConnector("s4", SapOptions.model_validate(options))) as connector:
        loader = Loader(Lake(lake), connector, connector.streams()[0])
        loader.run()
        return loader.table.rows()


def render(folder: Path, rows: int) -> Rendered:
    """The service's description and its pages."""
    rendered = Rendered(folder)
    rendered.add("GET", f"{SERVICE}/$metadata", _metadata().encode(), "application/xml")
    for first in range(0, rows, PAGE):
        page: dict[str, object] = {"@odata.context": "$metadata#SalesOrder"}
        if first + PAGE < rows:
            page["@odata.nextLink"] = f"SalesOrder?$skiptoken={first + PAGE}"
        values = _orders(first, min(PAGE, rows - first)).write_json()
        body = json.dumps(page)[:-1] + ', "value": ' + values + "}"
        rendered.add("GET", ENTITIES, body.encode(), "application/json", place=str(first) if first else "", OData_Version="4.0")
    return rendered


def _orders(first: int, count: int) -> pl.DataFrame:
    number = pl.int_range(first, first + count, eager=True)
    moments = pl.lit(FIRST.replace(tzinfo=None)) + pl.duration(microseconds=pl.lit(number * 1_000_000 + number * 7_919 % 1_000_000))
    mixed = number * 2_654_435_761 % 1_000_003
    columns: list[pl.Expr | pl.Series] = [
        number.cast(pl.String).str.zfill(10),
        pl.lit("OR"),
        (pl.lit("10") + (mixed % 4 + 10).cast(pl.String)),
        (mixed % 20_000).cast(pl.String).str.zfill(10),
        pl.lit("PO-") + mixed.cast(pl.String) + pl.lit(" as agreed on the phone"),
        (mixed % 100_000_00 / 100).round(2),
        pl.when(mixed % 3 == 0).then(pl.lit("USD")).otherwise(pl.lit("EUR")),
        (mixed % 1_000 / 1_000 + 0.5).round(3),
        (mixed % 40 + 1),
        mixed % 2 == 0,
        pl.when(mixed % 50 == 0).then(pl.lit("01")),
        pl.lit("C"),
        pl.lit("NT30"),
        pl.lit(date(2025, 1, 1)) + pl.duration(days=pl.lit(mixed % 330)),
        moments.dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"),
    ]
    named = [column.alias(name) for name, column in zip(FIELDS, columns, strict=True)]
    return pl.select(named)


def _metadata() -> str:
    properties = "".join(f'<Property Name="{name}" Type="{kind}"/>' for name, kind in FIELDS.items())
    return (
        '<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"><edmx:DataServices>'
        '<Schema Namespace="bench" xmlns="http://docs.oasis-open.org/odata/ns/edm">'
        f'<EntityType Name="SalesOrderType"><Key><PropertyRef Name="SalesOrder"/></Key>{properties}</EntityType>'
        '<EntityContainer Name="Container"><EntitySet Name="SalesOrder" EntityType="bench.SalesOrderType"/></EntityContainer>'
        "</Schema></edmx:DataServices></edmx:Edmx>"
    )
