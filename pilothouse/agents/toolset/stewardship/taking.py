"""What a rule takes, and the smallest change by which it would take the values that it holds back.

Of two kinds of rules that can be said: of sets, which can lack a value, and of bounds between numbers, which can be too narrow. Values
come from quarantine, as texts.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from quality.rule import written

_SET: Final = "expect_column_values_to_be_in_set"
_BETWEEN: Final = "expect_column_values_to_be_between"

Values = Counter[str | None]


def broken(expectation: str, arguments: str, values: Values) -> int | None:
    """How many of these values a rule does not take; None where that cannot be said."""
    kwargs = json.loads(arguments)
    if expectation == _SET:
        taken = {str(member) for member in kwargs["value_set"]}
        return sum(count for value, count in values.items() if value not in taken)
    numbers = _numbers(values)
    if expectation != _BETWEEN or not _plain_bounds(kwargs) or numbers is None:
        return None
    low, high = _bounds(kwargs)
    return sum(count for number, count in numbers.items() if not (low is None or number >= low) or not (high is None or number <= high))


def wider(expectation: str, arguments: str, values: Values) -> dict[str, Any] | None:
    """The arguments by which it would take the commonest value that its set lacks, or every number that is beyond its bounds; None where
    there is no such value, or another kind of rule. `share` says of how many of the values that is so, `beyond` how far the farthest
    number lies beyond its bound, as a share of what is within."""
    kwargs = json.loads(arguments)
    if expectation == _SET:
        return _with_another(kwargs, values)
    if expectation == _BETWEEN and _plain_bounds(kwargs):
        return _stretched(kwargs, values)
    return None


def _with_another(kwargs: Mapping[str, Any], values: Values) -> dict[str, Any] | None:
    members = kwargs["value_set"]
    taken = {str(member) for member in members}
    lacking = [(value, count) for value, count in values.most_common() if value is not None and value not in taken]
    if not lacking:
        return None
    value, count = lacking[0]
    if all(isinstance(member, str) for member in members):
        added: str | int = value
    elif all(type(member) is int for member in members) and value.lstrip("-").isdigit():
        added = int(value)
    else:
        return None
    changed = written({**kwargs, "value_set": [*members, added]})
    return {"arguments": changed, "share": round(count / values.total(), 2), "beyond": None}


def _stretched(kwargs: Mapping[str, Any], values: Values) -> dict[str, Any] | None:
    numbers = _numbers(values)
    low, high = _bounds(kwargs)
    if numbers is None:
        return None
    below = max(low - min(numbers), Decimal(0)) if low is not None else Decimal(0)
    above = max(max(numbers) - high, Decimal(0)) if high is not None else Decimal(0)
    within = high - low if low is not None and high is not None else abs(high if high is not None else low or Decimal(0))
    if not (below or above) or not within:
        return None  # of a bound at nothing, such as that of what cannot be negative, nothing is a little beyond
    stretched = {**kwargs, **({"min_value": min(numbers)} if below else {}), **({"max_value": max(numbers)} if above else {})}
    return {"arguments": written(stretched), "share": 1.0, "beyond": round(float(max(below, above) / within), 4)}


def _plain_bounds(kwargs: Mapping[str, Any]) -> bool:
    """Whether its bounds are numbers, and themselves within."""
    bounds = [kwargs[name] for name in ("min_value", "max_value") if kwargs.get(name) is not None]
    return all(isinstance(bound, int | float) for bound in bounds) and not kwargs.get("strict_min") and not kwargs.get("strict_max")


def _bounds(kwargs: Mapping[str, Any]) -> tuple[Decimal | None, Decimal | None]:
    low, high = (None if kwargs.get(name) is None else Decimal(str(kwargs[name])) for name in ("min_value", "max_value"))
    return low, high


def _numbers(values: Values) -> Counter[Decimal] | None:
    """The values as numbers; None where one is none."""
    try:
        numbers = Counter({Decimal(value or "none"): count for value, count in values.items()})
    except InvalidOperation:
        return None
    return numbers if numbers and all(number.is_finite() for number in numbers) else None
