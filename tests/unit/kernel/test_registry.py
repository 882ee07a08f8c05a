"""Declared values are found, plugins included, and two of one name are refused."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from pilothouse.kernel import registry
from pilothouse.kernel.errors import ConfigError, PilothouseError


@dataclass(frozen=True)
class Thing:
    name: str


sys.modules.setdefault("things_under_test", sys.modules[__name__])


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    name = f"declared_{abs(hash(request.node.name))}"
    (tmp_path / name / "deep").mkdir(parents=True)
    (tmp_path / name / "__init__.py").write_text("")
    (tmp_path / name / "deep" / "__init__.py").write_text("from things_under_test import Thing\nALL = (Thing('b'), Thing('a'))\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "_plugins", lambda group: [])
    return name


def test_values_are_found_in_modules_and_packages_alone_or_in_tuples_sorted_by_name(package: str, tmp_path: Path) -> None:
    (tmp_path / package / "one.py").write_text("from things_under_test import Thing\nC = Thing('c')\n")
    assert list(registry.discover(package, Thing)) == ["a", "b", "c"]


def test_a_value_imported_elsewhere_is_not_a_duplicate(package: str, tmp_path: Path) -> None:
    (tmp_path / package / "again.py").write_text(f"from {package}.deep import ALL\nFIRST = ALL[0]\n")
    assert list(registry.discover(package, Thing)) == ["a", "b"]


def test_two_values_of_one_name_are_refused_with_both_places(package: str, tmp_path: Path) -> None:
    (tmp_path / package / "other.py").write_text("from things_under_test import Thing\nX = Thing('a')\n")
    with pytest.raises(ConfigError, match=rf"Thing 'a' is declared twice: in {package}.deep and in {package}.other"):
        registry.discover(package, Thing)


def test_a_plugin_joins_by_its_entry_point(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = f"plugin_of_{package}"
    (tmp_path / f"{plugin}.py").write_text("from things_under_test import Thing\nX = Thing('theirs')\n")
    monkeypatch.setattr(registry, "_plugins", lambda group: [EntryPoint("theirs", plugin, group)])
    assert "theirs" in registry.discover(package, Thing)


def test_a_plugin_that_cannot_be_imported_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_plugins", lambda group: [EntryPoint("broken", "no_such_module_here", group)])
    with pytest.raises(ConfigError, match="plugin 'broken'"):
        registry.discover(package, Thing)


def test_every_error_of_ours_survives_pickling_with_its_hint() -> None:
    import pickle

    def tree(kind: type[PilothouseError]) -> list[type[PilothouseError]]:
        return [kind, *(each for below in kind.__subclasses__() for each in tree(below))]

    for kind in tree(PilothouseError):
        copy = pickle.loads(pickle.dumps(kind("what happened", hint="the way out")))
        assert type(copy) is kind
        assert (copy.message, copy.hint, copy.transient) == ("what happened", "the way out", kind.transient)


def test_the_error_tree_is_the_one_its_module_draws() -> None:
    from pilothouse.kernel import errors

    drawing = (errors.__doc__ or "").split("An error marked")[0]
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, PilothouseError):
            line = next(
                line
                for line in drawing.splitlines()
                if line.replace("│", "").replace("├──", "").replace("└──", "").split()[:1] == [kind.__name__]
            )
            assert kind.transient == ("*" in line.split(kind.__name__)[1][:3])
