"""The shapes in which the sandbox declares its tables; servers, generator and store are derived from them.

An `Entity` is one table of one system of the company. Its fields carry the names the real system publishes, so that
the SAP server can serve `sap` entities and the Salesforce server `salesforce` entities without a mapping.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

System = Literal["sap", "salesforce", "warehouse"]
Kind = Literal["string", "bool", "int", "decimal", "double", "date", "datetime"]


@dataclass(frozen=True)
class Field:
    """One column. SQLite holds: string TEXT, bool 0/1, int INTEGER, decimal TEXT in plain notation with exactly `scale`
    digits, double REAL, date TEXT `YYYY-MM-DD`, datetime TEXT `YYYY-MM-DDTHH:MM:SS.ffffffZ` (UTC, fixed width, so
    that text order is time order)."""

    name: str
    kind: Kind = "string"
    length: int | None = None  # of a string
    precision: int | None = None  # of a decimal
    scale: int | None = None
    nullable: bool = True
    label: str = ""
    unit: str = ""  # field of the same entity that holds this quantity's unit
    currency: str = ""  # field of the same entity that holds this amount's currency
    text: str = ""  # field of the same entity that says this code in words
    reference: str = ""  # "<entity name>.<field>" this field points to
    picklist: tuple[str, ...] = ()  # the values allowed, where there are few


@dataclass(frozen=True)
class Entity:
    """One table. Its SQLite name is `<system>_<name>`."""

    system: System
    name: str
    key: tuple[str, ...]
    fields: tuple[Field, ...]
    label: str = ""
    changed: str | None = None  # the datetime (or date) field that moves with every change, where the system has one
    created: str | None = None
    indexes: tuple[tuple[str, ...], ...] = ()  # what servers filter and order by, beside the key

    @property
    def table(self) -> str:
        """The name of its table in the store."""
        return f"{self.system}_{self.name}"

    def field(self, name: str) -> Field:
        """The field of that name; KeyError where there is none."""
        for candidate in self.fields:
            if candidate.name == name:
                return candidate
        raise KeyError(name)
