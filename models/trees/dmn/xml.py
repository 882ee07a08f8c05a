"""DMN files: decision tables from XML, and to it.

A file is written for DMN 1.3, which all current tools read, or for another version by asking: what a table needs has not changed
since 1.1. What is read may be of any of them. A document type is refused: nothing here needs one, and entities can grow.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_args

from models.trees.dmn.feel import literal, write_literal
from models.trees.dmn.table import NAMESPACES, Column, Output, Policy, Rule, Table
from pilothouse.kernel.errors import ConfigError

_LETTERS: Final = {"U": "UNIQUE", "F": "FIRST", "A": "ANY"}


def written(table: Table, version: str = "1.3") -> str:
    """A table as a DMN file."""
    if version not in NAMESPACES:
        raise ConfigError(f"there is no DMN {version}", hint=f"it is one of {', '.join(NAMESPACES)}")
    root = ET.Element(
        "definitions",
        {"xmlns": NAMESPACES[version], "id": f"definitions_{table.name}", "name": table.name, "namespace": "urn:pilothouse:decisions"},
    )
    if any(column.type == "integer" for column in table.inputs):
        # FEEL has numbers alone: a whole one is a type of the file's own, which is read here as such and elsewhere as a number
        whole = ET.SubElement(root, "itemDefinition", {"id": "type_integer", "name": "integer"})
        ET.SubElement(whole, "typeRef").text = "number"
    decision = ET.SubElement(root, "decision", {"id": table.name, "name": table.name})
    if table.description:
        ET.SubElement(decision, "description").text = table.description
    # DMN calls a decision's result by its variable
    ET.SubElement(decision, "variable", {"id": f"{table.name}_result", "name": table.name})
    body = ET.SubElement(decision, "decisionTable", {"id": f"{table.name}_table", "hitPolicy": table.policy})
    for number, column in enumerate(table.inputs, 1):
        given = ET.SubElement(body, "input", {"id": f"input_{number}", **({"label": column.label} if column.label else {})})
        about = {"id": f"input_{number}_expression", **({"typeRef": column.type} if column.type else {})}
        _texted(given, "inputExpression", column.expression, about)
        if column.values:
            _texted(given, "inputValues", column.values, {"id": f"input_{number}_values"})
    for number, output in enumerate(table.outputs, 1):
        result = ET.SubElement(
            body, "output", {"id": f"output_{number}", "name": output.name, **({"typeRef": output.type} if output.type else {})}
        )
        if output.default is not None:
            _texted(result, "defaultOutputEntry", write_literal(output.default), {"id": f"output_{number}_default"})
    for number, rule in enumerate(table.rules, 1):
        _rule(body, number, rule)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _rule(body: ET.Element, number: int, rule: Rule) -> None:
    row = ET.SubElement(body, "rule", {"id": f"rule_{number}"})
    if rule.note:
        ET.SubElement(row, "description").text = rule.note
    for place, test in enumerate(rule.tests, 1):
        _texted(row, "inputEntry", test, {"id": f"rule_{number}_input_{place}"})
    for place, result in enumerate(rule.results, 1):
        _texted(row, "outputEntry", write_literal(result), {"id": f"rule_{number}_output_{place}"})


def _texted(parent: ET.Element, tag: str, text: str, attributes: dict[str, str]) -> None:
    ET.SubElement(ET.SubElement(parent, tag, attributes), "text").text = text


def read_file(path: Path, decision: str | None = None) -> Table:
    """The decision table of a file; `decision` chooses where there are several."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}", hint="name a .dmn file") from error
    return read(text, path.name, decision)


