"""SAP S/4HANA over OData V2 and V4.

options.py     what pilothouse.toml may say
streams.py     what is read, as values
metadata.py    $metadata as Arrow schemas, with what SAP says about its fields
edm.py         OData's types as Arrow types
page.py        one response: rows as bytes, links as text
decode.py      rows into Arrow, in bulk
pager.py       from a page to the next
query.py       addresses and literals
changes.py     reading by change timestamp: where to start, how far we are
tombstones.py  deletions in a delta
service.py     one OData service: its description and its pages
connection.py  who we are to it
connector.py   the connector
writing.py     changing records
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from connectors.connector import Connector, ConnectorKind
from connectors.sap.options import SapOptions
from connectors.sap.streams import SapStream

if TYPE_CHECKING:
    from connectors.target import Target


def _streams(options: SapOptions) -> Sequence[SapStream]:
    return options.selected()


def _connect(source: str, options: SapOptions) -> Connector:
    from connectors.sap.connector import SapConnector  # brings httpx, which a code location does not need

    return SapConnector(source, options)


@contextmanager
def _target(source: str, options: SapOptions) -> Iterator[Target]:
    from connectors.sap.connection import opened
    from connectors.sap.writing import SapRecords
    from connectors.target import Target

    with closing(opened(source, options)) as client:
        yield Target(source, SapRecords(client, options))


KIND = ConnectorKind(name="sap", options=SapOptions, streams=_streams, connect=_connect, target=_target)
