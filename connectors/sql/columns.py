"""How a PostgreSQL column becomes an Arrow column: its type, what the table says about it, and the SQL that reads it.

Types that Arrow and Delta share come over as they are. A numeric is sent as text (for 5M values that costs server and
driver 3 s less than its binary form, which the driver spells out anyway) and becomes a decimal here; one without a
declared precision stays text, because any precision of ours would round or refuse values. Everything else
(uuid, enum, json, interval, time, ranges, geometry) travels as the text that PostgreSQL itself writes; arrays and
composites as JSON, which SQL downstream can open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pyarrow as pa
from psycopg import sql

from connectors import semantics

MOST_DIGITS: Final = 38  # of a decimal in Delta
TIMESTAMPTZ: Final = pa.timestamp("us", "UTC")

_PLAIN: Final = {
    "bool": pa.bool_(),
    "int2": pa.int16(),
    "int4": pa.int32(),
    "int8": pa.int64(),
    "float4": pa.float32(),
    "float8": pa.float64(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "timestamptz": TIMESTAMPTZ,
    "text": pa.string(),
    "varchar": pa.string(),
    "name": pa.string(),
    "bytea": pa.binary(),
}
_AS_BIGINT: Final = {"oid", "xid", "cid"}  # unsigned; ADBC would hand the upper half over as negative numbers


@dataclass(frozen=True)
class Column:
    """One column as the catalog describes it. `type` is the base type's internal name, `modifier` its typmod."""

    name: str
    type: str
    modifier: int
    category: str  # pg_type.typcategory: A array, C composite, N numeric ...
    native: str  # the type as PostgreSQL writes it, such as numeric(12,2)
    comment: str = ""
    reference: str = ""

    @property
    def arrow_type(self) -> pa.DataType:
        """The type its values have after decoding."""
        if self.type == "numeric":
            return _decimal(self.modifier) or pa.string()
        if self.type in _AS_BIGINT:
            return pa.int64()
        return _PLAIN.get(self.type, pa.string())

    def field(self, *, key: bool) -> pa.Field:
        """The Arrow field, with what the database says about the column."""
        said = {semantics.NATIVE_TYPE: self.native, semantics.LABEL: self.comment, semantics.REFERENCE: self.reference}
        metadata = {name: text.encode() for name, text in said.items() if text}
        if key:
            metadata[semantics.KEY] = b"true"
        return pa.field(self.name, self.arrow_type, metadata=metadata)

    @property
    def expression(self) -> sql.Composable:
        """The SQL that reads it in a form the driver hands over without loss."""
        name = sql.Identifier(self.name)
        if self.type in _AS_BIGINT:
            return sql.SQL("{0}::text::int8 AS {0}").format(name)
        if self.type in _PLAIN:
            return name
        if self.category in {"A", "C"}:
            return sql.SQL("to_json({0})::text AS {0}").format(name)
        return sql.SQL("{0}::text AS {0}").format(name)


def _decimal(modifier: int) -> pa.DataType | None:
    """The decimal of numeric(p,s); None without a declared precision or with more digits than Delta holds."""
    if modifier < 0:
        return None
    precision = ((modifier - 4) >> 16) & 0xFFFF
    scale = (((modifier - 4) & 0x7FF) ^ 0x400) - 0x400  # PostgreSQL 15 knows negative scales, and scales above the precision
    digits = max(precision, scale, precision - min(scale, 0))
    return pa.decimal128(digits, max(scale, 0)) if digits <= MOST_DIGITS else None
