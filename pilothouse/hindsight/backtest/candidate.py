"""A version of an agent that is tried: the agent with another tree, other thresholds, other instructions, or the word of another model."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from models.trees import Tree, declared_facts, find_tree, tree_from
from pilothouse.agents.agent import Agent
from pilothouse.agents.policy import Policy
from pilothouse.kernel.errors import ConfigError

_SAID: Final = re.compile(r"^\s*([\w.]+)\s*:\s*(-?[\d.]+)\s*=\s*(-?[\d.]+)\s*$")
_BOUNDS: Final = ("above", "at_least", "below", "at_most", "is")


@dataclass(frozen=True)
class Candidate:
    """What is tried, and how it differs in words. `model` is a version of the risk model that is used throughout."""

    agent: Agent
    model: int | None
    differs: tuple[str, ...]

    @property
    def is_the_agent(self) -> bool:
        """Whether it is the agent as it stands."""
        return not self.differs


def candidate(
    agent: Agent, *, tree: str | None = None, thresholds: Sequence[str] = (), model: int | None = None, instructions: Path | None = None
) -> Candidate:
    """The agent with these differences; ConfigError where it cannot have one."""
    differs: list[str] = []
    if tree is not None or thresholds:
        policy = _policy(agent)
        made = find_tree(tree) if tree is not None else policy.tree
        differs += [f"tree {tree}"] if tree is not None else []
        if thresholds:
            made = with_thresholds(made, thresholds)
            differs += [" ".join(each.split()) for each in thresholds]
        agent = replace(agent, brain=replace(policy, tree=made))
    if instructions is not None:
        try:
            text = instructions.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{instructions}: cannot be read ({error.strerror})", hint="name a text file of instructions") from error
        agent = replace(agent, instructions=text)
        differs.append(f"instructions {instructions}")
    if model is not None:
        differs.append(f"model version {model}")
    return Candidate(agent, model, tuple(differs))


def with_thresholds(tree: Tree, said: Sequence[str]) -> Tree:
    """A tree whose bounds are others: `risk.probability:0.22=0.3` puts 0.3 wherever risk.probability is held against 0.22."""
    document = json.loads(tree.document.canonical())
    for each in said:
        found = _SAID.match(each)
        if found is None:
            raise ConfigError(f"'{each}' sets no threshold", hint="say FACT:OLD=NEW, such as risk.probability:0.22=0.3")
        fact, old, new = found[1], _number(found[2], each), _number(found[3], each)
        bounds = list(_bounds(document, fact))
        met = [(test, word) for test, word in bounds if test[word] == old]
        if not met:
            known = ", ".join(f"{value:g}" for value in sorted({test[word] for test, word in bounds}))
            raise ConfigError(
                f"tree {tree.name} holds {fact} against no {old:g}",
                hint=f"it holds it against {known}" if known else f"it asks {', '.join(tree.inputs)}",
            )
        for test, word in met:
            test[word] = new
    return tree_from(json.dumps(document), declared_facts(), tree.name)


def _policy(agent: Agent) -> Policy:
    if not isinstance(agent.brain, Policy):
        raise ConfigError(
            f"{agent.name} does not decide by a tree", hint="try other instructions (--instructions) or another model (--model)"
        )
    return agent.brain


def _bounds(document: Any, fact: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Every test of a fact with a number in it, and the word that the number stands behind."""
    for node in document["nodes"].values():
        for case in node["cases"]:
            for condition in case["when"] if isinstance(case["when"], list) else [case["when"]]:
                test = condition.get(fact)
                if isinstance(test, dict):
                    yield from ((test, word) for word in _BOUNDS if isinstance(test.get(word), int | float))


def _number(text: str, said: str) -> float:
    try:
        number = float(text)
    except ValueError as error:
        raise ConfigError(f"'{said}': {text} is no number", hint="say FACT:OLD=NEW, such as risk.probability:0.22=0.3") from error
    return int(number) if number.is_integer() else number
