"""What a model is: one frozen value in one file, from which training, tracking, scoring, checks and pages are derived.

`discover("models.declared", Model)` finds the values of that package, and of plugins by entry points in the group
`pilothouse.models.declared`, so adding a model is adding a file. How a kind of model learns and
answers stands apart, behind `DecisionModel`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.figure import Figure

CHAMPION = "champion"  # the alias in MLflow under which a model is used


@dataclass(frozen=True)
class Number:
    """A feature that is a number. Its effect is a line that bends at a few of its quantiles, or at values that mean something; where
    it is missing, a constant."""

    name: str
    words: str  # how a reason names it
    bends: int = 4
    at: tuple[float, ...] = ()


@dataclass(frozen=True)
class Category:
    """A feature that is one of some words. Rare ones, and those never seen before, count as one: others."""

    name: str
    words: str
    at_least: int = 100  # rows of a category that stands alone


Feature: TypeAlias = Number | Category


@dataclass(frozen=True)
class Features:
    """Where a model looks: a table, and which columns of it, whose facts are those of `as_of` and no later ones."""

    table: str
    as_of: str
    columns: tuple[Feature, ...] = ()


@dataclass(frozen=True)
class Target:
    """What a model foretells. `known_on` says from when a row's outcome can be told whatever it is: who learns from rows as soon as
    theirs is known learns mostly from the ones that went well."""

    table: str
    column: str
    known_on: str


@dataclass(frozen=True)
class Split:
    """How rows are divided, always in order of time: the latest are held out, and of the earlier ones, whose outcome was known by then,
    the last calibrate."""

    hold_out: float = 0.2
    calibrate: float = 0.2
    fewest: int = 100  # rows of a hold-out from which anything can be said


@dataclass(frozen=True)
class Bar:
    """What a candidate must beat on a period that neither it nor the incumbent has seen: a measure, and by how much of the
    incumbent's, so that a champion is not changed for noise. Lower is better."""

    measure: str
    by: float = 0.0


@dataclass(frozen=True)
class Shift:
    """One supposition of a scenario: a feature moves by steps along its order, by a factor, or to a value."""

    feature: str
    times: float | None = None
    plus: float | None = None
    to: float | str | None = None
    order: tuple[str, ...] = ()  # of a category whose words have one; `plus` then counts steps

    def __post_init__(self) -> None:
        if sum(each is not None for each in (self.times, self.plus, self.to)) != 1:
            raise ValueError(f"shift of {self.feature}: exactly one of times, plus and to")


@dataclass(frozen=True)
class Scenario:
    """A what-if: some features said otherwise, all else equal."""

    name: str
    words: str
    shifts: tuple[Shift, ...]


@dataclass(frozen=True)
class Model:
    """A model as it is declared."""

    name: str
    description: str
    kind: DecisionModel
    key: tuple[str, ...]  # of its scores
    features: Features
    target: Target
    split: Split
    beats: Bar
    scenarios: tuple[Scenario, ...] = ()
    beside: tuple[str, ...] = ()  # other tables it reads
    owner: str = "team:risk-data"

    @property
    def tables(self) -> tuple[str, ...]:
        """Every table it reads."""
        return tuple(dict.fromkeys((self.features.table, self.target.table, *self.beside)))

    @property
    def scores(self) -> str:
        """The table of its scores."""
        return f"scores/{self.name}"

    @property
    def versions(self) -> str:
        """The table of its versions: what each was compared with, and which one is used. Also the asset of its training."""
        return f"model/{self.name}"


@dataclass(frozen=True)
class Reason:
    """One cause of a score: the feature, what it said, and what it adds to the score on the scale on which causes add up."""

    feature: str
    words: str
    value: Any
    adds: float


Tables: TypeAlias = "Mapping[str, pl.DataFrame]"
Card: TypeAlias = "Mapping[str, Any]"  # what was learned, as plain JSON: all it takes to score, and nothing that runs


@dataclass(frozen=True)
class Fitted:
    """What came of learning: the card that scores, the same as a scikit-learn estimator for MLflow, and what can be said of it."""

    card: Card
    estimator: Any
    example: Any  # a pandas frame of rows as the estimator takes them
    seen_until: date  # no row from this day on, and no outcome known only since, was looked at
    metrics: Mapping[str, float]
    figures: Mapping[str, Callable[[], Figure]] = field(default_factory=dict)


@dataclass(frozen=True)
class Compared:
    """Two versions on one period that neither has seen."""

    since: date
    until: date
    rows: int
    candidate: Mapping[str, float]
    incumbent: Mapping[str, float]


class DecisionModel(Protocol):
    """A kind of model: how it learns, how it answers, and why. It keeps nothing: what was learned is the card."""

    @property
    def called(self) -> Literal["classifier", "forecast"]:
        """What kind it is."""
        ...

    def fit(self, model: Model, tables: Tables) -> Fitted:
        """Learn from rows in order of time; ModelError where there are too few."""
        ...

    def compare(self, model: Model, tables: Tables, candidate: Card, incumbent: Card, since: date) -> Compared | None:
        """Both on what came since a day; None where that is too little to tell."""
        ...

    def score(self, model: Model, tables: Tables, card: Card) -> pl.DataFrame:
        """One row a key: what the model says of each, and why."""
        ...

    def explain(self, card: Card, row: Mapping[str, Any]) -> Sequence[Reason]:
        """What adds up to the score of one row, the weightiest first."""
        ...
