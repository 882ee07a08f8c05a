"""A PostgreSQL schema as a source, as the tests of the sql connector open and read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import psycopg

from connectors.sql import KIND, SqlOptions, SqlStream
from connectors.sql.connector import SqlConnector
from pilothouse.kernel.streams import Batch, Watermark

Connection = psycopg.Connection[Any]


class Source:
    """Opens connectors to the test's database and closes them all."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._opened: list[SqlConnector] = []

    def connect(self, streams: Mapping[str, Mapping[str, Any]] | None, **options: Any) -> SqlConnector:
        validated = SqlOptions.model_validate({"url": self.url, "streams": streams, **options})
        connector = cast("SqlConnector", KIND.connect("bureau", validated))
        self._opened.append(connector)
        return connector

    def close(self) -> None:
        for connector in self._opened:
            connector.close()


def stream_of(connector: SqlConnector, name: str = "t") -> SqlStream:
    return next(cast("SqlStream", stream) for stream in connector.streams() if stream.name == name)


def read(connector: SqlConnector, since: Watermark | None = None, name: str = "t") -> tuple[list[dict[str, Any]], Batch]:
    (batch,) = connector.read(stream_of(connector, name), since)
    return batch.reader().read_all().to_pylist(), batch


SNAPSHOT = {"t": {"key": ["id"]}}
BY_CURSOR = {"t": {"key": ["id"], "cursor": "changed", "lag": "PT5M"}}
