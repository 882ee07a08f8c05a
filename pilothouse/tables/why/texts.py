"""The models' texts as dbt compiles them to make a few rows alone: what explains a row runs this, not the whole table.

Kept beside the parsed project, by the hash of what they were compiled from.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from pilothouse.kernel.lake import Lake
from pilothouse.tables.dbt import Dbt
from pilothouse.tables.project import Project


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
    unfinished = kept.with_suffix(f".{os.getpid()}")
    unfinished.write_text(json.dumps(compiled))
    unfinished.replace(kept)
    return compiled
