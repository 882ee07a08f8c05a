"""The engine that settings name."""

from __future__ import annotations

from pathlib import Path

from pilothouse.kernel.lake import Lake
from pilothouse.kernel.settings import TableSettings
from pilothouse.tables.engines import Engine


def chosen(lake: Lake, project: Path, work: Path, settings: TableSettings) -> Engine | None:
    """What runs the models in SQL; None where this process does by itself. Each is imported where it is asked for."""
    if settings.engine == "spark":
        from pilothouse.tables.engines.spark import SparkEngine

        return SparkEngine(lake, project, work, settings)
    if settings.engine == "snowflake":
        from pilothouse.tables.engines.snowflake import Snowflake
        from pilothouse.tables.engines.warehouse import WarehouseEngine

        return WarehouseEngine(Snowflake(lake, settings.snowflake, settings.threads), lake, project, work, settings)
    if settings.engine == "databricks":
        from pilothouse.tables.engines.databricks import Databricks
        from pilothouse.tables.engines.warehouse import WarehouseEngine

        return WarehouseEngine(Databricks(lake, settings.databricks, settings.threads), lake, project, work, settings)
    return None
