"""An entity's fields as a server shows them at this moment: the declaration, changed by the drifts that are on.

Real systems gain, lose, rename and retype fields between two reads. Servers build schema, rows and filters from these
columns, never from the declaration itself, so that a drift shows everywhere at once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import cast

from pilothouse.sandbox.company.schema import Entity, Field, Kind
from pilothouse.sandbox.faults import Fault, Faults, Server


@dataclass(frozen=True)
class Column:
    """One field as it is shown. `source` is the stored column behind it; without one, every row has the same `constant`."""

    field: Field
    source: str | None
    constant: str | None = None  # JSON text
    stored: Field | None = None  # what the store holds, where a drift shows another type

    @property
    def name(self) -> str:
        """The name it is shown under."""
        return self.field.name


def columns(entity: Entity, faults: Faults, server: Server) -> tuple[Column, ...]:
    """The entity's columns, drifts applied in the order in which they were switched on."""
    shown = [Column(field, field.name) for field in entity.fields]
    for drift in faults.drifts(server, entity.name):
        shown = [changed for column in shown for changed in _drifted(column, drift, entity)]
        if drift.kind == "field_appears" and all(column.name != drift.field for column in shown):
            label = drift.field.replace("_", " ")
            shown.append(Column(Field(drift.field, cast("Kind", drift.to or "string"), label=label), None, json.dumps(drift.value)))
    return tuple(shown)


def _drifted(column: Column, drift: Fault, entity: Entity) -> list[Column]:
    if column.name != drift.field or drift.kind == "field_appears":
        return [column]
    if drift.kind == "field_vanishes":
        return []
    if drift.kind == "field_renamed":
        return [replace(column, field=replace(column.field, name=drift.to))]
    if drift.kind == "field_value":
        return [replace(column, constant=json.dumps(drift.value))]
    stored = column.stored or (entity.field(column.source) if column.source else None)
    bare = Field(column.name, cast("Kind", drift.to), nullable=column.field.nullable, label=column.field.label)
    if bare.kind == "decimal":
        bare = replace(bare, precision=15, scale=2)
    return [replace(column, field=bare, stored=stored)]
