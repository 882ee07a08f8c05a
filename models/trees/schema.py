"""The JSON schema by which editors complete and check a tree: derived from the types of the file.

One schema a set of facts: its inputs are completed by name, with what they mean, and a test is checked against the type of its
input, categories included. What no schema can say (holes, loops, dead branches) `pilothouse tree check` does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from models.trees.document import TYPES, Case, TreeFile, test_type
from models.trees.facts import Fact, Facts, told_domain

FOLDER: Final = Path(__file__).parents[1] / "decisions" / "schemas"
DIALECT: Final = "http://json-schema.org/draft-07/schema#"  # what editors' YAML servers know best


def schema(facts: Facts | None = None) -> dict[str, Any]:
    """The schema of trees over a set of facts; of any tree, where none is given."""
    plain = TreeFile.model_json_schema(by_alias=True, ref_template="#/definitions/{model}")
    definitions = plain.pop("$defs")
    plain = {"$schema": DIALECT, **plain, "definitions": definitions}
    plain["properties"]["$schema"] = {"type": "string"}
    if facts is not None:
        definitions["Condition"] = _condition(facts.all)
        definitions |= {_of(fact): _test(fact) for fact in facts.all.values()}
        when = definitions[Case.__name__]["properties"]["when"]
        when["anyOf"] = [
            {"$ref": "#/definitions/Condition"},
            {"type": "array", "items": {"$ref": "#/definitions/Condition"}, "minItems": 1},
        ]
        plain["properties"]["facts"] = {"const": facts.name, "description": facts.description}
        plain["properties"]["changeable"]["propertyNames"] = {"anyOf": [{"enum": list(facts.all)}, {"pattern": "."}]}
        plain["title"] = f"A decision tree over the facts '{facts.name}'"
    return plain


def written(facts: Facts | None = None) -> str:
    """The schema as a file has it."""
    return json.dumps(schema(facts), indent=2, ensure_ascii=False, default=str) + "\n"


def files(sets: Mapping[str, Facts]) -> dict[Path, str]:
    """Every schema that is published beside the trees, by its file."""
    return {FOLDER / "tree.schema.json": written(), **{FOLDER / f"{name}.schema.json": written(facts) for name, facts in sets.items()}}


def _condition(facts: Mapping[str, Fact]) -> dict[str, Any]:
    return {
        "type": "object",
        "description": "inputs with their tests, which all must hold",
        "minProperties": 1,
        "properties": {
            name: {"description": _described(fact), "anyOf": [{"$ref": f"#/definitions/{_of(fact)}"}]} for name, fact in facts.items()
        },
    }


def _of(fact: Fact) -> str:
    return f"{fact.type}_test" if fact.categories is None else f"{'_'.join(fact.categories)}_test"


def _described(fact: Fact) -> str:
    return f"{fact.description} ({fact.type}, {told_domain(fact)}{', may be missing' if fact.missing else ''})".strip()


def _test(fact: Fact) -> dict[str, Any]:
    words = test_type(fact.type).model_json_schema(by_alias=True)
    value = {"enum": list(fact.categories)} if fact.categories else TypeAdapter(TYPES[fact.type]).json_schema()
    if fact.categories:
        words["properties"] = {name: _narrowed(said, value) for name, said in words["properties"].items()}
    words["properties"] = {name: _without_null(said) for name, said in words["properties"].items()}
    return {"anyOf": [value, {"type": "array", "items": value, "minItems": 1}, {**words, "minProperties": 1}]}


def _narrowed(said: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    """A word of a text that has categories takes these alone."""
    if "anyOf" not in said:
        return said
    options = [
        value if each == {"type": "string"} else {**each, "items": value} if each.get("type") == "array" else each for each in said["anyOf"]
    ]
    return {**said, "anyOf": options}


def _without_null(said: dict[str, Any]) -> dict[str, Any]:
    """A word is left out, and never null."""
    options = [each for each in said.get("anyOf", []) if each != {"type": "null"}]
    rest = {name: each for name, each in said.items() if name not in {"anyOf", "default", "title"}}
    if not options:
        return rest
    return {**rest, **(options[0] if len(options) == 1 else {"anyOf": options})}
