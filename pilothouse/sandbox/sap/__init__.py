"""SAP S/4HANA as its clients see it: OData V2 and V4 services over the company's store, protocol for protocol.

services.py     which services exist: paths, entity sets, navigations (declarations only)

app.py          ASGI application: faults, threads, finding the service
access.py       basic and OAuth2 logon, sessions, CSRF tokens
batch.py        $batch: multipart and JSON, atomic change sets
gateway.py      one request of one service → one response
exchange.py     the two as plain values
errors.py       how SAP says no

resources.py    the path of a request: which set, row, navigation
query.py        its options: $select, $expand, $orderby, ...
filters.py      $filter → SQL; words.py its words, literals.py its values
views.py        an entity set as it is shown now, drifts and renames applied
rows.py         rows → JSON, built by SQLite itself; sql.py SQL with its bound values
pages.py        server-driven paging by key, delta links
writes.py       bodies → rows, ETags, deep inserts
metadata_v2.py, metadata_v4.py   $metadata and service documents; markup.py XML
"""
