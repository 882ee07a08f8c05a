"""Conditions: from what is written to sets of values, and from sets to words again."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml
from pydantic import ValidationError

from models.trees.boxes import Box
from models.trees.document import Condition, Range, Test, test_adapter
from models.trees.facts import ORDERED, WHOLE, Fact, inner
from models.trees.sets import HIGHEST, LOWEST, Choices, Cut, Spans, Values


def boxes_of(when: Condition | list[Condition], facts: Mapping[str, Fact]) -> tuple[Box, ...]:
    """The boxes that a case names; ValueError says which input, and what is wrong."""
    return tuple(
        {name: values_of(test, facts[name], name) for name, test in condition.items()}
        for condition in (when if isinstance(when, list) else [when])
    )


def values_of(test: Any, fact: Fact, name: str) -> Values:
    """The values that meet a test, of those that the input can have."""
    written = test if isinstance(test, dict) else {"in": test} if isinstance(test, list) else {"is": test}
    if test is None:
        raise ValueError(f"{name}: it asks nothing; for a missing value say {{missing: true}}")
    try:
        read: Test[Any] = test_adapter(fact.type).validate_python(written)
    except ValidationError as error:
        raise ValueError(f"{name}: {_wrong(error, fact)}") from error
    if fact.categories is not None:
        for value in (read.is_, *(read.in_ or ()), *(read.not_in or ())):
            if value is not None and value not in fact.categories:
                raise ValueError(f"{name}: there is no '{value}'; it is one of {', '.join(fact.categories)}")
    if read.missing is not None:
        nothing, everything = fact.domain.known - fact.domain.known, fact.domain.known  # type: ignore[operator]
        return Values(nothing, fact.domain.missing) if read.missing else Values(everything)
    return fact.domain & Values(_known(read, fact), read.or_missing)


def _wrong(error: ValidationError, fact: Fact) -> str:
    first = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    word = str(first["loc"][0]) if first["loc"] else ""
    match first["type"]:
        case "value_error":
            return first["msg"].removeprefix("Value error, ")
        case "extra_forbidden":
            near = difflib.get_close_matches(word, _WORDS, n=1)
            return f"'{word}' is no word of a test of a {fact.type}{f'; is {near[0]} meant?' if near and near[0] != word else ''}"
        case "too_short":
            return f"'{word}' names no value"
        case _:
            return f"{first['input']!r} is no {fact.type}{'; put it in quotes' if fact.type == 'text' else ''}"


_WORDS: Final = ("is", "in", "not_in", "above", "at_least", "below", "at_most", "missing", "or_missing")


def as_written(condition: Condition) -> str:
    """A condition as the file has it."""
    return yaml.safe_dump(condition, default_flow_style=True, sort_keys=False, width=1_000, allow_unicode=True).strip()


def _known(read: Test[Any], fact: Fact) -> Spans | Choices:
    some = ([read.is_] if read.is_ is not None else []), read.in_ or []
    if fact.type not in ORDERED:
        known = Choices(frozenset(), others=True)
        for names in filter(None, some):
            known &= Choices(frozenset(names))
        return known - Choices(frozenset(read.not_in or ()))
    assert isinstance(read, Range)
    whole = fact.type in WHOLE
    spans = Spans.between(whole=whole)
    for low in (_cut(read.above, 1), _cut(read.at_least, 0)):
        spans &= Spans.between(low or LOWEST, whole=whole)
    for high in (_cut(read.below, 0), _cut(read.at_most, 1)):
        spans &= Spans.between(high=high or HIGHEST, whole=whole)
    for values in filter(None, some):
        spans &= Spans.points((inner(value) for value in values), whole=whole)
    return spans - Spans.points((inner(value) for value in read.not_in or ()), whole=whole)


def _cut(bound: Any, side: Any) -> Cut | None:
    return None if bound is None else (inner(bound), side)


def written(values: Values, fact: Fact) -> list[Any]:
    """Tests, any of which holds for exactly these values: what a file would say. None where nothing need be asked."""
    if not values.known:
        return [{"missing": True}] if values.missing else []
    if values.known == fact.domain.known:
        return [] if values == fact.domain else [{"missing": False}]
    tests = list(_choices(values.known, fact) if isinstance(values.known, Choices) else _spans(values.known, fact))
    if values.missing:
        tests[0] = {**tests[0], "or_missing": True}
    return [_short(test) for test in tests]


def _choices(known: Choices, fact: Fact) -> Iterator[dict[str, Any]]:
    domain = fact.domain.known
    assert isinstance(domain, Choices)
    left = domain - known
    few = sorted(known.names)
    if known.others or (left and len(left.names) < len(few) and not left.others and fact.type == "text"):
        yield {"not_in": sorted(left.names)}
    elif len(few) == 1:
        yield {"is": few[0]}
    else:
        yield {"in": few}


def _spans(known: Spans, fact: Fact) -> Iterator[dict[str, Any]]:
    domain = fact.domain.known
    assert isinstance(domain, Spans)
    singles = [known.single(pair) for pair in known.pairs()]
    if all(value is not None for value in singles):
        values = [fact.outer(value) for value in singles]
        yield {"is": values[0]} if len(values) == 1 else {"in": values}
        return
    first, last = domain.cuts[0], domain.cuts[-1]
    for low, high in known.pairs():
        test: dict[str, Any] = {}
        if low != first:
            test["above" if low[1] else "at_least"] = fact.outer(low[0])
        if high != last:
            test.update(_upper(high, fact))
        yield test


def _upper(high: Cut, fact: Fact) -> dict[str, Any]:
    if fact.type in WHOLE:
        return {"at_most": fact.outer(high[0] - 1)}
    return {"at_most" if high[1] else "below": fact.outer(high[0])}


def _short(test: dict[str, Any]) -> Any:
    if set(test) == {"is"}:
        return test["is"]
    return test["in"] if set(test) == {"in"} else test


def told(values: Values, fact: Fact) -> str:
    """A set of values as people read it."""
    if values == fact.domain:
        return "anything"
    if not values.known:
        return "missing" if values.missing else "nothing"
    known = _told_choices(values.known, fact) if isinstance(values.known, Choices) else _told_spans(values.known, fact)
    return f"{known or 'known'}{' or missing' if values.missing else ''}"


def _told_choices(known: Choices, fact: Fact) -> str:
    if fact.type == "bool":
        return " or ".join("yes" if name else "no" for name in sorted(known.names, reverse=True)) if len(known.names) == 1 else ""
    domain = fact.domain.known
    assert isinstance(domain, Choices)
    left = domain - known
    if known.others or (not left.others and left.names and len(left.names) < len(known.names)):
        return f"not {_listed(sorted(left.names))}" if left.names else ""
    return _listed(sorted(known.names)) if left else ""


def _told_spans(known: Spans, fact: Fact) -> str:
    domain = fact.domain.known
    assert isinstance(domain, Spans)
    if known == domain:
        return ""
    first, last = domain.cuts[0], domain.cuts[-1]
    parts = []
    for low, high in known.pairs():
        single = known.single((low, high))
        if single is not None:
            parts.append(shown(fact.outer(single)))
            continue
        end, inclusive = (high[0] - 1, True) if fact.type in WHOLE else (high[0], bool(high[1]))
        if high == last or math.isinf(high[0]):
            parts.append(f"{'above' if low[1] else 'at least'} {shown(fact.outer(low[0]))}")
        elif low == first or math.isinf(low[0]):
            parts.append(f"{'at most' if inclusive else 'below'} {shown(fact.outer(end))}")
        else:
            start = f"{'above ' if low[1] else ''}{shown(fact.outer(low[0]))}"
            parts.append(f"{start} to {'' if inclusive else 'below '}{shown(fact.outer(end))}")
    return _listed(parts)


def _listed(names: list[Any]) -> str:
    return ", ".join(map(str, names[:-1])) + (" or " if len(names) > 1 else "") + str(names[-1])


def shown(value: Any) -> str:
    """A value as people read it."""
    if value is None:
        return "missing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.10g}"
    return str(value)


def told_box(box: Box, facts: Mapping[str, Fact]) -> str:
    """Several inputs with their values, as people read them."""
    return " and ".join(f"{name} {told(values, facts[name])}" for name, values in box.items())


def told_example(box: Box, facts: Mapping[str, Fact]) -> str:
    """One input of a box, as JSON that can be tried."""
    return json.dumps({name: facts[name].outer(values.example()) for name, values in box.items()}, default=str)
