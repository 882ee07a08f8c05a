"""A decision table as a tree: one node, a case a rule.

What DMN lets a table leave open is settled here, once: rules of a UNIQUE table that overlap, rules of an ANY table that overlap
and disagree, rules that never hold, and inputs for which none does are refused, each with the rules and an input that shows it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Any, Final

from models.trees.boxes import Box, met, split
from models.trees.conditions import told_example, written
from models.trees.dmn import feel
from models.trees.dmn.table import Rule, Table
from models.trees.document import TreeFile
from models.trees.facts import Fact, Facts
from models.trees.reading import Lines, facts_of
from models.trees.sets import Choices, Spans, Values
from models.trees.tree import Tree
from pilothouse.kernel.errors import ConfigError

_TYPES: Final = {"string": "text", "boolean": "bool", "date": "date", "integer": "integer", "long": "integer"}
_IDENTIFIER: Final = "[a-z][a-z0-9_]{0,40}"
_NAME: Final = re.compile(r"[^\W\d][\w .'-]*")


def tree_of(
    table: Table,
    sets: Mapping[str, Facts],
    *,
    facts: str | None = None,
    names: Mapping[str, str] | None = None,
    otherwise: str | None = None,
) -> Tree:
    """The tree of a table; ConfigError where it does not answer every input once. It asks the inputs of the set `facts`, or declares
    them itself; `names` says which input a column means, `otherwise` the action where no rule holds."""
    called = [(names or {}).get(column.expression, column.expression) for column in table.inputs]
    own = {} if facts is not None else {name: _declared(column, name, table) for name, column in zip(called, table.inputs, strict=True)}
    identifier = _identifier(table.name)
    sketch = {"start": "none", "leaves": {"none": {"action": "none", "reason": "none yet"}}}
    plain: dict[str, Any] = {"name": identifier, "description": table.description, "facts": facts, "inputs": own}
    known = facts_of(TreeFile.model_validate({**plain, **sketch}), sets, Lines(table.name, {}))
    for name, column in zip(called, table.inputs, strict=True):
        if name not in known:
            raise ConfigError(
                f"{table.name}: there is no input '{name}'" + (f" for the column '{column.label}'" if column.label else ""),
                hint=f"say which it is by --name '{column.expression}=INPUT', or leave --facts out: the tree then declares its own",
            )
    rules, open_ = _settled(table, called, known)
    leaves, cases = _leaves(table, rules, known)
    last = None
    if cases and cases[-1]["when"] == {}:  # a rule that asks nothing is what follows where no other holds
        last = cases.pop()["then"]
    elif open_ and (default := _default(table, otherwise)) is not None:
        last = _free(f"otherwise_{default['action']}", leaves)
        leaves[last] = default
    node = {"ask": "Which rule holds?", "cases": cases, "otherwise": last}
    document = {**plain, "start": "table" if cases else last, "nodes": {"table": node} if cases else {}, "leaves": leaves}
    try:
        return Tree.checked(TreeFile.model_validate(document), known, Lines(f"{table.name}", {}))
    except ConfigError as error:
        hint = "add a rule for it, or say by --otherwise what is done where no rule holds" if "has a hole" in error.message else error.hint
        raise ConfigError(error.message, hint=hint) from error


def _declared(column: Any, name: str, table: Table) -> Fact:
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{table.name}: the expression '{name}' computes something",
            hint=f"make a feature of it, and say which by --name '{column.expression}=INPUT'",
        )
    kind = _TYPES.get(column.type.rpartition(":")[2].lower(), "number")
    plain = Fact.model_validate({"type": kind, "description": column.label})
    if not column.values:
        return plain
    try:
        values = feel.read(column.values, plain)
    except ValueError as error:
        raise ConfigError(f"{table.name}: input '{name}': {error}", hint="its allowed values are a list, or an interval") from error
    allowed: dict[str, Any] = {"type": kind, "description": column.label, "missing": values.missing}
    if isinstance(values.known, Choices) and kind == "text" and not values.known.others:
        allowed["categories"] = sorted(values.known.names)
    if isinstance(values.known, Spans) and len(values.known.cuts) == 2:
        (low, high), whole = values.known.cuts, values.known.whole
        allowed |= {"least": plain.outer(low[0])} if abs(low[0]) != float("inf") else {}
        allowed |= {"most": plain.outer(high[0] - 1 if whole else high[0])} if abs(high[0]) != float("inf") else {}
    return Fact.model_validate(allowed)


def _settled(table: Table, called: list[str], facts: Mapping[str, Fact]) -> tuple[list[tuple[Rule, list[Box]]], list[Box]]:
    """The rules that can hold, each with the boxes that it names, and what none takes; ConfigError where the table's own hit policy is
    broken."""
    domains = {name: facts[name].domain for name in called}
    left: list[Box] = [{}]
    settled: list[tuple[Rule, list[Box]]] = []
    for number, rule in enumerate(table.rules, 1):
        where = f"{table.name}: rule {number}"
        box = _box(rule, called, facts, where)
        if table.policy != "FIRST":
            _refuse_overlap(table, settled, rule, box, domains, facts, where)
        taken, left = split(left, box, domains, where) if all(box.values()) else ([], left)
        alternatives = [each for each in _alternatives(box) if any(met(each, part, domains) is not None for part in taken)]
        if not taken and (table.policy != "ANY" or not all(box.values())):
            raise ConfigError(
                f"{where} never holds", hint="earlier rules take all of it, or its tests contradict what the inputs can be: leave it out"
            )
        if taken:
            settled.append((rule, alternatives))
    return settled, left


def _box(rule: Rule, called: list[str], facts: Mapping[str, Fact], where: str) -> Box:
    box: dict[str, Values] = {}
    for name, test in zip(called, rule.tests, strict=True):
        try:
            values = feel.read(test, facts[name])
        except ValueError as error:
            raise ConfigError(
                f"{where}, {name}: {error}", hint="a tree asks one input at a time; what a test computes is a feature"
            ) from error
        box[name] = box[name] & values if name in box else values
    return {name: values for name, values in box.items() if values != facts[name].domain}


def _refuse_overlap(
    table: Table,
    settled: list[tuple[Rule, list[Box]]],
    rule: Rule,
    box: Box,
    domains: Mapping[str, Values],
    facts: Mapping[str, Fact],
    where: str,
) -> None:
    for other, boxes in settled:
        if table.policy == "ANY" and other.results == rule.results:
            continue
        both = next((found for each in boxes if (found := met(each, box, domains)) is not None), None)
        if both is not None:
            earlier = _number(table, other)
            broken = "and its hit policy is UNIQUE" if table.policy == "UNIQUE" else "with another result, and its hit policy is ANY"
            example = told_example(both, facts)
            raise ConfigError(
                f"{where} and rule {earlier} hold together, such as for {example}, {broken}",
                hint="keep them apart, or make the hit policy FIRST",
            )


def _alternatives(box: Box) -> list[Box]:
    """The box as conditions of a tree, where a test is one interval."""
    options = [[(name, each) for each in _single(values)] for name, values in box.items()]
    return [dict(chosen) for chosen in itertools.product(*options)]


def _single(values: Values) -> list[Values]:
    if (
        not isinstance(values.known, Spans)
        or len(values.known.cuts) <= 2
        or all(values.known.single(pair) is not None for pair in values.known.pairs())
    ):
        return [values]
    return [Values(Spans(pair, values.known.whole), values.missing and not place) for place, pair in enumerate(values.known.pairs())]


def _leaves(table: Table, rules: list[tuple[Rule, list[Box]]], facts: Mapping[str, Fact]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    leaves: dict[str, Any] = {}
    cases = []
    for rule, boxes in rules:
        said = _leaf(table, rule)
        wanted = rule.note if re.fullmatch(_IDENTIFIER, rule.note) else said["action"]
        name = next((each for each, other in leaves.items() if other == said and (each == wanted or wanted != rule.note)), None)
        if name is None:
            name = _free(wanted, leaves)
            leaves[name] = said
        conditions = [{each: written(values, facts[each])[0] for each, values in box.items()} for box in boxes]
        cases.append({"when": conditions[0] if len(conditions) == 1 else conditions, "then": name})
    return leaves, cases


def _leaf(table: Table, rule: Rule) -> dict[str, Any]:
    outputs = [output.name for output in table.outputs]
    at = outputs.index("action") if "action" in outputs else 0
    action = rule.results[at]
    if action is None:
        raise ConfigError(f"{table.name}: rule {_number(table, rule)} has no result", hint=f"say what '{outputs[at]}' is in it")
    rest = {name: value for place, (name, value) in enumerate(zip(outputs, rule.results, strict=True)) if place != at and value is not None}
    reason = rest.pop("reason", None) or rule.note or f"Rule {_number(table, rule)} of {table.name}"
    return {"action": _identifier(str(action)), "reason": str(reason), "terms": {_identifier(name): value for name, value in rest.items()}}


def _number(table: Table, rule: Rule) -> int:
    """Rules that say the same are told apart by their place."""
    return next((number for number, each in enumerate(table.rules, 1) if each is rule), 0)


def _default(table: Table, otherwise: str | None) -> dict[str, Any] | None:
    defaults = {output.name: output.default for output in table.outputs if output.default is not None}
    if otherwise is None and not defaults:
        return None
    rule = Rule((), tuple(defaults.get(output.name) for output in table.outputs))
    said = {"action": _identifier(otherwise)} if otherwise is not None else _leaf(table, rule)
    return {**said, "reason": said.get("reason") if "reason" in defaults else "No rule holds"}


def _free(name: str, taken: Mapping[str, Any]) -> str:
    free = (name, *(f"{name}_{number}" for number in range(2, len(taken) + 3)))
    return next(each for each in free if each not in taken and each != "table")


def _identifier(text: str) -> str:
    """A name as trees have it: small letters, digits and _."""
    plain = re.sub("[^a-z0-9]+", "_", text.lower()).strip("_")
    return plain if plain and plain[0].isalpha() else f"x_{plain}".rstrip("_")
