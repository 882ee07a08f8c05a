"""How edges come, change and go. What an edge said before stays between the same two nodes, as an edge of the type `PAST_...`.

Marts are made one after the other, so one may name a firm that another does not know yet. Such an edge is there, hidden as a past
one without an end; where an end is missing altogether, a `Past` node holds its place. When both ends have come, the edge is live.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Literal
from zlib import crc32

from graph.kinds import KNOWN_FROM, KNOWN_TO, PAST, PAST_EDGE, EdgeType, End, Ontology, past_key
from graph.rows import Ends, Values
from graph.store import Graph
from graph.writing_nodes import Counted, batches

_ALL_AT_ONCE = 20_000  # nodes that are asked for one by one; more of them are read as a whole
# Two transactions that touch one page of ArcadeDB stand in each other's way: a second writer of edges made loading slower, by half.
_WRITERS: Mapping[str, int] = {"arcadedb": 1, "neo4j": 2}
Place = Literal["live", "hidden", "hidden past"]  # as a live edge; hidden, at a live node or at a past one


@dataclass(frozen=True)
class _There:
    """An edge that is there now."""

    place: Place
    known: datetime
    said: Values


class EdgeWriter:
    """Writes the edges of one type."""

    def __init__(self, graph: Graph, ontology: Ontology, edge: EdgeType) -> None:
        self._graph = graph
        self._edge = edge
        self._said = edge.said
        self._narrow = ontology.narrow(edge)
        self._from_source = self._narrow is edge.source
        self._alone = ontology.has_narrow(edge)  # no two of these edges share that end
        self._live, self._past = f"`{edge.type}`", f"`{PAST_EDGE}{edge.type}`"

    def put(self, said: Mapping[Ends, Values], known: datetime, *, quietly: bool = False) -> Counted:
        """Let these edges be, and say this."""
        there = self._there(said) if self._any() else {}
        new = {ends: values for ends, values in said.items() if ends not in there}
        other = {ends: values for ends, values in said.items() if ends in there and there[ends].said != values}
        self._create(new, known)
        for place, found in _by_place(other, there).items():
            later = [ends for ends in found if there[ends].known < known and not quietly]
            for batch in batches(later):
                self._supersede(place, [[*ends, *other[ends]] for ends in batch], known)
            kept = set(later)
            for batch in batches(ends for ends in found if ends not in kept):
                rows = [[*ends, *other[ends]] for ends in batch]
                self._graph.write(f"UNWIND $rows AS row {self._found(place)} SET {_set('e', self._said)}", rows=rows)
        return Counted(created=len(new), changed=len(other))

    def remove(self, gone: Sequence[Ends], known: datetime) -> Counted:
        """Let these edges go; what is not there is gone already."""
        there = self._there(gone) if self._any() else {}
        for place, found in _by_place(there, there).items():
            for batch in batches(ends for ends in found if there[ends].known < known):
                self._close(place, [list(ends) for ends in batch], known)
            for batch in batches(ends for ends in found if there[ends].known >= known):  # it never held for any time
                self._graph.write(f"UNWIND $rows AS row {self._found(place)} DELETE e", rows=[list(ends) for ends in batch])
        return Counted(deleted=len(there))

    def all(self) -> list[Ends]:
        """Every edge of the type that is there now, live or hidden."""
        found = self._graph.read(f"MATCH (a)-[e:{self._live}]->(b) RETURN a.id AS a, b.id AS b")
        found += self._graph.read(f"MATCH (a)-[e:{self._past}]->(b) WHERE e.{KNOWN_TO} IS NULL RETURN a.id AS a, b.id AS b")
        return [(row["a"], row["b"]) for row in found]

    def census(self) -> tuple[int, int, int]:
        """How many there are, how many wait for an end, and how many are there twice."""
        waiting = self._graph.read(f"MATCH (a)-[e:{self._past}]->(b) WHERE e.{KNOWN_TO} IS NULL RETURN count(e) AS n")[0]["n"]
        pairs = f"MATCH (a)-[e:{self._live}]->(b) WITH a.id AS a, b.id AS b, count(e) AS n"
        row = self._graph.read(f"{pairs} RETURN coalesce(sum(n), 0) AS every, count(n) AS single")[0]
        return row["every"], waiting, row["every"] - row["single"]

    def unhide(self) -> None:
        """Make every hidden edge live whose ends are both there."""
        source, target = (f"`{end.label}`" for end in self._edge.ends)
        self._graph.write(
            f"MATCH (a:{source})-[h:{self._past}]->(b:{target}) WHERE h.{KNOWN_TO} IS NULL "
            f"CREATE (a)-[e:{self._live}]->(b) SET e = properties(h) DELETE h"
        )

    def _any(self) -> bool:
        return any(self._graph.read(f"MATCH ()-[e:{kind}]->() RETURN 1 AS one LIMIT 1") for kind in (self._live, self._past))

    def _create(self, new: Mapping[Ends, Values], known: datetime) -> None:
        """Those whose ends are both there as live edges, the others hidden."""
        source, target = self._edge.ends
        sources, targets = (self._present(end, {ends[place] for ends in new}) for place, end in enumerate(self._edge.ends))
        kinds: dict[tuple[bool, bool], list[Ends]] = defaultdict(list)
        for ends in new:
            kinds[ends[0] in sources, ends[1] in targets].append(ends)
        properties = f"{{{_given(self._said)}, {KNOWN_FROM}: $known}}"
        for (from_live, to_live), group in kinds.items():
            self._hold_place({ends[0] for ends in group}, source, there=from_live)
            self._hold_place({ends[1] for ends in group}, target, there=to_live)
            kind = self._live if from_live and to_live else self._past
            matched = f"{_match('a', source, 0, from_live)} {_match('b', target, 1, to_live)}"
            query = f"UNWIND $rows AS row {matched} CREATE (a)-[:{kind} {properties}]->(b)"
            rows = [
                [
                    ends[0] if from_live else past_key(source.label, ends[0]),
                    ends[1] if to_live else past_key(target.label, ends[1]),
                    *new[ends],
                ]
                for ends in group
            ]
            self._written_side_by_side(query, rows, known)

    def _written_side_by_side(self, query: str, rows: list[list[Any]], known: datetime) -> None:
        """By several writers where the engine gains by it, none of which touches a node of another: that is what deadlocks are made of."""
        wide = 1 if self._from_source else 0
        writers = _WRITERS[self._graph.engine] if self._alone else 1
        shares: list[list[list[Any]]] = [[] for _ in range(writers)]
        for row in rows:
            shares[crc32(str(row[wide]).encode()) % writers].append(row)
        with ThreadPoolExecutor(writers, "edges") as pool:
            list(pool.map(partial(self._write_share, query, known), shares))

    def _write_share(self, query: str, known: datetime, rows: Sequence[list[Any]]) -> None:
        for batch in batches(rows):
            self._graph.write(query, rows=batch, known=known)

    def _present(self, end: End, ids: set[str]) -> set[str]:
        """Which of these nodes are there now."""
        if len(ids) > _ALL_AT_ONCE:
            return {row["id"] for row in self._graph.read(f"MATCH (n:`{end.label}`) RETURN n.id AS id")}
        query = f"UNWIND $ids AS id MATCH (n:`{end.label}` {{id: id}}) RETURN n.id AS id"
        return {row["id"] for batch in batches(ids) for row in self._graph.read(query, ids=batch)}

    def _hold_place(self, ids: Iterable[str], end: End, *, there: bool) -> None:
        for batch in batches([] if there else sorted(ids)):
            self._graph.write(
                f"UNWIND $rows AS row MERGE (n:{PAST} {{_key: row[0]}}) ON CREATE SET n.id = row[1], n._label = $label",
                rows=[[past_key(end.label, named), named] for named in batch],
                label=end.label,
            )

    def _there(self, edges: Iterable[Ends]) -> dict[Ends, _There]:
        """Those of these edges that are there now, with what they say."""
        found: dict[Ends, _There] = {}
        places: list[Place] = ["live"]
        if self._graph.read(f"MATCH ()-[e:{self._past}]->() WHERE e.{KNOWN_TO} IS NULL RETURN 1 AS one LIMIT 1"):
            places += ["hidden", "hidden past"]
        said = ", ".join(f"e.`{name}`" for name in self._said)
        for batch in batches(edges):
            for place in places:
                query = (
                    f"UNWIND $rows AS row {self._found(place)} RETURN row[0] AS a, row[1] AS b, e.{KNOWN_FROM} AS known, [{said}] AS said"
                )
                for row in self._graph.read(query, rows=[list(ends) for ends in batch]):
                    found[row["a"], row["b"]] = _There(place, row["known"], tuple(row["said"]))
        return found

    def _found(self, place: Place) -> str:
        """The pattern that finds edges by their ends: from the node that has one of them, to the one that may have thousands."""
        here, far, mine, theirs = ("a", "b", 0, 1) if self._from_source else ("b", "a", 1, 0)
        label = self._narrow.label
        node = (
            f"({here}:{PAST} {{_key: '{label} ' + row[{mine}]}})" if place == "hidden past" else f"({here}:`{label}` {{id: row[{mine}]}})"
        )
        kind = self._live if place == "live" else self._past
        arrow = f"({here})-[e:{kind}]->({far})" if self._from_source else f"({here})<-[e:{kind}]-({far})"
        hidden = "" if place == "live" else f" AND e.{KNOWN_TO} IS NULL"
        return f"MATCH {node} MATCH {arrow} WHERE {far}.id = row[{theirs}]{hidden}"

    def _supersede(self, place: Place, rows: Sequence[list[Any]], known: datetime) -> None:
        """What it said becomes a past edge; what it says now stands on the one that was there, or on a new hidden one."""
        before = ", ".join(f"`{name}`: e.`{name}`" for name in self._said)
        past = f"CREATE (a)-[:{self._past} {{{before}, {KNOWN_FROM}: e.{KNOWN_FROM}, {KNOWN_TO}: $known}}]->(b)"
        self._graph.write(
            f"UNWIND $rows AS row {self._found(place)} {past} SET {_set('e', self._said)}, e.{KNOWN_FROM} = $known", rows=rows, known=known
        )

    def _close(self, place: Place, rows: Sequence[list[Any]], known: datetime) -> None:
        if place == "live":
            before = ", ".join(f"`{name}`: e.`{name}`" for name in self._said)
            end = f"CREATE (a)-[:{self._past} {{{before}, {KNOWN_FROM}: e.{KNOWN_FROM}, {KNOWN_TO}: $known}}]->(b) DELETE e"
        else:
            end = f"SET e.{KNOWN_TO} = $known"
        self._graph.write(f"UNWIND $rows AS row {self._found(place)} {end}", rows=rows, known=known)


def _by_place(edges: Iterable[Ends], there: Mapping[Ends, _There]) -> Mapping[Place, list[Ends]]:
    found: dict[Place, list[Ends]] = defaultdict(list)
    for ends in edges:
        found[there[ends].place].append(ends)
    return found


def _match(variable: str, end: End, place: int, there: bool) -> str:  # noqa: FBT001 - which of two forms
    return f"MATCH ({variable}:`{end.label}` {{id: row[{place}]}})" if there else f"MATCH ({variable}:{PAST} {{_key: row[{place}]}})"


def _given(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`: row[{place}]" for place, name in enumerate(names, 2))


def _set(variable: str, names: Sequence[str]) -> str:
    return ", ".join(f"{variable}.`{name}` = row[{place}]" for place, name in enumerate(names, 2))
