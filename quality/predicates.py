"""What makes one row break a rule, as a Polars expression.

Each expression is true for a row that breaks the rule, false for one that keeps it, and null for one that is not judged,
because the value is missing. So one column of truth values holds all that a report or a quarantine asks: `sum()` counts the
unexpected, `null_count()` the missing, `filter` finds the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from operator import add, and_, or_
from typing import Any

import polars as pl

from quality.bounds import Unjudgeable, column, comparable, literal, members, text
from quality.regex import translated
from quality.rule import Rule

Arguments = Mapping[str, Any]
_Predicate = Callable[[Arguments, pl.Schema], pl.Expr]


def broken(rule: Rule, schema: pl.Schema) -> pl.Expr:
    """Which rows of a frame of this schema break the rule; Unjudgeable where it makes no sense for its columns."""
    absent = [name for name in rule.columns if name not in schema]
    if absent:
        raise Unjudgeable(f"there is no column {', '.join(map(repr, absent))}")
    expression = _PREDICATES[rule.expectation](rule.arguments, schema)
    try:
        pl.DataFrame(schema=schema).select(expression)
    except (pl.exceptions.PolarsError, TypeError) as error:
        raise Unjudgeable(str(error).splitlines()[0]) from error
    return expression


def considered(arguments: Arguments, schema: pl.Schema) -> pl.Expr | None:
    """Which rows a rule over several columns judges at all; None when all of them."""
    names = arguments.get("column_list") or [arguments["column_A"], arguments["column_B"]]
    missing = [column(name, schema[name]).is_null() for name in names]
    match arguments["ignore_row_if"]:
        case "both_values_are_missing" | "all_values_are_missing":
            return ~reduce(and_, missing)
        case "either_value_is_missing" | "any_value_is_missing":
            return ~reduce(or_, missing)
        case _:
            return None


def _judged(arguments: Arguments, schema: pl.Schema, holds: pl.Expr) -> pl.Expr:
    """Where several columns meet, a row is judged though a value is missing, and then nothing holds, as in GX on pandas."""
    bad = ~holds.fill_null(value=False)
    rows = considered(arguments, schema)
    return bad if rows is None else pl.when(rows).then(bad)


def outside(value: pl.Expr, low: pl.Expr | None, high: pl.Expr | None, arguments: Arguments) -> pl.Expr:
    """Whether a value is out of bounds."""
    tests = []
    if low is not None:
        tests.append(value <= low if arguments.get("strict_min") else value < low)
    if high is not None:
        tests.append(value >= high if arguments.get("strict_max") else value > high)
    return reduce(or_, tests)


def _between(arguments: Arguments, schema: pl.Schema) -> pl.Expr:
    name, low, high = arguments["column"], arguments["min_value"], arguments["max_value"]
    dtype = schema[name]
    bounds = [None if bound is None else literal(bound, dtype) for bound in (low, high)]
    value = comparable(name, dtype, *(bound for bound in (low, high) if bound is not None)) if dtype == pl.Date else column(name, dtype)
    return outside(value, bounds[0], bounds[1], arguments)


def _in_set(arguments: Arguments, schema: pl.Schema) -> pl.Expr:
    dtype = schema[arguments["column"]]
    value = column(arguments["column"], dtype)
    value = value.cast(pl.String) if isinstance(dtype, pl.Categorical | pl.Enum) else value
    return value.is_in(members(arguments["value_set"], dtype).implode())


def _length(arguments: Arguments, schema: pl.Schema) -> pl.Expr:
    return text(arguments["column"], schema[arguments["column"]]).str.len_chars()


def _lengths_between(arguments: Arguments, schema: pl.Schema) -> pl.Expr:
    low, high = (None if bound is None else pl.lit(bound) for bound in (arguments["min_value"], arguments["max_value"]))
    return outside(_length(arguments, schema), low, high, arguments)


def _matches(arguments: Arguments, schema: pl.Schema, regex: str) -> pl.Expr:
    return text(arguments["column"], schema[arguments["column"]]).str.contains(translated(regex))


def _matches_list(arguments: Arguments, schema: pl.Schema, together: Callable[[pl.Expr, pl.Expr], pl.Expr]) -> pl.Expr:
    return reduce(together, [_matches(arguments, schema, regex) for regex in arguments["regex_list"]])


def _pair(arguments: Arguments, schema: pl.Schema) -> tuple[pl.Expr, pl.Expr]:
    names = arguments["column_A"], arguments["column_B"]
    return column(names[0], schema[names[0]]), column(names[1], schema[names[1]])


def _a_greater(arguments: Arguments, schema: pl.Schema) -> pl.Expr:
    a, b = _pair(arguments, schema)
    return _judged(arguments, schema, a >= b if arguments["or_equal"] else a > b)


def _pair_equal(arguments: Arguments, schema: pl.Schema) -> pl.Expr:
    a, b = _pair(arguments, schema)
    return _judged(arguments, schema, a == b)


def _pair_in_set(arguments: Arguments, schema: pl.Schema) -> pl.Expr:
    names = arguments["column_A"], arguments["column_B"]
    met = [
        reduce(and_, (_is(value, name, schema[name]) for value, name in zip(pair, names, strict=True)))
        for pair in arguments["value_pairs_set"]
    ]
    return _judged(arguments, schema, reduce(or_, met))


def _is(value: Any, name: str, dtype: pl.DataType) -> pl.Expr:
    if value is None:
        return column(name, dtype).is_null()
    return column(name, dtype).is_in(members([value], dtype).implode()).fill_null(value=False)


def _many(arguments: Arguments, schema: pl.Schema) -> list[pl.Expr]:
    return [column(name, schema[name]) for name in arguments["column_list"]]


def _sum_equal(arguments: Arguments, schema: pl.Schema) -> pl.Expr:
    total = reduce(add, _many(arguments, schema))
    decimal = any(schema[name].is_decimal() for name in arguments["column_list"])
    return _judged(arguments, schema, total == literal(arguments["sum_total"], pl.Decimal(38, 9) if decimal else pl.Float64()))


def _all_equal(arguments: Arguments, schema: pl.Schema) -> pl.Expr:
    first, *others = _many(arguments, schema)
    return _judged(arguments, schema, reduce(and_, [first.eq_missing(other) for other in others]))


def _unique_within(arguments: Arguments, schema: pl.Schema) -> pl.Expr:
    values = _many(arguments, schema)
    differ = [values[i].ne_missing(values[j]) for i in range(len(values)) for j in range(i)]
    return _judged(arguments, schema, reduce(and_, differ))


_PREDICATES: Mapping[str, _Predicate] = {
    "expect_column_values_to_not_be_null": lambda a, s: column(a["column"], s[a["column"]]).is_null(),
    "expect_column_values_to_be_null": lambda a, s: column(a["column"], s[a["column"]]).is_not_null(),
    "expect_column_values_to_be_between": _between,
    "expect_column_values_to_be_in_set": lambda a, s: ~_in_set(a, s),
    "expect_column_values_to_not_be_in_set": _in_set,
    "expect_column_values_to_match_regex": lambda a, s: ~_matches(a, s, a["regex"]),
    "expect_column_values_to_not_match_regex": lambda a, s: _matches(a, s, a["regex"]),
    "expect_column_values_to_match_regex_list": lambda a, s: ~_matches_list(a, s, or_ if a["match_on"] == "any" else and_),
    "expect_column_values_to_not_match_regex_list": lambda a, s: _matches_list(a, s, or_),
    "expect_column_value_lengths_to_be_between": _lengths_between,
    "expect_column_value_lengths_to_equal": lambda a, s: _length(a, s) != a["value"],
    "expect_column_pair_values_a_to_be_greater_than_b": _a_greater,
    "expect_column_pair_values_to_be_equal": _pair_equal,
    "expect_column_pair_values_to_be_in_set": _pair_in_set,
    "expect_multicolumn_sum_to_equal": _sum_equal,
    "expect_multicolumn_values_to_be_equal": _all_equal,
    "expect_select_column_values_to_be_unique_within_record": _unique_within,
}
