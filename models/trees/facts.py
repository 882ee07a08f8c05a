"""What a tree may ask: inputs with their types, from features, risk and graph.

A fact says what values it can have, and whether it can be missing. That is what a tree is proved against: a tree need not answer
what cannot be, and must answer all that can, missing values included.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.trees.sets import HIGHEST, LOWEST, Choices, Cut, Known, Spans, Values

Type = Literal["number", "integer", "text", "bool", "date"]
ORDERED: Final[frozenset[Type]] = frozenset({"number", "integer", "date"})
WHOLE: Final[frozenset[Type]] = frozenset({"integer", "date"})


class Part(BaseModel):
    """A part of a file: what it does not know is an error, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)


class Fact(Part):
    """One input of a tree: its type, and what values it can have."""

    type: Type = Field(description="number, integer, text, bool or date")
    description: str = Field("", description="what it means, for whoever edits a tree")
    missing: bool = Field(default=True, description="whether it can be missing; a tree must say then what follows")
    categories: tuple[str, ...] | None = Field(None, description="of a text: all that there are; without it any text")
    least: int | float | date | None = Field(None, description="of a number or date: the smallest that can be")
    most: int | float | date | None = Field(None, description="the largest that can be")
    step: float | None = Field(None, gt=0, description="of a number: what suggested values are multiples of, such as 0.01")

    @model_validator(mode="after")
    def _consistent(self) -> Fact:
        if self.categories is not None and (self.type != "text" or not self.categories):
            raise ValueError("categories are of a text, and at least one")
        for bound in (self.least, self.most):
            if bound is not None and (self.type not in ORDERED or isinstance(bound, date) != (self.type == "date")):
                raise ValueError("least and most are numbers of a number, and days of a date")
        if self.step is not None and self.type != "number":
            raise ValueError("a step is of a number; whole numbers and days have their own")
        if not self.domain.known:
            raise ValueError("least is more than most: no value can be")
        return self

    @cached_property
    def domain(self) -> Values:
        """Every value that it can have."""
        if self.type in ORDERED:
            low: Cut = LOWEST if self.least is None else (inner(self.least), 0)
            high: Cut = HIGHEST if self.most is None else (inner(self.most), 1)
            return Values(Spans.between(low, high, whole=self.type in WHOLE), self.missing)
        if self.type == "bool":
            return Values(Choices(frozenset({True, False})), self.missing)
        return Values(Choices(frozenset(self.categories)) if self.categories else Choices(frozenset(), others=True), self.missing)

    def reader(self) -> Callable[[Any], Known | None]:
        """A function from a value as people and tables have it to one that is compared; ValueError says what is wrong with it."""
        read = _READERS[self.type]
        domain, known = self.domain, self.domain.known
        whole_range = domain.missing and (self.type == "bool" or (self.least, self.most, self.categories) == (None, None, None))
        if whole_range:
            return read

        def within(value: Any) -> Known | None:
            found = read(value)
            if found is None:
                if not domain.missing:
                    raise ValueError("it is declared never to be")
            elif found not in known:
                raise ValueError(f"it can be {told_domain(self)}")
            return found

        return within

    def outer(self, value: Known | None) -> Any:
        """A compared value as people read it."""
        if value is None or self.type in {"text", "bool"}:
            return value
        if self.type == "date":
            return date.fromordinal(int(value))
        return int(value) if float(value).is_integer() and abs(float(value)) < 2**53 else value


@dataclass(frozen=True)
class Facts:
    """A named set of facts. `load` gives more of them when they are first asked for: columns of a table, read from its contract."""

    name: str
    description: str
    own: Mapping[str, Fact] = field(default_factory=dict)
    load: Callable[[], Mapping[str, Fact]] = dict

    @cached_property
    def all(self) -> dict[str, Fact]:
        """Every fact by name."""
        return {**self.load(), **self.own}


def told_domain(fact: Fact) -> str:
    """What a fact can be, in words."""
    if fact.categories is not None:
        return f"one of {', '.join(fact.categories)}"
    if fact.least is not None and fact.most is not None:
        return f"from {fact.least:g} to {fact.most:g}" if fact.type != "date" else f"from {fact.least} to {fact.most}"
    return f"at least {fact.least}" if fact.least is not None else f"at most {fact.most}" if fact.most is not None else f"any {fact.type}"


def knowable(fact: Fact) -> str:
    """What a tree was proved for, as a hint for who gives it something else."""
    article = "an" if fact.type == "integer" else "a"
    missing = "" if fact.missing else "not "
    return f"it is {article} {fact.type}, {told_domain(fact)}, and may {missing}be missing; the tree was proved for that alone"


def inner(value: Any) -> Any:
    """A value of a file as it is compared: days as numbers."""
    return value.toordinal() if isinstance(value, date) else value


def _number(value: Any) -> float | None:
    if value.__class__ is float:
        return None if value != value else float(value)  # noqa: PLR0124 - not a number is missing, as tables without nulls write it
    if value is None:
        return None
    if not _is_numeric(value):
        raise ValueError("it is not a number")
    found = float(value)
    return None if math.isnan(found) else found


def _integer(value: Any) -> int | None:
    if value.__class__ is int:
        return int(value)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if not _is_numeric(value) or value != int(value):
        raise ValueError("it is not a whole number")
    return int(value)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        return str(value)
    raise ValueError("it is not a text")


def _truth(value: Any) -> bool | None:
    if value is None:
        return None
    if value is True or value is False:
        return bool(value)
    if type(value).__module__ == "numpy" and type(value).__name__ in {"bool", "bool_"}:
        return bool(value)
    raise ValueError("it is neither true nor false")


def _day(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, datetime) or not isinstance(value, date):
        raise ValueError("it is not a day")  # noqa: TRY004 - as above
    return date.toordinal(value)


def _is_numeric(value: Any) -> bool:
    """Whether it is a number, which a truth is not; one of numpy's is told without loading numpy."""
    if isinstance(value, int | float | Decimal):
        return not isinstance(value, bool)
    return type(value).__module__ == "numpy" and hasattr(value, "__float__") and not type(value).__name__.startswith("bool")


_READERS: Final[dict[Type, Callable[[Any], Known | None]]] = {
    "number": _number,
    "integer": _integer,
    "text": _text,
    "bool": _truth,
    "date": _day,
}
