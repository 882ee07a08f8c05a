"""The versions of a model as a lake table: what each was trained on and compared with, its card, and which one is used.

MLflow is where people look at versions and where the alias stands. Whoever scores reads this table: at a version, written into the
vector like any table's, and without MLflow's five seconds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import polars as pl

from models.model import Card, Model
from pilothouse.kernel.errors import ModelError
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.versions import Pinned, note_read

_SCHEMA: Final[dict[str, Any]] = {
    "version": pl.Int64,
    "run_id": pl.String,
    "trained_at": pl.Datetime("us", "UTC"),
    "seen_until": pl.Date,
    "fingerprint": pl.String,
    "is_champion": pl.Boolean,
    "verdict": pl.String,
    "compared": pl.String,
    "metrics": pl.String,
    "versions": pl.String,
    "card": pl.String,
    "_synthetic": pl.Boolean,
}


@dataclass(frozen=True)
class Version:
    """One version of a model. `versions` is the vector of what it was trained on."""

    version: int
    run_id: str
    trained_at: datetime
    seen_until: date
    fingerprint: str
    is_champion: bool
    verdict: str
    compared: dict[str, Any] | None
    metrics: dict[str, float]
    versions: dict[str, Any]
    card: Card
    synthetic: bool


class VersionTable:
    """The lake table of one model's versions."""

    def __init__(self, lake: Lake, model: Model) -> None:
        self._model = model
        self._table = lake.table(model.versions)

    def all(self) -> list[Version]:
        """Every version there is, the newest first."""
        if not self._table.exists():
            return []
        rows = self._table.scan().collect().sort("version", descending=True)
        return [_version(row) for row in rows.iter_rows(named=True)]

    def champion(self) -> Version:
        """The version that is used; ModelError before the first training."""
        found = next((each for each in self.all() if each.is_champion), None)
        if found is None:
            raise ModelError(
                f"{self._model.name} has not been trained",
                hint=f"`pilothouse model train {self._model.name}` does, once there are tables to learn from",
            )
        note_read(Pinned("model", self._model.name, str(found.version), found.fingerprint))
        return found

    def get(self, version: int) -> Version:
        """One version; ModelError where there is none of that number."""
        found = next((each for each in self.all() if each.version == version), None)
        if found is None:
            raise ModelError(
                f"{self._model.name}: no version {version}", hint=f"`pilothouse model show {self._model.name}` lists those kept"
            )
        return found

    def keep(self, versions: list[Version]) -> Pinned:
        """Make these the versions there are. The same again writes nothing."""
        rows = [
            {
                **{name: getattr(each, name) for name in _SCHEMA if name not in {"compared", "metrics", "versions", "card", "_synthetic"}},
                **{name: json.dumps(getattr(each, name), sort_keys=True) for name in ("compared", "metrics", "versions", "card")},
                "_synthetic": each.synthetic,
            }
            for each in versions
        ]
        frame = pl.DataFrame(rows, schema=_SCHEMA).sort("version")
        return self._table.replace(frame.to_arrow().to_reader(), key=("version",))


def _version(row: dict[str, Any]) -> Version:
    plain = {name: json.loads(row[name]) for name in ("compared", "metrics", "versions", "card")}
    return Version(**{**{name: value for name, value in row.items() if name != "_synthetic"}, **plain}, synthetic=row["_synthetic"])
