"""Rows in order of time: what a model may learn from at a moment, and what it is judged by.

Three rules keep the future out. A row counts once its outcome could be told whatever it is (`Target.known_on`): late payers are known
late, so whoever takes rows as soon as their outcome is known learns from punctual ones. What is learned from was decided before the
first row that is held out, as it would have been for somebody who trained on that day. And of that, the latest part calibrates.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import polars as pl

from models.model import Model, Tables
from pilothouse.kernel.errors import ModelError

FEWEST = 200  # rows, and an outcome of both kinds among them, from which anything can be learned


@dataclass(frozen=True)
class Parts:
    """The rows of one training."""

    train: pl.DataFrame
    calibrate: pl.DataFrame
    hold_out: pl.DataFrame
    seen_until: date

    @property
    def known(self) -> pl.DataFrame:
        """The rows whose outcome was known before those that are held out."""
        return pl.concat([self.train, self.calibrate])


def labelled(model: Model, tables: Tables, *, now: date | None = None) -> pl.DataFrame:
    """Rows with features and outcome, decided by a day (the last one that the features tell of), in order of time. Rows without an
    outcome are left out, and do not count as good ones."""
    features, target = tables[model.features.table], tables[model.target.table]
    now = now or _last_day(features, model.features.as_of)
    outcome = target.filter(pl.col(model.target.known_on) <= now).select(
        *model.key, pl.col(model.target.column).alias("_outcome"), pl.col(model.target.known_on).alias("_known_on")
    )
    return features.join(outcome, on=list(model.key)).drop_nulls("_outcome").sort(model.features.as_of, *model.key)


def divided(model: Model, rows: pl.DataFrame) -> Parts:
    """Rows to learn from, to calibrate by, and to be judged by; ModelError where there are too few."""
    if rows.height < FEWEST:
        raise ModelError(
            f"{model.name}: {rows.height:,} rows with an outcome, and it takes {FEWEST}",
            hint="sync more of the past, or wait until outcomes are known",
        )
    day = pl.col(model.features.as_of)
    seen_until = rows[model.features.as_of][int(rows.height * (1 - model.split.hold_out))]
    known = rows.filter((day < seen_until) & (pl.col("_known_on") <= seen_until))
    hold_out = rows.filter(day >= seen_until)
    if known.height < FEWEST:
        raise ModelError(
            f"{model.name}: of {rows.height:,} rows only {known.height:,} had an outcome by {seen_until}, before the ones held out",
            hint="sync more of the past, or wait until outcomes are known",
        )
    since = known[model.features.as_of][int(known.height * (1 - model.split.calibrate))]
    parts = Parts(known.filter(day < since), known.filter(day >= since), hold_out, seen_until)
    for name, part in (("learn from", parts.train), ("calibrate by", parts.calibrate)):
        if part["_outcome"].n_unique() < 2:
            raise ModelError(
                f"{model.name}: the {part.height:,} rows to {name} all came out alike",
                hint="sync more of the past, or wait until more outcomes are known",
            )
    return parts


def later(model: Model, rows: pl.DataFrame, since: date) -> pl.DataFrame:
    """Rows of which nobody knew who trained on a day before."""
    return rows.filter(pl.col(model.features.as_of) >= since)


def _last_day(rows: pl.DataFrame, column: str) -> date:
    last = rows[column].max()
    if last is None:
        raise ModelError(f"there are no rows with {column}", hint="sync and build first: `pilothouse build`")
    assert isinstance(last, date)
    return last
