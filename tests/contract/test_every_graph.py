"""What every graph server must do, whichever engine it is."""

from __future__ import annotations

import pytest

from graph.store import Graph
from pilothouse.kernel.errors import GraphError


def test_what_is_written_is_read(graph: Graph) -> None:
    graph.write("CREATE (:Firm {firm_id: $id})", id="f1")
    assert graph.read("MATCH (n:Firm) RETURN n.firm_id AS id") == [{"id": "f1"}]


def test_a_reading_query_that_writes_is_refused_and_writes_nothing(graph: Graph) -> None:
    for query in ("CREATE (n:Firm) RETURN n", "CREATE INDEX firm_name FOR (n:Firm) ON (n.name)"):
        with pytest.raises(GraphError, match="a reading query wants to write") as refusal:
            graph.read(query)
        assert "write" in refusal.value.hint
    assert graph.read("MATCH (n) RETURN count(n) AS n") == [{"n": 0}]
