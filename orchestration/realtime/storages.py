"""Dagster's PostgreSQL storages over connections that are kept, instead of one a call.

Dagster's own open a connection for every read and write: 1,069 for one sync of eighteen streams, which was a third of its time
and as much again in the server, which starts a process for each.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.utils import create_pg_engine, get_token_provider_from_config, pg_url_from_config
from sqlalchemy import Engine
from sqlalchemy.pool import QueuePool

_KEPT, _AT_MOST = 3, 60  # in each process

_engines: dict[tuple[int, str], Engine] = {}  # by process, too: what a fork inherits is its parent's connection


class PooledStorage(DagsterPostgresStorage):
    """What `storage` in dagster.yaml names. Dagster makes one for every tick of a sensor: all of a process share an engine, and only
    the first looks whether its tables are there, over connections that Dagster opens for it."""

    def __init__(
        self,
        postgres_url: str,
        should_autocreate_tables: bool = True,  # noqa: FBT001, FBT002 - Dagster's signature
        inst_data: ConfigurableClassData | None = None,
        token_provider: Any = None,
    ) -> None:
        engine = _engines.get((os.getpid(), postgres_url))
        super().__init__(postgres_url, should_autocreate_tables and engine is None, inst_data, token_provider)
        if engine is None:
            # A connection is asked whether it lives before it is used: PostgreSQL may have been started anew since.
            engine = _engines[os.getpid(), postgres_url] = create_pg_engine(
                postgres_url,
                token_provider,
                isolation_level="AUTOCOMMIT",
                poolclass=QueuePool,
                pool_size=_KEPT,
                max_overflow=_AT_MOST - _KEPT,
                pool_pre_ping=True,
            )
        for storage in (self._run_storage, self._event_log_storage, self._schedule_storage):
            storage._engine = engine  # noqa: SLF001 - there is no other door

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> PooledStorage:
        """What Dagster calls with the settings of dagster.yaml."""
        return cls(
            pg_url_from_config(config_value),
            config_value.get("should_autocreate_tables", True),
            inst_data,
            get_token_provider_from_config(config_value),
        )
