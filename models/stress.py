"""What if: the same rows said otherwise, scored by the same model, before and after."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from models.additive.card import AdditiveCard
from models.model import Card, Category, Model, Scenario, Shift
from pilothouse.kernel.errors import ModelError

_SPOKEN: Final = re.compile(r"^(\w+)\s*(\*|\+|-|=)\s*(.+)$")
_HIGH: Final = 0.2  # from this chance on an order counts as risky


@dataclass(frozen=True)
class Stressed:
    """A scenario's effect on some rows. `beyond` counts those for which it lies outside of what the model has seen: there its answer is
    that of the edge."""

    scenario: Scenario
    rows: int
    before: float
    after: float
    risky_before: int
    risky_after: int
    beyond: int
    frame: pl.DataFrame  # key, score before and after


def stressed(model: Model, card: Card, rows: pl.DataFrame, scenario: Scenario) -> Stressed:
    """Score rows as they are, and as the scenario has them."""
    if rows.is_empty():
        raise ModelError(f"{model.name}: there is no such row", hint="`pilothouse query` shows which there are")
    learned = AdditiveCard.from_json(card)
    moved = rows.with_columns(_shifted(model, rows, shift).alias(shift.feature) for shift in scenario.shifts)
    before, after = learned.probabilities(rows), learned.probabilities(moved)
    unseen = learned.unseen(learned.columns(moved))
    beyond = np.logical_or.reduce([unseen[shift.feature] for shift in scenario.shifts])
    frame = rows.select(*model.key, *(name for name in ("firm_id",) if name in rows.columns)).with_columns(
        pl.Series("before", before), pl.Series("after", after)
    )
    return Stressed(
        scenario,
        rows.height,
        float(before.mean()),
        float(after.mean()),
        int((before >= _HIGH).sum()),
        int((after >= _HIGH).sum()),
        int(beyond.sum()),
        frame,
    )


def spoken(model: Model, texts: list[str]) -> Scenario:
    """A scenario as somebody types it: `industry_output*0.8`, `mean_rating_score+130`, `country=US`."""
    shifts = []
    for text in texts:
        found = _SPOKEN.match(text)
        if found is None:
            raise ModelError(f"'{text}' is no shift", hint="say feature*factor, feature+number, feature-number or feature=value")
        name, how, said = found.groups()
        _feature(model, name)
        shifts.append(Shift(name, to=said) if how == "=" else _moved(name, how, said))
    return Scenario("as-said", ", ".join(texts), tuple(shifts))


def scenario_called(model: Model, name: str) -> Scenario:
    """A declared scenario; ModelError where none has that name."""
    found = next((each for each in model.scenarios if each.name == name), None)
    if found is None:
        raise ModelError(
            f"{model.name} has no scenario '{name}'", hint=f"it has {', '.join(each.name for each in model.scenarios) or 'none'}"
        )
    return found


def _moved(name: str, how: str, said: str) -> Shift:
    try:
        number = float(said)
    except ValueError as error:
        raise ModelError(f"'{said}' is no number", hint=f"say {name}*0.8 or {name}+10") from error
    return Shift(name, times=number) if how == "*" else Shift(name, plus=number if how == "+" else -number)


def _feature(model: Model, name: str) -> Category | None:
    """The feature if it is a category; ModelError where the model has none of that name."""
    found = next((each for each in model.features.columns if each.name == name), None)
    if found is None:
        raise ModelError(f"{model.name} has no feature '{name}'", hint=f"it has {', '.join(each.name for each in model.features.columns)}")
    return found if isinstance(found, Category) else None


def _shifted(model: Model, rows: pl.DataFrame, shift: Shift) -> pl.Expr:
    category = _feature(model, shift.feature)
    if shift.to is not None:
        return pl.lit(str(shift.to)) if category else pl.lit(_number(shift))
    if category:
        raise ModelError(f"{shift.feature} is a category", hint=f"say {shift.feature}=value")
    if shift.feature not in rows.columns:
        raise ModelError(f"feature '{shift.feature}' is missing", hint=f"the rows have {', '.join(rows.columns)}")
    value = pl.col(shift.feature).cast(pl.Float64)
    return value * shift.times if shift.times is not None else value + (shift.plus or 0.0)


def _number(shift: Shift) -> float:
    try:
        return float(str(shift.to))
    except ValueError as error:
        raise ModelError(f"{shift.feature} is a number, and '{shift.to}' is none", hint=f"say {shift.feature}=1") from error
