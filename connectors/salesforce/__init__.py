"""Objects of a Salesforce org: REST for what is small, Bulk API 2.0 for what is large."""

from __future__ import annotations

from connectors.connector import Connector, ConnectorKind
from connectors.salesforce.options import SalesforceObject, SalesforceOptions
from connectors.salesforce.streams import SalesforceStream, streams_of

__all__ = ["KIND", "SalesforceObject", "SalesforceOptions", "SalesforceStream"]


def _connect(name: str, options: SalesforceOptions) -> Connector:
    from connectors.salesforce.connector import SalesforceConnector

    return SalesforceConnector(name, options)


KIND = ConnectorKind(name="salesforce", options=SalesforceOptions, streams=streams_of, connect=_connect)
