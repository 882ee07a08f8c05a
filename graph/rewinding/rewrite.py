"""The rewriting itself: a variable is bound to what its node said then; `_at_<variable>` is the node by which patterns go on.

What it costs beside the present decides how it is said. ArcadeDB plans `EXISTS { ... }` anew for every row, and a pattern comprehension
once: so states are looked for by the latter. A variable of which the query asks no more than its id is its node itself, without a
state. Where a pattern begins, states are found, and conditions are asked, before its edges are followed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count
from typing import Final

from graph.kinds import KNOWN_FROM, KNOWN_TO, PAST, PAST_EDGE, STATE, VALID_FROM, VALID_TO, WAS
from graph.rewinding.mentions import asked, conjuncts, is_about, names, renamed
from graph.rewinding.patterns import EdgePattern, NodePattern, Path, paths
from graph.rewinding.states import KNOWN, VALID, looked_up, state
from graph.rewinding.tokens import Clause, Token, at_the_top, clauses, closing, joined, parts, tokens
from pilothouse.kernel.errors import ConfigError

_ORDER: Final = frozenset({"ORDER", "SKIP", "LIMIT"})
# What they tell is of the node by itself, of now; of a path, of all nodes on it.
_OF_NOW: Final = frozenset({"LABELS", "ID", "ELEMENTID", "NODES", "STARTNODE", "ENDNODE", "SHORTESTPATH", "ALLSHORTESTPATHS"})


@lru_cache(maxsize=256)  # half a millisecond, as much as a short query takes
def rewound(query: str, *, known: bool = True, valid: bool = False) -> str:
    """The query of what was known at `$_known` (or is known now), and held at `$_valid`; ConfigError where it cannot be asked of that."""
    some = tokens(query)
    rewriting = _Rewriting if known else _OfNow
    return rewriting(valid=valid, names=Counter(token.name for token in some), asked=set(asked(some))).query(some, _Scope())


@dataclass
class _Scope:
    """The variables in sight that are nodes, and those that are paths."""

    nodes: set[str] = field(default_factory=set)
    paths: set[str] = field(default_factory=set)

    def copy(self) -> _Scope:
        return _Scope(set(self.nodes), set(self.paths))


@dataclass(frozen=True)
class _Condition:
    """What is asked of variables, rewound; and the tokens that say of which."""

    text: str
    tokens: tuple[Token, ...]


@dataclass
class _Matched:
    """What became of the pattern of one MATCH."""

    lookups: list[tuple[str, NodePattern]] = field(default_factory=list)
    patterns: list[str] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)  # that can be asked beside the pattern
    said: list[_Condition] = field(default_factory=list)  # of what nodes said then
    new: list[str] = field(default_factory=list)  # nodes whose state is asked for
    found: set[str] = field(default_factory=set)  # names that the lookups bind
    bound: set[str] = field(default_factory=set)  # all names that the clause binds
    there: list[str] = field(default_factory=list)  # of what the lookups bind: whether it was there


class _Rewriting:
    def __init__(self, *, valid: bool, names: Counter[str], asked: set[str]) -> None:
        self._valid = valid
        self._names = names  # how often each stands in the query
        self._asked = asked  # those of which it asks more than the id
        self._numbers = count(1)

    def query(self, some: Sequence[Token], scope: _Scope) -> str:
        found = [clause for clause in clauses(some) if clause.keyword or clause.body]
        told, place = [], 0
        while place < len(found):
            clause = found[place]
            where = found[place + 1] if place + 1 < len(found) and found[place + 1].keyword == "WHERE" else None
            told.append(self._clause(clause, where, scope))
            place += 2 if where else 1
        return " ".join(told)

    def _clause(self, clause: Clause, where: Clause | None, scope: _Scope) -> str:
        condition = where.body if where else ()
        if clause.keyword == "MATCH":
            return self._match(clause, condition, scope)
        if clause.keyword == "OPTIONAL MATCH":
            return self._optional(clause, condition, scope)
        if clause.keyword in {"WITH", "RETURN"}:
            told = self._projection(clause, scope)
            return told + (f" WHERE {self._expression(condition, scope)}" if condition else "")
        if clause.keyword == "UNWIND":
            return f"UNWIND {self._expression(clause.body, scope)}"
        if clause.keyword == "UNION":
            scope.nodes, scope.paths = set(), set()
            return f"UNION{joined(clause.body)}"
        raise ConfigError(
            f"{clause.keyword or 'this'} cannot be asked of the past", hint="use MATCH, WHERE, WITH, UNWIND, RETURN and UNION"
        )

    def _match(self, clause: Clause, condition: Sequence[Token], scope: _Scope) -> str:
        matched = self._matched(clause.body, scope)
        asked_of = matched.said + [_Condition(f"({self._expression(part, scope)})", tuple(part)) for part in conjuncts(condition)]
        later = matched.bound - matched.found
        early = [each for each in asked_of if matched.lookups and not names(each.tokens) & later]
        late = [each.text for each in asked_of if each not in early]
        told = [looked_up(node, self._place(name), self._sieve(early, name)) for name, node in matched.lookups]
        begun = [name for name in matched.new if name in matched.found]
        told += self._bound(begun, matched.there + [each.text for each in early])
        new = [name for name in matched.new if name not in matched.found]
        beside = matched.conditions + ([] if new else late)
        if matched.patterns:
            told.append(f"MATCH {', '.join(matched.patterns)}" + (f" WHERE {' AND '.join(beside)}" if beside else ""))
        return " ".join(told + (self._bound(new, late) if new or not matched.patterns else []))

    def _sieve(self, conditions: Sequence[_Condition], name: str) -> str:
        """What a node that is there now has to be, to be looked at: what is asked for now, or changed since then."""
        own = [joined(renamed(each.tokens, name, self._place(name))).strip() for each in conditions if is_about(each.tokens, name)]
        return f"({' AND '.join(own)}) OR {self._place(name)}.{KNOWN_FROM} > ${KNOWN}" if own else ""

    def _bound(self, new: Sequence[str], conditions: Sequence[str]) -> list[str]:
        """Bind variables to what their nodes said then, and ask these conditions of them."""
        states = [f", {state(f'_at_{name}')} AS `{name}`" for name in new]
        there = [f"`{name}` IS NOT NULL{self._held(f'`{name}`')}" for name in new]
        where = " AND ".join([*there, *conditions])
        return [f"WITH *{''.join(states)} WHERE {where}"] if where else []

    def _optional(self, clause: Clause, condition: Sequence[Token], scope: _Scope) -> str:
        before = set(scope.nodes)
        matched = self._matched(clause.body, scope, optional=True)
        mentioned = {token.name for token in condition} & set(matched.new)
        if matched.said or mentioned:
            raise ConfigError(
                "OPTIONAL MATCH cannot be asked of the past where it is about what a node says that it finds",
                hint="match without OPTIONAL, or use COUNT { ... } and EXISTS { ... }",
            )
        conditions = [*matched.conditions, *(self._there(f"`_at_{name}`") for name in matched.new)]
        if condition:
            conditions.append(f"({self._expression(condition, _Scope(before, set(scope.paths)))})")
        told = [f"OPTIONAL MATCH {', '.join(matched.patterns)}"] + ([f"WHERE {' AND '.join(conditions)}"] if conditions else [])
        states = ", ".join(f"{state(f'_at_{name}', optional=True)} AS `{name}`" for name in matched.new)
        return " ".join(told + ([f"WITH *, {states}"] if states else []))

    def _matched(self, body: Sequence[Token], scope: _Scope, *, optional: bool = False) -> _Matched:
        matched = _Matched()
        for path in paths(body):
            self._path(path, matched, scope, optional=optional)
        return matched

    def _path(self, path: Path, matched: _Matched, scope: _Scope, *, optional: bool) -> None:
        named = [(node, node.name or f"_n{next(self._numbers)}") for node in path.nodes]
        held = any(name in scope.nodes for _, name in named)
        found = {name for node, name in named if name not in scope.nodes and node.label and node.id_alone and not optional}
        if not held and not found:
            found = {next((name for node, name in named if node.label), "")}
            if "" in found or optional:
                raise ConfigError("a pattern of the past has to begin somewhere", hint="give one of its nodes a label")
        told = []
        for place, (node, name) in enumerate(named):
            if not node.name and any(key != "id" for key, _ in node.values):
                self._asked.add(name)
            if place:
                told.append(self._edge(path.edges[place - 1], matched))
            told.append(f"({self._place(name)})")
            self._node(node, name, matched, scope, look_up=name in found)
        matched.found |= found
        long = any(edge.range for edge in path.edges)
        way = path.name or (f"_p{next(self._numbers)}" if long else "")
        if path.name:
            scope.paths.add(path.name)
            matched.bound.add(path.name)
        if long:
            matched.conditions.append(f"all(_x IN nodes(`{way}`) WHERE {self._there('_x')})")
        if path.edges or path.name or not found:
            matched.patterns.append((f"`{way}` = " if way else "") + "".join(told))

    def _place(self, name: str) -> str:
        """By which a pattern goes on: the variable itself where nobody asks what its node said."""
        return f"`_at_{name}`" if name in self._asked else f"`{name}`"

    def _node(self, node: NodePattern, name: str, matched: _Matched, scope: _Scope, *, look_up: bool) -> None:
        new = name not in scope.nodes
        identity = self._place(name)
        if look_up:
            matched.lookups.append((name, node))
        elif node.label:
            matched.conditions.append(f"({identity}:`{node.label}` OR ({identity}:{PAST} AND {identity}._label = '{node.label}'))")
        for key, value in node.values:
            if key == "id" and look_up and node.id_alone:
                continue
            told = f"`{key}` = {self._expression(value, scope)}"
            if key == "id" and not look_up:
                matched.conditions.append(f"{identity}.{told}")
            else:
                said = (Token("quoted", f"`{name}`"), Token("sign", ".", ""), Token("name", f"`{key}`", ""), Token("sign", "="))
                matched.said.append(_Condition(f"`{name}`.{told}", (*said, *value)))
        if new:
            scope.nodes.add(name)
            matched.bound.add(name)
            if name in self._asked:
                matched.new.append(name)
            else:
                (matched.there if look_up else matched.conditions).append(self._there(identity))

    def _edge(self, edge: EdgePattern, matched: _Matched) -> str:
        name = edge.name or f"_e{next(self._numbers)}"
        types = "|".join(f"`{kind}`|`{PAST_EDGE}{kind}`" for kind in edge.types)
        held = f"{{}}.{KNOWN_FROM} <= ${KNOWN} AND ({{}}.{KNOWN_TO} IS NULL OR ${KNOWN} < {{}}.{KNOWN_TO})"
        if edge.range:
            matched.conditions.append(f"all(_x IN `{name}` WHERE {held.format('_x', '_x', '_x')}{self._held('_x')})")
        else:
            quoted = f"`{name}`"
            matched.conditions.append(held.format(quoted, quoted, quoted) + self._held(quoted))
        return f"{edge.left}[`{name}`{':' + types if types else ''}{edge.range} {edge.values}]{edge.right}"

    def _held(self, name: str) -> str:
        """A condition to follow others: whether it held at the moment that is asked about, where one is."""
        if not self._valid:
            return ""
        since, until = f"{name}.{VALID_FROM}", f"{name}.{VALID_TO}"
        return f" AND ({since} IS NULL OR {since} <= ${VALID}) AND ({until} IS NULL OR ${VALID} < {until})"

    def _there(self, identity: str) -> str:
        """Whether a node was known then, and held."""
        before = f"_s.{KNOWN_FROM} <= ${KNOWN} AND ${KNOWN} < _s.{KNOWN_TO}{self._held('_s')}"
        now = f"({identity}.{KNOWN_FROM} <= ${KNOWN}{self._held(identity)})"
        return f"({now} OR size([({identity})-[:{WAS}]->(_s:{STATE}) WHERE {before} | 1]) > 0)"

    def _projection(self, clause: Clause, scope: _Scope) -> str:
        body = list(clause.body)
        cut = next((place for place, token in at_the_top(body) if token.word in _ORDER), len(body))
        items, rest = body[:cut], body[cut:]
        distinct = ""
        if items and items[0].word == "DISTINCT":
            distinct, items = " DISTINCT", items[1:]
        told, nodes = [], set[str]()
        for item in parts(items):
            told.append(self._expression(item, scope))
            old, new = item[0].name, item[-1].name
            if [token.text for token in item] == ["*"]:
                nodes |= scope.nodes
            elif clause.keyword == "WITH" and old in scope.nodes and len(item) in {1, 3} and (len(item) == 1 or item[1].word == "AS"):
                told += self._carried(old, new)
                nodes.add(new)
        if clause.keyword == "RETURN" and any(item == "*" for item in (text.strip() for text in told)):
            raise ConfigError("RETURN * cannot be asked of the past", hint="name what is to be returned")
        after = self._expression(rest, scope) if rest else ""
        if clause.keyword == "WITH":
            scope.nodes, scope.paths = nodes, set() if "*" not in [text.strip() for text in told] else scope.paths
        return f"{clause.keyword}{distinct} {', '.join(told)}{after}"

    def _carried(self, old: str, new: str) -> list[str]:
        """What goes along with a node under its new name."""
        return [f"`_at_{old}` AS `_at_{new}`"] if old in self._asked else []

    def _expression(self, some: Sequence[Token], scope: _Scope) -> str:
        """An expression, with the subqueries in it rewound, too."""
        told, place = list[str](), 0
        while place < len(some):
            token = some[place]
            following = some[place + 1].text if place + 1 < len(some) else ""
            if token.word in {"EXISTS", "COUNT"} and following == "{":
                end = closing(some, place + 1)
                told.append(f" {token.word} {{ {self._subquery(some[place + 2 : end], scope)} }}")
                place = end + 1
                continue
            if token.word == "TYPE" and following == "(":
                end = closing(some, place + 1)
                told.append(f" replace(type{joined(some[place + 1 : end + 1])}, '{PAST_EDGE}', '')")
                place = end + 1
                continue
            self._refuse(some, place, scope)
            told.append(joined([token]))
            place += 1
        return "".join(told)

    def _subquery(self, some: Sequence[Token], scope: _Scope) -> str:
        inner = list(some) if some and some[0].word in {"MATCH", "CALL", "WITH", "UNWIND"} else [Token("word", "MATCH"), *some]
        told = self.query(inner, scope.copy())
        return told if any(clause.keyword == "RETURN" for clause in clauses(inner)) else f"{told} RETURN 1 AS _one"

    @staticmethod
    def _refuse(some: Sequence[Token], place: int, scope: _Scope) -> None:
        token = some[place]
        ahead = "".join(each.text for each in some[place + 1 : place + 4])
        if token.word in _OF_NOW and ahead.startswith("("):
            raise ConfigError(f"{token.text}() tells of now and cannot be asked of the past", hint="ask for properties, or length(path)")
        if token.text == ")" and ahead.startswith(("-[", "<-[", "--", "<--")):
            raise ConfigError("a pattern inside of an expression cannot be asked of the past", hint="write EXISTS { ... } or COUNT { ... }")
        before = "".join(each.word for each in some[max(place - 2, 0) : place])
        if token.name in scope.paths and before != "LENGTH":
            raise ConfigError(
                f"the path '{token.name}' tells of now and cannot be asked of the past", hint="ask for length(path), or its nodes"
            )


class _OfNow(_Rewriting):
    """Of what is known now, and held at a moment: the query itself, with conditions beside its patterns."""

    def _match(self, clause: Clause, condition: Sequence[Token], scope: _Scope, *, word: str = "MATCH") -> str:
        matched = self._matched(clause.body, scope)
        conditions = matched.conditions + ([f"({self._expression(condition, scope)})"] if condition else [])
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return f"{word} {', '.join(matched.patterns)}{where}"

    def _optional(self, clause: Clause, condition: Sequence[Token], scope: _Scope) -> str:
        return self._match(clause, condition, scope, word="OPTIONAL MATCH")

    def _path(self, path: Path, matched: _Matched, scope: _Scope, *, optional: bool) -> None:  # noqa: ARG002 - as above
        told = []
        for place, node in enumerate(path.nodes):
            name = node.name or f"_n{next(self._numbers)}"
            if place:
                edge = path.edges[place - 1]
                called = edge.name or f"_e{next(self._numbers)}"
                types = ":" + "|".join(f"`{kind}`" for kind in edge.types) if edge.types else ""
                told.append(f"{edge.left}[`{called}`{types}{edge.range} {edge.values}]{edge.right}")
                matched.conditions.append(f"all(_x IN `{called}` WHERE {self._now('_x')})" if edge.range else self._now(f"`{called}`"))
            values = ", ".join(f"`{key}`: {self._expression(value, scope)}" for key, value in node.values)
            told.append(f"(`{name}`{f':`{node.label}`' if node.label else ''}{f' {{{values}}}' if values else ''})")
            if name not in scope.nodes:
                matched.conditions.append(self._now(f"`{name}`"))
                scope.nodes.add(name)
        if any(edge.range for edge in path.edges):
            way = path.name or f"_p{next(self._numbers)}"
            matched.conditions.append(f"all(_x IN nodes(`{way}`) WHERE {self._now('_x')})")
            matched.patterns.append(f"`{way}` = {''.join(told)}")
        else:
            matched.patterns.append((f"`{path.name}` = " if path.name else "") + "".join(told))

    def _now(self, name: str) -> str:
        """Whether it is there, and held then. Edges and nodes without a type of their own may be those of the past."""
        return f"{name}.{KNOWN_FROM} IS NOT NULL AND {name}.{KNOWN_TO} IS NULL{self._held(name)}"

    def _carried(self, old: str, new: str) -> list[str]:  # noqa: ARG002 - as above
        return []
