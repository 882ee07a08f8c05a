"""A company of the sandbox put into raw tables without a server between: what tests and benchmarks of tables start from.

The rows are those that a sync would bring, under the types that it would find declared. How rows come over the wire is proved
elsewhere (`tests/contract`, `tests/e2e`).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final

import polars as pl
import pyarrow as pa

from pilothouse.kernel.lake import Lake, Table
from pilothouse.kernel.lake.commit import Commit
from pilothouse.kernel.lake.current import current
from pilothouse.kernel.lake.hashing import Hashes
from pilothouse.kernel.lake.identity import raw_schema, row_hashes, row_ids, stamp
from pilothouse.sandbox.company.company import Company
from pilothouse.sandbox.company.salesforce import SALESFORCE
from pilothouse.sandbox.company.sap import SAP
from pilothouse.sandbox.company.schema import Entity, Field
from pilothouse.sandbox.company.warehouse import WAREHOUSE

_CHUNK: Final = 100_000
_MOMENT: Final = pl.Datetime("us", "UTC")
_SAP: Final = {
    "BusinessPartner": "business_partner",
    "BusinessPartnerAddress": "business_partner_address",
    "BusinessPartnerTaxNumber": "business_partner_tax_number",
    "SalesOrder": "sales_order",
    "SalesOrderItem": "sales_order_item",
    "OutbDeliveryHeader": "outbound_delivery",
    "BillingDocument": "billing_document",
    "OperationalAcctgDocItemCube": "journal_item",
    "Product": "product",
}
_CRM: Final = {"Account": "account", "Contact": "contact", "Opportunity": "opportunity", "Case": "case"}


def streams() -> Iterator[tuple[str, str, Entity]]:
    """Source, stream and entity of every raw table that models read."""
    for entity in SAP:
        if entity.name in _SAP:
            yield "s4", _SAP[entity.name], entity
    for entity in SALESFORCE:
        if entity.name in _CRM:
            yield "crm", _CRM[entity.name], entity
    for entity in WAREHOUSE:
        yield "bureau", entity.name, entity


class RawCompany:
    """The raw tables of one company, brought up to it by `sync`."""

    def __init__(self, company: Company, lake: Lake) -> None:
        self.company = company
        self.lake = lake
        self._known: dict[str, dict[bytes, bytes]] = {}
        self._sequence: dict[str, int] = {}
        self._seen_at = datetime(2026, 1, 1, tzinfo=UTC)

    @classmethod
    def resumed(cls, company: Company, lake: Lake) -> RawCompany:
        """A company whose rows are in the lake already: what they say there is what `sync` compares with."""
        raw = cls(company, lake)
        for table in (lake.raw(source, stream) for source, stream, _ in streams()):
            rows = current(table.scan(), ["_row_id", "_row_hash", "_seen_at"]).collect()
            last = table.last_commit()
            raw._known[table.name] = dict(rows.select("_row_id", "_row_hash").iter_rows())
            raw._sequence[table.name] = last.sequence if last is not None else 0
            raw._seen_at = max(raw._seen_at, *rows["_seen_at"])
        return raw

    def fill(self) -> None:
        """The first read of everything, of which nothing is kept in mind: a company of any size, which is not synced again."""
        for source, stream, entity in streams():
            table, schema = self.lake.raw(source, stream), _schema(entity)
            chunks = _frames(self.company, entity)
            batches = (batch for frame in chunks for batch in self._stamped(frame, source, stream, entity, "upsert").to_batches())
            self._append(table, pa.RecordBatchReader.from_batches(raw_schema(schema), batches))

    def sync(self) -> int:
        """Append what changed, and tombstones for what is gone; returns how many rows that were."""
        news = 0
        for source, stream, entity in streams():
            table, schema = self.lake.raw(source, stream), _schema(entity)
            now = pl.concat([pl.DataFrame(schema=pl.Schema(schema)), *_frames(self.company, entity)])
            ids = row_ids(now, source, stream, entity.key).as_binary()
            said = dict(zip(ids, row_hashes(now).as_binary(), strict=True))
            known = self._known.get(table.name, {})
            changed = now.filter([known.get(row) != hashed for row, hashed in said.items()])
            gone = [row for row in known if row not in said]
            if changed.height or gone or not table.exists():
                parts = [self._stamped(changed, source, stream, entity, "upsert")]
                if gone:
                    keys = table.scan().filter(pl.col("_row_id").is_in(gone)).unique("_row_id").select(entity.key).collect()
                    parts.append(self._stamped(keys, source, stream, entity, "delete"))
                self._append(table, pa.concat_tables(parts, promote_options="default").to_reader())
            self._known[table.name] = said
            news += changed.height + len(gone)
        return news

    def _stamped(self, rows: pl.DataFrame, source: str, stream: str, entity: Entity, change: str) -> pa.Table:
        ids, moment = row_ids(rows, source, stream, entity.key), rows[entity.changed] if entity.changed in rows.columns else None
        return stamp(
            rows.to_arrow().cast(pa.schema([_schema(entity).field(name) for name in rows.columns])),
            ids,
            row_hashes(rows) if rows.height else Hashes(ids.high, ids.low),
            change=change,  # type: ignore[arg-type]
            changed_at=pl.repeat(None, rows.height, dtype=_MOMENT, eager=True) if moment is None else moment.cast(_MOMENT),
            seen_at=self._seen_at,
            batch_id=f"{source}/{stream}",
            synthetic=pl.repeat(True, rows.height, dtype=pl.Boolean, eager=True),
        )

    def _append(self, table: Table, rows: pa.RecordBatchReader) -> None:
        self._seen_at += timedelta(seconds=1)
        sequence = self._sequence[table.name] = self._sequence.get(table.name, 0) + 1
        table.append(
            rows,
            Commit(
                sequence=sequence,
                batch_id=f"{table.name}/{sequence}",
                load_id="test",
                watermark=None,
                seen_at=self._seen_at.isoformat(),
                backfill=sequence == 1,
            ),
        )


def _frames(company: Company, entity: Entity) -> Iterator[pl.DataFrame]:
    names = [f'"{field.name}"' for field in entity.fields]
    living = " WHERE IsDeleted = 0" if '"IsDeleted"' in names else ""
    rows = company.store.rows(f"SELECT {', '.join(names)} FROM {entity.table}{living}")
    while chunk := list(islice(rows, _CHUNK)):
        columns = zip(*chunk, strict=True)
        yield pl.DataFrame([_column(field, list(values)) for field, values in zip(entity.fields, columns, strict=True)])


def _column(field: Field, values: list[object]) -> pl.Series:
    series = pl.Series(field.name, values, dtype={"int": pl.Int64, "double": pl.Float64, "bool": pl.Int64}.get(field.kind, pl.String))
    if field.kind == "datetime":
        return series.str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us").dt.replace_time_zone("UTC")
    return series.str.to_date("%Y-%m-%d") if field.kind == "date" else series.cast(_polars(field))


def _polars(field: Field) -> pl.DataType:
    kinds: dict[str, pl.DataType] = {
        "string": pl.String(),
        "bool": pl.Boolean(),
        "int": pl.Int64(),
        "double": pl.Float64(),
        "decimal": pl.Decimal(field.precision or 18, field.scale or 0),
    }
    return kinds[field.kind]


def _schema(entity: Entity) -> pa.Schema:
    return pa.schema([pa.field(field.name, _arrow(field)) for field in entity.fields])


def _arrow(field: Field) -> pa.DataType:
    kinds = {
        "string": pa.string(),
        "bool": pa.bool_(),
        "int": pa.int64(),
        "double": pa.float64(),
        "date": pa.date32(),
        "datetime": pa.timestamp("us", "UTC"),
    }
    return kinds[field.kind] if field.kind in kinds else pa.decimal128(field.precision or 18, field.scale or 0)
