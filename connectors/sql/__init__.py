"""Tables of a PostgreSQL database, read as Arrow straight from its wire format."""

from __future__ import annotations

from connectors.connector import Connector, ConnectorKind
from connectors.sql.options import SqlOptions, SqlTable
from connectors.sql.streams import SqlStream, streams_of

__all__ = ["KIND", "SqlOptions", "SqlStream", "SqlTable"]


def _connect(name: str, options: SqlOptions) -> Connector:
    from connectors.sql.connector import SqlConnector

    return SqlConnector(name, options)


KIND = ConnectorKind(name="sql", options=SqlOptions, streams=streams_of, connect=_connect)
