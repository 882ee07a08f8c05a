"""From marts to the graph: what changed between the versions that were loaded last and those that are there now.

A mart is followed version by version, each known since its own commit, so the graph is a function of the versions it went through: a
rebuild from the lake is the same graph. Only what differs in the columns of the ontology is written; a mart without news costs a look
at its log. Where a version has expired, or the ontology shows a mart in another way, the mart is compared with what the graph says.

Constraints come first, then in each round: edges go, nodes go, nodes come, edges come, and at last the notes (`graph.notes`). No step
of it depends on another mart having come that far, so marts that were made at different moments need not wait for each other.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack
from contextvars import copy_context
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event
from typing import Final

from graph.kinds import EdgeType, NodeType, Ontology
from graph.notes import Note, Notes, Summary
from graph.rows import Changes, Ends, MartRows, opened
from graph.schema import prepare
from graph.store import Graph
from graph.writing_edges import EdgeWriter
from graph.writing_measures import outdated_measures, write_measures
from graph.writing_nodes import Counted, NodeWriter
from pilothouse.kernel.errors import ConfigError, DataRejected, LakeError
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.lake.duck import Scan
from pilothouse.kernel.versions import Pinned, note_written

_SIDE_BY_SIDE: Final = 2  # types of nodes that are written at once: no two of them share a page or a lock
_GLANCE: Final = 0.2  # seconds: a thread that waits without end does not always hear Ctrl-C
Course = Mapping[str, Sequence[tuple[int, int]]]  # mart → the versions to go through, as in `Note.spans`


@dataclass(frozen=True)
class Loaded:
    """What became of one type."""

    type: NodeType | EdgeType
    created: int
    changed: int
    deleted: int
    mart: Pinned

    @property
    def news(self) -> int:
        """How much was written."""
        return self.created + self.changed + self.deleted


@dataclass(frozen=True)
class Census:
    """How many of one type there are."""

    here: int
    waiting: int  # edges of which an end is not there
    twice: int
    in_mart: int


@dataclass(frozen=True)
class _Step:
    """One mart, one version on. Without one before it, it is compared with what the graph says."""

    mart: str
    identity: str
    before: int | None
    version: int
    known: datetime
    quietly: bool = False
    begins: bool = False  # a span of versions that follow each other


class _Going:
    """A step that is under way. What changed is worked out once where something goes, and forgotten when it is written."""

    def __init__(self, step: _Step, rows: MartRows, *, compared: bool) -> None:
        self.step = step
        self.compared = compared  # with the graph, because there is no version to compare with
        self._rows = rows
        self._nodes: dict[str, Changes[str]] = {}
        self._edges: dict[str, Changes[Ends]] = {}

    def nodes(self, node: NodeType) -> Changes[str]:
        """What changed of a type of nodes."""
        if node.label not in self._nodes:
            self._nodes[node.label] = self._rows.nodes(node)
        return self._nodes[node.label]

    def edges(self, edge: EdgeType) -> Changes[Ends]:
        """What changed of a type of edges."""
        if edge.type not in self._edges:
            self._edges[edge.type] = self._rows.edges(edge)
        return self._edges[edge.type]

    def forget(self, name: str) -> None:
        """Of a type that was written."""
        self._nodes.pop(name, None)
        self._edges.pop(name, None)


class Loader:
    """Loads the marts of a lake into a graph."""

    def __init__(self, graph: Graph, lake: Lake, ontology: Ontology) -> None:
        self._graph = graph
        self._lake = lake
        self.ontology = ontology
        self._notes = Notes(graph)
        self._nodes = {label: NodeWriter(graph, ontology, node) for label, node in ontology.nodes.items()}
        self._edges = {name: EdgeWriter(graph, ontology, edge) for name, edge in ontology.edges.items()}

    def outdated(self) -> dict[str, str]:
        """The marts, and tables of measures, that say something else than what was loaded, each with the version that is there."""
        notes = self._notes.all()
        found: dict[str, str] = {}
        for mart in self.ontology.marts:
            table = self._lake.table(mart)
            if table.exists():
                pin, content = table.pinned(), table.content_version()
                note = notes.get(mart)
                if note is None or (note.identity, note.version, note.code) != (pin.identity, content, self.ontology.code(mart)):
                    found[mart] = f"{pin.identity}@{content} {self.ontology.code(mart)}"
        return found | outdated_measures(self._graph, self._lake, self.ontology)

    def load(self, course: Course | None = None) -> list[Loaded]:
        """Bring the graph up to the marts; what became of each type. `course` names the versions to go through, of an empty graph.

        DataRejected names the marts whose rows cannot be nodes or edges; they stay as they were, and all others are loaded.
        """
        prepare(self._graph, self.ontology)
        notes = self._notes.all()
        there = [mart for mart in self.ontology.marts if self._lake.table(mart).exists()]
        if not there:
            raise ConfigError("there is nothing to load: no mart was made yet", hint="`pilothouse build` makes them")
        steps = {mart: list(self._steps(mart, notes.get(mart), course)) for mart in there}
        counted = {each.name: Counted() for each in self.ontology.types}
        refused: list[DataRejected] = []
        for place in range(max(map(len, steps.values()))):
            self._round([each[place] for each in steps.values() if place < len(each)], notes, counted, refused)
        write_measures(self._graph, self._lake, self.ontology, fresh={name for name, count in counted.items() if count.created})
        if notes:
            note_written(Summary.of(notes).pinned())
        if refused:
            raise DataRejected("\n".join(error.message for error in refused), hint=refused[0].hint)
        return [self._told(each, counted[each.name], notes[each.mart]) for each in self.ontology.types if each.mart in notes]

    def notes(self) -> Mapping[str, Note]:
        """What is loaded, by mart."""
        return self._notes.all()

    def census(self, each: NodeType | EdgeType) -> Census:
        """How many of a type there are, in the graph and in its mart."""
        with ExitStack() as stack:
            table = self._lake.table(each.mart)
            now = table.files(self.notes()[each.mart].version)
            nothing = Scan((), now.schema)
            in_mart = stack.enter_context(opened(self._lake, now, nothing, nothing)).count(each)
        writer = self._nodes[each.label] if isinstance(each, NodeType) else self._edges[each.type]
        here, waiting, twice = writer.census()
        return Census(here, waiting, twice, in_mart)

    def rebuild(self) -> list[Loaded]:
        """Empty the graph, and go again through the versions it went through, as far as the lake still has them."""
        course = {mart: note.spans for mart, note in self._notes.all().items()}
        self._graph.clear()
        return self.load(course)

    @staticmethod
    def _told(each: NodeType | EdgeType, count: Counted, note: Note) -> Loaded:
        mart = Pinned("table", each.mart, str(note.version), note.identity)
        return Loaded(each, count.created, count.changed, count.deleted, mart)

    def _steps(self, mart: str, note: Note | None, course: Course | None) -> Iterator[_Step]:
        table = self._lake.table(mart)
        identity, versions = table.pinned().identity, dict(table.content_versions())
        newest = max(versions)
        if note is None:
            known: datetime | None = None
            for first, last in (course or {}).get(mart) or [(newest, newest)]:
                known = yield from self._span(mart, identity, versions, None, first, last, known)
        elif note.identity != identity:
            yield _Step(mart, identity, None, newest, max(note.known, versions[newest]), begins=True)
        else:
            if note.code != self.ontology.code(mart):
                yield _Step(mart, identity, None, note.version, note.known, quietly=True)
            yield from self._span(mart, identity, versions, note.version, note.version + 1, newest, note.known)

    def _span(
        self, mart: str, identity: str, versions: Mapping[int, datetime], before: int | None, first: int, last: int, known: datetime | None
    ) -> Generator[_Step, None, datetime | None]:
        """The steps through these versions. Clocks go back at times; what is known grows nevertheless. A version whose rows cannot be
        nodes or edges is passed over where a later one mends it."""
        begins = before is None
        for version in sorted(each for each in versions if first <= each <= last):
            if version != last and not self._sound(mart, version):
                continue
            known = versions[version] if known is None else max(known, versions[version])
            yield _Step(mart, identity, before, version, known, begins=begins)
            before, begins = version, False
        return known

    def _sound(self, mart: str, version: int) -> bool:
        with ExitStack() as stack:
            try:
                self._opened(_Step(mart, "", None, version, datetime.max.replace(tzinfo=UTC)), stack)
            except (DataRejected, LakeError):
                return False
        return True

    def _round(self, steps: Sequence[_Step], notes: dict[str, Note], counted: dict[str, Counted], refused: list[DataRejected]) -> None:
        """One version on, of each mart that has one."""
        with ExitStack() as stack:
            going: dict[str, _Going] = {}
            for step in steps:
                try:
                    going[step.mart] = self._opened(step, stack)
                except DataRejected as error:
                    refused.append(error)
            nodes = [node for mart in going for node in self.ontology.marts[mart][0]]
            edges = [edge for mart in going for edge in self.ontology.marts[mart][1]]
            for edge in edges:
                counted[edge.type] += self._remove_edges(going[edge.mart], edge)
            for node in nodes:
                counted[node.label] += self._remove_nodes(going[node.mart], node)
            for node, count in zip(nodes, self._put_all_nodes(going, nodes), strict=True):
                counted[node.label] += count
            for edge in edges:
                counted[edge.type] += self._put_edges(going[edge.mart], edge)
        told = [self._noted(each.step, notes.get(mart)) for mart, each in going.items()]
        if told:
            self._notes.write(told, notes)
        notes |= {note.mart: note for note in told}

    def _noted(self, step: _Step, note: Note | None) -> Note:
        code = self.ontology.code(step.mart)
        if note is None:
            return Note(step.mart, step.identity, step.version, step.known, step.known, ((step.version, step.version),), code)
        spans = note.spans
        if step.begins:
            spans = (*(() if step.identity != note.identity else spans), (step.version, step.version))
        else:
            spans = (*spans[:-1], (spans[-1][0], step.version))
        return Note(step.mart, step.identity, step.version, step.known, note.since, spans, code)

    def _opened(self, step: _Step, stack: ExitStack) -> _Going:
        """The rows of a step; DataRejected where they cannot be nodes or edges."""
        table = self._lake.table(step.mart)
        now = table.files(step.version)
        lost, gained, compared = Scan((), now.schema), now, step.before is None
        if step.before is not None:
            try:
                lost, gained = table.difference(step.before, step.version)
            except LakeError:  # the version before has expired
                compared = True
        rows = stack.enter_context(opened(self._lake, now, lost, gained))
        for each in self.ontology.types:
            if each.mart == step.mart:
                rows.refuse_duplicates(each)
        return _Going(step, rows, compared=compared)

    def _remove_nodes(self, going: _Going, node: NodeType) -> Counted:
        writer = self._nodes[node.label]
        if not going.compared:
            return writer.remove(going.nodes(node).gone, going.step.known)
        there = writer.ids()
        return writer.remove([each for each in there if each not in going.nodes(node).said], going.step.known)

    def _remove_edges(self, going: _Going, edge: EdgeType) -> Counted:
        writer = self._edges[edge.type]
        if not going.compared:
            return writer.remove(going.edges(edge).gone, going.step.known)
        there = writer.all()
        return writer.remove([each for each in there if each not in going.edges(edge).said], going.step.known)

    def _put_all_nodes(self, going: Mapping[str, _Going], nodes: Sequence[NodeType]) -> list[Counted]:
        """Several types side by side. Where one fails or somebody interrupts, the others end with the batch that they are at."""
        stopping = Event()
        with ThreadPoolExecutor(_SIDE_BY_SIDE, "nodes") as pool:
            try:
                works = [pool.submit(copy_context().run, self._put_nodes, going[node.mart], node, stopping) for node in nodes]
                waiting = {*works}
                while waiting:
                    done, waiting = wait(waiting, timeout=_GLANCE, return_when=FIRST_EXCEPTION)
                    for work in done:
                        work.result()  # or the error that ended it
                return [work.result() for work in works]
            except BaseException:
                stopping.set()
                raise

    def _put_nodes(self, going: _Going, node: NodeType, stopping: Event) -> Counted:
        counted = self._nodes[node.label].put(going.nodes(node).said, going.step.known, quietly=going.step.quietly, stopping=stopping)
        going.forget(node.label)
        return counted

    def _put_edges(self, going: _Going, edge: EdgeType) -> Counted:
        writer = self._edges[edge.type]
        counted = writer.put(going.edges(edge).said, going.step.known, quietly=going.step.quietly)
        going.forget(edge.type)
        if going.compared:
            writer.unhide()
        return counted
