"""The schema's revisions, applied in process: no alembic.ini, no second command to remember.

Every step runs in one transaction under an advisory lock. Two processes that start at once both ask for the upgrade;
the second waits and then finds nothing to do.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from pilothouse.kernel.errors import ConfigError

if TYPE_CHECKING:
    from pilothouse.kernel.database.database import Database

SCHEMA = "pilothouse"
_LOCK = 0x50494C4F54  # any constant that nobody else locks


def upgrade(database: Database) -> None:
    """To the newest revision."""
    _under_lock(database, lambda config: command.upgrade(config, "head"))


def downgrade(database: Database, revision: str) -> None:
    """Back to a revision."""
    _under_lock(database, lambda config: command.downgrade(config, revision))


def current(database: Database) -> str | None:
    """The revision the database is at."""
    with database.reading() as connection:
        return MigrationContext.configure(connection, opts={"version_table_schema": SCHEMA}).get_current_revision()


def head() -> str:
    """The newest revision that the code knows."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None
    return revision


def _under_lock(database: Database, step: Callable[[Config], None]) -> None:
    with database.begin() as connection:
        connection.execute(sa.text("SET LOCAL statement_timeout = 0"))  # waiting for the other process is no failure
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        connection.execute(sa.text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
        config = _config()
        config.attributes["connection"] = connection
        try:
            step(config)
        except CommandError as error:
            raise ConfigError(
                f"{database.where}: the schema cannot be migrated ({error})",
                hint="was it upgraded by a newer Pilothouse? run that one, or name a revision that exists",
            ) from error


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
