"""The card of an additive model: what each feature adds, as lines and lists of points, in plain JSON.

A card is what scikit-learn learned, written so that scoring needs neither scikit-learn nor MLflow: both cost seconds to import, and
a row through a pipeline of many steps costs milliseconds where the card takes an eighth of one. One row and a million go through the
same arithmetic in the same order, so their scores are the same numbers. The parts are measured from the average row, so that a
reason says what sets a row apart.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.model import Reason
from pilothouse.kernel.errors import ModelError

Floats = NDArray[np.float64]
NOTHING: Final = "(none)"  # a category that is missing is one, too


@dataclass(frozen=True)
class Line:
    """What a number adds: straight between points, level beyond them, and a constant where it is missing."""

    name: str
    words: str
    at: tuple[float, ...]
    adds: tuple[float, ...]
    missing: float
    seen: tuple[float, float]  # the least and the greatest that the model learned from

    def parts(self, values: Floats) -> Floats:
        """What each value adds."""
        found: Floats = np.where(np.isnan(values), self.missing, np.interp(values, self.at, self.adds))
        return found

    def column(self, values: pl.Series) -> Floats:
        """The values as this feature takes them."""
        try:
            return values.cast(pl.Float64).fill_null(float("nan")).to_numpy()
        except pl.exceptions.PolarsError as error:
            raise ModelError(
                f"feature '{self.name}' holds {values.dtype}, and the model takes numbers", hint="bring the feature as it was trained on"
            ) from error

    def single(self, value: Any) -> Floats:
        """The same of one value, without the cost of a column."""
        try:
            return np.array([np.nan if value is None else float(value)])
        except (TypeError, ValueError) as error:
            raise ModelError(
                f"feature '{self.name}' is {value!r}, and the model takes numbers", hint="bring the feature as it was trained on"
            ) from error

    def knows(self, values: Floats) -> NDArray[np.bool_]:
        """Whether each lies within what the model has seen."""
        found: NDArray[np.bool_] = np.isnan(values) | ((values >= self.seen[0]) & (values <= self.seen[1]))
        return found


@dataclass(frozen=True)
class Points:
    """What a category adds; `others` is for rare ones, and for those never seen."""

    name: str
    words: str
    adds: Mapping[str, float]
    others: float

    def parts(self, values: NDArray[np.object_]) -> Floats:
        """What each value adds."""
        return np.fromiter((self.adds.get(value, self.others) for value in values), np.float64, len(values))

    def column(self, values: pl.Series) -> NDArray[np.object_]:
        """The values as this feature takes them."""
        words: NDArray[np.object_] = values.cast(pl.String).fill_null(NOTHING).to_numpy().astype(object)
        return words

    def single(self, value: Any) -> NDArray[np.object_]:
        """The same of one value, without the cost of a column."""
        return np.array([NOTHING if value is None else str(value)], dtype=object)

    def knows(self, values: NDArray[np.object_]) -> NDArray[np.bool_]:
        """Whether each is one that the model tells from others."""
        return np.fromiter((value in self.adds for value in values), np.bool_, len(values))


@dataclass(frozen=True)
class AdditiveCard:
    """An additive model: the log-odds of the average row, and what each feature adds to them."""

    base: float
    features: tuple[Line | Points, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain JSON."""
        kinds = {Line: "line", Points: "points"}
        plain = {"base": self.base, "features": [{"kind": kinds[type(each)], **asdict(each)} for each in self.features]}
        told: dict[str, Any] = json.loads(json.dumps(plain))  # lists, as whoever reads it back finds them
        return told

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> AdditiveCard:
        """The inverse of `as_json`."""
        return cls(float(plain["base"]), tuple(_feature(each) for each in plain["features"]))

    def columns(self, rows: pl.DataFrame) -> dict[str, NDArray[Any]]:
        """The features' values; ModelError names one that is missing."""
        lacking = [each.name for each in self.features if each.name not in rows.columns]
        if lacking:
            raise ModelError(f"feature '{lacking[0]}' is missing", hint=f"the model takes {', '.join(each.name for each in self.features)}")
        return {each.name: each.column(rows[each.name]) for each in self.features}

    def parts(self, columns: Mapping[str, NDArray[Any]]) -> dict[str, Floats]:
        """What each feature adds to the log-odds of each row."""
        return {each.name: each.parts(columns[each.name]) for each in self.features}

    def total(self, parts: Mapping[str, Floats]) -> Floats:
        """The log-odds: the base and the parts, always added in the same order."""
        total = np.full(len(next(iter(parts.values()))), self.base)
        for each in self.features:
            total += parts[each.name]
        return total

    def probabilities(self, rows: pl.DataFrame) -> Floats:
        """The probability of each row."""
        return probability(self.total(self.parts(self.columns(rows))))

    def unseen(self, columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.bool_]]:
        """Of each feature, the rows that lie outside of what the model has seen."""
        return {each.name: ~each.knows(columns[each.name]) for each in self.features}

    def reasons(self, row: Mapping[str, Any]) -> list[Reason]:
        """What adds up to the log-odds of one row beside the base, the weightiest first."""
        frame = pl.DataFrame({each.name: [row[each.name]] for each in self.features if each.name in row}, strict=False)
        parts = self.parts(self.columns(frame))
        found = [Reason(each.name, each.words, row[each.name], float(parts[each.name][0])) for each in self.features]
        return sorted(found, key=lambda reason: -abs(reason.adds))


def probability(log_odds: Floats) -> Floats:
    """The chance that belongs to log-odds."""
    chance: Floats = 1.0 / (1.0 + np.exp(-log_odds))
    return chance


def _feature(plain: Mapping[str, Any]) -> Line | Points:
    if plain["kind"] == "line":
        least, greatest = _floats(plain["seen"])
        return Line(plain["name"], plain["words"], _floats(plain["at"]), _floats(plain["adds"]), float(plain["missing"]), (least, greatest))
    return Points(plain["name"], plain["words"], {str(k): float(v) for k, v in plain["adds"].items()}, float(plain["others"]))


def _floats(values: Sequence[Any]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
