"""dbt inside this process: parsed once, then each build costs what its models cost.

A process of its own takes six seconds to start. dbt keeps much of its state in globals, so there is one build at a time.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pilothouse.kernel.errors import ConfigError

_ONE_AT_A_TIME = threading.Lock()
_QUIETLY = ("--quiet", "--log-level", "none", "--log-level-file", "none", "--no-write-json", "--no-print")


@dataclass(frozen=True)
class Ran:
    """One node that dbt ran: a model, or a test of one."""

    name: str
    kind: Literal["model", "test", "unit_test"]
    model: str  # the model itself, or the one that is tested
    status: str  # dbt's own: success, pass, warn, fail, error, skipped
    message: str
    seconds: float
    failures: int
    sql: str

    @property
    def ok(self) -> bool:
        """Whether nothing that blocks was found."""
        return self.status in {"success", "pass", "warn", "no-op"}


@dataclass(frozen=True)
class Profile:
    """How dbt reaches what it runs on, in its own words. Secrets are told to it in memory, and stand in no file."""

    outputs: Mapping[str, Any]
    secrets: Mapping[str, str]


class Dbt:
    """A dbt project, ready to run on one of its targets. Each has a folder of its own to work in: what was parsed for one is not
    what another one reads."""

    def __init__(
        self,
        folder: Path,
        work: Path,
        target: str = "duckdb",
        variables: Mapping[str, Any] | None = None,
        profile: Profile | None = None,
    ) -> None:
        self.folder = folder
        self._work = work
        self._target = target
        self._profiles = self._written(profile) if profile else folder
        self._variables = {**(variables or {}), **(profile.secrets if profile else {})}

    @cached_property
    def manifest(self) -> Any:
        """The project as dbt understands it."""
        return self._invoke("parse", *self._told({})).result

    def prepare(self) -> None:
        """Import dbt and parse, so that the next thing that is asked costs only itself."""
        assert self.manifest is not None

    def build(self, names: Sequence[str], *, variables: Mapping[str, Any]) -> list[Ran]:
        """Make these models and run their tests, each test before the models that read what it tests."""
        selected = ("--select", *names, "--indirect-selection", "buildable", *self._told(variables))
        selected += ("--exclude-resource-type", "unit_test")  # they ask about texts, not about rows
        done = self._invoke("build", *selected, manifest=self.manifest)
        if done.result is None:
            raise ConfigError(f"dbt: {_first_lines(done.exception)}", hint=f"`dbt build` in {self.folder} shows more")
        return [_ran(result) for result in done.result.results]

    def unit_tests(self) -> list[Ran]:
        """Whether models do with given rows what their unit tests expect. What they read must be served, for its columns."""
        done = self._invoke("test", "--select", "test_type:unit", *self._told({}), manifest=self.manifest)
        return [_ran(result) for result in done.result.results]

    def compile(self, *, variables: Mapping[str, Any], alone: Sequence[str] = ()) -> dict[str, str]:
        """The SQL of every model and every analysis, by its name; or of these models `alone`, for which nothing is connected to."""
        selected = ("--select", *alone, "--no-populate-cache", "--no-introspect") if alone else ()
        done = self._invoke("compile", *self._told(variables), *selected, manifest=self.manifest)
        nodes = (each.node for each in done.result.results if each.node.resource_type in {"model", "analysis"})
        return {node.name: node.compiled_code for node in nodes if node.compiled_code}

    def _written(self, profile: Profile) -> Path:
        """The folder of a file that tells the profile."""
        outputs = {**profile.outputs, **{name: f"{{{{ var('{name}') }}}}" for name in profile.secrets}}
        self._work.mkdir(parents=True, exist_ok=True)
        told = {"pilothouse": {"target": self._target, "outputs": {self._target: outputs}}}
        (self._work / "profiles.yml").write_text(json.dumps(told, indent=2))  # JSON is YAML
        return self._work

    def _told(self, variables: Mapping[str, Any]) -> tuple[str, str]:
        return "--vars", json.dumps({**self._variables, **variables})

    def _invoke(self, command: str, *told: str, manifest: Any = None) -> Any:
        from dbt.cli.main import dbtRunner

        from pilothouse.tables.spared import spare

        spare()
        where = ("--project-dir", str(self.folder), "--profiles-dir", str(self._profiles), "--target", self._target)
        paths = ("--target-path", str(self._work / "target"), "--log-path", str(self._work / "logs"))
        with _ONE_AT_A_TIME:
            done = dbtRunner(manifest=manifest).invoke([*_QUIETLY, command, *where, *paths, *told])
        if isinstance(done.exception, KeyboardInterrupt | SystemExit):
            raise done.exception
        if done.exception is not None and command != "build":
            raise ConfigError(
                f"{self.folder.name}: {_first_lines(done.exception)}", hint="mend the model or its properties"
            ) from done.exception
        return done


def _ran(result: Any) -> Ran:
    node = result.node
    kind = {"test": "test", "unit_test": "unit_test"}.get(str(node.resource_type), "model")
    tested = getattr(node, "attached_node", None) or (node.depends_on.nodes[0] if kind == "unit_test" else None)
    return Ran(
        name=node.name,
        kind=kind,  # type: ignore[arg-type]
        model=tested.rpartition(".")[2] if tested else node.name,
        status=str(result.status),
        message=_first_lines(result.message),
        seconds=result.execution_time,
        failures=result.failures or 0,
        sql=getattr(node, "compiled_code", None) or "",
    )


def _first_lines(said: object) -> str:
    """What was said, without where in dbt's own macros it was said."""
    lines = [line for line in str(said or "").strip().splitlines() if line.strip() and not line.lstrip().startswith("> ")]
    return "\n".join(lines)[:1_500]
