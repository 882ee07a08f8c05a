"""Questions to the graph, of now or of a moment: what every reader goes through, so that each read is written down (law 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from graph.dump import Moment
from graph.kinds import EdgeType, NodeType, Ontology
from graph.notes import Notes
from graph.queries import Query, called
from graph.rewinding import KNOWN, VALID, rewound
from graph.store import Graph
from pilothouse.kernel.errors import ConfigError, GraphError
from pilothouse.kernel.versions import note_read

NOW = Moment()


@dataclass(frozen=True)
class Link:
    """One edge of a node, and the node at its other end."""

    type: str
    away: bool  # from the node that was asked about
    said: Mapping[str, Any]
    label: str
    id: str
    title: str


@dataclass(frozen=True)
class Shown:
    """A node with what it says, and its edges."""

    label: str
    id: str
    said: Mapping[str, Any]
    mart: str
    links: Sequence[Link]


class Asking:
    """What may be asked of a loaded graph. A moment without `known` asks about now."""

    def __init__(self, graph: Graph, ontology: Ontology) -> None:
        self._graph = graph
        self._ontology = ontology

    def cypher(self, text: str, moment: Moment = NOW, **parameters: Any) -> list[dict[str, Any]]:
        """The answer of any query that reads. Of a moment, it is asked of what was known and held then (`graph.rewinding`)."""
        known = self._noted(moment)
        moments = ({KNOWN: known} if known else {}) | ({VALID: moment.valid} if moment.valid else {})
        if moment == NOW:
            return self._graph.read(text, **parameters)
        return self._graph.read(rewound(text, known=known is not None, valid=moment.valid is not None), **parameters, **moments)

    def query(self, name: str | Query, moment: Moment = NOW, **parameters: Any) -> Sequence[dict[str, Any]]:
        """The answer of a query that has a name, held to what its head says."""
        query = name if isinstance(name, Query) else called(name)
        return query.checked(self.cypher(query.text, moment, **query.given(parameters)))

    def counts(self, moment: Moment = NOW) -> dict[str, int]:
        """How many nodes and edges of each type there are, or were."""
        found = {}
        for label in self._ontology.nodes:
            found[label] = self.cypher(f"MATCH (n:`{label}`) RETURN count(n.id) AS n", moment)[0]["n"]
        for edge in self._ontology.edges.values():
            ends = f"(a:`{edge.source.label}`)-[e:`{edge.type}`]->(b:`{edge.target.label}`)"
            found[edge.type] = self.cypher(f"MATCH {ends} RETURN count(e) AS n", moment)[0]["n"]
        return found

    def show(self, named: str, moment: Moment = NOW, *, limit: int = 20) -> list[Shown]:
        """The nodes of this id (or Label/id), each with as many of its edges of each type."""
        found: list[Shown] = []
        for node, identity in self._meant(named):
            if node.behind in {each.label for each in found}:
                continue
            rows = self.cypher(f"MATCH (n:`{node.label}` {{id: $id}}) RETURN properties(n) AS said", moment, id=identity)
            if rows:
                said = {name: value for name, value in rows[0]["said"].items() if name != "id"}
                found.append(Shown(node.label, identity, said, node.mart, list(self._links(node, identity, moment, limit))))
        if not found:
            raise GraphError(f"no node '{named}'{_then(moment)}", hint="`pilothouse graph query` finds ids; Label/id names one exactly")
        return found

    def path(self, start: str, goal: str, moment: Moment = NOW, *, through: Sequence[str], most: int) -> list[Link]:
        """The shortest way between two nodes, edge by edge, from the first to the second; nothing where there is none that short."""
        first, last = self._one(start, moment), self._one(goal, moment)
        unknown = [name for name in through if name not in self._ontology.edges]
        if unknown:
            raise ConfigError(f"no edge type '{unknown[0]}'", hint=f"there are {', '.join(self._ontology.edges)}")
        edges = [self._ontology.edges[name] for name in through]
        came: dict[tuple[str, str], tuple[tuple[str, str], Link] | None] = {first: None}
        front = [first]
        for _ in range(most):
            if last in came or not front:
                break
            front = self._stepped(front, edges, came, moment)
        if last not in came:
            return []
        way, place = list[Link](), came[last]
        while place is not None:
            way.append(place[1])
            place = came[place[0]]
        return way[::-1]

    def _stepped(
        self,
        front: Sequence[tuple[str, str]],
        edges: Sequence[EdgeType],
        came: dict[tuple[str, str], tuple[tuple[str, str], Link] | None],
        moment: Moment,
    ) -> list[tuple[str, str]]:
        """All that is one edge further than any of these and was not reached before."""
        reached = []
        for edge in edges:
            for away in (True, False):
                here, there = (edge.source, edge.target) if away else (edge.target, edge.source)
                ids = [named for label, named in front if label == here.label]
                for row in self._neighbours(edge, ids, away=away, moment=moment) if ids else ():
                    if (there.label, row["id"]) not in came:
                        link = Link(edge.type, away, row["said"], there.label, row["id"], row["title"] or "")
                        came[there.label, row["id"]] = ((here.label, row["start"]), link)
                        reached.append((there.label, row["id"]))
        return sorted(reached)

    def _links(self, node: NodeType, identity: str, moment: Moment, limit: int) -> Any:
        for edge in sorted(self._ontology.touching(node.label), key=lambda each: each.type):
            for away in (True, False):
                if (edge.source if away else edge.target).label != node.label:
                    continue
                other = edge.target if away else edge.source
                for row in self._neighbours(edge, [identity], away=away, moment=moment, limit=limit):
                    yield Link(edge.type, away, row["said"], other.label, row["id"], row["title"] or "")

    def _neighbours(
        self, edge: EdgeType, ids: Sequence[str], *, away: bool, moment: Moment, limit: int | None = None
    ) -> list[dict[str, Any]]:
        here, there = (edge.source, edge.target) if away else (edge.target, edge.source)
        left, right = ("-", "->") if away else ("<-", "-")
        title = self._ontology.nodes[there.label].title
        said = ", ".join(f"{name}: e.`{name}`" for name in edge.properties)
        text = (
            f"UNWIND $ids AS start MATCH (n:`{here.label}` {{id: start}}){left}[e:`{edge.type}`]{right}(m:`{there.label}`) "
            f"RETURN start, {{{said}}} AS said, m.id AS id, {f'm.`{title}`' if title else 'null'} AS title ORDER BY start, id"
        )
        return self.cypher(text + (f" LIMIT {limit}" if limit else ""), moment, ids=list(ids))

    def _one(self, named: str, moment: Moment) -> tuple[str, str]:
        """The node that is meant."""
        found = [
            (node.label, identity)
            for node, identity in self._meant(named)
            if self.cypher(f"MATCH (n:`{node.label}` {{id: $id}}) RETURN n.id AS id", moment, id=identity)
        ]
        labels = {label for label, _ in found}
        found = [each for each in found if self._ontology.nodes[each[0]].behind not in labels]
        if len(found) != 1:
            told = f"several nodes are called '{named}'" if found else f"no node '{named}'{_then(moment)}"
            shown = ", ".join(f"{label}/{identity}" for label, identity in found)
            raise GraphError(
                told, hint=f"say which: {shown}" if found else "`pilothouse graph query` finds ids; Label/id names one exactly"
            )
        return found[0]

    def _meant(self, named: str) -> list[tuple[NodeType, str]]:
        label, separator, rest = named.partition("/")
        if separator and label in self._ontology.nodes:
            return [(self._ontology.nodes[label], rest)]
        return [(node, named) for node in sorted(self._ontology.nodes.values(), key=lambda node: (bool(node.behind), node.label))]

    def _noted(self, moment: Moment) -> datetime | None:
        """Write the read down. The moment until which things were known, unless that is all that is known: what nothing came after is
        asked as it is now. GraphError where the graph knows nothing of a moment."""
        loaded = Notes(self._graph).summary()
        if loaded is None:
            raise GraphError("the graph is empty", hint="`pilothouse graph load` fills it from the marts")
        note_read(loaded.pinned(valid=moment.valid, known=moment.known))
        if moment.known is not None and moment.known < loaded.since:
            raise GraphError(
                f"nothing is known as of {moment.known.isoformat()}: the graph begins at {loaded.since.isoformat()}",
                hint="ask for a later moment; what tables said before, `pilothouse query --as-of` tells",
            )
        return moment.known if moment.known is not None and moment.known < loaded.known else None


def _then(moment: Moment) -> str:
    told = [f"known at {moment.known.isoformat()}"] if moment.known else []
    told += [f"valid at {moment.valid.isoformat()}"] if moment.valid else []
    return f" {' and '.join(told)}" if told else ""
