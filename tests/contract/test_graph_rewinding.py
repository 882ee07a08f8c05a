"""A query of the past answers what the same query would have answered then: held against graphs that are loaded up to that moment alone."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path

import pytest

from graph.asking import Asking
from graph.dump import Moment
from graph.loading import Loader
from graph.rewinding import rewound
from graph.store import Graph
from pilothouse.kernel.errors import GraphError
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.versions import recording
from tests.contract.test_graph_loading import edit
from tests.small_marts import KEYS, SMALL, SmallMarts, firm, moments, order, owner

QUESTIONS = (
    "MATCH (f:Firm) RETURN f.id AS id, f.name AS name, f.rating AS rating ORDER BY id",
    "MATCH (f:Firm {id: 'f1'}) RETURN f.name AS name",
    "MATCH (f:Firm)-[r:PLACED]->(o:Order) RETURN f.id AS f, type(r) AS t, o.id AS o, o.amount AS amount ORDER BY f, o",
    "MATCH (o:Order {is_open: true})<-[:PLACED]-(f:Firm) WHERE o.amount > 1 RETURN f.id AS f, sum(o.amount) AS s ORDER BY f",
    "MATCH (f:Firm) WHERE EXISTS { (f)-[:OWNS]->(:Firm) } RETURN f.id AS f ORDER BY f",
    "MATCH (f:Firm) RETURN f.id AS f, COUNT { (f)-[:PLACED]->(o:Order) WHERE o.amount > 1 } AS n ORDER BY f",
    "MATCH (f:Firm) OPTIONAL MATCH (f)-[r:OWNS]->(g:Firm) RETURN f.id AS f, g.name AS g, r.share AS share ORDER BY f, g",
    "MATCH p = (f:Firm {id: 'f0'})-[:OWNS*1..3]->(g:Firm) RETURN g.id AS g, length(p) AS n ORDER BY n, g",
    "MATCH (a:Firm)-[:OWNS]->(b:Firm) WITH b, count(a) AS n MATCH (b)-[:PLACED]->(o:Order) RETURN b.name AS b, n, o.id AS o ORDER BY o",
    "MATCH (a:Firm {id: 'f0'})-[]-(b) RETURN b.id AS b ORDER BY b",
    # Of which no more is asked than the id, or how many there are:
    "MATCH (f:Firm)-[r:OWNS|PLACED]-(n) RETURN f.id AS firm, type(r) AS edge, count(n) AS nodes ORDER BY firm, edge",
    "MATCH (f:Firm)-[:OWNS]->(g:Firm) WITH DISTINCT g MATCH (g)-[:PLACED]->(o:Order) "
    "RETURN g.id AS firm, count(DISTINCT o.id) AS n ORDER BY firm",
    "MATCH (f:Firm)-[:OWNS]->(g:Firm) OPTIONAL MATCH (g)-[:OWNS]->(h:Firm) RETURN f.id AS a, g.id AS b, h.id AS c ORDER BY a, b, c",
    "MATCH (f:Firm {id: 'f0'})-[:OWNS*0..4]-(g:Firm) RETURN g.id AS firm, count(g) AS ways ORDER BY firm",
    # Conditions that can be asked before edges are followed, and such as cannot:
    "MATCH (f:Firm {rating: 1})-[:PLACED]->(o:Order) WHERE f.name <> 'x' AND o.amount > 1 AND f.id <> 'f2' AND o.amount > f.rating "
    "RETURN f.name AS name, o.id AS placed ORDER BY placed",
    "MATCH (f:Firm)-[:PLACED]->(o:Order) WHERE f.rating > 1 AND o.amount > 1 OR f.id = 'f1' "
    "RETURN f.id AS firm, o.id AS placed ORDER BY placed",
    "MATCH (a:Firm {id: 'f0'}), (b:Firm {id: 'f1'}) WHERE a.rating <= b.rating RETURN a.name AS a, b.name AS b",
    "MATCH (a:Firm {rating: 1})-[:OWNS]->(b:Firm {rating: a.rating}) RETURN a.id AS a, b.id AS b ORDER BY a, b",
    "MATCH (f:Firm) WHERE EXISTS { (f)-[:PLACED]->(:Order {is_open: true}) } RETURN f.id AS firm ORDER BY firm",
)


@pytest.fixture
def marts(tmp_path: Path) -> SmallMarts:
    chance, marts = random.Random(5), SmallMarts(Lake(str(tmp_path / "lake")))
    marts.put("marts/firm", *(firm(number) for number in range(6)))
    marts.put("marts/order", *(order(number, by=number % 6, amount=number) for number in range(8)))
    marts.put("marts/owner", owner(0, 1), owner(1, 2), owner(2, 3), owner(0, 4))
    marts.publish()
    for _ in range(14):
        edit(marts, chance)
    return marts


def test_a_question_of_the_past_is_answered_as_it_was_then(graph: Graph, marts: SmallMarts) -> None:
    loader, asking = Loader(graph, marts.lake, SMALL), Asking(graph, SMALL)
    every = {mart: [version for version, _ in marts.lake.table(mart).content_versions()] for mart in KEYS}
    loader.load({mart: [(versions[0], versions[-1])] for mart, versions in every.items()})
    then = random.Random(1).sample(moments(marts.lake)[6:], 3)
    told = {moment: [asking.cypher(question, Moment(known=moment)) for question in QUESTIONS] for moment in then}
    assert [asking.cypher(question, Moment(known=datetime(2100, 1, 1, tzinfo=UTC))) for question in QUESTIONS] == [
        graph.read(question.replace("-[]-", "-[:OWNS|PLACED]-")) for question in QUESTIONS
    ]
    for moment in then:
        graph.clear()
        versions = {mart: max(v for v, at in marts.lake.table(mart).content_versions() if at <= moment) for mart in KEYS}
        loader.load({mart: [(version, version)] for mart, version in versions.items()})
        for question, answer in zip(QUESTIONS, told[moment], strict=True):
            assert answer == graph.read(question.replace("-[]-", "-[:OWNS|PLACED]-")), question


def test_every_form_of_the_rewritten_text_is_taken_and_one_without_a_moment_says_what_the_query_says(
    graph: Graph, marts: SmallMarts
) -> None:
    Loader(graph, marts.lake, SMALL).load()
    known, valid = {"_known": datetime(2100, 1, 1, tzinfo=UTC)}, {"_valid": datetime(2026, 3, 20, tzinfo=UTC)}
    for question in QUESTIONS:
        expected = graph.read(question.replace("-[]-", "-[:OWNS|PLACED]-"))
        assert graph.read(rewound(question, known=False)) == expected, question
        held = graph.read(rewound(question, known=False, valid=True), **valid)
        assert graph.read(rewound(question, known=True, valid=True), **known, **valid) == held, question


def test_an_optional_match_that_finds_nothing_takes_no_state_of_another_node(graph: Graph, tmp_path: Path) -> None:
    marts = SmallMarts(Lake(str(tmp_path / "lake")))
    marts.put("marts/firm", firm(0), firm(1, name="before"))
    marts.put("marts/order", order(0, by=0, amount=1))
    marts.put("marts/owner", owner(0, 1))
    marts.publish()
    marts.drop("marts/owner", "f0", "f1")
    marts.publish("marts/owner")
    marts.put("marts/firm", firm(1, name="after"))
    marts.publish("marts/firm")
    Loader(graph, marts.lake, SMALL).load({mart: [(0, marts.lake.table(mart).version())] for mart in KEYS})
    question = "MATCH (f:Firm) OPTIONAL MATCH (f)-[:OWNS]->(g:Firm) RETURN f.id AS f, g.name AS g ORDER BY f"
    between = marts.lake.table("marts/owner").content_versions()[-1][1]
    asked = Asking(graph, SMALL).cypher(question, Moment(known=between))
    assert asked == [{"f": "f0", "g": None}, {"f": "f1", "g": None}]


def test_what_did_not_hold_yet_is_left_out(graph: Graph, marts: SmallMarts) -> None:
    asking = Asking(graph, SMALL)
    Loader(graph, marts.lake, SMALL).load()
    valid = Moment(valid=datetime(2026, 2, 15, tzinfo=UTC))
    rows = asking.cypher("MATCH (f:Firm)-[:PLACED]->(o:Order) RETURN o.ordered_on AS day", valid)
    every = asking.cypher("MATCH (f:Firm)-[:PLACED]->(o:Order) RETURN o.ordered_on AS day")
    assert 0 < len(rows) < len(every)
    assert all(row["day"].month <= 2 for row in rows)


def test_a_read_is_written_down_with_its_moment_and_what_was_never_known_is_refused(graph: Graph, marts: SmallMarts) -> None:
    asking = Asking(graph, SMALL)
    with pytest.raises(GraphError, match="the graph is empty"):
        asking.cypher("MATCH (f:Firm) RETURN f.id")
    Loader(graph, marts.lake, SMALL).load()
    with recording() as recorder:
        asking.cypher("MATCH (f:Firm) RETURN f.id AS id")
    (read,) = recorder.versions().read
    assert (read.kind, read.name) == ("graph", "graph")
    newest = max(at for mart in KEYS for _, at in marts.lake.table(mart).content_versions())
    assert read.version == f"known {newest.isoformat()}"
    with pytest.raises(GraphError, match="the graph begins at"):
        asking.cypher("MATCH (f:Firm) RETURN f.id AS id", Moment(known=datetime(2020, 1, 1, tzinfo=UTC)))


def test_the_shortest_way_is_found_and_a_node_is_shown_with_its_edges(graph: Graph, marts: SmallMarts) -> None:
    asking, chain = Asking(graph, SMALL), SmallMarts(marts.lake)
    chain.put("marts/firm", *(firm(number) for number in range(4)))
    chain.put("marts/owner", owner(0, 1), owner(1, 2), owner(3, 2))
    chain.publish()
    Loader(graph, chain.lake, SMALL).load()
    way = asking.path("f0", "Firm/f3", through=["OWNS"], most=5)
    assert [(link.type, link.away, link.id) for link in way] == [("OWNS", True, "f1"), ("OWNS", True, "f2"), ("OWNS", False, "f3")]
    assert asking.path("f0", "f3", through=["OWNS"], most=2) == []
    (shown,) = asking.show("f1")
    assert shown.said["name"] == "Firm 1"
    assert [(link.type, link.away, link.id, link.said) for link in shown.links] == [
        ("OWNS", True, "f2", {"share": 51.5}),
        ("OWNS", False, "f0", {"share": 51.5}),
    ]
