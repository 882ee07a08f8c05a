"""Objects of a Salesforce org: REST for what is small, Bulk API 2.0 for what is large."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from connectors.connector import Connector, ConnectorKind
from connectors.salesforce.options import SalesforceObject, SalesforceOptions
from connectors.salesforce.streams import SalesforceStream, streams_of

if TYPE_CHECKING:
    from connectors.target import Target

__all__ = ["KIND", "SalesforceObject", "SalesforceOptions", "SalesforceStream"]


def _connect(name: str, options: SalesforceOptions) -> Connector:
    from connectors.salesforce.connector import SalesforceConnector

    return SalesforceConnector(name, options)


@contextmanager
def _target(name: str, options: SalesforceOptions) -> Iterator[Target]:
    from connectors.salesforce.org import Org
    from connectors.salesforce.writing import SalesforceRecords
    from connectors.target import Target

    with closing(Org(name, options)) as org:
        yield Target(name, SalesforceRecords(org, options))


KIND = ConnectorKind(name="salesforce", options=SalesforceOptions, streams=streams_of, connect=_connect, target=_target)
