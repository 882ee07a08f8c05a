"""Loads that are killed, that meet each other, or that find what cannot be a graph: one clear error, and the next load mends it."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from assets.graph import load_graph
from assets.platform import Platform
from bench.graph import kills
from graph import schema
from graph.dump import Moment, history, state
from graph.kinds import Measures, Ontology
from graph.loading import Loader
from graph.store import Graph
from graph.writing_nodes import batches
from pilothouse.kernel.database import Database
from pilothouse.kernel.errors import CommitConflict, ConfigError, DataRejected, GraphError
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.settings import Settings
from pilothouse.local.graph_server import GraphServer
from tests.contract.test_graph_loading import assert_whole
from tests.small_marts import FIRM, ORDER, OWNS, PLACED, SMALL, SmallMarts, firm, order, owner, told_by_tables


@pytest.fixture
def marts(tmp_path: Path) -> SmallMarts:
    marts = SmallMarts(Lake(str(tmp_path / "lake")))
    marts.put("marts/firm", *(firm(number) for number in range(6)))
    marts.put("marts/order", *(order(number, by=number % 6) for number in range(12)))
    marts.put("marts/owner", owner(0, 1), owner(1, 2))
    marts.publish()
    return marts


def test_a_load_that_is_killed_is_mended_by_the_next_one(arcadedb_graph: Graph, arcadedb_server: GraphServer, tmp_path: Path) -> None:
    assert list(kills(arcadedb_graph, arcadedb_server, tmp_path, trials=3)) == ["", "", ""]


class _Dying:
    """A graph whose connection breaks at the n-th statement that writes."""

    def __init__(self, graph: Graph, after: int) -> None:
        self._graph, self._left = graph, after

    def write(self, query: str, /, **parameters: Any) -> None:
        self._left -= 1
        if self._left < 0:
            raise GraphError("the graph does not answer", hint="test")
        self._graph.write(query, **parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._graph, name)


@pytest.mark.parametrize("first", [1, 3])
def test_whichever_statement_is_the_last_one_the_next_load_ends_as_if_nothing_had_broken(
    arcadedb_graph: Graph, marts: SmallMarts, first: int
) -> None:
    Loader(arcadedb_graph, marts.lake, SMALL).load()
    marts.put("marts/firm", firm(1, rating=3), firm(9))
    marts.drop("marts/firm", "f2")
    marts.put("marts/order", order(3, by=9), order(4, by=5, amount=7), order(20, by=1))
    marts.drop("marts/order", "o5", 1)
    marts.put("marts/owner", owner(0, 1, share=10.0), owner(0, 9))
    marts.publish()
    statements = len(list(schema.statements(SMALL)))
    for trial in range(20):
        dying = _Dying(arcadedb_graph, statements + first + 5 * trial)
        try:
            Loader(dying, marts.lake, SMALL).load()  # type: ignore[arg-type]
        except GraphError:
            continue
        break
    assert 1 < trial < 19  # it broke at several places, each load going on where the one before broke
    assert state(arcadedb_graph, SMALL) == told_by_tables(marts.lake, Moment())
    assert_whole(arcadedb_graph)
    found = history(arcadedb_graph, SMALL)
    Loader(arcadedb_graph, marts.lake, SMALL).rebuild()
    assert history(arcadedb_graph, SMALL) == found


class _Interrupting:
    """A graph whose user presses Ctrl-C while the first nodes are written."""

    def __init__(self, graph: Graph) -> None:
        self._graph, self.pressed, self.after = graph, False, 0

    def write(self, query: str, /, **parameters: Any) -> None:
        self._graph.write(query, **parameters)
        if threading.current_thread() is threading.main_thread():
            return
        if self.pressed:
            self.after += 1
        else:
            self.pressed = True
            os.kill(os.getpid(), signal.SIGINT)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._graph, name)


def test_a_load_that_is_interrupted_ends_with_the_batch_it_is_at(
    arcadedb_graph: Graph, marts: SmallMarts, monkeypatch: pytest.MonkeyPatch
) -> None:
    marts.put("marts/firm", *(firm(number) for number in range(200)))
    marts.publish()
    monkeypatch.setattr("graph.writing_nodes.batches", partial(batches, size=1))
    interrupting = _Interrupting(arcadedb_graph)
    with pytest.raises(KeyboardInterrupt):
        Loader(interrupting, marts.lake, SMALL).load()  # type: ignore[arg-type]
    assert interrupting.after < 50
    Loader(arcadedb_graph, marts.lake, SMALL).load()
    assert state(arcadedb_graph, SMALL) == told_by_tables(marts.lake, Moment())


def test_of_two_loads_at_once_one_is_told_that_the_other_is_at_it(
    arcadedb_server: GraphServer, arcadedb_graph: Graph, database: Database, marts: SmallMarts, monkeypatch: pytest.MonkeyPatch
) -> None:
    platforms = [Platform(Settings()), Platform(Settings())]
    for platform in platforms:
        platform.__dict__.update(graph=arcadedb_graph, database=database, lake=marts.lake, ontology=SMALL)
    inside, done = threading.Event(), threading.Event()
    original = Loader.load

    def slowly(self: Loader, *arguments: Any) -> Any:
        inside.set()
        assert done.wait(30)
        return original(self, *arguments)

    monkeypatch.setattr(Loader, "load", slowly)
    first = threading.Thread(target=load_graph, args=(platforms[0],))
    first.start()
    assert inside.wait(30)
    with pytest.raises(CommitConflict, match="a load of the graph is already running"):
        load_graph(platforms[1])
    done.set()
    first.join()
    assert state(arcadedb_graph, SMALL) == told_by_tables(marts.lake, Moment())


def test_a_mart_whose_key_names_two_rows_is_refused_by_name_and_all_others_are_loaded(arcadedb_graph: Graph, marts: SmallMarts) -> None:
    loader = Loader(arcadedb_graph, marts.lake, SMALL)
    loader.load()
    before = marts.frame("marts/order")
    marts.lake.table("marts/order").replace(pl.concat([before, before.head(1)]).to_arrow().to_reader())
    marts.put("marts/firm", firm(1, rating=9))
    marts.publish("marts/firm")
    with pytest.raises(DataRejected, match="marts/order: 2 rows are one node Order: order_id='o0', part=1") as refusal:
        loader.load()
    assert "mend the model" in refusal.value.hint
    assert arcadedb_graph.read("MATCH (f:Firm {id: 'f1'}) RETURN f.rating AS rating") == [{"rating": 9}]
    assert arcadedb_graph.read("MATCH (o:Order) RETURN count(o) AS n") == [{"n": 12}]
    marts.put("marts/order", order(0, by=1, amount=77))
    marts.publish("marts/order")
    loader.load()
    assert state(arcadedb_graph, SMALL) == told_by_tables(marts.lake, Moment())


def test_a_version_that_has_expired_is_passed_over_and_the_graph_says_what_the_mart_says(arcadedb_graph: Graph, marts: SmallMarts) -> None:
    loader = Loader(arcadedb_graph, marts.lake, SMALL)
    loader.load()
    marts.put("marts/firm", firm(1, rating=4))
    marts.drop("marts/firm", "f3")
    marts.publish("marts/firm")
    marts.put("marts/firm", firm(1, rating=5), firm(4, rating=2))
    marts.publish("marts/firm")
    table = marts.lake.table("marts/firm").delta()
    kept = set(table.file_uris())
    for path in Path(table.table_uri.removeprefix("file://")).glob("*.parquet"):
        if not any(uri.endswith(path.name) for uri in kept):
            path.unlink()
    loaded = {each.type.name: each for each in loader.load()}
    assert (loaded["Firm"].created, loaded["Firm"].changed, loaded["Firm"].deleted) == (0, 2, 1)
    assert state(arcadedb_graph, SMALL) == told_by_tables(marts.lake, Moment())
    assert_whole(arcadedb_graph)


def test_what_analytics_measure_stands_on_firms_and_follows_its_table(arcadedb_graph: Graph, marts: SmallMarts) -> None:
    measured = Ontology.of([replace(FIRM, measures=Measures("graph/firm_measures", "firm_id")), ORDER], [PLACED, OWNS])
    loader, table = Loader(arcadedb_graph, marts.lake, measured), marts.lake.table("graph/firm_measures")
    loader.load()
    before = history(arcadedb_graph, measured)
    ranks = "MATCH (f:Firm) WHERE f.pagerank IS NOT NULL RETURN f.id AS id, f.pagerank AS rank ORDER BY id"
    for ids in (["f0", "f1"], ["f1", "f2"]):
        table.replace(pl.DataFrame({"firm_id": ids, "pagerank": [0.5, 0.25]}).to_arrow().to_reader())
        assert set(loader.outdated()) == {"graph/firm_measures"}
        loader.load()
        assert loader.outdated() == {}
        assert arcadedb_graph.read(ranks) == [{"id": ids[0], "rank": 0.5}, {"id": ids[1], "rank": 0.25}]
    marts.put("marts/firm", firm(1, rating=7))
    marts.publish("marts/firm")
    loader.load()
    assert arcadedb_graph.read(ranks) == [{"id": "f1", "rank": 0.5}, {"id": "f2", "rank": 0.25}]
    assert history(arcadedb_graph, measured) != before
    table.replace(pl.DataFrame({"firm_id": ["f1"], "name": ["taken"]}).to_arrow().to_reader())
    with pytest.raises(ConfigError, match="Firm has a property 'name' of its own"):
        loader.load()


def test_without_marts_and_without_a_load_the_way_out_is_told(arcadedb_graph: Graph, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no mart was made yet") as refusal:
        Loader(arcadedb_graph, Lake(str(tmp_path)), SMALL).load()
    assert "pilothouse build" in refusal.value.hint
