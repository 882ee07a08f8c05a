"""The trees and facts that are declared: ours, and those of packages that join by an entry point.

A tree is a file in `models/decisions`, named after the tree. A user's own package names a package of its own in the entry point
group `pilothouse.models.decisions`, and its YAML files join; its facts join by `pilothouse.models.facts`.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from typing import Final

from models.trees.facts import Facts
from models.trees.reading import read_tree
from models.trees.tree import Tree
from pilothouse.kernel.errors import ConfigError
from pilothouse.kernel.registry import discover

FOLDER: Final = "models.decisions"


def declared_facts() -> dict[str, Facts]:
    """Every declared set of facts by name."""
    return discover("models.facts", Facts)


def tree_files() -> dict[str, Path]:
    """The file of every declared tree, by the tree's name."""
    found: dict[str, Path] = {}
    for package in (FOLDER, *(entry.module for entry in entry_points(group=f"pilothouse.{FOLDER}"))):
        try:
            folder = Path(str(files(package)))
        except ImportError as error:
            raise ConfigError(
                f"decisions of '{package}' cannot be read: {error}", hint="mend or uninstall the package that declares them"
            ) from error
        for path in sorted(folder.glob("*.yaml")):
            if path.stem in found:
                raise ConfigError(f"tree '{path.stem}' is declared twice: {found[path.stem]} and {path}", hint="rename one of the two")
            found[path.stem] = path
    return dict(sorted(found.items()))


def declared_trees() -> dict[str, Tree]:
    """Every declared tree by name, each proved."""
    facts = declared_facts()
    return {name: _named(read_tree(path, facts), name) for name, path in tree_files().items()}


def find_tree(name: str) -> Tree:
    """A declared tree by its name, or the tree of a file; ConfigError where there is none."""
    return _named(read_tree(path := find_file(name), declared_facts()), path.stem)


def find_file(name: str) -> Path:
    """The file of a declared tree, or the file that is named."""
    known = tree_files()
    if name in known:
        return known[name]
    path = Path(name)
    if path.suffix in {".yaml", ".yml"} or path.exists():
        return path
    raise ConfigError(f"there is no tree '{name}'", hint=f"there are {', '.join(known)}; or name a file")


def _named(tree: Tree, name: str) -> Tree:
    if tree.name != name:
        raise ConfigError(
            f"{name}.yaml: the tree in it calls itself '{tree.name}'", hint="a tree's file is named after it: rename one of the two"
        )
    return tree
