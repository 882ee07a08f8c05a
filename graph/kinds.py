"""What an ontology is made of: types of nodes and edges as frozen values, each naming the mart whose rows it shows.

Everything else follows from them: constraints and indexes (`graph.schema`), loading (`graph.loading`), history, the page of the
ontology, the assets in Dagster. `discover` finds those of this package and of plugins (entry points in the group
`pilothouse.graph.ontology`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from pilothouse.kernel.errors import ConfigError
from pilothouse.kernel.registry import discover

PACKAGE = "graph.ontology"
PAST = "Past"  # the label of what is not there now: it was, or an edge names it
STATE = "State"  # the label of what a node said before
WAS = "WAS"  # from a node to what it said before
PAST_EDGE = "PAST_"  # before the type of an edge that is not there now
LOADED = "LoadedMart"  # the label of the loader's own notes
SYNTHETIC = "_synthetic"
VALID_FROM, VALID_TO = "_valid_from", "_valid_to"  # what the mart's own columns say
KNOWN_FROM, KNOWN_TO = "_known_from", "_known_to"  # when a version of the mart said so, and when another one no more
_RESERVED = frozenset({PAST, STATE, LOADED})
_LABEL, _TYPE = re.compile(r"[A-Z][A-Za-z0-9]*"), re.compile(r"[A-Z][A-Z0-9_]*")
_SEPARATOR = "/"

Contracts = Mapping[str, Mapping[str, str]]  # table → column → type


@dataclass(frozen=True)
class Measures:
    """Properties that analytics add to nodes that are there now: every column of a table of the lake but its key."""

    table: str
    key: str


@dataclass(frozen=True, kw_only=True)
class NodeType:
    """One label: each row of the mart is a node, named by `id`, the mart's key."""

    label: str
    description: str
    mart: str
    key: tuple[str, ...]
    properties: tuple[str, ...]
    title: str = ""  # the property that a person knows it by
    valid_from: str = ""  # the column that says since when it is so; without one, always
    valid_to: str = ""  # and until when
    indexed: tuple[str, ...] = ()
    measures: Measures | None = None
    behind: str = ""  # the label that is meant where both have a node of one id and nobody says which

    @property
    def name(self) -> str:
        """As the registry knows it."""
        return self.label

    @property
    def said(self) -> tuple[str, ...]:
        """What stands on a node beside its id and since when it is known."""
        return _said(self.properties, self)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read."""
        return tuple(dict.fromkeys((*self.key, *self.properties, *filter(None, (self.valid_from, self.valid_to)), SYNTHETIC)))


@dataclass(frozen=True)
class End:
    """One end of an edge: the label, and the columns of the edge's mart that name the node."""

    label: str
    columns: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class EdgeType:
    """One type of edge: each row of the mart that names both ends is one. Two rows may not name the same two ends."""

    type: str
    description: str
    mart: str
    source: End
    target: End
    properties: tuple[str, ...] = ()
    valid_from: str = ""
    valid_to: str = ""
    where: str = ""  # a boolean column: rows in which it is not true are no edges

    @property
    def name(self) -> str:
        """As the registry knows it."""
        return self.type

    @property
    def ends(self) -> tuple[End, End]:
        """Both."""
        return self.source, self.target

    @property
    def said(self) -> tuple[str, ...]:
        """What stands on an edge beside since when it is known."""
        return _said(self.properties, self)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read."""
        named = (*self.source.columns, *self.target.columns, *self.properties, self.valid_from, self.valid_to, self.where, SYNTHETIC)
        return tuple(dict.fromkeys(filter(None, named)))


@dataclass(frozen=True)
class Ontology:
    """All types together, held against each other."""

    nodes: Mapping[str, NodeType]
    edges: Mapping[str, EdgeType]
    kinds: Contracts = field(default_factory=dict)  # of the columns, once it was held against contracts

    @classmethod
    def of(cls, nodes: Iterable[NodeType], edges: Iterable[EdgeType]) -> Ontology:
        """An ontology of these types; ConfigError where they do not fit together."""
        ontology = cls({node.label: node for node in nodes}, {edge.type: edge for edge in edges})
        for node in ontology.nodes.values():
            _checked_node(node)
        for edge in ontology.edges.values():
            _checked_edge(edge, ontology)
        return ontology

    @classmethod
    def declared(cls) -> Ontology:
        """That of this package and of all plugins."""
        return cls.of(discover(PACKAGE, NodeType).values(), discover(PACKAGE, EdgeType).values())

    def held_against(self, contracts: Contracts) -> Ontology:
        """The same, once every column that it names is one of its mart's contract; ConfigError names the first that is not."""
        for each in self.types:
            if each.mart not in contracts:
                raise ConfigError(f"{each.name}: there is no mart '{each.mart}'", hint=f"there are {', '.join(sorted(contracts))}")
            for column in each.columns:
                if column not in contracts[each.mart]:
                    known = ", ".join(contracts[each.mart])
                    raise ConfigError(f"{each.name}: {each.mart} has no column '{column}'", hint=f"its contract has {known}")
        return replace(self, kinds=contracts)

    @property
    def types(self) -> tuple[NodeType | EdgeType, ...]:
        """Nodes, then edges."""
        return (*self.nodes.values(), *self.edges.values())

    @cached_property
    def marts(self) -> Mapping[str, tuple[tuple[NodeType, ...], tuple[EdgeType, ...]]]:
        """The marts that are read, with the types that come from each."""
        names = dict.fromkeys(each.mart for each in self.types)
        return {
            mart: (
                tuple(node for node in self.nodes.values() if node.mart == mart),
                tuple(edge for edge in self.edges.values() if edge.mart == mart),
            )
            for mart in names
        }

    def touching(self, label: str) -> Iterator[EdgeType]:
        """The edges that may begin or end at nodes of this label."""
        return (edge for edge in self.edges.values() if label in {end.label for end in edge.ends})

    def has_narrow(self, edge: EdgeType) -> bool:
        """Whether there is an end at which there is at most one edge of this type."""
        return any(self._is_narrow(edge, end) for end in edge.ends)

    def narrow(self, edge: EdgeType) -> End:
        """That end: it is where an edge is looked for. Where there is none, the source."""
        return next((end for end in edge.ends if self._is_narrow(edge, end)), edge.source)

    def _is_narrow(self, edge: EdgeType, end: End) -> bool:
        node = self.nodes[end.label]
        return node.mart == edge.mart and node.key == end.columns

    def code(self, mart: str) -> str:
        """Tells whether what comes from a mart is shown in another way than before."""
        return hashlib.sha256(repr(self.marts[mart]).encode()).hexdigest()[:16]


