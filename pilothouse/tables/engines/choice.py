"""The engine that settings name."""

from __future__ import annotations

from pathlib import Path

from pilothouse.kernel.lake import Lake
from pilothouse.kernel.settings import TableSettings
from pilothouse.tables.engines import Engine


def chosen(lake: Lake, project: Path, work: Path, settings: TableSettings) -> Engine | None:
    """What runs the models in SQL; None where this process does."""
    return None
