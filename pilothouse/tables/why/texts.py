"""The models' texts as dbt compiles them to make a few rows alone: what explains a row runs this, not the whole table.

Kept beside the parsed project, by the hash of what they were compiled from; and so are the annotated ones, by the hash of what they
were made of, so that a command, which is a new process each time, need not rewrite what another one has.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from pathlib import Path
from threading import get_ident
from typing import Any

from pilothouse.kernel.lake import Lake
from pilothouse.tables.dbt import Dbt
from pilothouse.tables.project import Project
from pilothouse.tables.why.annotate import Annotated, Base, Schema, annotated
from pilothouse.tables.why.recipes import NOTHING, shared

Bases = Mapping[tuple[str, str], Base]


def texts(project: Project, lake: Lake, work: Path) -> Mapping[str, str]:
    """The SQL of every model by its name."""
    kept = work / f"texts-{project.fingerprint}.json"
    if kept.is_file():
        found: dict[str, str] = json.loads(kept.read_text())
        return found
    from pilothouse.tables.plugin import Served, serving

    with serving(Served(lake, {})):
        compiled = Dbt(project.folder, work).compile(variables={"asked": True})
    for outdated in work.glob("texts-*.json"):
        outdated.unlink(missing_ok=True)
    for outdated in work.glob("annotated-*"):
        shutil.rmtree(outdated, ignore_errors=True)
    _keep(kept, compiled)
    return compiled


class Annotations:
    """Annotated texts, each made once."""

    def __init__(self, work: Path, fingerprint: str) -> None:
        self._folder = work / f"annotated-{fingerprint}"

    def of(self, name: str, text: str, schema: Schema, columns: Sequence[str], bases: Bases) -> Annotated:
        """A model's text, annotated (`annotate.annotated`)."""
        said = json.dumps((_maker(), text, sorted(columns), schema, sorted(map(repr, bases.items()))))
        made_of = hashlib.sha256(said.encode()).hexdigest()[:20]
        kept = self._folder / f"{name}-{made_of}.json"
        if not kept.is_file():
            self._folder.mkdir(parents=True, exist_ok=True)
            _keep(kept, asdict(annotated(text, schema, columns, bases)))
        plain, known = json.loads(kept.read_text()), {NOTHING: NOTHING}
        recipes = {column: shared(recipe, known) for column, recipe in plain["columns"].items()}
        return Annotated(plain["text"], tuple(plain["traces"]), shared(plain["exists"], known), recipes, tuple(plain["asked"]))


@cache
def _maker() -> str:
    """What annotates."""
    told = [path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))]
    return hashlib.sha256(b"".join(told)).hexdigest() + version("sqlglot")


def _keep(path: Path, plain: Any) -> None:
    unfinished = path.with_suffix(f".{os.getpid()}-{get_ident()}")
    unfinished.write_text(json.dumps(plain))
    unfinished.replace(path)
