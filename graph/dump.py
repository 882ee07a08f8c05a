"""The graph as text: sorted lines of canonical JSON, the same bytes from every engine that holds the same.

`history` tells everything that was ever known, each node and edge with from when until when; `state` tells what there was at one moment
of valid and of known time, and nothing of when it became known. Names of an engine's own (element ids) and the loader's notes are not told.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from graph.kinds import KNOWN_FROM, KNOWN_TO, PAST, PAST_EDGE, STATE, VALID_FROM, VALID_TO, WAS, Ontology
from graph.store import Graph


@dataclass(frozen=True)
class Moment:
    """A point of both times. Without `known`, what is known now; without `valid`, whatever holds at any time."""

    valid: datetime | None = None
    known: datetime | None = None

    def covers(self, said: Mapping[str, Any]) -> bool:
        """Whether something was known then, and held then."""
        return self._known(said) and self._held(said)

    def _known(self, said: Mapping[str, Any]) -> bool:
        if self.known is None:
            return said.get(KNOWN_TO) is None
        return said[KNOWN_FROM] <= self.known and (said.get(KNOWN_TO) is None or self.known < said[KNOWN_TO])

    def _held(self, said: Mapping[str, Any]) -> bool:
        if self.valid is None:
            return True
        since, until = said.get(VALID_FROM), said.get(VALID_TO)
        return (since is None or since <= self.valid) and (until is None or self.valid < until)


@dataclass(frozen=True)
class Node:
    """What a node says, or said."""

    label: str
    id: str
    said: Mapping[str, Any]


@dataclass(frozen=True)
class Edge:
    """What an edge says, or said."""

    type: str
    source: str
    target: str
    said: Mapping[str, Any]


def history(graph: Graph, ontology: Ontology) -> str:
    """Everything, with when it was known."""
    told = [_node_line(node, {}) for node in nodes(graph, ontology)] + [_edge_line(edge, {}) for edge in edges(graph, ontology)]
    return _text(told)


def state(graph: Graph, ontology: Ontology, moment: Moment | None = None) -> str:
    """What there was at a moment. An edge is there with both of its ends."""
    moment = moment or Moment()
    there = [node for node in nodes(graph, ontology) if moment.covers(node.said)]
    named = {(node.label, node.id) for node in there}
    found = [
        edge
        for edge in edges(graph, ontology)
        if moment.covers(edge.said)
        and (ontology.edges[edge.type].source.label, edge.source) in named
        and (ontology.edges[edge.type].target.label, edge.target) in named
    ]
    without = {KNOWN_FROM: None, KNOWN_TO: None}
    return _text([_node_line(node, without) for node in there] + [_edge_line(edge, without) for edge in found])


def nodes(graph: Graph, ontology: Ontology) -> Iterator[Node]:
    """All nodes and all that they ever said."""
    for label, node in ontology.nodes.items():
        now, before = (", ".join(f"{of}.`{name}`" for name in (*node.said, KNOWN_FROM, KNOWN_TO)) for of in ("n", "s"))
        names = (*node.said, KNOWN_FROM, KNOWN_TO)
        for row in graph.stream(f"MATCH (n:`{label}`) RETURN n.id AS id, [{now}] AS said"):
            yield Node(label, row["id"], dict(zip(names, row["said"], strict=True)))
        for row in graph.stream(f"MATCH (n:`{label}`)-[:{WAS}]->(s:{STATE}) RETURN n.id AS id, [{before}] AS said"):
            yield Node(label, row["id"], dict(zip(names, row["said"], strict=True)))
        gone = f"MATCH (n:{PAST})-[:{WAS}]->(s:{STATE}) WHERE n._label = $label RETURN n.id AS id, [{before}] AS said"
        for row in graph.stream(gone, label=label):
            yield Node(label, row["id"], dict(zip(names, row["said"], strict=True)))


def edges(graph: Graph, ontology: Ontology) -> Iterator[Edge]:
    """All edges and all that they ever said."""
    for name, edge in ontology.edges.items():
        names = (*edge.said, KNOWN_FROM, KNOWN_TO)
        said = ", ".join(f"e.`{each}`" for each in names)
        for kind in (name, f"{PAST_EDGE}{name}"):
            for row in graph.stream(f"MATCH (a)-[e:`{kind}`]->(b) RETURN a.id AS a, b.id AS b, [{said}] AS said"):
                yield Edge(name, row["a"], row["b"], dict(zip(names, row["said"], strict=True)))


def lines_of_nodes(found: Iterable[Node]) -> list[str]:
    """For whoever computes a state by other means."""
    return [_node_line(node, {KNOWN_FROM: None, KNOWN_TO: None}) for node in found]


def lines_of_edges(found: Iterable[Edge]) -> list[str]:
    """The same of edges."""
    return [_edge_line(edge, {KNOWN_FROM: None, KNOWN_TO: None}) for edge in found]


def _text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in sorted(lines))


def _node_line(node: Node, instead: Mapping[str, Any]) -> str:
    return _line({"node": node.label, "id": node.id} | _told({**node.said, **instead}))


def _edge_line(edge: Edge, instead: Mapping[str, Any]) -> str:
    return _line({"edge": edge.type, "from": edge.source, "to": edge.target} | _told({**edge.said, **instead}))


def _told(said: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if value is not None}


def _line(told: Mapping[str, Any]) -> str:
    return json.dumps(told, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=_plain)


def _plain(value: date | datetime) -> str:
    return value.isoformat(timespec="milliseconds") if isinstance(value, datetime) else value.isoformat()
