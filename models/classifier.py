"""The kind of model that foretells a yes or no: additive, calibrated, each score with its reasons.

Additive because its explanation is then no approximation: a score is the average and what each feature adds. On the features of
late payment boosted trees ranked no better (docs/decisions/0014).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

from models.model import Card, Compared, Fitted, Model, Number, Reason, Tables

if TYPE_CHECKING:
    from datetime import date

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from models.additive.card import AdditiveCard
    from models.splitting import Parts

REASONS: Final = 4  # that a score names
_EDGES: Final = 10  # groups into which a feature's values are counted for drift


@dataclass(frozen=True)
class AdditiveClassifier:
    """A logistic regression on lines and categories, its probability calibrated by the latest of the rows that it learned from: so few
    weights do not know single rows by heart, and what begins late is seen in these alone."""

    strength: float = 1.0  # scikit-learn's C: the lower, the more a feature's effect is drawn to nothing

    @property
    def called(self) -> Literal["classifier"]:
        """What kind it is."""
        return "classifier"

    def fit(self, model: Model, tables: Tables) -> Fitted:
        """Learn from what was known before the rows that are held out."""
        from models import measuring, plots
        from models.additive.fitting import as_pandas
        from models.splitting import divided, labelled

        parts = divided(model, labelled(model, tables))
        card, estimator = self._learned(model, parts)
        truth, chance = _outcomes(parts.hold_out), card.probabilities(parts.hold_out)
        counts = {"rows_trained": parts.known.height, "rows_calibrated": parts.calibrate.height, "rows_held_out": parts.hold_out.height}
        importance = _importance(card, parts.hold_out)
        return Fitted(
            card={
                **card.as_json(),
                "seen": _distributions(model, card, parts),
                "known_until": str(tables[model.features.table][model.features.as_of].max()),
            },
            estimator=estimator,
            example=as_pandas(model.features.columns, parts.hold_out.head(5)),
            seen_until=parts.seen_until,
            metrics={**measuring.measures(truth, chance), **{name: float(count) for name, count in counts.items()}},
            figures={
                "calibration": partial(plots.calibration, measuring.reliability(truth, chance)),
                "roc": partial(plots.roc, *measuring.roc(truth, chance), measuring.auc(truth, chance)),
                "lift": partial(plots.lift, *measuring.lift(truth, chance)),
                "importance": partial(plots.importance, importance),
            },
        )

    def _learned(self, model: Model, parts: Parts) -> tuple[AdditiveCard, Any]:
        from sklearn.calibration import CalibratedClassifierCV
        from sklearn.frozen import FrozenEstimator

        from models.additive.fitting import as_pandas, card_of, pipeline

        features = model.features.columns
        known, later = as_pandas(features, parts.known), as_pandas(features, parts.calibrate)
        fitted = pipeline(features, known, self.strength).fit(known, _outcomes(parts.known))
        calibrated = CalibratedClassifierCV(FrozenEstimator(fitted), method="sigmoid").fit(later, _outcomes(parts.calibrate))
        line = calibrated.calibrated_classifiers_[0].calibrators[0]  # the chance is 1 / (1 + exp(a * log-odds + b))
        return card_of(fitted, features, known, slope=-float(line.a_), offset=-float(line.b_)), calibrated

    def compare(self, model: Model, tables: Tables, candidate: Card, incumbent: Card, since: date) -> Compared | None:
        """Both on the rows since a day whose outcome is known by now."""
        from models import measuring
        from models.additive.card import AdditiveCard
        from models.splitting import labelled, later

        rows = later(model, labelled(model, tables), since)
        if rows.height < model.split.fewest or rows["_outcome"].n_unique() < 2:
            return None
        truth = _outcomes(rows)
        measured = [measuring.measures(truth, AdditiveCard.from_json(card).probabilities(rows)) for card in (candidate, incumbent)]
        days = rows[model.features.as_of]
        return Compared(days[0], days[-1], rows.height, *measured)

    def score(self, model: Model, tables: Tables, card: Card) -> pl.DataFrame:
        """The probability of each row, its strongest reasons, and which of its values the model had not seen."""
        import polars as pl

        from models.additive.card import AdditiveCard, probability

        rows, learned = tables[model.features.table], AdditiveCard.from_json(card)
        columns = learned.columns(rows)
        parts = learned.parts(columns)
        return rows.select(*model.key, "firm_id", model.features.as_of, "_synthetic").with_columns(
            pl.Series("score", probability(learned.total(parts))),
            pl.Series("reasons", _told(learned, parts), dtype=pl.String),
            pl.Series("unseen", _named(learned.unseen(columns)), dtype=pl.String),
        )

    def explain(self, card: Card, row: Mapping[str, Any]) -> Sequence[Reason]:
        """What adds up to the log-odds of one row beside those of the average one."""
        from models.additive.card import AdditiveCard

        return AdditiveCard.from_json(card).reasons(row)


def _outcomes(rows: pl.DataFrame) -> NDArray[np.bool_]:
    outcomes: NDArray[np.bool_] = rows["_outcome"].to_numpy().astype(bool)
    return outcomes


def _told(card: AdditiveCard, parts: Mapping[str, NDArray[np.float64]]) -> list[str]:
    """The strongest reasons of each row as JSON: feature to what it adds to the log-odds."""
    import numpy as np

    names = [each.name for each in card.features]
    matrix = np.column_stack([parts[name] for name in names])
    strongest = np.argsort(-np.abs(matrix), axis=1, kind="stable")[:, :REASONS]
    adds = np.take_along_axis(matrix, strongest, axis=1).round(4)
    return [
        json.dumps(dict(zip([names[place] for place in places], values, strict=True)))
        for places, values in zip(strongest.tolist(), adds.tolist(), strict=True)
    ]


def _named(unseen: Mapping[str, NDArray[np.bool_]]) -> list[str | None]:
    """The features of each row whose value the model had not seen, in one text; nothing where it had seen all."""
    rows = len(next(iter(unseen.values())))
    told: list[list[str]] = [[] for _ in range(rows)]
    for name, outside in unseen.items():
        for place in outside.nonzero()[0].tolist():
            told[place].append(name)
    return [", ".join(names) or None for names in told]


def _importance(card: AdditiveCard, rows: pl.DataFrame) -> list[tuple[str, float]]:
    """How far each feature moves the log-odds, on average over these rows; the most important first."""
    import numpy as np

    parts = card.parts(card.columns(rows))
    found = [(each.words, float(np.mean(np.abs(parts[each.name])))) for each in card.features]
    return sorted(found, key=lambda entry: -entry[1])


def _distributions(model: Model, card: AdditiveCard, parts: Parts) -> dict[str, Any]:
    """What the rows looked like that the model learned from, and their scores: what drift is measured against."""
    import numpy as np

    from models.measuring import shares

    rows = parts.known
    columns = card.columns(rows)
    found: dict[str, dict[str, Any]] = {}
    for each in model.features.columns:
        values = columns[each.name]
        if isinstance(each, Number):
            found[each.name] = _counted(values)
        else:
            names, counts = np.unique(values.astype(str), return_counts=True)
            found[each.name] = {"words": dict(zip(names.tolist(), (counts / len(values)).tolist(), strict=True))}
    scores = card.probabilities(rows)
    edges = np.unique(np.quantile(scores, np.linspace(0, 1, _EDGES + 1)[1:-1]))
    return {"features": found, "score": {"edges": edges.tolist(), "shares": shares(scores, edges).tolist()}}


def _counted(values: NDArray[np.float64]) -> dict[str, Any]:
    import numpy as np

    from models.measuring import shares

    known = values[~np.isnan(values)]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, _EDGES + 1)[1:-1])) if len(known) else np.array([])
    return {"edges": edges.tolist(), "shares": shares(values, edges).tolist()}