def read(text: bytes, name: str, decision: str | None = None) -> Table:
    """The decision table of a DMN document."""
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise ConfigError(f"{name}: declares a document type", hint="DMN needs none; export the table anew from the tool that made it")
    try:
        root = ET.fromstring(text)  # noqa: S314 - without a document type there are no entities
    except ET.ParseError as error:
        raise ConfigError(f"{name}: is no XML: {error}", hint="export the table anew from the tool that made it") from error
    space, _, tag = root.tag.lstrip("{").rpartition("}")
    if tag != "definitions" or space not in NAMESPACES.values():
        raise ConfigError(f"{name}: is no DMN: its root is <{root.tag}>", hint=f"read are DMN {', '.join(NAMESPACES)}")
    tables = {
        (each.get("name") or each.get("id") or ""): each
        for each in _each(root, space, "decision")
        if _first(each, space, "decisionTable") is not None
    }
    if not tables or (decision or next(iter(tables))) not in tables or (decision is None and len(tables) > 1):
        raise ConfigError(
            f"{name}: {f'has no decision table {decision!r}' if decision or not tables else 'has several decision tables'}",
            hint=f"it has {', '.join(tables)}: name one by --decision"
            if tables
            else "literal expressions and other boxed logic are no tables",
        )
    chosen = decision or next(iter(tables))
    return _table(chosen, tables[chosen], space, name)


def _table(chosen: str, decision: ET.Element, space: str, file: str) -> Table:
    body = _first(decision, space, "decisionTable")
    assert body is not None
    said = body.get("hitPolicy", "UNIQUE")
    policy = _LETTERS.get(said, said)
    if policy not in get_args(Policy):
        raise ConfigError(
            f"{file}: table '{chosen}' has the hit policy {said}",
            hint="one action follows from a tree: UNIQUE, FIRST and ANY say which; the others collect",
        )
    inputs = tuple(_column(each, space, file) for each in _each(body, space, "input"))
    outputs = tuple(_output(each, space, file) for each in _each(body, space, "output"))
    rules = tuple(_read_rule(each, space, f"{file}: rule {number}") for number, each in enumerate(_each(body, space, "rule"), 1))
    for number, rule in enumerate(rules, 1):
        if (len(rule.tests), len(rule.results)) != (len(inputs), len(outputs)):
            raise ConfigError(
                f"{file}: rule {number} has {len(rule.tests)} tests and {len(rule.results)} results, "
                f"and the table {len(inputs)} inputs and {len(outputs)} outputs",
                hint="export the table anew from the tool that made it",
            )
    if not inputs or not outputs or not rules:
        raise ConfigError(f"{file}: table '{chosen}' has no input, no output or no rule", hint="a table without them decides nothing")
    return Table(chosen, policy, inputs, outputs, rules, _text(decision, space, "description"))  # type: ignore[arg-type]


def _column(given: ET.Element, space: str, file: str) -> Column:
    expression = _first(given, space, "inputExpression")
    text = "" if expression is None else _text(expression, space, "text")
    if expression is None or not text:
        raise ConfigError(
            f"{file}: input '{given.get('label') or given.get('id')}' has no expression", hint="say by its expression what is looked up"
        )
    values = _first(given, space, "inputValues")
    return Column(text, expression.get("typeRef", ""), given.get("label", ""), "" if values is None else _text(values, space, "text"))


def _output(given: ET.Element, space: str, file: str) -> Output:
    default = _first(given, space, "defaultOutputEntry")
    name = given.get("name") or given.get("label") or "action"
    value = None if default is None else _literal(_text(default, space, "text"), f"{file}: output '{name}'")
    return Output(name, given.get("typeRef", ""), value)


def _read_rule(given: ET.Element, space: str, where: str) -> Rule:
    tests = tuple(_text(each, space, "text") for each in _each(given, space, "inputEntry"))
    results = tuple(_literal(_text(each, space, "text"), where) for each in _each(given, space, "outputEntry"))
    return Rule(tests, results, _text(given, space, "description"))


def _literal(text: str, where: str) -> Any:
    if not text:
        return None
    try:
        return literal(text)
    except ValueError as error:
        raise ConfigError(
            f"{where}: {error}", hint="a result is a text in quotes, a number, true, false or null; a tree computes nothing"
        ) from error


def _each(parent: ET.Element, space: str, tag: str) -> Iterator[ET.Element]:
    yield from parent.iterfind(f"{{{space}}}{tag}")


def _first(parent: ET.Element, space: str, tag: str) -> ET.Element | None:
    return parent.find(f"{{{space}}}{tag}")


def _text(parent: ET.Element, space: str, tag: str) -> str:
    return (parent.findtext(f"{{{space}}}{tag}") or "").strip()
