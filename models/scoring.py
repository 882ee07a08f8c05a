"""Scores of the model that is used: of a whole table, or of one row, by the same arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from models.additive.card import AdditiveCard, probability
from models.model import Card, Model, Reason
from models.training import read_tables
from models.versions import Version, VersionTable
from pilothouse.kernel.errors import ModelError
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.versions import Pinned


@dataclass(frozen=True)
class Scored:
    """A table of scores that was written."""

    table: Pinned
    rows: int
    version: Version
    frame: pl.DataFrame


@dataclass(frozen=True)
class Score:
    """The score of one row: the chance, what adds up to it, and the values that the model had not seen."""

    score: float
    base: float
    reasons: tuple[Reason, ...]
    unseen: tuple[str, ...]
    version: int


def score_table(lake: Lake, model: Model) -> Scored:
    """Score every row there is by the champion. Equal scores publish no new version."""
    champion = VersionTable(lake, model).champion()
    tables, _ = read_tables(lake, model)
    frame = model.kind.score(model, tables, champion.card).with_columns(pl.lit(champion.version).alias("model_version"))
    written = lake.table(model.scores).replace(
        frame.to_arrow().to_reader(), {"pilothouse.model": f"{model.name}@{champion.version}"}, key=model.key
    )
    return Scored(written, frame.height, champion, frame)


class Scorer:
    """Scores rows one by one: the card is read once, and needs neither scikit-learn nor MLflow."""

    def __init__(self, model: Model, version: int, card: Card) -> None:
        self.model = model
        self.version = version
        self._card = AdditiveCard.from_json(card)

    @classmethod
    def of(cls, lake: Lake, model: Model, version: int | None = None) -> Scorer:
        """The scorer of the champion, or of another version."""
        table = VersionTable(lake, model)
        found = table.champion() if version is None else table.get(version)
        return cls(model, found.version, found.card)

    def score(self, row: Mapping[str, Any]) -> Score:
        """The score of one row; ModelError names a feature that is missing."""
        lacking = [each.name for each in self._card.features if each.name not in row]
        if lacking:
            raise ModelError(
                f"{self.model.name}: feature '{lacking[0]}' is missing",
                hint=f"a row brings {', '.join(each.name for each in self._card.features)}; a value that is not known is null",
            )
        columns = {each.name: each.single(row[each.name]) for each in self._card.features}
        parts = self._card.parts(columns)
        chance = float(probability(self._card.total(parts))[0])
        found = [Reason(each.name, each.words, row[each.name], float(parts[each.name][0])) for each in self._card.features]
        unseen = [name for name, outside in self._card.unseen(columns).items() if outside[0]]
        return Score(chance, self._card.base, tuple(sorted(found, key=lambda each: -abs(each.adds))), tuple(unseen), self.version)
