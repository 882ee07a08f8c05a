"""A tree as a decision table.

With FIRST a rule is a way through the tree: the conditions of the cases that are taken on it, in the order of the cases. What
earlier cases took is taken by earlier rules, for a proved tree leaves nothing open behind a case. With UNIQUE and ANY each rule
says all of its conditions itself, so that rules can be read in any order; there are more of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from models.trees.boxes import Box, met, split
from models.trees.dmn import feel
from models.trees.dmn.table import Column, Output, Policy, Rule, Table
from models.trees.tree import Tree

_TYPES: Final = {"number": "number", "integer": "integer", "text": "string", "bool": "boolean", "date": "date"}


def table_of(tree: Tree, policy: Policy = "FIRST") -> Table:
    """The table that decides as the tree does."""
    ways = list(_ways(tree, tree.document.start, {}, [{}])) if policy == "FIRST" else list(_regions(tree))
    columns = tuple(Column(name, _TYPES[fact.type], fact.description, feel.write_domain(fact)) for name, fact in tree.facts.items())
    terms = sorted({name for leaf in tree.leaves.values() for name in leaf.terms})
    outputs = (Output("action", "string"), Output("reason", "string"), *(Output(name, _type(tree, name)) for name in terms))
    rules = tuple(_rule(tree, box, leaf, terms) for box, leaf in ways)
    return Table(tree.name, policy, columns, outputs, rules, tree.document.description.strip())


def _ways(tree: Tree, name: str, box: Box, region: list[Box]) -> Iterator[tuple[Box, str]]:
    node = tree.document.nodes.get(name)
    if node is None:
        yield box, name
        return
    domains = {each: fact.domain for each, fact in tree.facts.items()}
    for case, alternatives in zip(node.cases, tree.checked_as.cases[name], strict=True):
        for condition in alternatives:
            inside, region = split(region, condition, domains, tree.name)
            further = met(box, condition, domains)
            if inside and further is not None:  # a node to which several ways lead is asked some things that are settled on this one
                yield from _ways(tree, case.then, further, inside)
    if node.otherwise is not None and region:
        yield from _ways(tree, node.otherwise, box, region)


def _regions(tree: Tree) -> Iterator[tuple[Box, str]]:
    for leaf in tree.leaves:
        for box in tree.checked_as.regions[leaf]:
            yield box, leaf


def _rule(tree: Tree, box: Box, leaf: str, terms: list[str]) -> Rule:
    tests = tuple(feel.write(box[name], fact) if name in box else "-" for name, fact in tree.facts.items())
    said = tree.leaves[leaf]
    return Rule(tests, (said.action, said.reason, *(said.terms.get(name) for name in terms)), leaf)


def _type(tree: Tree, term: str) -> str:
    values: list[Any] = [leaf.terms[term] for leaf in tree.leaves.values() if term in leaf.terms]
    kinds = {"boolean" if isinstance(value, bool) else "string" if isinstance(value, str) else "number" for value in values}
    return kinds.pop() if len(kinds) == 1 else "Any"
