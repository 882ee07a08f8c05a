"""One beat of the company's life: the moment, the dice, and what every act needs to find and change rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from pilothouse.sandbox.company.agenda import Agenda
from pilothouse.sandbox.company.columns import Array, Columns
from pilothouse.sandbox.company.numbering import key_of
from pilothouse.sandbox.company.rates import Rates
from pilothouse.sandbox.company.schema import Entity
from pilothouse.sandbox.company.store import Row, Store, Value, timestamp
from pilothouse.sandbox.company.truth import Truth
from pilothouse.sandbox.company.world import World


@dataclass(frozen=True)
class Beat:
    """What the acts of one beat share. All its writes are one transaction."""

    store: Store
    truth: Truth
    world: World
    rates: Rates
    agenda: Agenda
    rng: np.random.Generator
    at: datetime
    history_ends: int  # day since 1970

    @property
    def seconds(self) -> int:
        """The moment, in seconds since 1970."""
        return int(self.at.timestamp())

    @property
    def now(self) -> Array:
        """The moment as a column of one."""
        return np.array([self.seconds])

    @property
    def today(self) -> str:
        """The day, as the store writes it."""
        return timestamp(self.at)[:10]

    def pick(self, entity: Entity, condition: str = "1", parameters: Sequence[Value] = ()) -> Row | None:
        """A row of a numbered entity that meets a condition, each about as likely; None where there is none."""
        first, following = (int(self.store.fact(f"{which} {entity.table}") or 1) for which in ("first", "next"))
        start = key_of(entity, int(self.rng.integers(first, max(following, first + 1))))
        for order in (">=", "<"):
            found = self.find(entity, f'"{entity.key[0]}" {order} ? AND ({condition})', [start, *parameters], limit=1)
            if found:
                return found[0]
        return None

    def find(self, entity: Entity, condition: str, parameters: Sequence[Value], limit: int = -1, by: Sequence[str] = ()) -> list[Row]:
        """Rows that meet a condition, ordered by these fields, or else by key."""
        names = [field.name for field in entity.fields]
        columns = ", ".join(f'"{name}"' for name in names)
        order = ", ".join(f'"{name}"' for name in by or entity.key)
        sql = f"SELECT {columns} FROM {entity.table} WHERE {condition} ORDER BY {order} LIMIT {limit}"
        return [dict(zip(names, values, strict=True)) for values in self.store.rows(sql, parameters)]

    def insert(self, entity: Entity, columns: Columns) -> None:
        """Create rows."""
        for row in columns.rows():
            self.store.insert(entity, row, self.at)

    def update(self, entity: Entity, row: Row, **values: Value) -> None:
        """Change one row, with whatever else moves when the entity's rows change."""
        fields = {field.name for field in entity.fields}
        moved: Row = {"LastModifiedDate": timestamp(self.at), "LastChangeDate": self.today}
        self.store.update(entity, [row[name] for name in entity.key], {n: v for n, v in moved.items() if n in fields} | values, self.at)

    def delete(self, entity: Entity, row: Row) -> None:
        """Remove one row for good."""
        self.store.delete(entity, [row[name] for name in entity.key], self.at)

    def one_of(self, choices: Sequence[str]) -> str:
        """Any of these words."""
        return choices[int(self.rng.integers(len(choices)))]
