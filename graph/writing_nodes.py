"""How nodes come, change and go: what a node said before becomes a `State` beside it, with until when that was known.

Every statement does to a batch of nodes all that has to happen at once, so a kill leaves each of them as it was or as it shall be.
Which statement a node needs is found out from what stands there now: done again after a kill, what was done is left alone.

A node that goes keeps its place under the label `Past`, with what it said and with its edges of old; comes it again, it is the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from threading import Event
from typing import Any, TypeVar

from graph.kinds import KNOWN_FROM, KNOWN_TO, PAST, PAST_EDGE, STATE, WAS, NodeType, Ontology, past_key
from graph.rows import Values
from graph.store import Graph

BATCH = 2_000
T = TypeVar("T")


@dataclass(frozen=True)
class Counted:
    """How many came, changed and went."""

    created: int = 0
    changed: int = 0
    deleted: int = 0

    def __add__(self, other: Counted) -> Counted:
        return Counted(self.created + other.created, self.changed + other.changed, self.deleted + other.deleted)


def batches(rows: Iterable[T], size: int = BATCH) -> Iterator[list[T]]:
    """As many rows at a time as one transaction takes."""
    waiting = iter(rows)
    while batch := list(islice(waiting, size)):
        yield batch


class NodeWriter:
    """Writes the nodes of one type."""

    def __init__(self, graph: Graph, ontology: Ontology, node: NodeType) -> None:
        self._graph = graph
        self._node = node
        self._edges = tuple(ontology.touching(node.label))
        self._said = node.said
        self._label = f"`{node.label}`"
        self._state = f"{{id: n.id, _label: '{node.label}', {_copied('n', self._said)}, {KNOWN_FROM}: n.{KNOWN_FROM}, {KNOWN_TO}: $known}}"

    def put(self, said: Mapping[str, Values], known: datetime, *, quietly: bool = False, stopping: Event | None = None) -> Counted:
        """Let these nodes say this. `quietly`: no earlier state is kept, for it is the ontology that changed and not what is known.
        Once it is `stopping`, no further batch is begun."""
        empty = not self._graph.read(f"MATCH (n:{self._label}) RETURN 1 AS one LIMIT 1")
        past = bool(self._graph.read(f"MATCH (n:{PAST}) WHERE n._label = $label RETURN 1 AS one LIMIT 1", label=self._node.label))
        counted = Counted()
        for batch in batches(said.items()):
            if stopping is not None and stopping.is_set():
                break
            there = {} if empty else self._there([named for named, _ in batch])
            counted += self._put(batch, there, known, past=past, quietly=quietly)
        return counted

    def _put(
        self,
        batch: Sequence[tuple[str, Values]],
        there: Mapping[str, tuple[datetime, Values]],
        known: datetime,
        *,
        past: bool,
        quietly: bool,
    ) -> Counted:
        new = [row for row in batch if row[0] not in there]
        other = [row for row in batch if row[0] in there and there[row[0]][1] != row[1]]
        later = [] if quietly else [row for row in other if there[row[0]][0] < known]
        once_more = [row for row in other if row not in later] if later else other
        keys = {past_key(self._node.label, named) for named, _ in new} if past else set()
        revived = {row["key"] for row in self._found_past(keys)} if keys else set()
        came_again = [row for row in new if past_key(self._node.label, row[0]) in revived]
        self._send(self._creating(), [row for row in new if past_key(self._node.label, row[0]) not in revived], known)
        self._unhide([past_key(self._node.label, named) for named, _ in came_again])
        self._send(self._reviving(), came_again, known, key=True)
        self._send(self._superseding(), later, known)
        self._send(self._overwriting(), once_more, known)
        return Counted(created=len(new), changed=len(other))

    def remove(self, ids: Sequence[str], known: datetime) -> Counted:
        """Let these nodes go; what is not there is gone already."""
        counted = Counted()
        for batch in batches(ids):
            there = self._there(batch)
            if not there:
                continue
            self._hide(list(there))
            for stays in (True, False):  # a state that was never known for any time leaves no trace
                going = [[named, past_key(self._node.label, named)] for named, (since, _) in there.items() if (since < known) is stays]
                if going:
                    kept = f"CREATE (n)-[:{WAS}]->(:{STATE} {self._state}) " if stays else ""
                    self._graph.write(
                        f"UNWIND $rows AS row MATCH (n:{self._label} {{id: row[0]}}) {kept}"
                        f"REMOVE n:{self._label} SET n:{PAST} SET n = {{id: row[0], _key: row[1], _label: $label}}",
                        rows=going,
                        label=self._node.label,
                        **({"known": known} if stays else {}),
                    )
            counted += Counted(deleted=len(there))
        return counted

    def ids(self) -> list[str]:
        """Every node of the type that is there now."""
        return [row["id"] for row in self._graph.read(f"MATCH (n:{self._label}) RETURN n.id AS id")]

    def census(self) -> tuple[int, int, int]:
        """How many there are, how many wait (none), and how many are there twice."""
        row = self._graph.read(f"MATCH (n:{self._label}) RETURN count(n.id) AS every, count(DISTINCT n.id) AS single")[0]
        return row["every"], 0, row["every"] - row["single"]

    def _there(self, ids: Sequence[str]) -> dict[str, tuple[datetime, Values]]:
        """Since when those that are there say what they say, and what that is."""
        rows = self._graph.read(
            f"UNWIND $ids AS id MATCH (n:{self._label} {{id: id}}) "
            f"RETURN n.id AS id, n.{KNOWN_FROM} AS known, [{_listed('n', self._said)}] AS said",
            ids=list(ids),
        )
        return {row["id"]: (row["known"], tuple(row["said"])) for row in rows}

    def _found_past(self, keys: Iterable[str]) -> list[dict[str, Any]]:
        return self._graph.read(f"UNWIND $keys AS key MATCH (n:{PAST} {{_key: key}}) RETURN n._key AS key", keys=list(keys))

    def _send(self, query: str, rows: Sequence[tuple[str, Values]], known: datetime, *, key: bool = False) -> None:
        if rows:
            sent = [[named, *([past_key(self._node.label, named)] if key else []), *said] for named, said in rows]
            self._graph.write(query, rows=sent, known=known)

    def _creating(self) -> str:
        return f"UNWIND $rows AS row CREATE (:{self._label} {{id: row[0], {_given(self._said, 1)}, {KNOWN_FROM}: $known}})"

    def _reviving(self) -> str:
        return (
            f"UNWIND $rows AS row MATCH (n:{PAST} {{_key: row[1]}}) REMOVE n:{PAST} SET n:{self._label} "
            f"SET n = {{id: row[0], {_given(self._said, 2)}, {KNOWN_FROM}: $known}}"
        )

    def _superseding(self) -> str:
        return (
            f"UNWIND $rows AS row MATCH (n:{self._label} {{id: row[0]}}) CREATE (n)-[:{WAS}]->(:{STATE} {self._state}) "
            f"SET {_set('n', self._said, 1)}, n.{KNOWN_FROM} = $known"
        )

    def _overwriting(self) -> str:
        # $known stands here to be given like everywhere; a state that never held for any time is not remembered.
        return f"UNWIND $rows AS row MATCH (n:{self._label} {{id: row[0]}}) WHERE $known IS NOT NULL SET {_set('n', self._said, 1)}"

    def _hide(self, ids: Sequence[str]) -> None:
        """Edges of nodes that go are no live ones any more, whatever their own mart says of them: they wait for both ends."""
        for edge in self._edges:
            for arrow in _arrows(edge.source.label == self._node.label, edge.target.label == self._node.label):
                live, hidden = arrow.format(f"e:`{edge.type}`"), arrow.format(f"h:`{PAST_EDGE}{edge.type}`")
                self._graph.write(
                    f"UNWIND $ids AS id MATCH (n:{self._label} {{id: id}}){live}(m) CREATE (n){hidden}(m) SET h = properties(e) DELETE e",
                    ids=list(ids),
                )

    def _unhide(self, keys: Sequence[str]) -> None:
        """Edges that waited for these nodes, and whose other end is there, are live: before the nodes are, so that a kill between the
        two leaves nodes behind that are still to come."""
        if not keys:
            return
        for edge in self._edges:
            for arrow in _arrows(edge.source.label == self._node.label, edge.target.label == self._node.label):
                live, hidden = arrow.format(f"e:`{edge.type}`"), arrow.format(f"h:`{PAST_EDGE}{edge.type}`")
                other = edge.target.label if arrow.endswith(">") else edge.source.label
                self._graph.write(
                    f"UNWIND $keys AS key MATCH (n:{PAST} {{_key: key}}){hidden}(m:`{other}`) WHERE h.{KNOWN_TO} IS NULL "
                    f"CREATE (n){live}(m) SET e = properties(h) DELETE h",
                    keys=list(keys),
                )


def _arrows(away: bool, here: bool) -> Iterator[str]:  # noqa: FBT001 - two facts of one edge
    if away:
        yield "-[{}]->"
    if here:
        yield "<-[{}]-"


def _listed(variable: str, names: Sequence[str]) -> str:
    return ", ".join(f"{variable}.`{name}`" for name in names)


def _copied(variable: str, names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`: {variable}.`{name}`" for name in names)


def _given(names: Sequence[str], first: int) -> str:
    return ", ".join(f"`{name}`: row[{place}]" for place, name in enumerate(names, first))


def _set(variable: str, names: Sequence[str], first: int) -> str:
    return ", ".join(f"{variable}.`{name}` = row[{place}]" for place, name in enumerate(names, first))
