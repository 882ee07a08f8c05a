"""The graph: how fast marts become nodes and edges, what a load without news costs, what the past costs beside the present, and whether
a load that is killed at any moment is mended by the next one.

The world is made up: 20,000 customers, 80,000 orders and 300,000 edges between them, in marts of a lake. ArcadeDB runs as `up` runs it,
on the same machine. The past is asked of firms of which one in ten has changed since; and each query that has a name is asked of a
company, in which one row in ten of every mart has.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import polars as pl

from bench import tables
from bench.figure import Figure, figure
from graph.asking import Asking
from graph.dump import Moment, history
from graph.kinds import EdgeType, End, NodeType, Ontology
from graph.loading import Loader
from graph.notes import Notes
from graph.queries import queries
from graph.store import Graph
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.settings import TableSettings
from pilothouse.local.arcadedb import arcadedb
from pilothouse.local.graph_server import GraphServer
from pilothouse.local.process import choose_port
from pilothouse.tables.building import Builder
from pilothouse.tables.project import FOLDER, Project

CUSTOMERS, ORDERS, EDGES = 20_000, 80_000, 300_000
TRIALS = 40
ASKED = 400
COMPANY = 0.1  # the scale of the company that queries with a name are asked of: 4,000 orders
ASKED_OF_COMPANY = 40
DAY = date(2026, 5, 1)

CUSTOMER = NodeType(
    label="Customer",
    description="Who orders.",
    mart="marts/customer",
    key=("customer_id",),
    properties=("name", "country", "limit_eur"),
    title="name",
)
ORDER = NodeType(
    label="Order",
    description="What is ordered.",
    mart="marts/order",
    key=("order_id",),
    properties=("amount", "day"),
    valid_from="day",
)
PLACED = EdgeType(
    type="PLACED",
    description="Who has a part in it.",
    mart="marts/placed",
    source=End("Customer", ("customer_id",)),
    target=End("Order", ("order_id",)),
    properties=("quantity",),
)
WORLD: Final = Ontology.of([CUSTOMER, ORDER], [PLACED])
QUESTIONS: Final = {
    "orders of a customer": (
        "MATCH (c:Customer {id: $id})-[p:PLACED]->(o:Order) RETURN o.id AS id, o.amount AS amount, p.quantity AS n ORDER BY id"
    ),
    "customers who share an order": (
        "MATCH (c:Customer {id: $id})-[:PLACED]->(o:Order)<-[:PLACED]-(x:Customer) "
        "RETURN x.name AS name, count(o.id) AS n ORDER BY n DESC, name LIMIT 10"
    ),
}


def figures(trials: int = TRIALS) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="pilothouse-bench-") as folder, _arcadedb(Path(folder)) as server, _opened(server) as graph:
        lake = world(Lake(f"{folder}/lake"), CUSTOMERS, ORDERS, EDGES)
        loader = Loader(graph, lake, WORLD)
        cold = _seconds(loader)
        again = _seconds(loader)
        before = datetime.now(UTC)
        _changed(lake)
        part = _seconds(loader)
        ratios = {name: _ratio(graph, question, before) for name, question in QUESTIONS.items()}
        named = company(graph, f"{folder}/company", COMPANY)
        wrong = sum(bool(fault) for fault in kills(graph, server, Path(folder) / "kills", trials))
    written = CUSTOMERS + ORDERS + EDGES
    return [
        figure("nodes and edges a second, cold", written / cold, "/s", bar=12_000),
        figure("load without news", again, "s", better="lower", bar=5),
        figure("load of 2,000 changed customers", part, "s", better="lower"),
        *(
            figure(f"as of, {name}: times the live query", ratio, "x", better="lower", bar=2, peer="live, ms", peer_value=live)
            for name, (ratio, live) in (ratios | named).items()
        ),
        figure(f"of {trials} killed loads, the next of which is no rebuild", wrong, "", better="lower", bar=0.5),
    ]


def world(lake: Lake, customers: int, orders: int, edges: int, seed: int = 7) -> Lake:
    """The marts of a world of this size."""
    chance = random.Random(seed)
    day = datetime(2026, 1, 1, tzinfo=UTC).date()
    frames = {
        "customer": pl.DataFrame(
            {
                "customer_id": [f"c{n:07d}" for n in range(customers)],
                "name": [f"Customer {n}" for n in range(customers)],
                "country": [chance.choice(["DE", "US", "FR"]) for _ in range(customers)],
                "limit_eur": [float(n) for n in range(customers)],
            }
        ),
        "order": pl.DataFrame(
            {
                "order_id": [f"o{n:07d}" for n in range(orders)],
                "amount": [chance.random() for _ in range(orders)],
                "day": [day + timedelta(days=n % 365) for n in range(orders)],
            }
        ),
        "placed": pl.DataFrame(
            {
                "customer_id": [f"c{chance.randrange(customers):07d}" for _ in range(edges)],
                "order_id": [f"o{n % orders:07d}" for n in range(edges)],
                "quantity": [n % 9 for n in range(edges)],
            }
        ).unique(["customer_id", "order_id"], keep="first", maintain_order=True),
    }
    for name, frame in frames.items():
        lake.table(f"marts/{name}").replace(frame.with_columns(_synthetic=pl.lit(value=True)).to_arrow().to_reader())
    return lake


def _changed(lake: Lake) -> None:
    """One customer in ten has another limit."""
    table = lake.table("marts/customer")
    frame = table.scan().collect()
    row = pl.int_range(pl.len())
    changed = frame.with_columns(limit_eur=pl.when(row % 10 == 0).then(pl.col("limit_eur") + 1).otherwise(pl.col("limit_eur")))
    table.replace(changed.to_arrow().to_reader())


def _seconds(loader: Loader) -> float:
    began = time.perf_counter()
    loader.load()
    return time.perf_counter() - began


def _ratio(graph: Graph, question: str, known: datetime) -> tuple[float, float]:
    """How many times longer the past takes, and how long the present does, in milliseconds. Asked in turns, so that both meet the same
    machine; a server that has not seen a text before is not measured."""
    chance = random.Random(3)
    given = [{"id": f"c{chance.randrange(CUSTOMERS):07d}"} for _ in range(ASKED)]
    return _in_turns(Asking(graph, WORLD), question, given, known)


def _in_turns(asking: Asking, text: str, given: Sequence[dict[str, Any]], known: datetime) -> tuple[float, float]:
    took = {True: list[float](), False: list[float]()}
    for turn, values in enumerate(given):
        for past in (True, False):
            began = time.perf_counter()
            asking.cypher(text, Moment(known=known) if past else Moment(), **values)
            if turn >= len(given) // 10:
                took[past].append(time.perf_counter() - began)
    then, live = (statistics.median(took[which]) * 1_000 for which in (True, False))
    return then / live, live


def company(graph: Graph, folder: str, scale: float) -> dict[str, tuple[float, float]]:
    """The same of each query that has a name, asked of a company of which one row in ten has changed."""
    tables.raw(folder, scale)
    lake, work = Lake(f"{folder}/lake"), Path(folder) / "work"
    failed = [each.reason for each in Builder(lake, Project.load(FOLDER, work), work, TableSettings()).build() if each.reason]
    if failed:
        raise RuntimeError("\n".join(failed))
    ontology = Ontology.declared()
    graph.clear()
    loader = Loader(graph, lake, ontology)
    loader.load()
    known = datetime.now(UTC)
    for mart in ontology.marts:
        _said_anew(lake, mart)
    loader.load()
    asking, found = Asking(graph, ontology), {}
    for name, query in queries().items():
        given = [query.given({**values, **({"day": DAY} if name == "overdue" else {})}) for values in _asked_about(graph, name)]
        found[name] = _in_turns(asking, query.text, given, known)
    return found


def _asked_about(graph: Graph, name: str) -> list[dict[str, Any]]:
    """What a query is asked about: what it has an answer for."""
    starts = {
        "bought_together": ("product", "MATCH (x:Product)<-[:IS_FOR]-(:Item)"),
        "buyers": ("product", "MATCH (x:Product)<-[:IS_FOR]-(:Item)"),
        "group_exposure": ("firm", "MATCH (x:Firm)-[:OWNS]->(:Firm)"),
        "open_cases": ("firm", "MATCH (x:Firm)-[:OPENED]->(:Case)"),
        "owners": ("firm", "MATCH (x:Firm)<-[:OWNS]-(:Firm)"),
        "ownership_group": ("firm", "MATCH (x:Firm)-[:OWNS]->(:Firm)"),
        "subsidiaries": ("firm", "MATCH (x:Firm)-[:OWNS]->(:Firm)"),
    }
    if name == "overdue":
        return [{}] * ASKED_OF_COMPANY
    parameter, pattern = starts.get(name, ("firm", "MATCH (x:Firm)-[:PLACED]->(:Order)"))
    ids = [row["id"] for row in graph.read(f"{pattern} RETURN DISTINCT x.id AS id ORDER BY id")]
    return [{parameter: named} for named in random.Random(3).choices(ids, k=ASKED_OF_COMPANY)]


def _said_anew(lake: Lake, mart: str) -> None:
    """One row in ten of a mart says something else, of its nodes and its edges: that it is no part of the sandbox."""
    table, row = lake.table(mart), pl.int_range(pl.len())
    frame = table.scan().collect()
    table.replace(frame.with_columns(_synthetic=pl.col("_synthetic") & (row % 10 != 0)).to_arrow().to_reader())


def kills(graph: Graph, server: GraphServer, folder: Path, trials: int, seed: int = 1) -> Iterator[str]:
    """Loads that are killed at random moments, each mended by one more load: what is wrong after that, if anything."""
    chance = random.Random(seed)
    lake = world(Lake(str(folder / "lake")), 300, 900, 2_400)
    graph.clear()
    usual = 2.0
    for _ in range(trials):
        if chance.random() < 0.2:
            graph.clear()  # a first load is killed, too
        _lived(lake, chance)
        moment = chance.uniform(0, usual)
        victim = _Victim(lake, server)
        took = victim.killed_after(moment)
        usual = took * 1.2 if took is not None else usual
        loader = Loader(graph, lake, WORLD)
        loader.load()
        found, notes = history(graph, WORLD), Notes(graph).all()
        graph.clear()
        loader.load({mart: note.spans for mart, note in notes.items()})
        yield "" if history(graph, WORLD) == found else f"killed after {moment:.2f} s: the graph is not that of a rebuild"


def _lived(lake: Lake, chance: random.Random) -> None:
    """Customers change, orders go and come, parts in them change hands."""
    for name in ("customer", "order", "placed"):
        table = lake.table(f"marts/{name}")
        frame = table.scan().collect()
        kept = frame.filter(pl.Series([chance.random() > 0.05 for _ in range(frame.height)]))
        column = {"customer": "limit_eur", "order": "amount", "placed": "quantity"}[name]
        shift = pl.Series([chance.choice([0, 0, 1]) for _ in range(kept.height)], dtype=frame.schema[column])
        table.replace(kept.with_columns((pl.col(column) + shift).alias(column)).to_arrow().to_reader())


class _Victim:
    """A process that loads when told to."""

    def __init__(self, lake: Lake, server: GraphServer) -> None:
        told = {
            "LAKE": lake.url,
            "BOLT": server.url,
            "BOLT_USER": server.user,
            "BOLT_PASSWORD": server.password,
            "BOLT_DATABASE": server.database,
        }
        command = [sys.executable, "-m", "bench.graph", server.engine]
        self._process = subprocess.Popen(
            command, env={**os.environ, **told}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent
        )

    def killed_after(self, moment: float) -> float | None:
        """Let it load, and `kill -9` it; how long it took where it was done before."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            raise RuntimeError("the victim does not start")
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        began = time.monotonic()
        try:
            self._process.wait(moment)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return None
        finally:
            self._process.stdin.close()
            self._process.stdout.close()
        return time.monotonic() - began


def _victim(engine: str) -> None:
    told = {name: os.environ[name] for name in ("LAKE", "BOLT", "BOLT_USER", "BOLT_PASSWORD", "BOLT_DATABASE")}
    graph = Graph.open(told["BOLT"], told["BOLT_USER"], told["BOLT_PASSWORD"], told["BOLT_DATABASE"], engine=engine)  # type: ignore[arg-type]
    graph.check()
    loader = Loader(graph, Lake(told["LAKE"]), WORLD)
    print("ready", flush=True)
    sys.stdin.readline()
    loader.load()


@contextmanager
def _arcadedb(folder: Path) -> Iterator[GraphServer]:
    server = arcadedb(folder / "graph", choose_port(0), choose_port(0), folder / "graph.log")
    try:
        server.program.start()
        server.program.await_ready()
        yield server
    finally:
        server.program.stop()


@contextmanager
def _opened(server: GraphServer) -> Iterator[Graph]:
    with Graph.open(server.url, server.user, server.password, server.database, engine=server.engine) as graph:
        yield graph


if __name__ == "__main__":
    _victim(sys.argv[1])
