"""What benchmarks of decisions share: a company with its tables and measures, and a ledger that keeps what is decided."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from assets.measuring import Measuring
from graph.resolution.corrections import Corrections
from pilothouse.agents.agent import Request
from pilothouse.agents.capsules import Ledger, Signer
from pilothouse.kernel.database import Database
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.settings import TableSettings
from pilothouse.local.postgres import EmbeddedPostgres
from pilothouse.sandbox.company.company import Company
from pilothouse.tables.building import Builder
from pilothouse.tables.project import FOLDER, Project
from tests.integration.tables.conftest import NOW
from tests.raw_company import RawCompany

NOON: Final = datetime(2026, 6, 1, 12, tzinfo=UTC)


def company(home: Path, scale: float) -> Lake:
    """A company of this size with its tables and measures."""
    home.mkdir(exist_ok=True)
    made = Company.open(home, seed=11, scale=scale, now=NOW)
    lake = Lake(str(home / "lake"))
    RawCompany(made, lake).sync()
    made.close()
    built(lake, home / "work")
    return lake


def built(lake: Lake, work: Path) -> None:
    Corrections(lake).ensure()
    builder = Builder(lake, Project.load(FOLDER, work), work, TableSettings())
    failed = [made.reason for made in builder.build() if made.reason]
    if failed:
        raise RuntimeError("\n".join(failed))
    list(Measuring(lake).measure())


@contextmanager
def kept(folder: str) -> Iterator[tuple[Ledger, Database]]:
    """A ledger in a PostgreSQL that is durable, as the platform's is."""
    with EmbeddedPostgres(Path(folder) / "postgres") as server:
        database = Database(server.url())
        database.upgrade()
        yield Ledger(database, Signer.open(Path(folder) / "key.pem")), database
        database.close()


def about(order: str) -> Request:
    return Request(subject=f"s4/sales_order/{order}", at=NOON, event={"topic": "order.created", "order": order})
