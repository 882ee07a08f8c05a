"""The org's objects as they look at this moment: declared entities, changed by the drifts that are on.

Everything that Salesforce knows about a field beyond its declaration (its API type, whether it may be written, which
parent it leads to) is derived here once, so that describe, SOQL and writes cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from pilothouse.sandbox.company.salesforce import PREFIXES
from pilothouse.sandbox.company.schema import Entity
from pilothouse.sandbox.company.store import Store
from pilothouse.sandbox.drift import Column, columns
from pilothouse.sandbox.faults import Faults
from pilothouse.sandbox.salesforce.errors import ApiError

SYSTEM_FIELDS: Final = frozenset(
    {"Id", "CreatedById", "CreatedDate", "LastModifiedById", "LastModifiedDate", "SystemModstamp", "IsDeleted"}
)
# What Salesforce works out from other fields (see `derivations.py`).
CALCULATED: Final[Mapping[str, frozenset[str]]] = {
    "User": frozenset({"Name"}),
    "Contact": frozenset({"Name"}),
    "Opportunity": frozenset({"ExpectedRevenue", "IsClosed", "IsWon", "ForecastCategoryName"}),
    "Case": frozenset({"CaseNumber", "IsClosed", "ClosedDate"}),
}
_TYPES: Final = {"bool": "boolean", "int": "int", "double": "double", "date": "date", "datetime": "datetime"}
_TEXT_TYPES: Final = {"Email": "email", "Phone": "phone", "MobilePhone": "phone", "Fax": "phone", "Website": "url"}
_MONEY: Final = ("Amount", "Revenue")


@dataclass(frozen=True)
class SObject:
    """One object and its columns at this moment. Names are looked up without regard to capitals, as Salesforce does."""

    entity: Entity
    columns: tuple[Column, ...]

    @property
    def name(self) -> str:
        """The object's API name."""
        return self.entity.name

    @property
    def prefix(self) -> str:
        """The first three characters of its records' Ids."""
        return PREFIXES[self.name]

    @property
    def soft_deletes(self) -> bool:
        """Whether a deleted record stays in the recycle bin. Users, for one, cannot be deleted at all."""
        return any(field.name == "IsDeleted" for field in self.entity.fields)

    @cached_property
    def _by_name(self) -> dict[str, Column]:
        return {column.name.lower(): column for column in self.columns}

    @cached_property
    def _parents(self) -> dict[str, Column]:
        return {relationship(column).lower(): column for column in self.columns if column.field.reference}

    def column(self, name: str) -> Column | None:
        """The column of that name."""
        return self._by_name.get(name.lower())

    def parent(self, name: str) -> Column | None:
        """The column that holds the Id of the parent called so: `AccountId` for `Account`."""
        return self._parents.get(name.lower())

    def writable(self, column: Column) -> bool:
        """Whether a client may set it."""
        known = column.source is not None and column.constant is None
        return known and column.name not in SYSTEM_FIELDS and column.name not in CALCULATED.get(self.name, frozenset())


@dataclass(frozen=True)
class Objects:
    """All objects of the org."""

    store: Store
    faults: Faults

    @cached_property
    def _entities(self) -> dict[str, Entity]:
        return {entity.name.lower(): entity for entity in self.store.entities.values() if entity.system == "salesforce"}

    def all(self) -> list[SObject]:
        """Every object, by name."""
        return [self._shown(entity) for _, entity in sorted(self._entities.items())]

    def find(self, name: str) -> SObject | None:
        """The object of that name."""
        entity = self._entities.get(name.lower())
        return None if entity is None else self._shown(entity)

    def get(self, name: str) -> SObject:
        """The object of that name; ApiError NOT_FOUND where there is none."""
        found = self.find(name)
        if found is None:
            raise ApiError.not_found()
        return found

    def _shown(self, entity: Entity) -> SObject:
        return SObject(entity, columns(entity, self.faults, "salesforce"))


def relationship(column: Column) -> str:
    """The name under which queries reach the parent: `Account` for `AccountId`, `Region__r` for `Region__c`."""
    return column.name.removesuffix("Id") if column.name.endswith("Id") else f"{column.name.removesuffix('__c')}__r"


def api_type(column: Column) -> str:
    """The field's type as describe names it."""
    field = column.field
    if is_identifier(column):
        return "id" if field.name == "Id" else "reference"
    if field.picklist:
        return "picklist"
    if field.kind == "decimal":
        return "currency" if field.name.endswith(_MONEY) else "percent" if field.name == "Probability" else "double"
    if field.kind != "string":
        return _TYPES[field.kind]
    long = field.name.endswith("Street") or (field.length or 0) > 255
    return _TEXT_TYPES.get(field.name, "textarea" if long else "string")


def is_identifier(column: Column) -> bool:
    """Whether it holds the Id of a record."""
    return column.field.name == "Id" or bool(column.field.reference)


def is_external_id(column: Column) -> bool:
    """Whether records can be addressed by it: a custom text field without a list of values."""
    return column.name.endswith("__c") and column.field.kind == "string" and not column.field.picklist and column.source is not None
