"""An entity set as it is shown at this moment, and what may be asked of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from pilothouse.sandbox.company.schema import Entity
from pilothouse.sandbox.drift import Column, columns
from pilothouse.sandbox.faults import Faults
from pilothouse.sandbox.sap.errors import bad_request, unknown_property
from pilothouse.sandbox.sap.filters import comparable, compiled
from pilothouse.sandbox.sap.query import Options, Order
from pilothouse.sandbox.sap.services import EntitySet, Service
from pilothouse.sandbox.sap.sql import Sql


@dataclass(frozen=True)
class View:
    """An entity set as it is shown now: its columns with drifts and the service's own names applied."""

    service: Service
    entity_set: EntitySet
    faults: Faults
    root: str  # absolute URL of the service
    exact_numbers: bool = False  # V4's IEEE754Compatible: decimals as texts

    @property
    def entity(self) -> Entity:
        """The entity behind it."""
        return self.entity_set.entity

    @cached_property
    def columns(self) -> Mapping[str, Column]:
        """The columns by the name they are shown under."""
        renames = self.entity_set.renames
        shown = columns(self.entity, self.faults, "sap")
        named = (replace(column, field=replace(column.field, name=renames.get(column.name, column.name))) for column in shown)
        return {column.name: column for column in named}

    def over(self, target: str) -> View:
        """The view of another set of the service."""
        entity_set = self.service.entity_set(target)
        assert entity_set is not None, target
        return replace(self, entity_set=entity_set)

    def condition(self, text: str | None, alias: str) -> Sql | None:
        """A $filter as SQL."""
        if text is None:
            return None
        return compiled(text, self.columns, alias, self.service.version, self.entity_set.type_name)

    def order(self, wanted: tuple[Order, ...], alias: str) -> list[tuple[Sql, bool]]:
        """What to sort by, the key at the end: a page can only be resumed in an order without ties."""
        found = []
        for order in wanted:
            column = self.columns.get(order.name)
            if column is None:
                raise unknown_property(order.name, self.entity_set.type_name)
            found.append((comparable(column, alias), order.descending))
        named = {self.columns[order.name].source for order in wanted}
        return found + [(Sql(f'{alias}."{name}"'), False) for name in self.entity.key if name not in named]

    def selected(self, options: Options) -> frozenset[str]:
        """The properties and navigations that a row shall have. Refuses names that the set does not know."""
        navigations = {navigation.name for navigation in self.entity_set.navigations}
        for name in options.expand:
            if name not in navigations:
                raise bad_request(f"Navigation property '{name}' not found in type {self.entity_set.type_name}")
        known = navigations | self.columns.keys()
        for name in options.select or ():
            if name not in known:
                raise unknown_property(name, self.entity_set.type_name)
        return frozenset(known if options.select is None else options.select)

    @cached_property
    def key_names(self) -> tuple[str, ...]:
        """The parts of the key under the names this service gives them."""
        return tuple(self.entity_set.renames.get(name, name) for name in self.entity.key)

    @cached_property
    def address_form(self) -> str:
        """The address of a row within the service, with `%s` for the parts of its key."""
        quote = {name: "'" if self.entity.field(name).kind == "string" else "" for name in self.entity.key}
        values = [f"{quote[name]}%s{quote[name]}" for name in self.entity.key]
        if len(values) > 1:
            values = [f"{shown}={value}" for shown, value in zip(self.key_names, values, strict=True)]
        return f"{self.entity_set.name}({','.join(values)})"

    @cached_property
    def stamp(self) -> str | None:
        """The field that tells to the microsecond when a row changed; without one, its ETag is a hash."""
        changed = self.entity.changed
        return changed if changed is not None and self.entity.field(changed).kind == "datetime" else None

    @property
    def label(self) -> str:
        """The qualified name of the type, as V2's `__metadata` says it."""
        return f"{self.service.namespace}.{self.entity_set.type_name}"
