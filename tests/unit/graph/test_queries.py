"""Queries with a head: what it says is what they take and answer."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from graph.queries import parsed, queries
from graph.rewinding import rewound
from pilothouse.kernel.errors import ConfigError, GraphError

TEXT = """// Firms that owe.
// parameter day: date -- due before
// parameter limit: integer = 3 -- how many
// parameter names: texts? -- of which firms
// column id: text -- the firm
// column name: text? -- its name
// column eur: number -- what it owes
MATCH (f:Firm) RETURN f.id AS id, f.name AS name, 1.0 AS eur LIMIT $limit
"""


def test_the_head_of_a_query_becomes_a_value() -> None:
    query = parsed("debtors", TEXT)
    assert query.description == "Firms that owe."
    assert [(each.name, each.kind, each.optional, each.default) for each in query.parameters] == [
        ("day", "date", False, None),
        ("limit", "integer", False, 3),
        ("names", "texts", True, None),
    ]
    assert [each.name for each in query.columns] == ["id", "name", "eur"]


def test_what_is_given_is_what_was_asked_for_or_refused() -> None:
    query = parsed("debtors", TEXT)
    assert query.given({"day": "2026-02-01"}) == {"day": date(2026, 2, 1), "limit": 3, "names": None}
    assert query.given({"day": date(2026, 2, 1), "limit": "7", "names": '["a"]'})["names"] == ["a"]
    for values, told in (
        ({}, "parameter 'day' is missing"),
        ({"day": "soon"}, "day = 'soon' is no date"),
        ({"day": "2026-02-01", "limit": True}, "limit = True is no integer"),
        ({"day": "2026-02-01", "most": 1}, "no parameter 'most'"),
    ):
        with pytest.raises(ConfigError, match=told):
            query.given(values)


def test_an_answer_that_is_not_what_the_head_says_is_an_error() -> None:
    query = parsed("debtors", TEXT)
    assert query.checked([{"id": "a", "name": None, "eur": 1}]) == [{"id": "a", "name": None, "eur": 1}]
    for row, told in (
        ({"id": None, "name": None, "eur": 1}, "id is None"),
        ({"id": "a", "name": "b", "eur": datetime(2026, 1, 1, tzinfo=UTC)}, "eur is"),
        ({"id": "a", "eur": 1, "name": "b"}, "answers id, eur, name"),
    ):
        with pytest.raises(GraphError, match=told):
            query.checked([row])


@pytest.mark.parametrize(
    ("head", "told"),
    [("// column id: word -- x", "no type 'word'"), ("// column id", "line 1"), ("// says nothing", "names no column")],
)
def test_a_head_that_cannot_be_understood_is_refused(head: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        parsed("broken", f"{head}\nRETURN 1 AS id")


@pytest.mark.parametrize("name", sorted(queries()))
def test_every_query_can_be_asked_of_the_past(name: str) -> None:
    assert "$_known" in rewound(queries()[name].text, valid=True)
    assert "$_valid" in rewound(queries()[name].text, known=False, valid=True)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("MATCH (f:Firm) RETURN labels(f) AS l", "labels"),
        ("MATCH (f) RETURN f.id AS id", "begin somewhere"),
        ("MATCH p = (f:Firm)-[:OWNS]->(g) RETURN p", "path 'p'"),
        ("MATCH p = shortestPath((f:Firm)-[:OWNS*]->(g:Firm)) RETURN length(p) AS n", "no pattern"),
        ("MATCH (f:Firm) WHERE (f)-[:OWNS]->() RETURN f.id AS id", "inside of an expression"),
        ("MATCH (f:Firm) SET f.name = 'x'", "SET"),
        ("MATCH (f:Firm {id: 'x'}) OPTIONAL MATCH (f)-[:OWNS]->(g:Firm) WHERE g.name = 'y' RETURN g.id AS id", "OPTIONAL MATCH"),
        ("MATCH (f:Firm {id: 'x) RETURN f.id", "not ended"),
        ("MATCH (f:Firm {id: 'x'} RETURN f.id", "not closed"),
        ("MATCH (f:Firm) RETURN *", r"RETURN \*"),
    ],
)
def test_what_cannot_be_asked_of_the_past_exactly_is_refused(query: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as refusal:
        rewound(query)
    assert refusal.value.hint
