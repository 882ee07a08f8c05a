"""The sentences of the design that a machine can check."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import is_dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from pilothouse.kernel.errors import PilothouseError
from pilothouse.kernel.lake.identity import IDENTITY

ROOT = Path(__file__).parents[2]
PACKAGES = ("pilothouse", "orchestration", "assets", "connectors", "quality", "graph", "models", "bench")
# bench/peers are scripts of another environment: they set what their libraries read at import
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if "peers" not in path.parts)
LONGEST_MODULE, LONGEST_FUNCTION = 500, 80
BANNED_NAMES = re.compile(r"(^|[/_])(utils?|common|helpers?|lib|misc)(\.py|/|_|$)")
BANNED_SUFFIX = re.compile(r"(Manager|Handler|(?<!OData)(?<!^)Service)$")  # an OData service is what the protocol calls it
HEAVY = (
    "great_expectations",
    "mlflow",
    "pyspark",
    "dbt",
    "simple_salesforce",
    "snowflake",
    "databricks",
    "duckdb",
    "pandas",
    "adbc_driver_postgresql",
    "fastapi",
    "uvicorn",
    "alembic",
    "httpx",
    "numpy",
    "polars",
    "pyarrow",
    "rich",
    "structlog",
    "deltalake",
    "sklearn",
    "scipy",
    "matplotlib",
    "splink",
    "igraph",
    "neo4j",
    "statsforecast",
    "pydantic_ai",
    "openai",
    "anthropic",
    "psycopg_pool",
)


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def trees() -> tuple[tuple[str, ast.Module], ...]:
    return tuple((named(path), ast.parse(path.read_text())) for path in MODULES)


def imported(tree: ast.Module) -> Iterator[str]:
    """Every package that a module imports, wherever it does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def test_dependencies_point_down() -> None:
    result = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(("module", "may"), [("orchestration.definitions", set()), ("pilothouse.cli", {"rich"})])
def test_what_everybody_waits_for_loads_nothing_heavy(module: str, may: set[str]) -> None:
    program = f"import json, sys; import {module}; print(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(json.loads(result.stdout)) & set(HEAVY) == may


def test_nothing_reads_the_environment_at_import() -> None:
    def at_import(tree: ast.Module) -> Iterator[ast.AST]:
        waiting: list[ast.AST] = [*tree.body]
        while waiting:
            node = waiting.pop()
            yield node
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                waiting += ast.iter_child_nodes(node)

    offenders = [
        name for name, tree in trees() for node in at_import(tree) if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}
    ]
    assert offenders == []


def test_no_module_and_no_function_is_too_long() -> None:
    long = [name for path in MODULES if (name := named(path)) and len(path.read_text().splitlines()) > LONGEST_MODULE]
    for name, tree in trees():
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        long += [f"{name}:{each.lineno} {each.name}" for each in functions if (each.end_lineno or 0) - each.lineno >= LONGEST_FUNCTION]
    assert long == []


def test_names_say_something() -> None:
    offenders = [named(path) for path in MODULES if BANNED_NAMES.search(named(path))]
    offenders += [
        f"{name}: {node.name}"
        for name, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and BANNED_SUFFIX.search(node.name)
    ]
    assert offenders == []


def test_every_module_opens_with_its_reason() -> None:
    assert [name for name, tree in trees() if not ast.get_docstring(tree)] == []


def test_locks_name_no_registry_and_pin_every_package_by_hash() -> None:
    for lock in (ROOT / "requirements.lock", ROOT / "bootstrap.lock", ROOT / "engines.lock", *(ROOT / "bench").glob("*.lock")):
        text = lock.read_text()
        assert "://" not in text, lock.name
        pins = re.findall(r"^[A-Za-z0-9._-]+(?:\[[^\]]*\])?==\S+( ;[^\\\n]*)? \\$", text, flags=re.MULTILINE)
        assert len(pins) == len(re.findall(r"^[A-Za-z0-9]", text, flags=re.MULTILINE)), lock.name
    for lock in ROOT.glob("tests/contract/*/package-lock.json"):
        resolved = [package.get("resolved", "") for package in json.loads(lock.read_text())["packages"].values()]
        assert [address for address in resolved if "://" in address] == [], lock


def test_the_lake_has_one_door_which_writes_down_what_was_read() -> None:
    """Law 1. Whoever read a Delta table past `kernel.lake` would leave no trace in the version vector."""
    doors = {"read_delta", "scan_delta", "write_delta", "delta_scan"}
    offenders = [
        name
        for name, tree in trees()
        if not name.startswith(("pilothouse/kernel/lake/", "bench/"))
        and ("deltalake" in imported(tree) or any(isinstance(node, ast.Attribute) and node.attr in doors for node in ast.walk(tree)))
    ]
    assert offenders == []


def test_what_is_declared_is_a_frozen_value() -> None:
    """Law 3: the kinds that `discover` looks for, and what extends them."""
    from assets.platform import Platform
    from connectors.connector import ConnectorKind
    from graph.kinds import EdgeType, NodeType
    from models.model import Model
    from models.trees.facts import Facts
    from pilothouse.agents.agent import Agent
    from pilothouse.agents.tools import Tool
    from pilothouse.kernel.settings import load
    from pilothouse.kernel.streams import Stream
    from quality.rule import Rule

    platform = Platform(load(ROOT / "pilothouse.toml", running=False))
    streams = {type(stream) for source in platform.sources.values() for stream in source.streams.values()}
    assert len(streams) >= 3
    kinds = {ConnectorKind, EdgeType, NodeType, Model, Facts, Agent, Tool, Stream, Rule, *streams}
    assert [kind.__name__ for kind in kinds if not (is_dataclass(kind) and kind.__dataclass_params__.frozen)] == []  # type: ignore[attr-defined]


