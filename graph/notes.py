"""What was loaded, noted in the graph itself: for each mart the version that it shows, and all versions that it went through.

A note is written after all that it tells of. So a load that was killed is taken up at the version before it, by the same changes,
of which those that were written are found written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from graph.kinds import LOADED
from graph.store import Graph
from pilothouse.kernel.versions import Pinned

_ALL = "*"  # the name of the node that sums all notes up


@dataclass(frozen=True)
class Note:
    """One mart as the graph shows it."""

    mart: str
    identity: str  # of the Delta table: one that was made anew under its name is another
    version: int
    known: datetime  # when that version was committed: what it says is known since
    since: datetime  # when the first version that the graph went through was committed
    spans: tuple[tuple[int, int], ...]  # from which version to which it went without leaving one out
    code: str  # how the ontology shows it

    def as_row(self) -> dict[str, Any]:
        """As the properties of its node."""
        return {
            "mart": self.mart,
            "identity": self.identity,
            "version": self.version,
            "known": self.known,
            "since": self.since,
            "spans": json.dumps(self.spans),
            "code": self.code,
        }


@dataclass(frozen=True)
class Summary:
    """All notes in three words, which every read of the graph asks for: they stand on one node of their own."""

    since: datetime  # when what was loaded first was committed
    known: datetime  # when what was loaded last was
    digest: str  # of the versions of all marts

    @classmethod
    def of(cls, notes: Mapping[str, Note]) -> Summary:
        """Of some notes."""
        shown = json.dumps({mart: (note.identity, note.version) for mart, note in sorted(notes.items())})
        digest = hashlib.sha256(shown.encode()).hexdigest()[:32]
        return cls(min(note.since for note in notes.values()), max(note.known for note in notes.values()), digest)

    def pinned(self, *, valid: datetime | None = None, known: datetime | None = None) -> Pinned:
        """The graph as an entry of a version vector: as of when it was read, and what it was loaded from."""
        told = f"known {(known or self.known).isoformat()}" + (f", valid {valid.isoformat()}" if valid else "")
        return Pinned("graph", "graph", told, self.digest)


class Notes:
    """The notes of a graph."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def all(self) -> dict[str, Note]:
        """By mart."""
        rows = self._graph.read(f"MATCH (n:{LOADED}) WHERE n.mart <> $all RETURN properties(n) AS note ORDER BY n.mart", all=_ALL)
        found = (Note(**{**row["note"], "spans": tuple(map(tuple, json.loads(row["note"]["spans"])))}) for row in rows)
        return {note.mart: note for note in found}

    def summary(self) -> Summary | None:
        """All of them in short; None where nothing is loaded."""
        rows = self._graph.read(
            f"MATCH (n:{LOADED} {{mart: $all}}) RETURN n.since AS since, n.known AS known, n.digest AS digest", all=_ALL
        )
        return Summary(**rows[0]) if rows else None

    def write(self, notes: Sequence[Note], others: Mapping[str, Note]) -> None:
        """These notes, and the summary of all with the others: all of it, or nothing."""
        every = {**others, **{note.mart: note for note in notes}}
        self._graph.write(
            f"UNWIND $rows AS row MERGE (n:{LOADED} {{mart: row.mart}}) SET n = row",
            rows=[*(note.as_row() for note in notes), {"mart": _ALL, **asdict(Summary.of(every))}],
        )
