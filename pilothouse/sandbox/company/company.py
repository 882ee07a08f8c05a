"""One company on disk: created from a seed, or resumed where it stood.

The generation happens in a directory beside the final one and is renamed at its end, so that a directory `company` is
always a whole company and an interrupted generation starts again cleanly.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pilothouse.sandbox.company.clock import Clock
from pilothouse.sandbox.company.generator import generate
from pilothouse.sandbox.company.salesforce import SALESFORCE
from pilothouse.sandbox.company.sap import SAP
from pilothouse.sandbox.company.schema import Entity
from pilothouse.sandbox.company.store import Store
from pilothouse.sandbox.company.truth import Truth
from pilothouse.sandbox.company.warehouse import WAREHOUSE

ENTITIES: tuple[Entity, ...] = (*SAP, *SALESFORCE, *WAREHOUSE)


@dataclass(frozen=True)
class Company:
    """A company: what it remembers, the truth about it, and the clock that leads its life."""

    store: Store
    truth: Truth
    clock: Clock

    @classmethod
    def open(cls, home: Path, seed: int, scale: float, now: datetime) -> Company:
        """The company under `home`, created if there is none; one that exists keeps its own seed, scale and history."""
        directory = home / "company"
        if not directory.exists():
            _create(home / "company.unfinished", directory, seed, scale, now)
        store = Store(directory / "company.sqlite", ENTITIES)
        return cls(store, truth := Truth(directory / "truth.sqlite"), Clock(store, truth, int(store.fact("seed") or seed)))

    def close(self) -> None:
        """Close the calling thread's connection."""
        self.store.close()


def _create(unfinished: Path, directory: Path, seed: int, scale: float, now: datetime) -> None:
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    store = Store(unfinished / "company.sqlite", ENTITIES)
    generate(store, Truth(unfinished / "truth.sqlite"), seed, scale, now)
    store.close()
    unfinished.rename(directory)
