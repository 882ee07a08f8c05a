"""Finds declared values: adding one touches one place (law 3).

`discover(package, Kind)` imports the modules of a package and collects the instances of Kind that stand at module level,
alone or in a tuple. A package inside it is imported by its own `__init__` alone: what it declares stands there, and what
it needs to work (a vendor's SDK, say) is not loaded to learn its name. A user's own package joins by an entry point in the
group `pilothouse.<package>` that names a module or package of his; nothing of ours is edited.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import EntryPoints, entry_points
from types import ModuleType
from typing import TYPE_CHECKING, TypeVar

from pilothouse.kernel.errors import ConfigError

if TYPE_CHECKING:
    from importlib.metadata import SelectableGroups  # what Python 3.11 calls all of them

T = TypeVar("T")


def discover(package: str, kind: type[T], name: Callable[[T], str] = lambda value: str(value.name)) -> dict[str, T]:  # type: ignore[attr-defined]
    """The values of one kind by name; ConfigError where two different ones share a name."""
    found: dict[str, T] = {}
    places: dict[str, str] = {}
    for module in _modules(package):
        for value in _values(module, kind):
            key = name(value)
            if key in found and found[key] is not value:
                raise ConfigError(
                    f"{kind.__name__} '{key}' is declared twice: in {places[key]} and in {module.__name__}", hint="rename one of the two"
                )
            found.setdefault(key, value)
            places.setdefault(key, module.__name__)
    return dict(sorted(found.items()))


def _modules(package: str) -> Iterator[ModuleType]:
    yield from _tree(package)
    for entry in _plugins(f"pilothouse.{package}"):
        try:
            yield from _tree(entry.module)
        except ImportError as error:
            raise ConfigError(
                f"plugin '{entry.name}' cannot be imported: {error}", hint=f"mend or uninstall the package that declares {entry.value}"
            ) from error


def _plugins(group: str) -> EntryPoints:
    return _installed().select(group=group)


@cache
def _installed() -> SelectableGroups:
    """What all installed packages declare: a file of each is read, which takes as long as everything else here."""
    return entry_points()


def _tree(name: str) -> Iterator[ModuleType]:
    root = importlib.import_module(name)
    yield root
    for info in pkgutil.iter_modules(getattr(root, "__path__", []), f"{name}."):
        if not info.name.rpartition(".")[2].startswith("__"):
            yield importlib.import_module(info.name)


def _values(module: ModuleType, kind: type[T]) -> Iterator[T]:
    for value in vars(module).values():
        if isinstance(value, kind):
            yield value
        elif isinstance(value, tuple):
            yield from (item for item in value if isinstance(item, kind))
