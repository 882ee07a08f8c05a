"""What every graph server must do, whichever engine it is: ArcadeDB, which `pilothouse up` brings, and the real Neo4j 5.26."""

from __future__ import annotations

import math
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graph.kinds import LOADED, PAST, Ontology
from graph.schema import prepare
from graph.store import Graph
from pilothouse.kernel.errors import ConfigError, GraphError, GraphUnavailable
from pilothouse.local.graph_server import GraphServer
from tests.graphs import open_graph

KEY = "CREATE CONSTRAINT firm_key IF NOT EXISTS FOR (n:Firm) REQUIRE n.key IS UNIQUE"
MERGE = "MERGE (n:Firm {key: row.key}) SET n.by = row.by"
MOMENT = datetime(2026, 7, 2, 3, 4, 5, 678901, tzinfo=UTC)


def count(graph: Graph, pattern: str = "(n)") -> int:
    return int(graph.read(f"MATCH {pattern} RETURN count(*) AS n")[0]["n"])


# Reaching it


def test_it_says_what_it_is(graph: Graph, graph_server: GraphServer) -> None:
    assert {"arcadedb": "ArcadeDB", "neo4j": "Neo4j/5.26"}[graph_server.engine] in graph.check()


@pytest.mark.parametrize("user", ["root", "neo4j", "reader", "stranger"])
def test_nobody_comes_in_with_a_wrong_password(graph_server: GraphServer, user: str) -> None:
    for password in ("", "wrong-password"):
        with (
            Graph.open(graph_server.url, user, password, graph_server.database, engine=graph_server.engine) as stranger,
            pytest.raises(GraphError, match="does not know this user and password") as refusal,
        ):
            stranger.read("RETURN 1 AS one")
        assert "PILOTHOUSE_GRAPH__PASSWORD" in refusal.value.hint


def test_another_engine_than_the_one_that_is_set_is_named(graph_server: GraphServer) -> None:
    other = "neo4j" if graph_server.engine == "arcadedb" else "arcadedb"
    with (
        Graph.open(graph_server.url, graph_server.user, graph_server.password, graph_server.database, engine=other) as graph,  # type: ignore[arg-type]
        pytest.raises(ConfigError, match=f"graph.engine = {other}, but ") as refusal,
    ):
        graph.check()
    assert f"PILOTHOUSE_GRAPH__ENGINE to {graph_server.engine}" in refusal.value.hint


def test_a_database_that_is_not_there_is_named(graph_server: GraphServer) -> None:
    with (
        Graph.open(graph_server.url, graph_server.user, graph_server.password, "nowhere", engine=graph_server.engine) as graph,
        pytest.raises(GraphError, match="nowhere: no such database") as refusal,
    ):
        graph.read("RETURN 1 AS one")
    assert "PILOTHOUSE_GRAPH__DATABASE" in refusal.value.hint


def test_it_listens_on_loopback_alone(graph_server: GraphServer) -> None:
    listening = [line for line in psutil.Process(graph_server.program.pid).net_connections("tcp") if line.status == psutil.CONN_LISTEN]
    assert {line.laddr.ip.removeprefix("::ffff:") for line in listening} == {"127.0.0.1"}
    assert int(graph_server.url.rpartition(":")[2]) in {line.laddr.port for line in listening}


# Writing and reading


def test_many_rows_are_written_in_batches_and_read_as_they_come(graph: Graph) -> None:
    graph.write(KEY)
    graph.settle()
    rows = [{"key": f"f{number}", "by": number} for number in range(4_500)]
    assert graph.write_rows(MERGE, iter(rows), batch=2_000) == 4_500
    assert graph.write_rows(MERGE, iter(rows), batch=2_000) == 4_500
    assert graph.write_rows(MERGE, []) == 0
    told = graph.stream("MATCH (n:Firm) RETURN n.key AS key, n.by AS by ORDER BY by")
    assert list(islice(told, 2)) == rows[:2]
    told.close()  # whoever has seen enough may go
    assert list(graph.stream("MATCH (n:Firm) RETURN n.key AS key, n.by AS by ORDER BY by")) == rows


