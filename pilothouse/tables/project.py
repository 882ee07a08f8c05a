"""What there is to build: the dbt project's models as values.

dbt takes two seconds to import and two to parse the project; Dagster asks for nothing but names, keys and columns every time
that it loads its definitions. So what dbt's parse found is kept beside the parsed files, under the hash of what was parsed.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pilothouse.kernel.errors import ConfigError, PilothouseError

FOLDER = Path(__file__).parents[2] / "dbt_project"
_PARSED = ("*.sql", "*.py", "*.yml", "*.yaml", "*.md", "*.csv")


@dataclass(frozen=True)
class Column:
    """One column of a model's contract."""

    name: str
    kind: str
    description: str
    required: bool


@dataclass(frozen=True)
class Test:
    """One thing that dbt checks about a model's rows."""

    name: str
    description: str
    blocking: bool
    what: str  # hash of what it asks


@dataclass(frozen=True)
class Model:
    """One model: a table of the lake, or a view that is worked out by whoever reads it."""

    name: str
    layer: str
    description: str
    owner: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    tests: tuple[Test, ...]
    models: tuple[str, ...]  # that it reads
    raw: tuple[str, ...]  # tables of the lake that it reads, which no model makes
    published: bool
    incremental: bool
    kept: bool  # as it was made, whatever becomes of its inputs, until its code changes or somebody asks
    code: str  # hash of its text, its contract and the macros behind it
    python: tuple[str, ...]  # what its text calls: packages, or values as `module:NAME`
    path: str  # of its text, inside the project

    @property
    def table(self) -> str:
        """Its name in the lake."""
        return f"{self.layer}/{self.name}"


class Project:
    """The models of a dbt project, by name, each after those that it reads."""

    def __init__(self, folder: Path, models: Iterable[Model], fingerprint: str) -> None:
        self.folder = folder
        self.fingerprint = fingerprint
        self.models: Mapping[str, Model] = {model.name: model for model in _ordered(models)}

    @classmethod
    def load(cls, folder: Path, work: Path) -> Project:
        """The project in this folder, parsed if it changed since it was parsed last; `work` keeps what was found."""
        fingerprint = _fingerprint(folder)
        kept = work / f"models-{fingerprint}.json"
        if kept.is_file():
            return cls(folder, (_from_plain(plain) for plain in json.loads(kept.read_text())), fingerprint)
        if "dbt.cli.main" in sys.modules:
            return cls.parsed(folder, work)
        # In a process of its own: who only asks for names shall not carry dbt with it ever after.
        done = subprocess.run([sys.executable, "-m", __name__, str(folder), str(work)], capture_output=True, text=True, check=False)
        if done.returncode or not kept.is_file():
            told = json.loads(done.stdout or "{}")
            raise ConfigError(
                told.get("message") or f"{folder} cannot be parsed: {done.stderr.strip()[-2_000:]}", hint=told.get("hint", "")
            )
        return cls.load(folder, work)

    @classmethod
    def parsed(cls, folder: Path, work: Path) -> Project:
        """The project as dbt parses it now, and kept for whoever asks next."""
        from pilothouse.tables.dbt import Dbt

        project = cls(folder, models_of(Dbt(folder, work).manifest), _fingerprint(folder))
        work.mkdir(parents=True, exist_ok=True)
        for outdated in work.glob("models-*.json"):
            outdated.unlink(missing_ok=True)
        kept = work / f"models-{project.fingerprint}.json"
        unfinished = kept.with_suffix(f".{os.getpid()}")
        unfinished.write_text(json.dumps([asdict(model) for model in project.models.values()]))
        unfinished.replace(kept)
        return project

    def model(self, name: str) -> Model:
        """A model by its name or by that of its table."""
        found = self.models.get(name) or next((model for model in self.models.values() if name in _names(model)), None)
        if found is None:
            raise ConfigError(f"no model '{name}'", hint=f"there are {', '.join(self.published)}")
        return found

    @cached_property
    def published(self) -> Mapping[str, Model]:
        """The models that become tables of the lake."""
        return {name: model for name, model in self.models.items() if model.published}

    def inputs(self, model: Model) -> tuple[str, ...]:
        """The tables of the lake that a model is made of, whether it names them or a view does."""
        found: dict[str, None] = dict.fromkeys(model.raw)
        for name in model.models:
            parent = self.models[name]
            found |= dict.fromkeys([parent.table] if parent.published else self.inputs(parent))
        return tuple(found)

    def ancestors(self, model: Model) -> Iterator[Model]:
        """The published models that a model is made of, at once or through others; some of them more than once."""
        for name in model.models:
            parent = self.models[name]
            if parent.published:
                yield parent
            yield from self.ancestors(parent)

    def views(self, model: Model) -> Iterator[Model]:
        """The views through which a model reads."""
        for name in model.models:
            parent = self.models[name]
            if not parent.published:
                yield from self.views(parent)
                yield parent

    @staticmethod
    def told_by(model: Model) -> str:
        """The name of the SQL that tells what a model's rows are made of: its own, or the analysis beside what Python makes."""
        return f"why_{model.name}" if model.python else model.name

    def code(self, model: Model) -> str:
        """What makes the table what it is, beside its inputs: its own text and that of the views it reads through."""
        told = [each.code for each in (*self.views(model), model)] + [self._python_code(name) for name in model.python]
        return hashlib.sha256("".join(told).encode()).hexdigest()

    @cache  # noqa: B019 - a project lives as long as its process
    def _python_code(self, name: str) -> str:
        """What a package says, or a value is: one that is kept as it was learned depends on what it was learned for, not on how that
        is written."""
        module, _, value = name.partition(":")
        spec = find_spec(module)
        if spec is None or not (value or spec.submodule_search_locations):
            raise ConfigError(f"no Python package '{name}'", hint="config.meta.code of a model names it")
        if value:
            return _hash(repr(getattr(import_module(module), value)))
        folder = Path((spec.submodule_search_locations or [""])[0])
        return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(folder.rglob("*.py")))).hexdigest()

    def waves(self, names: Iterable[str]) -> Iterator[list[Model]]:
        """The tables of these models, in groups that need nothing but what earlier groups made."""
        waiting = {self.models[name].table: self.models[name] for name in self.published if name in set(names)}
        while waiting:
            wave = [model for model in waiting.values() if not waiting.keys() & set(self.inputs(model))]
            yield wave
            for model in wave:
                del waiting[model.table]


