"""An additive model: what its card says is what scikit-learn's pipeline says, for one row and for many."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl
import pytest

from models.additive.card import AdditiveCard
from models.additive.fitting import as_pandas, card_of, pipeline
from models.model import Category, Number
from pilothouse.kernel.errors import ModelError

FEATURES = (
    Number("size", "size"),
    Number("flag", "a rare flag"),
    Number("age", "age", at=(0.0, 5.0, 20.0)),
    Category("land", "land", at_least=40),
)


def rows(count: int, seed: int) -> pl.DataFrame:
    dice = np.random.default_rng(seed)
    size = dice.normal(0, 2, count)
    size[dice.random(count) < 0.2] = np.nan
    frame = {
        "size": size,
        "flag": (dice.random(count) < 0.002).astype(int),
        "age": dice.integers(0, 40, count),
        "land": dice.choice(np.array(["DE", "FR", "IT", "XX", None], dtype=object), count, p=[0.5, 0.3, 0.17, 0.01, 0.02]),
    }
    return pl.DataFrame(frame, nan_to_null=True)


@pytest.fixture(scope="module")
def learned() -> tuple[Any, AdditiveCard]:
    train = rows(3_000, 1)
    frame = as_pandas(FEATURES, train)
    chance = 1 / (1 + np.exp(2 - 0.5 * np.nan_to_num(frame["size"]) - (frame["land"] == "FR")))
    fitted = pipeline(FEATURES, frame, 1.0).fit(frame, np.random.default_rng(2).random(3_000) < chance)
    return fitted, card_of(fitted, FEATURES, frame)


def test_the_card_says_what_the_pipeline_says(learned: tuple[Any, AdditiveCard]) -> None:
    fitted, card = learned
    new = rows(2_000, 9).with_columns(pl.when(pl.col("age") == 7).then(pl.lit("never seen")).otherwise("land").alias("land"))
    np.testing.assert_allclose(card.probabilities(new), fitted.predict_proba(as_pandas(FEATURES, new))[:, 1], rtol=0, atol=1e-12)


def test_a_card_survives_json_to_the_bit(learned: tuple[Any, AdditiveCard]) -> None:
    _, card = learned
    again = AdditiveCard.from_json(json.loads(json.dumps(card.as_json())))
    assert again == card
    assert (again.probabilities(rows(500, 4)) == card.probabilities(rows(500, 4))).all()


def test_one_row_and_many_have_the_same_score_to_the_bit(learned: tuple[Any, AdditiveCard]) -> None:
    _, card = learned
    many = rows(500, 4)
    together = card.probabilities(many)
    assert [float(card.probabilities(many[place])[0]) for place in range(many.height)] == together.tolist()


def test_reasons_add_up_to_the_score_and_to_nothing_on_average(learned: tuple[Any, AdditiveCard]) -> None:
    _, card = learned
    train = rows(3_000, 1)
    for place in (0, 17, 99):
        row = train.row(place, named=True)
        total = card.base + sum(reason.adds for reason in card.reasons(row))
        assert 1 / (1 + np.exp(-total)) == pytest.approx(float(card.probabilities(train[place])[0]), abs=1e-12)
    parts = card.parts(card.columns(train))
    assert max(abs(float(part.mean())) for part in parts.values()) < 1e-9


def test_a_feature_that_is_missing_is_named(learned: tuple[Any, AdditiveCard]) -> None:
    _, card = learned
    with pytest.raises(ModelError, match=r"'age' is missing[\s\S]*size, flag, age, land"):
        card.probabilities(rows(5, 1).drop("age"))
    with pytest.raises(ModelError, match="'size' holds"):
        card.probabilities(rows(5, 1).with_columns(pl.lit("much").alias("size")))


def test_what_was_never_seen_is_told(learned: tuple[Any, AdditiveCard]) -> None:
    _, card = learned
    odd = pl.DataFrame({"size": [0.0, 1e6, None], "flag": [0, 0, 0], "age": [3, 3, 3], "land": ["DE", "DE", "QQ"]})
    unseen = card.unseen(card.columns(odd))
    assert {name: places.tolist() for name, places in unseen.items()} == {
        "size": [False, True, False],
        "flag": [False, False, False],
        "age": [False, False, False],
        "land": [False, False, True],
    }


def test_one_value_is_taken_like_a_column_of_them(learned: tuple[Any, AdditiveCard]) -> None:
    _, card = learned
    for row in rows(200, 6).iter_rows(named=True):
        frame = pl.DataFrame([row], schema={"size": pl.Float64, "flag": pl.Int64, "age": pl.Int64, "land": pl.String})
        for each in card.features:
            np.testing.assert_array_equal(each.single(row[each.name]), each.column(frame[each.name]))