def _said(properties: tuple[str, ...], each: NodeType | EdgeType) -> tuple[str, ...]:
    validity = [name for name, column in ((VALID_FROM, each.valid_from), (VALID_TO, each.valid_to)) if column]
    return (*properties, SYNTHETIC, *validity)


def past_key(label: str, named: str) -> str:
    """How a node is found that is not there now."""
    return f"{label} {named}"


def node_id(parts: Iterable[object]) -> str:
    """How a node is named, by the values of its key."""
    return _SEPARATOR.join(str(part) for part in parts)


def _checked_node(node: NodeType) -> None:
    if not _LABEL.fullmatch(node.label) or node.label in _RESERVED:
        raise ConfigError(f"label '{node.label}' cannot be used", hint=f"one word such as Firm, none of {', '.join(sorted(_RESERVED))}")
    unknown = [name for name in (node.title, *node.indexed) if name and name not in {"id", *node.properties}]
    if unknown:
        raise ConfigError(f"{node.label}: '{unknown[0]}' is none of its properties", hint="add it to `properties`")
    taken = [name for name in node.properties if name == "id" or name.startswith("_")]
    if taken:
        raise ConfigError(
            f"{node.label}: property '{taken[0]}' has a name of the graph's own", hint="call the column otherwise in its mart"
        )


def _checked_edge(edge: EdgeType, ontology: Ontology) -> None:
    if not _TYPE.fullmatch(edge.type) or edge.type == WAS or edge.type.startswith(PAST_EDGE):
        raise ConfigError(f"edge type '{edge.type}' cannot be used", hint=f"capitals such as PLACED; not {WAS} or {PAST_EDGE}...")
    for end in edge.ends:
        if end.label not in ontology.nodes:
            raise ConfigError(f"{edge.type}: there is no node type '{end.label}'", hint=f"there are {', '.join(sorted(ontology.nodes))}")
        if len(end.columns) != len(ontology.nodes[end.label].key):
            key = ", ".join(ontology.nodes[end.label].key)
            raise ConfigError(f"{edge.type}: {len(end.columns)} columns name a {end.label}", hint=f"its key has {key}")
