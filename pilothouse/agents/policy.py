"""A brain without a key or a network: facts are gathered by calls, a decision tree decides, and the tree's own way is the reason."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self, cast

from pilothouse.agents.tools import Calls

if TYPE_CHECKING:
    from models.trees import Decision, Tree
    from pilothouse.agents.agent import Agent, Request

Facts = Mapping[str, Any]


class _Read:
    """A tree, or the name of one, which is read and proved when it is first asked for: Dagster loads every agent for its declarations."""

    def __get__(self, policy: Any, owner: type | None = None) -> Tree:
        if policy is None:
            raise AttributeError("tree")  # dataclasses take it as a field without a default
        found = policy.__dict__["tree"]
        if isinstance(found, str):
            from models.trees import find_tree

            found = policy.__dict__["tree"] = find_tree(found)
        return cast("Tree", found)

    def __set__(self, policy: Any, tree: Tree | str) -> None:
        policy.__dict__["tree"] = tree


@dataclass(frozen=True)
class Policy:
    """Decides by a tree, or by the declared one of that name. `gather` brings the facts that it may ask, `tell` says in an agent's words
    what it decided."""

    tree: _Read = _Read()
    gather: Callable[[Request, Calls], Facts]  # type: ignore[misc]  # a tree has no default, as dataclasses find out and mypy does not
    tell: Callable[[Decision, Facts, Request], Mapping[str, Any]]  # type: ignore[misc]

    def definition(self) -> Any:
        """The tree as it is written down."""
        return {"tree": self.tree.document.canonical(), "tree_version": self.tree.version}

    def as_defined(self, definition: Any) -> Self:
        """The policy with the tree of then."""
        if definition["tree_version"] == self.tree.version:
            return self
        return replace(self, tree=_tree_of_then(definition["tree"], self.tree.name))

    def decide(self, agent: Agent, request: Request, calls: Calls) -> Mapping[str, Any]:  # noqa: ARG002 - a brain's signature
        """Gather, decide, tell."""
        facts = self.gather(request, calls)
        return self.tell(self.tree.decide(asked_by(self.tree, facts)), facts, request)


@lru_cache(8)
def _tree_of_then(text: str, name: str) -> Tree:
    """A tree as it was written down then; proved once, however many decisions of it are made again."""
    from models.trees import declared_facts, tree_from

    return tree_from(text, declared_facts(), name)


def asked_by(tree: Tree, facts: Facts) -> dict[str, Any]:
    """What a tree asks of the facts. Decimals came as texts, which keep their digits; a tree compares numbers."""
    given = {name: facts.get(name) for name in tree.inputs}
    return {
        name: Decimal(value) if isinstance(value, str) and tree.facts[name].type == "number" else value for name, value in given.items()
    }


_brief: ContextVar[bool] = ContextVar("pilothouse_brief", default=False)


@contextmanager
def briefly() -> Iterator[None]:
    """Decide without looking for the nearest other decision, which takes ten times as long: for who tries hundreds, and compares what
    is decided alone."""
    token = _brief.set(True)
    try:
        yield
    finally:
        _brief.reset(token)


def confidence(decision: Decision, facts: Facts) -> tuple[float, dict[str, Any] | None]:
    """How sure a decision is, and the nearest other one. It is as sure as what would have to change for another is much: nothing in
    between gives 0, one unit of what the tree calls a change 0.63, and where nothing leads elsewhere it is 1."""
    if _brief.get():
        return 1.0, None
    other = decision.tree.nearest(asked_by(decision.tree, facts))
    if other is None:
        return 1.0, None
    return round(1.0 - math.exp(-other.weight), 4), json.loads(json.dumps(other.as_json(), default=str))