def test_a_batch_is_written_wholly_or_not_at_all(graph: Graph) -> None:
    graph.write(KEY)
    with pytest.raises(GraphError, match="breaks a constraint") as refusal:
        graph.write_rows("CREATE (:Firm {key: row})", ["a", "b", "a"])  # type: ignore[list-item]
    assert "MERGE on the key" in refusal.value.hint
    assert count(graph) == 0


def test_nodes_edges_and_paths_come_as_plain_values(graph: Graph) -> None:
    graph.write("CREATE (:Firm:Customer {key: 'a'})-[:OWNS {share: 0.5}]->(:Firm {key: 'b'})<-[:OWNS {share: 1.0}]-(:Firm {key: 'c'})")
    a, b, c = {"_labels": ["Customer", "Firm"], "key": "a"}, {"_labels": ["Firm"], "key": "b"}, {"_labels": ["Firm"], "key": "c"}
    (row,) = graph.read("MATCH p = (a {key: 'a'})-[e:OWNS]->(b)<-[:OWNS]-(c) RETURN a, e, p, {both: [a, c]} AS m")
    assert row == {
        "a": a,
        "e": {"_type": "OWNS", "share": 0.5},
        "p": [a, {"_type": "OWNS", "share": 0.5}, b, {"_type": "OWNS", "share": 1.0}, c],
        "m": {"both": [a, c]},
    }


def test_constraints_and_indexes_are_those_that_the_ontology_declares(graph: Graph) -> None:
    ontology = Ontology.declared()
    for _ in range(2):  # what is there stays
        prepare(graph, ontology)
    kinds: dict[str, set[tuple[str, str]]] = {"CONSTRAINTS": set(), "INDEXES": set()}
    for kind, found in kinds.items():
        for entry in graph.read(f"SHOW {kind}"):
            if entry["type"] != "LOOKUP":
                (label,), (name,) = entry["labelsOrTypes"], entry["properties"]
                found.add((label, name))
    keys = {(label, "id") for label in ontology.nodes} | {(PAST, "_key"), (LOADED, "mart")}
    assert kinds["CONSTRAINTS"] == keys
    assert kinds["INDEXES"] == keys | {(node.label, name) for node in ontology.nodes.values() for name in node.indexed}
    for label in ontology.nodes:
        graph.write(f"CREATE (:{label} {{id: '1'}})")
        with pytest.raises(GraphError, match="breaks a constraint"):
            graph.write(f"CREATE (:{label} {{id: '1'}})")
    assert count(graph) == len(ontology.nodes)


READ_THAT_WRITE = (
    "CREATE (n:Firm) RETURN n",
    "MATCH (n:Firm) SET n.key = 'b'",
    "MATCH (n:Firm) REMOVE n.key",
    "MATCH (n:Firm) DETACH DELETE n",
    "MERGE (n:Firm {key: 'c'}) RETURN n",
    "UNWIND [1] AS x FOREACH (y IN [x] | CREATE (:Firm))",
    "MATCH (n:Firm) CALL (n) { SET n.key = 'd' } RETURN n",
    "MATCH (n:Firm) CALL (n) { SET n.key = 'e' } IN TRANSACTIONS OF 1 ROW",
    "CREATE INDEX firm_name FOR (n:Firm) ON (n.name)",
    "/* harmless */ CREATE CONSTRAINT firm_name FOR (n:Firm) REQUIRE n.name IS UNIQUE // quite",
    "DROP CONSTRAINT firm_key",
)


@pytest.mark.parametrize("query", READ_THAT_WRITE)
def test_a_reading_query_that_writes_is_refused_and_leaves_no_trace(graph: Graph, query: str) -> None:
    graph.write(KEY)
    graph.write("CREATE (:Firm {key: 'a'})")
    schema = [graph.read(f"SHOW {kind}") for kind in ("CONSTRAINTS", "INDEXES")]
    for _ in range(2):
        with pytest.raises(GraphError, match="a reading query wants to write") as refusal:
            graph.read(query)
        assert "`write`" in refusal.value.hint
        with pytest.raises(GraphError, match="a reading query wants to write"):
            list(graph.stream(query))
    assert graph.read("MATCH (n) RETURN labels(n) AS labels, n.key AS key") == [{"labels": ["Firm"], "key": "a"}]
    names = [[entry["name"] for entry in entries] for entries in schema]
    assert [[entry["name"] for entry in graph.read(f"SHOW {kind}")] for kind in ("CONSTRAINTS", "INDEXES")] == names


