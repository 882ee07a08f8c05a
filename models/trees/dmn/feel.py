"""The part of FEEL that decision tables are made of: unary tests over numbers, texts, truths and days.

Read and written: `-`, values, `null`, comparisons, intervals with either kind of end, lists of these, and `not(...)` around a
list. A test does not hold for null unless it names null; `not` of values alone does, as FEEL has it: null is not one of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any, Final

from models.trees.facts import ORDERED, WHOLE, Fact, inner
from models.trees.sets import HIGHEST, LOWEST, Choices, Cut, Spans, Values

_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<string>"(?:\\.|[^"\\])*")|(?P<day>date\s*\(\s*"[^"]*"\s*\)|@"[^"]*")|(?P<number>-?(?:\d+(?:\.\d+)?|\.\d+)(?!\w)(?!\.\d))"""
    r"""|(?P<word>null|true|false|not|-)|(?P<mark>\.\.|<=|>=|<|>|=|\[|\]|\(|\)|,))"""
)
_OPENINGS: Final = {"[": 0, "(": 1, "]": 1}
_CLOSINGS: Final = {"]": 1, ")": 0, "[": 0}


def read(text: str, fact: Fact) -> Values:
    """The values for which a unary test holds; ValueError where it is none of those that are read here."""
    tokens = _tokens(text.strip())
    if tokens in ([], ["-"]):
        return fact.domain
    if tokens[:2] == ["not", "("]:
        if tokens[-1] != ")":
            raise ValueError(f"'{text}' has no closing bracket")
        tests = list(_tests(tokens[2:-1], text, fact))
        listed = _joined([values for values, _ in tests], fact)
        # `not` of null compared with an order is null itself, and holds not
        missing = not listed.missing and all(plain for _, plain in tests)
        return fact.domain & Values(fact.domain.known - listed.known, missing)  # type: ignore[operator]
    return fact.domain & _joined([values for values, _ in _tests(tokens, text, fact)], fact)


def literal(text: str) -> Any:
    """The value that a literal stands for."""
    tokens = _tokens(text.strip())
    if len(tokens) != 1 or tokens[0] in {"not", "-"} or tokens[0][0] in "<>=[](),.":
        raise ValueError(f"'{text}' is no literal")
    return _value(tokens[0])


def write(values: Values, fact: Fact) -> str:
    """The unary test that holds for exactly these values, of those that the input can have."""
    if values == fact.domain:
        return "-"
    if not values.known:
        return "null"
    if values.known == fact.domain.known:
        return "not(null)"
    known = values.known
    if isinstance(known, Choices) and known.others:
        names = [write_literal(name) for name in sorted(known.names)]
        return f"not({', '.join(names if values.missing else [*names, 'null'])})"
    tests = [write_literal(name) for name in sorted(known.names)] if isinstance(known, Choices) else list(_spans(known, fact))
    return ", ".join([*tests, "null"] if values.missing else tests)


