"""The keys that new records get: each system's own form, from counters that never give a number twice.

Servers that accept writes take their keys here too, so that what a client creates and what the clock creates never collide.
"""

from __future__ import annotations

from collections.abc import Callable

from pilothouse.sandbox.company import salesforce as sf
from pilothouse.sandbox.company import sap, warehouse
from pilothouse.sandbox.company.schema import Entity
from pilothouse.sandbox.company.store import Store

_FORMS: dict[str, Callable[[int], str]] = {
    sap.BUSINESS_PARTNER.table: str,
    sap.PRODUCT.table: lambda number: f"FG-{number}",
    sap.SALES_ORDER.table: str,
    sap.OUTB_DELIVERY_HEADER.table: str,
    sap.BILLING_DOCUMENT.table: str,
    warehouse.CREDIT_RATING.table: str,
    **{entity.table: lambda number, name=entity.name: sf.record_id(name, number) for entity in sf.SALESFORCE},  # type: ignore[misc]
}


def counted(entity: Entity) -> bool:
    """Whether the entity's records are numbered one after the other."""
    return entity.table in _FORMS


def key_of(entity: Entity, number: int) -> str:
    """The key of an entity's record by its number; KeyError where keys are not numbered."""
    return _FORMS[entity.table](number)


def new_key(store: Store, entity: Entity) -> str:
    """A key for a new record, never given before."""
    return key_of(entity, store.next_number(entity.table))