def test_a_graph_that_is_cleared_is_empty_and_takes_anything(graph: Graph) -> None:
    graph.write(KEY)
    graph.write("CREATE INDEX firm_by IF NOT EXISTS FOR (n:Firm) ON (n.by)")
    graph.write("CREATE TEXT INDEX firm_text IF NOT EXISTS FOR (n:Firm) ON (n.name)")
    graph.write("UNWIND range(1, 3) AS i CREATE (:Firm {key: i, name: 'x'})-[:OWNS]->(:Firm {key: -i})")
    graph.clear()
    assert count(graph) == 0
    assert [entry for entry in graph.read("SHOW INDEXES") if entry["type"] != "LOOKUP"] == []
    assert graph.read("SHOW CONSTRAINTS") == []
    graph.write("CREATE (:Firm {key: 1}), (:Firm {key: 1})")
    assert count(graph) == 2


# Values

VALUES: dict[str, tuple[Any, Any]] = {  # what is sent, what comes back; a property that is null is one that is not there
    "nothing": (None, None),
    "true": (True, True),
    "false": (False, False),
    "the largest whole number": (2**63 - 1, 2**63 - 1),
    "the smallest whole number": (-(2**63), -(2**63)),
    "a fraction": (0.1, 0.1),
    "infinity": (math.inf, math.inf),
    "an empty text": ("", ""),
    "a text of many scripts": ("Größe 漢字 🜁 ' \" \\ \n \t $x", "Größe 漢字 🜁 ' \" \\ \n \t $x"),
    "a date": (date(2026, 2, 28), date(2026, 2, 28)),
    "an early date": (date(1, 1, 1), date(1, 1, 1)),
    "a moment in UTC": (MOMENT, MOMENT),
    "a moment elsewhere": (MOMENT.astimezone(ZoneInfo("Europe/Berlin")), MOMENT),
    "a moment at an offset": (MOMENT.astimezone(timezone(timedelta(hours=5, minutes=30))), MOMENT),
    "the last moment": (datetime(9999, 12, 31, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)),
    "a span": (timedelta(days=3, seconds=5, microseconds=7), timedelta(days=3, seconds=5, microseconds=7)),
    "bytes": (bytes(range(256)), bytes(range(256))),
    "an empty list": ([], []),
    "whole numbers": ([1, -2, 3], [1, -2, 3]),
    "texts": (("a", "ö", ""), ["a", "ö", ""]),
    "moments": ([MOMENT, MOMENT.astimezone(ZoneInfo("Asia/Kolkata"))], [MOMENT, MOMENT]),
    "dates": ([date(2026, 1, 1)], [date(2026, 1, 1)]),
}


@pytest.mark.parametrize("kind", VALUES)
def test_a_value_comes_back_as_it_went(graph: Graph, kind: str) -> None:
    sent, back = VALUES[kind]
    assert graph.read("RETURN $value AS value", value=sent) == [{"value": back}]
    assert graph.read("RETURN $tree AS value", tree={"a": [sent, {"b": sent}]}) == [{"value": {"a": [back, {"b": back}]}}]
    graph.write("CREATE (:Value {value: $value})", value=sent)
    (told,) = graph.read("MATCH (n:Value) RETURN n.value AS value, n.value = $value AS same", value=sent)
    assert told["value"] == back
    assert type(told["value"]) is type(back)
    assert told["same"] is (None if back is None else True)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.text("abcdefg_", min_size=1, max_size=5),
        st.one_of(
            st.booleans(),
            st.integers(-(2**63), 2**63 - 1),
            st.floats(allow_nan=False),
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
            st.dates(),
            st.datetimes(timezones=st.sampled_from([UTC, ZoneInfo("Europe/Berlin"), ZoneInfo("America/Sao_Paulo")])),
            st.binary(max_size=40),
            st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4),
        ),
        max_size=5,
    )
)
def test_any_properties_come_back_as_they_went(graph: Graph, properties: dict[str, Any]) -> None:
    graph.write("MERGE (n:Value {name: 'it'}) SET n = $properties SET n.name = 'it'", properties=properties)
    (told,) = graph.read("MATCH (n:Value {name: 'it'}) RETURN properties(n) AS properties")
    assert told["properties"] == properties | {"name": "it"}


