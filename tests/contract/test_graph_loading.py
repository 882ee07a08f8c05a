"""What a load of the graph must do, on every engine: the state, the history, and the same bytes from all."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from graph.dump import Moment, history, state
from graph.kinds import Measures, Ontology
from graph.loading import Loader
from graph.notes import Notes
from graph.store import Graph
from pilothouse.kernel.lake import Lake
from tests.small_marts import FIRM, ORDER, OWNS, PLACED, SMALL, SmallMarts, firm, moments, order, owner, told_by_tables


@pytest.fixture
def marts(tmp_path: Path) -> SmallMarts:
    marts = SmallMarts(Lake(str(tmp_path / "lake")))
    marts.put("marts/firm", *(firm(number) for number in range(6)))
    marts.put("marts/order", *(order(number, by=number % 6) for number in range(12)))
    marts.put(
        "marts/owner", owner(0, 1), owner(0, 2), owner(2, 3, since=date(2026, 2, 1), until=date(2026, 4, 1)), owner(4, 5, is_sure=False)
    )
    marts.publish()
    return marts


def test_what_is_loaded_is_what_the_marts_say(graph: Graph, marts: SmallMarts) -> None:
    loaded = {each.type.name: each for each in Loader(graph, marts.lake, SMALL).load()}
    assert state(graph, SMALL) == told_by_tables(marts.lake, Moment())
    assert {name: each.created for name, each in loaded.items()} == {"Firm": 6, "Order": 12, "PLACED": 12, "OWNS": 3}
    assert graph.read("MATCH (f:Firm {id: 'f2'})<-[r:OWNS]-(o) RETURN o.name AS name, r.share AS share") == [
        {"name": "Firm 0", "share": 51.5}
    ]


def test_a_load_without_news_writes_nothing(graph: Graph, marts: SmallMarts) -> None:
    loader = Loader(graph, marts.lake, SMALL)
    loader.load()
    before = history(graph, SMALL)
    assert loader.outdated() == {}
    assert [each.news for each in loader.load()] == [0, 0, 0, 0]
    assert history(graph, SMALL) == before


def test_only_what_changed_is_written_and_what_was_said_before_is_kept(graph: Graph, marts: SmallMarts) -> None:
    loader = Loader(graph, marts.lake, SMALL)
    loader.load()
    then = moments(marts.lake)[-1]
    marts.put("marts/firm", firm(1, rating=5), firm(2, note="no property of the graph"))
    marts.drop("marts/order", "o3", 1)
    marts.put("marts/order", order(4, by=0))
    marts.put("marts/owner", owner(0, 1, share=75.0))
    marts.publish()
    loaded = {each.type.name: (each.created, each.changed, each.deleted) for each in loader.load()}
    assert loaded == {"Firm": (0, 1, 0), "Order": (0, 0, 1), "PLACED": (1, 0, 2), "OWNS": (0, 1, 0)}
    assert state(graph, SMALL) == told_by_tables(marts.lake, Moment())
    assert state(graph, SMALL, Moment(known=then)) == told_by_tables(marts.lake, Moment(known=then))
    assert graph.read("MATCH (o:Order {id: 'o3/1'}) RETURN o") == []


def test_an_edge_waits_for_both_of_its_ends_and_hides_again_without_one(graph: Graph, marts: SmallMarts) -> None:
    loader = Loader(graph, marts.lake, SMALL)
    marts.put("marts/order", order(20, by=9), order(21, by=1))
    marts.publish("marts/order")
    loader.load()
    placed = "MATCH (f:Firm)-[:PLACED]->(o:Order {id: $id}) RETURN f.id AS id"
    assert graph.read(placed, id="o20/1") == []
    assert graph.read("MATCH (o:Order {id: 'o20/1'}) RETURN o.amount AS amount") == [{"amount": 10.0}]
    marts.put("marts/firm", firm(9))
    marts.drop("marts/firm", "f1")
    marts.publish("marts/firm")
    loader.load()
    assert graph.read(placed, id="o20/1") == [{"id": "f9"}]
    assert graph.read(placed, id="o21/1") == []
    marts.put("marts/firm", firm(1))
    marts.publish("marts/firm")
    loader.load()
    assert graph.read(placed, id="o21/1") == [{"id": "f1"}]
    assert state(graph, SMALL) == told_by_tables(marts.lake, Moment())


@pytest.mark.parametrize("seed", range(2))
def test_every_moment_can_be_read_again_and_a_rebuild_is_the_same_graph(graph: Graph, marts: SmallMarts, seed: int) -> None:
    chance, loader = random.Random(seed), Loader(graph, marts.lake, SMALL)
    loader.load()
    for _ in range(8):
        edit(marts, chance)
        if chance.random() < 0.5:
            loader.load()
    loader.load()
    every = moments(marts.lake)
    for known in every[2:]:
        valid = datetime(2026, chance.randint(1, 6), 15, tzinfo=UTC)
        for moment in (Moment(known=known), Moment(known=known, valid=valid)):
            assert state(graph, SMALL, moment) == told_by_tables(marts.lake, moment)
    assert_whole(graph)
    before, notes = history(graph, SMALL), Notes(graph).all()
    loader.rebuild()
    assert history(graph, SMALL) == before
    assert Notes(graph).all() == notes


def edit(marts: SmallMarts, chance: random.Random) -> None:
    """Something happens in one mart, and it is published on its own: others come later."""
    for _ in range(chance.randint(1, 6)):
        number, other = chance.randrange(10), chance.randrange(10)
        what = chance.randrange(6)
        if what == 0:
            marts.put("marts/firm", firm(number, rating=chance.randrange(4), name=chance.choice(["A", None])))
        elif what == 1:
            marts.drop("marts/firm", f"f{number}")
        elif what == 2:
            marts.put("marts/order", order(number, by=other, amount=chance.randrange(3), ordered_on=date(2026, chance.randint(1, 6), 1)))
        elif what == 3:
            marts.drop("marts/order", f"o{number}", 1)
        elif what == 4 and number != other:
            sure = chance.random() < 0.7
            marts.put("marts/owner", owner(number, other, share=float(chance.randrange(3)), since=date(2026, 3, 1), is_sure=sure))
        else:
            marts.drop("marts/owner", f"f{number}", f"f{other}")
    marts.publish(chance.choice(list(marts.rows)), merge=chance.random() < 0.5)


def assert_whole(graph: Graph) -> None:
    """Live edges have live ends, edges that wait lack one, and nothing is there twice."""
    assert graph.read("MATCH (a:Past)-[e:PLACED|OWNS]-(b) RETURN a.id AS id") == []
    for pattern in ("(a:Firm)-[e:PAST_PLACED]->(b:Order)", "(a:Firm)-[e:PAST_OWNS]->(b:Firm)"):
        assert graph.read(f"MATCH {pattern} WHERE e._known_to IS NULL RETURN a.id AS id") == []
    twice = "MATCH (a)-[e:PLACED|OWNS]->(b) WITH a.id AS a, b.id AS b, type(e) AS t, count(*) AS n WHERE n > 1 RETURN a, b, t, n"
    assert graph.read(twice) == []


def test_measures_of_a_table_are_properties_with_its_version_and_a_new_version_is_reason_to_load(graph: Graph, marts: SmallMarts) -> None:
    measured = replace(FIRM, measures=Measures("graph/firm_measures", "firm_id"))
    loader = Loader(graph, marts.lake, Ontology.of([measured, ORDER], [PLACED, OWNS]))
    loader.load()
    assert loader.outdated() == {}
    table = marts.lake.table("graph/firm_measures")
    for version, standing in enumerate(([1.5, 2.5], [1.5, 9.0])):
        rows = pl.DataFrame({"firm_id": ["f1", "f2"], "standing": standing, "_synthetic": [True, True]})
        table.replace(rows.to_arrow().to_reader(), key=("firm_id",))
        assert list(loader.outdated()) == ["graph/firm_measures"]
        loader.load()
        assert loader.outdated() == {}
        found = graph.read("MATCH (f:Firm) WHERE f.standing IS NOT NULL RETURN f.id AS id, f.standing AS s, f._measures AS v ORDER BY id")
        assert [(row["id"], row["s"]) for row in found] == [("f1", standing[0]), ("f2", standing[1])]
        assert {row["v"] for row in found} == {f"{table.pinned().identity}@{version}"}
