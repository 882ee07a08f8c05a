"""Random trees, and an evaluator that shares nothing with ours: it reads conditions as they are written, over all values that matter."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

from hypothesis import strategies as st

from models.trees import Fact
from models.trees.document import TreeFile

DAYS = [date(2026, 1, day) for day in range(1, 5)]
FACTS: dict[str, Fact] = {
    "amount": Fact(type="number", least=0, most=3, step=0.25),
    "risk.p": Fact(type="number", missing=False),
    "count": Fact(type="integer", least=0, most=4),
    "grade": Fact(type="text", categories=("A", "B", "C")),
    "city": Fact(type="text", missing=False),
    "new": Fact(type="bool"),
    "since": Fact(type="date", least=DAYS[0], most=DAYS[-1], missing=False),
}
# Every bound that is written is one of these, so between and beside them everything is alike.
WRITTEN: dict[str, list[Any]] = {
    "amount": [0, 1, 1.5, 3],
    "risk.p": [-1, 0.5, 2],
    "count": [0, 1, 2.5, 4],
    "grade": ["A", "B", "C"],
    "city": ["Bonn", "Oslo"],
    "new": [True, False],
    "since": DAYS,
}
SEEN: dict[str, list[Any]] = {
    "amount": [None, 0, 0.25, 0.75, 1, 1.25, 1.5, 1.75, 2.5, 3],
    "risk.p": [-2.0, -1.0, -0.5, 0.5, 1.0, 2.0, 7.5],
    "count": [None, 0, 1, 2, 3, 4],
    "grade": [None, "A", "B", "C"],
    "city": ["Bonn", "Oslo", "Rome"],
    "new": [None, True, False],
    "since": DAYS,
}


def holds(test: Any, value: Any) -> bool:
    """What a written test says of a value."""
    if not isinstance(test, dict):
        return value is not None and value in (test if isinstance(test, list) else [test])
    if "missing" in test:
        return bool((value is None) == test["missing"])
    if value is None:
        return bool(test.get("or_missing", False))
    return all(WORDS[word](value, asked) for word, asked in test.items() if word != "or_missing")


WORDS: dict[str, Callable[[Any, Any], bool]] = {
    "is": lambda value, asked: value == asked,
    "in": lambda value, asked: value in asked,
    "not_in": lambda value, asked: value not in asked,
    "above": operator.gt,
    "at_least": operator.ge,
    "below": operator.lt,
    "at_most": operator.le,
}


def way(document: TreeFile, row: dict[str, Any]) -> Iterator[tuple[str, int | None]]:
    """The nodes and cases that a row passes, and at last its leaf; it ends early in a hole."""
    here = document.start
    while here in document.nodes:
        node = document.nodes[here]
        for number, case in enumerate(node.cases):
            conditions = case.when if isinstance(case.when, list) else [case.when]
            if any(all(holds(test, row[name]) for name, test in condition.items()) for condition in conditions):
                yield here, number
                here = case.then
                break
        else:
            if node.otherwise is None:
                return
            yield here, None
            here = node.otherwise
    yield here, None


def rows(names: list[str]) -> Iterator[dict[str, Any]]:
    """Every combination of the values that matter of some inputs."""
    for values in itertools.product(*(SEEN[name] for name in names)):
        yield dict(zip(names, values, strict=True))


@st.composite
def tests(draw: st.DrawFn, name: str) -> Any:
    values = st.sampled_from(WRITTEN[name])
    kind = FACTS[name].type
    if draw(st.booleans()):
        return draw(values | st.lists(values, min_size=1, max_size=2))
    words: dict[str, Any] = {}
    options = (
        ["is", "in", "not_in", "missing"]
        if kind in {"text", "bool"}
        else ["above", "at_least", "below", "at_most", "not_in", "missing", "between"]
    )
    word = draw(st.sampled_from(options))
    if word == "missing":
        return {"missing": draw(st.booleans())}
    if word == "between":
        words = {"at_least": draw(values), "below": draw(values)}
    else:
        words[word] = [draw(values)] if word in {"in", "not_in"} else draw(values)
    if draw(st.booleans()):
        words["or_missing"] = True
    return words


@st.composite
def conditions(draw: st.DrawFn, names: list[str]) -> dict[str, Any]:
    chosen = draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True))
    return {name: draw(tests(name)) for name in chosen}


@st.composite
def documents(draw: st.DrawFn) -> TreeFile:
    """Any tree that is well formed: most have holes or dead branches."""
    names = sorted(draw(st.lists(st.sampled_from(sorted(FACTS)), min_size=1, max_size=3, unique=True)))
    count = draw(st.integers(1, 4))
    leaves = [f"leaf{number}" for number in range(draw(st.integers(1, 4)))]
    nodes = {}
    for number in range(count):
        later = [*leaves, *(f"node{other}" for other in range(number + 1, count))]
        cases = []
        for _ in range(draw(st.integers(1, 3))):
            several = draw(st.integers(1, 5)) == 1
            alternatives: st.SearchStrategy[Any] = st.lists(conditions(names), min_size=2, max_size=2) if several else conditions(names)
            when = draw(alternatives)
            cases.append({"when": when, "then": draw(st.sampled_from(later))})
        nodes[f"node{number}"] = {"cases": cases, "otherwise": draw(st.one_of(st.sampled_from(later), st.none()))}
    return TreeFile.model_validate(
        {
            "name": "random",
            "inputs": FACTS,
            "start": "node0",
            "nodes": nodes,
            "leaves": {leaf: {"action": f"act{number % 3}", "reason": f"because {number}"} for number, leaf in enumerate(leaves)},
        }
    )


def mended(document: TreeFile) -> TreeFile:
    """The same without dead branches and holes, as its rows show them."""
    plain = document.model_dump(by_alias=True, exclude_defaults=True)
    for node in plain["nodes"].values():
        node.setdefault("otherwise", "leaf0")
    names = asked(document)
    for name in list(plain["nodes"]):
        for case in plain["nodes"][name]["cases"]:
            if isinstance(case["when"], list):
                case["when"] = case["when"][0]
    reached = {step for row in rows(names) for step in way(TreeFile.model_validate(plain), row)}
    here = {place for place, _ in reached}
    for name in list(plain["nodes"]):
        if name not in here:
            del plain["nodes"][name]
            continue
        node = plain["nodes"][name]
        node["cases"] = [case for number, case in enumerate(node["cases"]) if (name, number) in reached]
        if (name, None) not in reached:
            del node["otherwise"]
        if not node["cases"]:  # a node that asks nothing is what follows it
            target = node["otherwise"]
            del plain["nodes"][name]
            here.discard(name)
            plain["start"] = target if plain["start"] == name else plain["start"]
            for other in plain["nodes"].values():
                for case in other["cases"]:
                    case["then"] = target if case["then"] == name else case["then"]
                if other.get("otherwise") == name:
                    other["otherwise"] = target
    plain["leaves"] = {name: leaf for name, leaf in plain["leaves"].items() if name in here}
    return TreeFile.model_validate(plain)


def asked(document: TreeFile) -> list[str]:
    """The inputs that a document names anywhere."""
    return sorted(
        {
            name
            for node in document.nodes.values()
            for case in node.cases
            for condition in (case.when if isinstance(case.when, list) else [case.when])
            for name in condition
        }
    )


def trees() -> st.SearchStrategy[TreeFile]:
    """Trees that answer everything."""
    return documents().map(mended).filter(lambda document: bool(document.nodes))
