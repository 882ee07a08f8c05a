"""Whether rows still look like those a model learned from, and whether what it foretold came true.

Two questions, because either alone misleads: features drift without harm where a company grows, and outcomes turn without a feature
that shows it. The first is asked of the newest rows, of every feature and of the scores; the second of rows whose outcome has become
known since the training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np
import polars as pl

from models.additive.card import AdditiveCard
from models.measuring import measures, shares, shares_of_words, stability
from models.model import Model, Tables
from models.splitting import labelled, later
from models.versions import Version

RECENT: Final = 0.1  # of the rows, the newest
ALIKE: Final = 0.1
DRIFTED: Final = 0.25
_FEWEST: Final = 200  # rows of which something can be said
_WORSE: Final = 1.15  # times the loss that was foretold is a model that no longer holds


@dataclass(frozen=True)
class Drift:
    """How far the newest rows are from those that were learned from: a stability index for each feature and for the scores."""

    rows: int
    since: date
    features: Mapping[str, float]
    score: float

    @property
    def drifted(self) -> tuple[str, ...]:
        """The features that are not alike any more, the furthest first."""
        return tuple(name for name, index in sorted(self.features.items(), key=lambda entry: -entry[1]) if index > DRIFTED)


@dataclass(frozen=True)
class Outcomes:
    """What became of rows whose outcome is known only since the training."""

    rows: int
    measured: Mapping[str, float]
    expected_loss: float  # the loss of a model whose every chance is right

    @property
    def worse(self) -> bool:
        """Whether it is worse than chance alone explains."""
        return self.measured["log_loss"] > self.expected_loss * _WORSE


def drift(model: Model, version: Version, tables: Tables) -> Drift:
    """The newest rows against those of the training."""
    rows = tables[model.features.table].sort(model.features.as_of, *model.key)
    recent = rows.tail(max(int(rows.height * RECENT), min(_FEWEST, rows.height)))
    card = AdditiveCard.from_json(version.card)
    columns, seen = card.columns(recent), version.card["seen"]
    indices = {name: _index(told, columns[name]) for name, told in seen["features"].items() if name in columns}
    return Drift(recent.height, recent[model.features.as_of][0], indices, _index(seen["score"], card.probabilities(recent)))


def outcomes(model: Model, version: Version, tables: Tables) -> Outcomes | None:
    """What came of rows that the version has not seen; None where there are too few to tell."""
    rows = later(model, labelled(model, tables), version.seen_until)
    if rows.height < _FEWEST:
        return None
    chance = AdditiveCard.from_json(version.card).probabilities(rows)
    truth = rows["_outcome"].to_numpy().astype(bool)
    expected = float(np.mean(-chance * np.log(np.maximum(chance, 1e-15)) - (1 - chance) * np.log(np.maximum(1 - chance, 1e-15))))
    return Outcomes(rows.height, measures(truth, chance), expected)


def due(model: Model, version: Version, tables: Tables) -> str | None:
    """Why it is time to train again; None where it is not.

    Outcomes decide, and only new ones: those that the version was judged by when it was made are held out again by the next training,
    which would learn from no others. So there must be a fifth more rows that could be learned from than there were.
    """
    rows = labelled(model, tables)
    known = rows.filter(pl.col("_known_on") <= version.seen_until).height
    new = rows.filter(pl.col("_known_on") > _judged_until(version)).height
    if new < max(_FEWEST, known // 5):
        return None
    found = outcomes(model, version, tables)
    if found is not None and found.worse:
        loss = f"{found.measured['log_loss']:.4f} where {found.expected_loss:.4f} was to be expected"
        return f"{new:,} new outcomes, and on {found.rows:,} that it had not seen a loss of {loss}"
    moved = drift(model, version, tables)
    if moved.drifted:
        return f"{new:,} new outcomes, and {', '.join(moved.drifted[:3])} drifted"
    return None


def _judged_until(version: Version) -> date:
    return date.fromisoformat(str(version.card.get("known_until", version.seen_until.isoformat())))


def _index(told: Mapping[str, Any], values: np.ndarray[Any, Any]) -> float:
    if "words" in told:
        known = {str(name): float(share) for name, share in told["words"].items()}
        return stability(np.append(list(known.values()), 0.0), shares_of_words(values, known))
    return stability(np.array(told["shares"]), shares(values.astype(np.float64), np.array(told["edges"])))
