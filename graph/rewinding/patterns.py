"""Patterns as values: the nodes and edges between the words MATCH and WHERE."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from graph.rewinding.tokens import Token, closing, joined, parts
from pilothouse.kernel.errors import ConfigError

_HINT = "write it as (name:Label {id: $value})-[name:TYPE]->(name:Label), and conditions into WHERE"


@dataclass(frozen=True)
class NodePattern:
    """(name:Label {key: value})."""

    name: str
    label: str
    values: tuple[tuple[str, tuple[Token, ...]], ...]

    @property
    def id_alone(self) -> Token | None:
        """The value of its id, where that is a parameter, a literal or a variable."""
        found = (value[0] for key, value in self.values if key == "id" and len(value) == 1)
        return next((token for token in found if token.kind in {"parameter", "text", "word", "quoted"}), None)


@dataclass(frozen=True)
class EdgePattern:
    """-[name:TYPE|TYPE*1..3 {key: value}]->, with what stands around it."""

    name: str
    types: tuple[str, ...]
    range: str  # with its star; nothing for one edge
    values: str
    left: str
    right: str


@dataclass(frozen=True)
class Path:
    """Nodes with edges between them, under a name or none."""

    name: str
    nodes: tuple[NodePattern, ...]
    edges: tuple[EdgePattern, ...]


def paths(body: Sequence[Token]) -> Iterator[Path]:
    """The comma-separated paths of a MATCH."""
    for part in parts(body):
        named = len(part) > 1 and part[1].text == "="
        yield _path(part[0].name, part[2:]) if named else _path("", part)


def _path(name: str, some: Sequence[Token]) -> Path:
    nodes: list[NodePattern] = []
    edges: list[EdgePattern] = []
    place = 0
    while True:
        if place >= len(some) or some[place].text != "(":
            raise ConfigError(f"no pattern of nodes and edges: {joined(some).strip()}", hint=_HINT)
        end = closing(some, place)
        nodes.append(_node(some[place + 1 : end]))
        if end + 1 == len(some):
            return Path(name, tuple(nodes), tuple(edges))
        place = end + 1
        opening = next((at for at in range(place, len(some)) if some[at].text in {"[", "("}), len(some) - 1)
        left = "".join(token.text for token in some[place:opening])
        if some[opening].text == "[":
            end = closing(some, opening)
            following = next((at for at in range(end, len(some)) if some[at].text == "("), len(some) - 1)
            edges.append(_edge(some[opening + 1 : end], left, "".join(token.text for token in some[end + 1 : following])))
            place = following
        else:  # -->, <-- or --
            edges.append(EdgePattern("", (), "", "", "<-" if left.startswith("<") else "-", "->" if left.endswith(">") else "-"))
            place = opening


def _node(some: Sequence[Token]) -> NodePattern:
    name, label, place = "", "", 0
    if place < len(some) and some[place].name and some[place].word != "WHERE":
        name, place = some[place].name, place + 1
    if place < len(some) and some[place].text == ":":
        label, place = some[place + 1].name, place + 2
    values: list[tuple[str, tuple[Token, ...]]] = []
    if place < len(some) and some[place].text == "{":
        end = closing(some, place)
        values = [(entry[0].name, tuple(entry[2:])) for entry in parts(some[place + 1 : end])]
        place = end + 1
    if place != len(some):
        raise ConfigError(f"({joined(some).strip()}) cannot be asked of the past", hint=_HINT)
    return NodePattern(name, label, tuple(values))


def _edge(some: Sequence[Token], left: str, right: str) -> EdgePattern:
    name, types, reach, values, place = "", list[str](), "", "", 0
    if place < len(some) and some[place].name:
        name, place = some[place].name, place + 1
    while place < len(some) and some[place].text in {":", "|"}:
        place += 1
        if some[place].name:
            types.append(some[place].name)
            place += 1
    if place < len(some) and some[place].text == "*":
        end = next((at for at in range(place, len(some)) if some[at].text == "{"), len(some))
        reach, place = joined(some[place:end]).strip(), end
    if place < len(some) and some[place].text == "{":
        values, place = joined(some[place:]).strip(), len(some)
    if place != len(some) or left not in {"-", "<-"} or right not in {"-", "->"}:
        raise ConfigError(f"{left}[{joined(some).strip()}]{right} cannot be asked of the past", hint=_HINT)
    return EdgePattern(name, tuple(types), reach, values, left, right)
