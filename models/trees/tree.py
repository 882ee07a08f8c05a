"""A tree that has been proved, and what it decides.

Deciding is closures over a row of values: each input is read once, each node tries its cases in order. A decision keeps the
values and the way that was taken; telling it, with every condition and the value seen, costs nothing until somebody asks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from models.trees.boxes import Box
from models.trees.closures import Way, compiled, readers
from models.trees.conditions import shown, told
from models.trees.document import Leaf, TreeFile
from models.trees.facts import Fact, knowable
from models.trees.proof import Checked, proved
from models.trees.sets import Known
from pilothouse.kernel.errors import ModelError
from pilothouse.kernel.versions import Pinned, note_read

if TYPE_CHECKING:
    import polars as pl

    from models.trees.nearest import Other
    from models.trees.reading import Lines


@dataclass(frozen=True)
class Condition:
    """One condition that was looked at: what it asks, the value seen, and whether it held."""

    input: str
    test: str
    value: Any
    held: bool


@dataclass(frozen=True)
class Step:
    """One node on the way: the case that was taken (none where `otherwise` was), and every condition that led to it."""

    node: str
    ask: str
    case: int | None
    then: str
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, eq=False)
class Decision:
    """What a tree says of one set of values, and why."""

    tree: Tree
    leaf: str
    values: Mapping[str, Known | None]
    way: Way

    @property
    def action(self) -> str:
        """What is done."""
        return self.tree.document.leaves[self.leaf].action

    @property
    def reason(self) -> str:
        """Why, in the words of the leaf."""
        return self.tree.document.leaves[self.leaf].reason

    @property
    def terms(self) -> Mapping[str, Any]:
        """Figures of the action."""
        return self.tree.document.leaves[self.leaf].terms

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """The full path: each condition that was looked at, with the value seen."""
        return tuple(self._step(node, case) for node, case in self.way)

    def as_json(self) -> dict[str, Any]:
        """Everything it says, as plain JSON."""
        return {
            "tree": self.tree.name,
            "version": self.tree.version,
            "action": self.action,
            "reason": self.reason,
            "terms": dict(self.terms),
            "leaf": self.leaf,
            "path": [
                {
                    "node": step.node,
                    "ask": step.ask,
                    "case": step.case,
                    "then": step.then,
                    "conditions": [vars(condition) for condition in step.conditions],
                }
                for step in self.steps
            ],
        }

    def _step(self, name: str, taken: int | None) -> Step:
        node = self.tree.document.nodes[name]
        boxes = self.tree.checked_as.cases[name]
        looked_at: list[Condition] = []
        for number in range(len(node.cases) if taken is None else taken + 1):
            for box in boxes[number]:
                # By name: a tree that was kept in its canonical writing tells its way in the same words.
                conditions = [self._condition(each, box) for each in sorted(box)]
                if number == taken and all(condition.held for condition in conditions):
                    looked_at += conditions
                    break
                failed = next((condition for condition in conditions if not condition.held), None)
                looked_at += [failed] if failed is not None else []
        then = node.otherwise if taken is None else node.cases[taken].then
        assert then is not None
        return Step(name, node.ask, None if taken is None else taken + 1, then, tuple(dict.fromkeys(looked_at)))

    def _condition(self, name: str, box: Box) -> Condition:
        fact, value = self.tree.facts[name], self.values[name]
        return Condition(name, told(box[name], fact), fact.outer(value), value in box[name])


@dataclass(frozen=True, eq=False)
class Tree:
    """A tree that answers every input that can be, each by one way."""

    document: TreeFile
    facts: Mapping[str, Fact]
    checked_as: Checked
    _decide: Callable[[Sequence[Known | None]], tuple[str, Way]] = field(repr=False)

    @classmethod
    def checked(cls, document: TreeFile, facts: Mapping[str, Fact], lines: Lines) -> Tree:
        """The tree of a document; ConfigError where it has a hole, a loop, or a branch that no input reaches."""
        found = proved(document, facts, lines)
        asked = {name: facts[name] for name in found.inputs}
        return cls(document, asked, found, compiled(document, found))

    @property
    def name(self) -> str:
        """Its name."""
        return self.document.name

    @property
    def leaves(self) -> Mapping[str, Leaf]:
        """What it can decide."""
        return self.document.leaves

    @property
    def inputs(self) -> tuple[str, ...]:
        """The inputs that it asks, in the order of their names."""
        return self.checked_as.inputs

    @property
    def actions(self) -> tuple[str, ...]:
        """The actions that it can lead to, in the order of its leaves."""
        return tuple(dict.fromkeys(leaf.action for leaf in self.document.leaves.values()))

    @cached_property
    def version(self) -> str:
        """SHA-256 of what it says, however it is written."""
        return hashlib.sha256(self.document.canonical().encode()).hexdigest()

    def pinned(self) -> Pinned:
        """Itself as an entry of a version vector."""
        return Pinned("policy", self.name, self.version)

    def decide(self, facts: Mapping[str, Any]) -> Decision:
        """What it says of these facts, which hold every input of the tree; None stands for a missing value. It is noted as read."""
        values = self.read(facts)
        leaf, way = self._decide(values)
        note_read(self._pinned)
        return Decision(self, leaf, dict(zip(self.inputs, values, strict=True)), way)

    def decide_frame(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The same for each row of a frame: its action, reason and leaf, in the order of the rows."""
        from models.trees.frames import decide_frame

        note_read(self._pinned)
        return decide_frame(self, frame)

    def nearest(self, facts: Mapping[str, Any], actions: Sequence[str] | None = None) -> Other | None:
        """The smallest change of what may change that leads to another action (to one of these, where given)."""
        from models.trees.nearest import nearest

        return nearest(self, facts, actions)

    def read(self, facts: Mapping[str, Any]) -> list[Known | None]:
        """The values of its inputs as they are compared; ModelError names the first that cannot be."""
        values: list[Known | None] = []
        for name, read in self._readers:
            try:
                values.append(read(facts[name]))
            except KeyError:
                raise ModelError(
                    f"tree {self.name}: input '{name}' is missing altogether",
                    hint="give every input that the tree asks; give it as null where it is not known",
                ) from None
            except (ValueError, ArithmeticError) as error:
                fact = self.facts[name]
                raise ModelError(
                    f"tree {self.name}: {name} is {_quoted(facts[name])}: {error}",
                    hint=knowable(fact),
                ) from error
        return values

    @cached_property
    def _readers(self) -> tuple[tuple[str, Callable[[Any], Known | None]], ...]:
        return readers(self.facts, self.inputs)

    @cached_property
    def _pinned(self) -> Pinned:
        return self.pinned()


def _quoted(value: Any) -> str:
    return f"'{value}'" if isinstance(value, str) else shown(value)