def write_literal(value: Any) -> str:
    """A value as FEEL has it. Numbers are written out: FEEL knows no exponents."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date):
        return f'date("{value.isoformat()}")'
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else f"{Decimal(repr(value)):f}"


def write_domain(fact: Fact) -> str:
    """What an input can be, as the allowed values of a column; nothing where that is anything."""
    known = fact.domain.known
    anything = isinstance(known, Choices) and (known.others or fact.type == "bool")
    if anything or known == Spans.between(whole=fact.type in WHOLE):
        return "" if fact.missing else "not(null)"
    tests = [write_literal(name) for name in fact.categories] if fact.categories else [_span(LOWEST, HIGHEST, fact)]
    return ", ".join([*tests, "null"] if fact.missing else tests)


def _spans(known: Spans, fact: Fact) -> Iterator[str]:
    domain = fact.domain.known
    assert isinstance(domain, Spans)
    first, last = domain.cuts[0], domain.cuts[-1]
    for low, high in known.pairs():
        single = known.single((low, high))
        yield (
            write_literal(fact.outer(single))
            if single is not None
            else _span(LOWEST if low == first else low, HIGHEST if high == last else high, fact)
        )


def _span(low: Cut, high: Cut, fact: Fact) -> str:
    """An interval; one without ends is written with those of the input."""
    if (low, high) == (LOWEST, HIGHEST):
        low = low if fact.least is None else (inner(fact.least), 0)
        high = high if fact.most is None else (inner(fact.most), 1)
        if fact.type in WHOLE and high != HIGHEST:
            high = (high[0] + 1, 0)
    end = HIGHEST if high == HIGHEST else (high[0] - 1, 1) if fact.type in WHOLE else high
    bottom, top = (write_literal(fact.outer(cut[0])) if cut not in {LOWEST, HIGHEST} else "" for cut in (low, end))
    if not top:
        return f">{'' if low[1] else '='} {bottom}"
    if not bottom:
        return f"<{'=' if end[1] else ''} {top}"
    return f"{'(' if low[1] else '['}{bottom}..{top}{']' if end[1] else ')'}"


def _tokens(text: str) -> list[str]:
    tokens, place = [], 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None or found.end() == place:
            raise ValueError(f"'{text}' is no test that is read here: values, comparisons, intervals, lists, not(...) and -")
        tokens.append(found.group().strip())
        place = found.end()
    return tokens


def _tests(tokens: list[str], text: str, fact: Fact) -> Iterator[tuple[Values, bool]]:
    """The tests of a list, each with whether it is a plain value."""
    place = 0
    while True:
        rest = tokens[place:]
        match rest:
            case ["<" | "<=" | ">" | ">=" as sign, value, *_]:
                yield Values(_compared(sign, value, fact)), False
                place += 2
            case [("[" | "(" | "]") as opening, low, "..", high, ("]" | ")" | "[") as closing, *_]:
                yield Values(_interval(opening, low, high, closing, fact)), False
                place += 5
            case ["=", value, *_] | [value, *_] if value[0] not in "<>[](),." and value not in {"not", "-"}:
                yield _plain(value, fact), True
                place += 2 if rest[0] == "=" else 1
            case _:
                raise ValueError(f"'{text}' is no test that is read here: values, comparisons, intervals, lists, not(...) and -")
        if place == len(tokens):
            return
        if tokens[place] != ",":
            raise ValueError(f"'{text}': a comma is missing before '{tokens[place]}'")
        place += 1


def _value(token: str) -> Any:
    words = {"null": None, "true": True, "false": False}
    if token in words:
        return words[token]
    if token.startswith('"'):
        return json.loads(token)
    if token.startswith(("date", "@")):
        return date.fromisoformat(token.split('"')[1])
    return float(token) if "." in token else int(token)


def _typed(token: str, fact: Fact) -> Any:
    value = _value(token)
    try:
        read_value = Fact(type="number").reader() if fact.type == "integer" else Fact(type=fact.type).reader()
        return read_value(value)
    except ValueError as error:
        raise ValueError(f"{token} is no {fact.type}") from error


def _plain(token: str, fact: Fact) -> Values:
    nothing = fact.domain.known - fact.domain.known  # type: ignore[operator]
    value = _typed(token, fact)
    if value is None:
        return Values(nothing, missing=True)
    if fact.type in ORDERED:
        return Values(Spans.points([value], whole=fact.type in WHOLE))
    if fact.categories is not None and value not in fact.categories:
        raise ValueError(f"there is no {token}; it is one of {', '.join(fact.categories)}")
    return Values(Choices(frozenset({value})))


def _ordered(token: str, fact: Fact) -> Any:
    value = _typed(token, fact) if fact.type in ORDERED else None
    if value is None:
        raise ValueError(f"{token} cannot be compared by order with a {fact.type}")
    return value


def _compared(sign: str, token: str, fact: Fact) -> Spans:
    value, whole = _ordered(token, fact), fact.type in WHOLE
    if sign.startswith(">"):
        return Spans.between((value, 0 if sign == ">=" else 1), whole=whole)
    return Spans.between(high=(value, 1 if sign == "<=" else 0), whole=whole)


def _interval(opening: str, low: str, high: str, closing: str, fact: Fact) -> Spans:
    begin: Cut = (_ordered(low, fact), _OPENINGS[opening])  # type: ignore[assignment]
    end: Cut = (_ordered(high, fact), _CLOSINGS[closing])  # type: ignore[assignment]
    return Spans.between(begin, end, whole=fact.type in WHOLE)


def _joined(tests: list[Values], fact: Fact) -> Values:
    known = fact.domain.known - fact.domain.known  # type: ignore[operator]
    for test in tests:
        if isinstance(known, Spans) and isinstance(test.known, Spans):
            known = known | test.known
        elif isinstance(known, Choices) and isinstance(test.known, Choices):
            known = Choices(known.names | test.known.names)
    return Values(known, any(test.missing for test in tests))
