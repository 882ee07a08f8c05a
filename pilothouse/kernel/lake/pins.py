"""Versions that must stay readable, and for whom: what a decision points to, retention never removes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from pilothouse.kernel.database import Database
from pilothouse.kernel.database.schema import pins
from pilothouse.kernel.versions import Versions


class Pins:
    """Pins of the lake's table versions, kept in the operational database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def hold(self, versions: Versions, holder: str, *, reason: str = "", until: datetime | None = None) -> None:
        """Pin every table version that a vector names, all or none. Pinning twice is pinning once."""
        rows = [
            {"table_uri": entry.name, "version": int(entry.version), "holder": holder, "reason": reason, "until": until}
            for entry in (*versions.read, *versions.written)
            if entry.kind == "table"
        ]
        if rows:
            with self._database.begin() as connection:
                connection.execute(insert(pins).on_conflict_do_nothing(), rows)

    def release(self, holder: str) -> int:
        """Let go of everything one holder pinned; returns how many pins that were."""
        with self._database.begin() as connection:
            return connection.execute(sa.delete(pins).where(pins.c.holder == holder)).rowcount

    def all(self) -> Mapping[str, frozenset[int]]:
        """The pinned versions of each table; pins whose time has passed do not count."""
        held: dict[str, set[int]] = defaultdict(set)
        living = sa.or_(pins.c.until.is_(None), pins.c.until > sa.func.now())
        with self._database.reading() as connection:
            found: Sequence[Any] = connection.execute(sa.select(pins.c.table_uri, pins.c.version).where(living)).all()
            for table, version in found:
                held[table].add(version)
        return {table: frozenset(versions) for table, versions in held.items()}