def test_only_the_executor_writes_to_a_source() -> None:
    """Law 7. A target is made by the platform, and called by what executes what was approved."""
    allowed = {"pilothouse/approvals/executor.py", "assets/platform.py", "assets/own_records/__init__.py"}  # the last is a target itself
    writers = {"Target"}  # what shows a receipt only reads
    offenders = [
        name
        for name, tree in trees()
        if not name.startswith(("connectors/", "bench/"))
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("connectors")
        and ((node.module or "").endswith("writing") or writers & {alias.name for alias in node.names})
    ]
    assert set(offenders) - allowed == set()
    assert offenders


def test_secrets_are_held_as_such() -> None:
    """A secret in a plain string would stand in every repr and every traceback."""
    from connectors.connector import ConnectorKind
    from pilothouse.kernel.concealing import sounds_secret
    from pilothouse.kernel.registry import discover
    from pilothouse.kernel.settings import Settings

    looked_at = dict(_fields(Settings)) | {
        f"{kind.name}.{path}": field for kind in discover("connectors", ConnectorKind).values() for path, field in _fields(kind.options)
    }
    secret = {path: str(field) for path, field in looked_at.items() if sounds_secret(path.rpartition(".")[2])}
    files = ("_file", "_path", "_url")  # where a secret lies is none
    assert len(secret) > 8
    assert [path for path, kind in secret.items() if "SecretStr" not in kind and "str" in kind and not path.endswith(files)] == []


def _fields(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting below a model with its annotation."""
    for name, field in model.model_fields.items():
        yield f"{path}{name}", field.annotation
        for inner in (field.annotation, *get_args(field.annotation)):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from _fields(inner, f"{path}{name}.")


def test_the_operational_database_is_never_another_engine() -> None:
    """Law 2. SQLite is what the enterprise in a box remembers with, and nothing of ours."""
    assert [name for name, tree in trees() if "sqlite3" in imported(tree) and not name.startswith(("pilothouse/sandbox/", "bench/"))] == []


def test_nothing_that_is_caught_is_forgotten() -> None:
    """Law 9. Who catches everything raises it again, or keeps it to tell."""
    offenders = []
    for name, tree in trees():
        for node in ast.walk(tree):
            everything = isinstance(node, ast.ExceptHandler) and (
                node.type is None or (isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"})
            )
            if everything and isinstance(node, ast.ExceptHandler):
                inside = [each for statement in node.body for each in ast.walk(statement)]
                told = any(isinstance(each, ast.Name) and each.id == node.name for each in inside)
                offenders += [] if told or any(isinstance(each, ast.Raise) for each in inside) else [f"{name}:{node.lineno}"]
    assert offenders == []


def test_whatever_grows_ships_with_an_end() -> None:
    """Law 10."""
    from orchestration.upkeep import upkeep_schedule
    from pilothouse.kernel.settings import LakeSettings, RetentionSettings

    kept = [LakeSettings().keep, *RetentionSettings().model_dump().values()]
    assert all(isinstance(each, timedelta) and timedelta(days=1) <= each <= timedelta(days=400) for each in kept)
    assert upkeep_schedule.default_status.value == "RUNNING"


def test_no_file_names_a_machine() -> None:
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    pattern = re.compile("/(" + "|".join(["work", "root", r"home/\w+"]) + ")/")
    offenders = []
    for name in filter(None, tracked):
        path = ROOT / name
        if path.suffix in {".lock", ".png", ".svg", ".json"} or not path.is_file():
            continue
        offenders += [name] if pattern.search(path.read_text(errors="replace")) else []
    assert offenders == []


def test_every_raw_row_says_whether_it_is_synthetic() -> None:
    field = IDENTITY.field("_synthetic")
    assert not field.nullable


def test_an_error_of_ours_is_raised_with_a_way_out() -> None:
    """Every raise of a class of the tree gives a hint, unless it passes on what another error said."""
    kinds = _names_below(PilothouseError.__name__)
    offenders = []
    for name, tree in trees():
        for node in ast.walk(tree):
            call = node.exc if isinstance(node, ast.Raise) else None
            if (
                isinstance(node, ast.Raise)
                and isinstance(call, ast.Call)
                and isinstance(call.func, ast.Name)
                and call.func.id in kinds
                and not any(keyword.arg in {"hint", None} for keyword in call.keywords)
            ):
                offenders.append(f"{name}:{node.lineno}")
    assert offenders == []


def _names_below(root: str) -> set[str]:
    """The names of a class and of all that are declared below it, read from the source: none need be loaded."""
    bases = {
        node.name: {base.id for base in node.bases if isinstance(base, ast.Name)}
        for _, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    found = {root}
    while below := {name for name, its_bases in bases.items() if its_bases & found} - found:
        found |= below
    return found


@pytest.mark.parametrize(
    "folder", ["orchestration", "assets", "connectors", "dbt_project", "models", "graph", "quality", "deploy", "tests"]
)
def test_the_house_has_its_rooms(folder: str) -> None:
    assert os.listdir(ROOT / folder)  # noqa: PTH208 - a folder without a file is no room
