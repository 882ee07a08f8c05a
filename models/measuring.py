"""How good probabilities are: whether they rank well, whether they come true, and how far two groups of values lie apart.

Written in a few lines of numpy, because they are asked wherever a model is compared, and scikit-learn takes seconds to import;
`tests/unit/models` holds them against scikit-learn's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
BINS: Final = 10
_LEAST: Final = 1e-15  # a chance of nothing has an infinite loss


@dataclass(frozen=True)
class Reliability:
    """Rows in groups of equal size by their probability: what was foretold of each group, what came of it, and how many there were."""

    foretold: Floats
    came: Floats
    rows: NDArray[np.int64]

    @property
    def error(self) -> float:
        """The expected calibration error: how far the two lie apart, on average over all rows."""
        return float(np.sum(np.abs(self.foretold - self.came) * self.rows) / self.rows.sum())


def auc(truth: NDArray[np.bool_], score: Floats) -> float:
    """How often a row that is true ranks above one that is not; ties count half."""
    values, place = np.unique(score, return_inverse=True)
    true = np.bincount(place, weights=truth, minlength=len(values))
    false = np.bincount(place, minlength=len(values)) - true
    pairs = true.sum() * false.sum()
    below = np.cumsum(false) - false
    return float((true * (below + false / 2)).sum() / pairs) if pairs else 0.5


def log_loss(truth: NDArray[np.bool_], chance: Floats) -> float:
    """The mean surprise; what candidates and champions are compared by, because it asks for ranking and calibration both."""
    said = np.clip(np.where(truth, chance, 1.0 - chance), _LEAST, 1.0)
    return float(-np.mean(np.log(said)))


def brier(truth: NDArray[np.bool_], chance: Floats) -> float:
    """The mean squared error of a probability."""
    return float(np.mean((chance - truth) ** 2))


def reliability(truth: NDArray[np.bool_], chance: Floats, bins: int = BINS) -> Reliability:
    """Foretold against what came, in groups of equal size."""
    order = np.argsort(chance, kind="stable")
    groups = [group for group in np.array_split(order, bins) if len(group)]
    return Reliability(
        np.array([chance[group].mean() for group in groups]),
        np.array([truth[group].mean() for group in groups]),
        np.array([len(group) for group in groups]),
    )


def roc(truth: NDArray[np.bool_], score: Floats) -> tuple[Floats, Floats]:
    """Shares of false and of true rows at or above each threshold, from none to all."""
    order = np.argsort(-score, kind="stable")
    last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    true, false = np.cumsum(truth[order])[last], np.cumsum(~truth[order])[last]
    return np.append(0.0, false / max(false[-1], 1)), np.append(0.0, true / max(true[-1], 1))


def lift(truth: NDArray[np.bool_], score: Floats) -> tuple[Floats, Floats]:
    """How many times more true rows are among the highest-ranked than among all, by the share that is looked at."""
    ranked = truth[np.argsort(-score, kind="stable")]
    looked_at = np.arange(1, len(ranked) + 1)
    return looked_at / len(ranked), np.cumsum(ranked) / looked_at / max(ranked.mean(), _LEAST)


def measures(truth: NDArray[np.bool_], chance: Floats) -> dict[str, float]:
    """What is kept of each version: lower is better of all but `auc`."""
    return {
        "auc": auc(truth, chance),
        "log_loss": log_loss(truth, chance),
        "brier": brier(truth, chance),
        "ece": reliability(truth, chance).error,
        "late_share": float(truth.mean()),
        "foretold_share": float(chance.mean()),
    }


def shares(values: Floats, edges: Floats) -> Floats:
    """Shares of values between edges, below the first and above the last; the last share is of those that are missing."""
    known = values[~np.isnan(values)]
    counts = np.bincount(np.searchsorted(edges, known, side="right"), minlength=len(edges) + 1)
    found: Floats = np.append(counts, len(values) - len(known)) / max(len(values), 1)
    return found


def stability(before: Floats, now: Floats) -> float:
    """The population stability index: under 0.1 two groups are alike, above 0.25 they are not."""
    least = 1e-4  # a group that is empty on one side counts as this much
    old, new = np.maximum(before, least), np.maximum(now, least)
    return float(np.sum((new - old) * np.log(new / old)))


def shares_of_words(words: NDArray[np.object_], known: Mapping[str, float]) -> Floats:
    """Shares of words in the order of those known; the last share is of all others."""
    names = {name: place for place, name in enumerate(known)}
    places = np.fromiter((names.get(word, len(names)) for word in words), np.int64, len(words))
    found: Floats = np.bincount(places, minlength=len(names) + 1) / max(len(words), 1)
    return found