def relation(table: str) -> tuple[str, str]:
    """The schema and the name by which models call a table of the lake."""
    parts = table.split("/")
    return (parts[1], parts[2]) if parts[0] == "raw" else (parts[0], parts[1])


def changes_of(model: str, table: str) -> str:
    """The name by which a model calls the rows of an input that changed (`macros/touched.sql`)."""
    schema, name = relation(table)
    return f"{model}__{schema}__{name}" if table.startswith("raw/") else f"{model}__{name}"


def models_of(manifest: Any) -> Iterator[Model]:
    """The models of dbt's manifest."""
    project = manifest.metadata.project_name
    macros = "".join(sorted(macro.macro_sql for macro in manifest.macros.values() if macro.package_name == project))
    tests = _tests(manifest)
    for node in manifest.nodes.values():
        if node.resource_type != "model":
            continue
        sources = [manifest.sources[name] for name in node.depends_on.nodes if name in manifest.sources]
        told = [node.raw_code, macros, *(f"{c.name} {c.data_type} {_required(c)}" for c in node.columns.values())]
        told += sorted(test.what for test in tests.get(node.unique_id, ()))  # a new test has to be run, too
        key = tuple(node.config.meta.get("key", ()))
        if not key and node.config.materialized == "table":
            raise ConfigError(f"{node.original_file_path}: the model has no key", hint="say which columns name one row: config.meta.key")
        yield Model(
            name=node.name,
            layer=node.schema,
            description=node.description,
            owner=str(node.config.meta.get("owner", "")),
            key=key,
            columns=tuple(Column(c.name, c.data_type or "", c.description, _required(c)) for c in node.columns.values()),
            tests=tuple(tests.get(node.unique_id, ())),
            models=tuple(manifest.nodes[name].name for name in node.depends_on.nodes if name in manifest.nodes),
            raw=tuple(str(source.meta.get("table") or f"raw/{source.source_name}/{source.name}") for source in sources),
            published=node.config.materialized == "table",
            incremental=bool(node.config.meta.get("incremental")),
            kept=bool(node.config.meta.get("kept")),
            code=hashlib.sha256("\0".join(told).encode()).hexdigest(),
            python=tuple(node.config.meta.get("code", ())),
            path=node.original_file_path,
        )


def _tests(manifest: Any) -> dict[str, list[Test]]:
    found: dict[str, list[Test]] = {}
    for node in manifest.nodes.values():
        if node.resource_type == "test" and node.attached_node:
            asked = f"{node.raw_code} {node.test_metadata.kwargs} {node.config.severity}"
            test = Test(node.name, node.description, node.config.severity.lower() == "error", _hash(asked))
            found.setdefault(node.attached_node, []).append(test)
    return found


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _required(column: Any) -> bool:
    return any(constraint.type.value == "not_null" for constraint in column.constraints)


def _from_plain(plain: Mapping[str, Any]) -> Model:
    several = {name: tuple(plain[name]) for name in ("key", "models", "raw", "python")}
    columns = tuple(Column(**column) for column in plain["columns"])
    return Model(**{**plain, **several, "columns": columns, "tests": tuple(Test(**test) for test in plain["tests"])})


def _names(model: Model) -> tuple[str, ...]:
    return model.table, model.table.replace("/", ".")


def _ordered(models: Iterable[Model]) -> Iterator[Model]:
    waiting = {model.name: model for model in models}
    while waiting:
        for name in [name for name, model in waiting.items() if not waiting.keys() & set(model.models)]:
            yield waiting.pop(name)


def _fingerprint(folder: Path) -> str:
    """Of everything that a parse reads, and of who parses and keeps it."""
    told = hashlib.sha256(f"{version('dbt-core')} {Path(__file__).read_text()}".encode())
    for path in sorted(path for pattern in _PARSED for path in folder.rglob(pattern)):
        told.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return told.hexdigest()[:16]


def _main(folder: str, work: str) -> int:
    try:
        Project.parsed(Path(folder), Path(work))
    except PilothouseError as error:
        sys.stdout.write(json.dumps({"message": error.message, "hint": error.hint}))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
