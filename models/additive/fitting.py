"""How an additive model is learned: a scikit-learn pipeline of lines and categories into a logistic regression, and its card.

Lines that bend at quantiles, each with a constant of its own for what is missing, are what a spline of degree one gives; so the
pipeline consists of scikit-learn's own parts alone, and MLflow keeps it in a format that runs no code of ours when it is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from models.additive.card import NOTHING, AdditiveCard, Floats, Line, Points
from models.model import Category, Feature, Number
from pilothouse.kernel.errors import ModelError

if TYPE_CHECKING:
    import pandas as pd


def as_pandas(features: Sequence[Feature], rows: pl.DataFrame) -> pd.DataFrame:
    """Rows as the pipeline takes them: numbers as doubles, categories as words."""
    import pandas as pd

    columns: dict[str, Any] = {}
    for each in features:
        if each.name not in rows.columns:
            raise ModelError(f"feature '{each.name}' is missing", hint=f"the table has {', '.join(rows.columns)}")
        series = rows[each.name]
        if isinstance(each, Number):
            columns[each.name] = series.cast(pl.Float64).fill_null(float("nan")).to_numpy()
        else:
            columns[each.name] = series.cast(pl.String).fill_null(NOTHING).to_numpy().astype(object)
    return pd.DataFrame(columns)


def pipeline(features: Sequence[Feature], rows: pd.DataFrame, strength: float) -> Any:
    """A pipeline that is not fitted yet. Bends are set by these rows, so that there is something to learn between any two of them."""
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, SplineTransformer

    steps: list[tuple[str, Any, list[str]]] = []
    for each in features:
        if isinstance(each, Category):
            words = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=each.at_least, sparse_output=False)
            steps.append((each.name, words, [each.name]))
            continue
        knots = np.array(each.at) if each.at else _knots(rows[each.name].to_numpy(dtype=np.float64), each.bends)
        if len(knots) > 1:  # a feature that says the same of every row has nothing to add
            spline = SplineTransformer(degree=1, knots=knots[:, None], extrapolation="constant", handle_missing="zeros")
            steps.append((each.name, spline, [each.name]))
    learner = LogisticRegression(C=strength, solver="newton-cholesky", max_iter=200)
    return Pipeline([("features", ColumnTransformer(steps)), ("weights", learner)])


def _knots(values: Floats, bends: int) -> Floats:
    known = values[~np.isnan(values)]
    if not len(known):
        return np.array([])
    quantiles = np.quantile(known, np.linspace(0.0, 1.0, bends + 1))
    # a tail that is long would bend the last line at its very end: level from the 99.5th percentile on
    quantiles[0], quantiles[-1] = np.quantile(known, [0.005, 0.995])
    found: Floats = np.unique(quantiles)
    if len(found) == 1 and known.min() < known.max():
        found = np.unique([known.min(), known.max()])  # a rare flag
    return found


def card_of(fitted: Any, features: Sequence[Feature], rows: pd.DataFrame, *, slope: float = 1.0, offset: float = 0.0) -> AdditiveCard:
    """The card of a fitted pipeline whose log-odds are then calibrated by a line. Parts are measured from the average of these rows."""
    encoders = fitted["features"].named_transformers_
    weights = fitted["weights"].coef_[0] * slope
    slices = fitted["features"].output_indices_
    base = float(fitted["weights"].intercept_[0]) * slope + offset
    found: list[Line | Points] = []
    for each in features:
        if each.name not in encoders:
            found.append(Line(each.name, each.words, (0.0,), (0.0,), 0.0, _seen(rows[each.name].to_numpy())))
            continue
        own = weights[slices[each.name]]
        raw = (
            _points(each, encoders[each.name], own)
            if isinstance(each, Category)
            else _line(each, encoders[each.name], own, _seen(rows[each.name].to_numpy()))
        )
        mean = float(np.mean(raw.parts(raw.column(pl.Series(rows[each.name].to_numpy())))))  # type: ignore[arg-type]
        base += mean
        found.append(_centred(raw, mean))
    return AdditiveCard(base, tuple(found))


def _line(feature: Feature, spline: Any, weights: Floats, seen: tuple[float, float]) -> Line:
    # The bases of a spline of degree one are hats: at its knots, one of them is one and the others are nothing.
    at = tuple(float(knot) for knot in np.ravel(spline.knots))
    return Line(feature.name, feature.words, at, tuple(float(weight) for weight in weights), 0.0, seen)


def _seen(values: Floats) -> tuple[float, float]:
    known = values[~np.isnan(values)]
    return (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)


def _points(feature: Feature, encoder: Any, weights: Floats) -> Points:
    names = [str(name) for name in encoder.categories_[0]]
    rare = set() if encoder.infrequent_categories_[0] is None else {str(name) for name in encoder.infrequent_categories_[0]}
    common = [name for name in names if name not in rare]
    others = float(weights[len(common)]) if rare else 0.0
    return Points(feature.name, feature.words, {name: float(weight) for name, weight in zip(common, weights, strict=False)}, others)


def _centred(raw: Line | Points, mean: float) -> Line | Points:
    if isinstance(raw, Line):
        return Line(raw.name, raw.words, raw.at, tuple(each - mean for each in raw.adds), raw.missing - mean, raw.seen)
    return Points(raw.name, raw.words, {name: adds - mean for name, adds in raw.adds.items()}, raw.others - mean)