def test_moments_are_ordered_as_they_were(graph: Graph) -> None:
    graph.write("CREATE INDEX value_at IF NOT EXISTS FOR (n:Value) ON (n.at)")
    graph.settle()
    moments = [MOMENT + timedelta(minutes=number) for number in range(-3, 4)]
    graph.write("UNWIND $rows AS row CREATE (:Value {at: row})", rows=[m.astimezone(ZoneInfo("Asia/Tokyo")) for m in moments])
    for comparison, wanted in (("<=", moments[:4]), ("<", moments[:3]), (">", moments[4:]), ("=", moments[3:4])):
        query = f"MATCH (n:Value) WHERE n.at {comparison} $at RETURN n.at AS at ORDER BY at"
        assert [row["at"] for row in graph.read(query, at=MOMENT.astimezone(ZoneInfo("America/Lima")))] == wanted


# What goes wrong

MISTAKES: dict[str, tuple[Callable[[Graph], object], str, str]] = {
    "not Cypher": (lambda graph: graph.read("MATCH (n RETURN n"), "not Cypher", "correct the query"),
    "a missing parameter": (lambda graph: graph.read("RETURN $firm AS firm"), r"a parameter is missing: .*firm", "every \\$parameter"),
    "a procedure that is not there": (lambda graph: graph.read("CALL gds.nothing()"), "gds.nothing", ""),
    "a division by zero": (lambda graph: graph.read("RETURN 1 / 0 AS x"), "zero", ""),
    "a moment without a zone": (
        lambda graph: graph.read("RETURN $at AS at", at=MOMENT.replace(tzinfo=None)),
        r"\$at: 2026.* has no time zone",
        "UTC",
    ),
    "a decimal": (
        lambda graph: graph.read("RETURN $x AS x", x=[Decimal("1.1")]),
        r"\$x\[0\]: a graph has no value of type Decimal",
        "float",
    ),
    "a whole number beyond 64 bits": (
        lambda graph: graph.write("CREATE ({x: $x})", x=2**63),
        r"\$x: 9223372036854775808 does not fit",
        "text",
    ),
    "an object": (lambda graph: graph.read("RETURN $x AS x", x={"y": object()}), r"\$x.y: a graph has no value of type object", "text"),
    "a map as a property": (lambda graph: graph.write("CREATE ({x: $x})", x={"a": {"b": 1}}), "Property values can only be", "parameters"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_error_with_the_way_out(graph: Graph, mistake: str) -> None:
    make, told, hint = MISTAKES[mistake]
    if mistake == "a map as a property" and graph.engine == "arcadedb":
        pytest.skip("ArcadeDB stores maps as well")
    with pytest.raises(GraphError, match=told) as refusal:
        make(graph)
    assert refusal.value.hint
    assert hint.replace("\\", "") in refusal.value.hint
    assert not refusal.value.transient


def test_a_server_that_does_not_answer_is_told_when_patience_ends(graph_server: GraphServer) -> None:
    with Graph.open("bolt://127.0.0.1:9", "root", "secret", engine=graph_server.engine, patience=0.5) as graph:
        for ask in (lambda: graph.read("RETURN 1 AS one"), lambda: graph.write("CREATE (:Firm)"), graph.check):
            with pytest.raises(GraphUnavailable, match=r"bolt://127.0.0.1:9.*does not answer") as refusal:
                ask()
            assert "pilothouse up" in refusal.value.hint
            assert "secret" not in str(refusal.value)


# Many at once


def test_two_writers_of_one_new_key_make_one_node(graph: Graph) -> None:
    graph.write(KEY)
    graph.settle()
    for number in range(20):
        together = threading.Barrier(4)

        def write(by: int, number: int = number, together: threading.Barrier = together) -> None:
            together.wait()
            graph.write("MERGE (n:Firm {key: $key}) SET n.by = $by", key=f"new{number}", by=by)

        with ThreadPoolExecutor(4) as writers:
            list(writers.map(write, range(4)))
    assert count(graph, "(n:Firm)") == 20


def test_four_writers_over_the_same_keys_neither_deadlock_nor_lose_a_row(graph: Graph) -> None:
    graph.write(KEY)
    graph.settle()
    query = """
        MERGE (n:Firm {key: row.key}) SET n.by = row.by
        MERGE (hub:Firm {key: 'hub'}) MERGE (n)-[e:OWNS]->(hub) SET e.by = row.by
    """

    def write(writer: int) -> set[str]:
        dice = random.Random(writer)
        keys = [f"f{dice.randrange(400)}" for _ in range(1_000)]  # each in an order of its own, the worst case
        graph.write_rows(query, [{"key": key, "by": writer} for key in keys], batch=100)
        return set(keys)

    with ThreadPoolExecutor(4) as writers:
        written = set().union(*writers.map(write, range(4)))
    assert {row["key"] for row in graph.read("MATCH (n:Firm)-[:OWNS]->({key: 'hub'}) RETURN n.key AS key")} == written
    assert count(graph, "(:Firm)-[:OWNS]->(:Firm)") == len(written)
    assert count(graph, "(n:Firm)") == len(written) + 1


# Killed


def test_a_server_killed_in_mid_write_loses_no_acknowledged_batch_and_the_writer_goes_on(graph_server: GraphServer) -> None:
    acknowledged: list[int] = []
    enough = threading.Event()
    with open_graph(graph_server, patience=120) as graph:
        graph.clear()
        graph.write(KEY)
        graph.settle()

        def write() -> None:
            while not enough.is_set():
                number = len(acknowledged)
                rows = [{"key": f"{number}/{row}", "by": number} for row in range(50)]
                try:
                    graph.write_rows(MERGE, rows, batch=50)
                except GraphUnavailable:
                    continue  # the answer to a commit got lost: whether it is there, nobody knows, so it is written again
                acknowledged.append(number)

        with ThreadPoolExecutor(1) as one:
            writing = one.submit(write)
            _until(lambda: len(acknowledged) > 10)
            pid = graph_server.program.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            _until(graph_server.program.revive)
            before = len(acknowledged)
            _until(lambda: len(acknowledged) > before + 5)
            enough.set()
            writing.result(60)
        found = {row["by"]: row["n"] for row in graph.read("MATCH (n:Firm) RETURN n.by AS by, count(*) AS n")}
    assert found == dict.fromkeys(acknowledged, 50)


def _until(reached: Callable[[], bool], patience: float = 120.0) -> None:
    deadline = time.monotonic() + patience
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# Reading only


READER_MAY_NOT = (
    "CREATE (:Firm)",
    "CREATE (:NewLabel)",
    "MATCH (n:Firm) SET n.key = 'b'",
    "MATCH (n:Firm) REMOVE n.key",
    "MATCH (n:Firm) DETACH DELETE n",
    "MERGE (:Firm {key: 'z'})",
    "MATCH (a:Firm), (b:Firm) CREATE (a)-[:OWNS]->(b)",
    "CREATE INDEX firm_name FOR (n:Firm) ON (n.name)",
    "DROP CONSTRAINT firm_key",
)


@pytest.mark.parametrize("query", READER_MAY_NOT)
def test_the_server_itself_refuses_what_a_reader_wants_to_write(arcadedb_graph: Graph, arcadedb_server: GraphServer, query: str) -> None:
    arcadedb_graph.write(KEY)
    arcadedb_graph.write("CREATE (:Firm {key: 'a'})-[:OWNS]->(:Firm {key: 'b'})")
    with Graph.open(arcadedb_server.url, arcadedb_server.reader, arcadedb_server.reader_password) as reader:
        assert count(reader, "(:Firm)-[:OWNS]->(:Firm)") == 1
        with pytest.raises(GraphError, match="this user may not do that"):
            reader.write(query)
        assert reader.read("MATCH (n) RETURN n.key AS key ORDER BY key") == [{"key": "a"}, {"key": "b"}]
    assert [entry["name"] for entry in arcadedb_graph.read("SHOW CONSTRAINTS")] == ["firm_key"]


def test_neo4j_community_has_no_reader_and_none_is_pretended(neo4j_server: GraphServer) -> None:
    assert "reader" not in neo4j_server.settings()
    with open_graph(neo4j_server) as graph, pytest.raises(GraphError, match=r"(?i)unsupported|not supported|enterprise"):
        graph.write("CREATE ROLE reading")
