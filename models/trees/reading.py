"""Reads the file of a tree, and knows the line of everything in it.

YAML as editors check it (1.2): `no` and `NO` are texts, not truths, or Norway could be no country of a tree. A name that stands
twice in one place is refused: YAML would silently drop the first.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from models.trees.document import TreeFile
from models.trees.facts import Fact, Facts
from models.trees.tree import Tree
from pilothouse.kernel.errors import ConfigError

Place = tuple[str | int, ...]
TRUTHS: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}


class _Loader(yaml.SafeLoader):
    """SafeLoader with the truths of YAML 1.2."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool" or first in "tTfF"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class Lines:
    """Where each part of a file stands."""

    def __init__(self, name: str, lines: Mapping[Place, int]) -> None:
        self.name = name
        self._lines = lines

    def __call__(self, *place: str | int) -> str:
        """The file, and the line of a place in it, or of what it lies in."""
        for length in range(len(place), -1, -1):
            if place[:length] in self._lines:
                return f"{self.name}:{self._lines[place[:length]]}"
        return self.name


def read_tree(path: Path, sets: Mapping[str, Facts]) -> Tree:
    """The tree of a file; ConfigError where it is none, or does not answer every input exactly once."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read: {error.strerror}", hint="`pilothouse tree list` shows the trees that are there"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: is no text in UTF-8", hint="a tree is a YAML file; a DMN table comes in by `pilothouse tree import`"
        ) from error
    return tree_from(text, sets, path.name)


def tree_from(text: str, sets: Mapping[str, Facts], name: str = "tree") -> Tree:
    """The tree of a text."""
    plain, lines = _parsed(text, name)
    try:
        document = TreeFile.model_validate(plain)
    except ValidationError as error:
        raise _refused(error, lines, plain) from error
    return Tree.checked(document, facts_of(document, sets, lines), lines)


def facts_of(document: TreeFile, sets: Mapping[str, Facts], lines: Lines) -> dict[str, Fact]:
    """The facts that a tree may ask: those of the set it names, and its own."""
    if document.facts is None:
        return dict(document.inputs)
    if document.facts not in sets:
        raise ConfigError(
            f"{lines('facts')}: there are no facts '{document.facts}'",
            hint=f"there are {', '.join(sorted(sets)) or 'none'}, or declare `inputs`",
        )
    known = sets[document.facts].all
    for name in document.inputs:
        if name in known:
            raise ConfigError(
                f"{lines('inputs', name)}: '{name}' is one of the facts '{document.facts}' already",
                hint="name it otherwise, or leave it out",
            )
    return {**known, **document.inputs}


def _parsed(text: str, name: str) -> tuple[Any, Lines]:
    lines: dict[Place, int] = {}
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            raise ConfigError(f"{name}: is empty", hint="`pilothouse tree show credit_release --file` prints one to start from")
        _locate(root, (), lines, name)
        return loader.construct_document(root), Lines(name, lines)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(
            f"{name}{line}: {error.problem or error.context}", hint="indent by spaces, and put words such as '> 5' in quotes"
        ) from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{name}: {error}", hint="the file is no YAML; an editor with a YAML language server shows where") from error
    finally:
        loader.dispose()


def _locate(node: yaml.Node, place: Place, lines: dict[Place, int], name: str) -> None:
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*place, key.value)
            if here in lines:
                raise ConfigError(
                    f"{name}:{key.start_mark.line + 1}: '{key.value}' stands twice, first in line {lines[here]}",
                    hint="YAML would keep the second alone",
                )
            lines[here] = key.start_mark.line + 1
            _locate(value, here, lines, name)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _locate(value, (*place, index), lines, name)


def _refused(error: ValidationError, lines: Lines, plain: Any) -> ConfigError:
    first = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")  # a misspelt word is why another is missing
    place = tuple(part for part in first["loc"] if part != "[key]" and not (isinstance(part, str) and ("[" in part or part in _UNIONS)))
    told = first["msg"].removeprefix("Value error, ")
    where = ".".join(str(part + 1) if isinstance(part, int) else part for part in place)
    match first["type"]:
        case "missing":
            told = "is missing"
        case "extra_forbidden":
            near = difflib.get_close_matches(str(place[-1]), _WORDS, n=1)
            told = f"is no word of a tree{f'; is {near[0]} meant?' if near else ''}"
        case kind if kind.endswith("_type"):
            told = f"{first['input']!r} cannot stand here"
        case "string_pattern_mismatch":
            told = "is no name: small letters, digits and _ alone, a letter first"
    hint = "`pilothouse tree schema` writes the schema that editors check a tree by"
    return ConfigError(
        f"{lines(*place)}: {where or 'the file'}: {told}" if isinstance(plain, dict) else f"{lines.name}: is no tree", hint=hint
    )


_UNIONS: Final = frozenset({"tuple", "float", "int", "bool", "str", "date"})
_WORDS: Final = (
    *("name", "description", "facts", "inputs", "start", "nodes", "leaves", "changeable", "ask", "cases", "otherwise", "when", "then"),
    *("action", "reason", "terms", "unit", "direction", "cost"),
)
