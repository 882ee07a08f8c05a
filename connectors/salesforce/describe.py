"""What the org says about an object: its fields as Arrow types, with labels and references."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from connectors import semantics
from connectors.salesforce.org import Org, is_synthetic, server_time
from connectors.salesforce.streams import SalesforceStream
from pilothouse.kernel.errors import SourceContractChanged
from pilothouse.kernel.streams import DEFECT

_TYPES: Final = {
    "boolean": pa.bool_(),
    "int": pa.int64(),
    "long": pa.int64(),
    "date": pa.date32(),
    "datetime": pa.timestamp("us", "UTC"),
}
_NUMBERS: Final = {"double", "currency", "percent"}
# Compound fields repeat fields that exist on their own; the Bulk API refuses both kinds.
_LEFT_OUT: Final = {"address", "location", "base64", "complexvalue"}
_MOST_DIGITS: Final = 38


@dataclass(frozen=True)
class Description:
    """One object as it is now."""

    schema: pa.Schema
    replicateable: bool  # whether getDeleted works
    soft_deletes: bool  # whether a deleted record stays in the recycle bin for a while
    synthetic: bool
    asked_at: str  # by the org's clock

    @property
    def read_schema(self) -> pa.Schema:
        """The schema of rows as they are read."""
        return self.schema.append(pa.field(DEFECT, pa.string()))


def describe(org: Org, stream: SalesforceStream, objects: Mapping[str, str]) -> Description:
    """The object behind a stream; `objects` names the stream that reads an object. SourceContractChanged where the
    object, its Id or its cursor is gone."""
    answer, response = org.json(f"sobjects/{stream.object}/describe", f"{stream.name} ({stream.object})")
    fields = [field for field in answer.get("fields", ()) if field.get("type") not in _LEFT_OUT]
    schema = pa.schema([_field(field, objects) for field in fields])
    cursor = () if stream.cursor is None else (stream.cursor.field,)
    for name in (*stream.key, *cursor):
        if name not in schema.names:
            raise SourceContractChanged(
                f"{org.source} / {stream.name}: {stream.object} has no field {name}",
                hint="it was removed, or our user may no longer see it (field-level security)",
            )
    return Description(
        schema=schema,
        replicateable=bool(answer.get("replicateable")),
        soft_deletes={"IsDeleted", "SystemModstamp"} <= set(schema.names),
        synthetic=is_synthetic(response),
        asked_at=server_time(response).isoformat(),
    )


def arrow_type(field: Mapping[str, Any]) -> pa.DataType:
    """The Arrow type of a described field.

    A number that Salesforce stores has a declared precision and becomes a decimal. A formula's number is a double
    inside Salesforce and has more digits than it declares, so it stays one.
    """
    kind = str(field["type"])
    if kind not in _NUMBERS:
        return _TYPES.get(kind, pa.string())
    precision, scale = int(field.get("precision") or 0), int(field.get("scale") or 0)
    if field.get("calculated") or not scale <= precision <= _MOST_DIGITS or precision == 0:
        return pa.float64()
    return pa.decimal128(precision, scale)


def _field(field: Mapping[str, Any], objects: Mapping[str, str]) -> pa.Field:
    name = str(field["name"])
    target = next(iter(field.get("referenceTo") or ()), "")
    said = {
        semantics.LABEL: str(field.get("label") or ""),
        semantics.NATIVE_TYPE: _native(field),
        semantics.REFERENCE: f"{objects.get(target, target)}.Id" if target else "",
        semantics.KEY: "true" if name == "Id" else "",
    }
    return pa.field(name, arrow_type(field), metadata={key: text.encode() for key, text in said.items() if text})


def _native(field: Mapping[str, Any]) -> str:
    kind = str(field["type"])
    if kind in _NUMBERS and field.get("precision"):
        return f"{kind}({field['precision']},{field.get('scale') or 0})"
    return f"{kind}({field['length']})" if field.get("length") else kind
