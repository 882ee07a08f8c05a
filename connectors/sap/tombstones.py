"""Deletions in a delta, as a table of keys.

V4 marks an entry `@removed` and names it by `@id` or by its key fields; V2's JSON, as SAP's own libraries write it,
has an entry of the context `$deletedEntity` with the `id` of what is gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

import msgspec
import pyarrow as pa

from connectors.sap.edm import UTC_MICROSECONDS, Misfit
from connectors.sap.metadata import EntityShape, Property
from pilothouse.kernel.errors import SourceContractChanged

CHANGED_AT = "_changed_at"
_any = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)
_PART = re.compile(
    r"(?:(?P<name>\w+)\s*=\s*)?(?P<type>[A-Za-z]+)?'(?P<text>(?:[^']|'')*)'|(?:(?P<bare_name>\w+)\s*=\s*)?(?P<bare>[^,'=()]+)"
)
_WHOLE = re.compile(r"\((?P<keys>.*)\)$", re.DOTALL)
_SUFFIXED = re.compile(r"(-?[0-9.]+(?:[eE][+-]?[0-9]+)?)[LlMmDdFf]")


def deleted_rows(deletions: Sequence[bytes], shape: EntityShape, key: Sequence[str], *, where: str) -> pa.Table:
    """The keys that are gone. When each was deleted, neither version of OData says."""
    properties = [prop for name in key if (prop := shape.named(name)) is not None]
    columns: list[list[Any]] = [[] for _ in properties]
    for deletion in deletions:
        for column, value in zip(columns, _key(deletion, properties, where), strict=True):
            column.append(value)
    fields = [prop.arrow() for prop in properties]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, fields, strict=True)]
    nobody_says = pa.nulls(len(deletions), UTC_MICROSECONDS)
    return pa.Table.from_arrays([*arrays, nobody_says], schema=pa.schema([*fields, pa.field(CHANGED_AT, UTC_MICROSECONDS)]))


def _key(deletion: bytes, properties: Sequence[Property], where: str) -> list[Any]:
    try:
        fields: dict[str, Any] = _any.decode(deletion)
        if not all(prop.name in fields for prop in properties):
            identity = next((fields[name] for name in ("@id", "id", "@odata.id") if isinstance(fields.get(name), str)), "")
            fields = dict(key_predicate(identity, [prop.name for prop in properties]))
        return [prop.codec.value(fields[prop.name]) for prop in properties]
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, Misfit) as error:
        shown = deletion[:200].decode("utf-8", errors="backslashreplace")
        raise SourceContractChanged(
            f"{where}: a deletion does not tell the key of what is gone ({error}): {shown}", hint="read the stream without delta links"
        ) from error


def key_predicate(identity: str, names: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """The key fields in an entity's address, such as `.../SalesOrderItem(SalesOrder='1',SalesOrderItem='10')`."""
    predicate = _WHOLE.search(unquote(identity).rpartition("/")[2] if "/" not in _inside(identity) else unquote(identity))
    for part in _PART.finditer(predicate["keys"] if predicate else ""):
        name = part["name"] or part["bare_name"] or (names[0] if len(names) == 1 else "")
        yield name, part["text"].replace("''", "'") if part["text"] is not None else _bare(part["bare"].strip())


def _inside(identity: str) -> str:
    return unquote(identity).partition("(")[2]


def _bare(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    suffixed = _SUFFIXED.fullmatch(text)
    return suffixed[1] if suffixed else text
