"""The expectations that our engine evaluates, and the arguments each of them takes.

| scope | expectation | |
|---|---|---|
| row | `expect_column_values_to_not_be_null`, `..._to_be_null` | |
| | `expect_column_values_to_be_between` | numbers, dates, timestamps; bounds of time as ISO text |
| | `expect_column_values_to_be_in_set`, `..._to_not_be_in_set` | |
| | `expect_column_values_to_match_regex`, `..._to_not_match_regex` | search, not full match, as in GX; text and integers |
| | `expect_column_values_to_match_regex_list`, `..._to_not_match_regex_list` | |
| | `expect_column_value_lengths_to_be_between`, `..._to_equal` | in characters |
| | `expect_column_pair_values_a_to_be_greater_than_b`, `..._to_be_equal`, `..._to_be_in_set` | |
| | `expect_multicolumn_sum_to_equal`, `expect_multicolumn_values_to_be_equal`, | |
| | `expect_select_column_values_to_be_unique_within_record` | |
| whole | `expect_column_values_to_be_unique`, `expect_compound_columns_to_be_unique` | rows that repeat are known at the end only |
| column | `expect_column_{min,max,mean,median,sum,stdev}_to_be_between` | |
| | `expect_column_unique_value_count_to_be_between`, | |
| | `expect_column_proportion_of_{unique,non_null}_values_to_be_between` | |
| | `expect_column_distinct_values_to_{be_in,contain,equal}_set` | |
| table | `expect_table_row_count_to_be_between`, `..._to_equal` | |
| | `expect_table_column_count_to_be_between`, `..._to_equal` | |
| | `expect_table_columns_to_match_set`, `..._to_match_ordered_list`, `expect_column_to_exist` | |

Anything else, `row_condition` too, is a ConfigError when the rule is declared: an expectation that is silently not
evaluated is worse than none. The table knows nothing of GX, so that declaring rules costs no import of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, Literal

from quality.regex import untranslatable

Scope = Literal["row", "whole", "column", "table"]
_MISSING: Final = object()


@dataclass(frozen=True)
class Argument:
    """One argument: what its value must be, in words and as a test, and the value it has when it is left out."""

    words: str
    accepts: Callable[[Any], bool]
    default: Any = _MISSING

    @property
    def required(self) -> bool:
        """Whether the expectation is meaningless without it."""
        return self.default is _MISSING


@dataclass(frozen=True)
class Expectation:
    """What we know about one of GX's expectations: the metric it rests on, and what it may be told.

    `scope` says when it is known: for each `row` alone, for rows after the `whole` table was seen, for a `column` or
    for the `table` as one figure.
    """

    name: str
    metric: str
    scope: Scope
    takes: Mapping[str, Argument]

    @property
    def map(self) -> bool:
        """Whether it judges values one by one, so that some of them can be unexpected."""
        return self.scope in ("row", "whole")

    def signature(self) -> str:
        """Its arguments in one line, for a hint."""
        return ", ".join(f"{name} ({argument.words}{'' if argument.required else ', optional'})" for name, argument in self.takes.items())

    def problems(self, kwargs: Mapping[str, Any]) -> list[str]:
        """What is wrong with these arguments, each naming its argument."""
        found = [f"{self.name} has no argument {name!r}" for name in kwargs if name not in self.takes]
        for name, argument in self.takes.items():
            value = kwargs.get(name)
            if name not in kwargs or (value is None and not argument.required):
                if argument.required:
                    found.append(f"argument {name!r} is missing")
            elif not argument.accepts(value):
                found.append(f"argument {name!r} is {value!r}, but must be {argument.words}")
            elif "regex" in name:
                found += [f"argument {name!r}: {reason}" for pattern in _listed(value) if (reason := untranslatable(pattern))]
        return found or self._contradictions(kwargs)

    def _contradictions(self, kwargs: Mapping[str, Any]) -> list[str]:
        if "min_value" not in self.takes:
            return []
        low, high = kwargs.get("min_value"), kwargs.get("max_value")
        if low is None and high is None:
            return ["arguments 'min_value' and 'max_value' are both missing"]
        if low is None or high is None:
            return []
        try:
            return ["argument 'min_value' is above 'max_value'"] if low > high else []
        except TypeError:
            return [f"arguments 'min_value' ({low!r}) and 'max_value' ({high!r}) cannot be compared"]


def complete(kind: Expectation, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as GX would see them: defaults filled in, None where it means the default."""
    return {
        name: argument.default if kwargs.get(name) is None and not argument.required else kwargs[name]
        for name, argument in kind.takes.items()
    }


def _listed(value: Any) -> Sequence[Any]:
    return [value] if isinstance(value, str) else list(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_moment(value: Any) -> bool:
    if not isinstance(value, str):
        return isinstance(value, date | datetime)
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_list(value: Any, of: Callable[[Any], bool], least: int = 1) -> bool:
    return isinstance(value, list | tuple | set | frozenset) and len(value) >= least and all(map(of, value))


_COLUMN = Argument("a column", _is_name)
_COLUMNS = Argument("a list of columns", lambda value: _is_list(value, _is_name, 2))
_BOUND = Argument("a number, date or timestamp (as ISO text)", lambda value: _is_number(value) or _is_moment(value), None)
_NUMBER = Argument("a number", _is_number, None)
_COUNT = Argument("a whole number", _is_count, None)
_FLAG = Argument("true or false", lambda value: isinstance(value, bool), default=False)
_SHARE = Argument("a share from 0 to 1", lambda value: _is_number(value) and 0 <= value <= 1, 1)
_SET = Argument("a list of values", lambda value: _is_list(value, lambda _: True))
_PAIRS = Argument("a list of pairs", lambda value: _is_list(value, lambda pair: isinstance(pair, list | tuple) and len(pair) == 2))
_REGEX = Argument("a regular expression", lambda value: isinstance(value, str))
_REGEXES = Argument("a list of regular expressions", lambda value: _is_list(value, lambda regex: isinstance(regex, str)))


def _one_of(*choices: str, default: str) -> Argument:
    return Argument("one of " + ", ".join(choices), lambda value: value in choices, default)


_IGNORE_PAIR = _one_of("both_values_are_missing", "either_value_is_missing", "neither", default="both_values_are_missing")
_IGNORE_MANY = _one_of("all_values_are_missing", "any_value_is_missing", "never", default="all_values_are_missing")
_STRICT = {"strict_min": _FLAG, "strict_max": _FLAG}
_BETWEEN = {"min_value": _BOUND, "max_value": _BOUND, **_STRICT}
_BETWEEN_NUMBERS = {"min_value": _NUMBER, "max_value": _NUMBER, **_STRICT}
_BETWEEN_COUNTS = {"min_value": _COUNT, "max_value": _COUNT, **_STRICT}
_VALUES = {"column": _COLUMN, "mostly": _SHARE}
_PAIR = {"column_A": _COLUMN, "column_B": _COLUMN, "ignore_row_if": _IGNORE_PAIR, "mostly": _SHARE}
_MANY = {"column_list": _COLUMNS, "ignore_row_if": _IGNORE_MANY, "mostly": _SHARE}
_FIGURE = {"column": _COLUMN}

_ALL: Final[tuple[Expectation, ...]] = (
    Expectation("expect_column_values_to_not_be_null", "column_values.nonnull", "row", _VALUES),
    Expectation("expect_column_values_to_be_null", "column_values.null", "row", _VALUES),
    Expectation("expect_column_values_to_be_between", "column_values.between", "row", {**_VALUES, **_BETWEEN}),
    Expectation("expect_column_values_to_be_in_set", "column_values.in_set", "row", {**_VALUES, "value_set": _SET}),
    Expectation("expect_column_values_to_not_be_in_set", "column_values.not_in_set", "row", {**_VALUES, "value_set": _SET}),
    Expectation("expect_column_values_to_match_regex", "column_values.match_regex", "row", {**_VALUES, "regex": _REGEX}),
    Expectation("expect_column_values_to_not_match_regex", "column_values.not_match_regex", "row", {**_VALUES, "regex": _REGEX}),
    Expectation(
        "expect_column_values_to_match_regex_list",
        "column_values.match_regex_list",
        "row",
        {**_VALUES, "regex_list": _REGEXES, "match_on": _one_of("any", "all", default="any")},
    ),
    Expectation(
        "expect_column_values_to_not_match_regex_list", "column_values.not_match_regex_list", "row", {**_VALUES, "regex_list": _REGEXES}
    ),
    Expectation("expect_column_value_lengths_to_be_between", "column_values.value_length.between", "row", {**_VALUES, **_BETWEEN_COUNTS}),
    Expectation(
        "expect_column_value_lengths_to_equal",
        "column_values.value_length.equals",
        "row",
        {**_VALUES, "value": Argument("a whole number", _is_count)},
    ),
    Expectation(
        "expect_column_pair_values_a_to_be_greater_than_b", "column_pair_values.a_greater_than_b", "row", {**_PAIR, "or_equal": _FLAG}
    ),
    Expectation("expect_column_pair_values_to_be_equal", "column_pair_values.equal", "row", _PAIR),
    Expectation("expect_column_pair_values_to_be_in_set", "column_pair_values.in_set", "row", {**_PAIR, "value_pairs_set": _PAIRS}),
    Expectation(
        "expect_multicolumn_sum_to_equal", "multicolumn_sum.equal", "row", {**_MANY, "sum_total": Argument("a number", _is_number)}
    ),
    Expectation("expect_multicolumn_values_to_be_equal", "multicolumn_values.equal", "row", _MANY),
    Expectation("expect_select_column_values_to_be_unique_within_record", "select_column_values.unique.within_record", "row", _MANY),
    Expectation("expect_column_values_to_be_unique", "column_values.unique", "whole", _VALUES),
    Expectation("expect_compound_columns_to_be_unique", "compound_columns.unique", "whole", _MANY),
    Expectation("expect_column_min_to_be_between", "column.min", "column", {**_FIGURE, **_BETWEEN}),
    Expectation("expect_column_max_to_be_between", "column.max", "column", {**_FIGURE, **_BETWEEN}),
    Expectation("expect_column_mean_to_be_between", "column.mean", "column", {**_FIGURE, **_BETWEEN_NUMBERS}),
    Expectation("expect_column_median_to_be_between", "column.median", "column", {**_FIGURE, **_BETWEEN_NUMBERS}),
    Expectation("expect_column_sum_to_be_between", "column.sum", "column", {**_FIGURE, **_BETWEEN_NUMBERS}),
    Expectation("expect_column_stdev_to_be_between", "column.standard_deviation", "column", {**_FIGURE, **_BETWEEN_NUMBERS}),
    Expectation("expect_column_unique_value_count_to_be_between", "column.distinct_values.count", "column", {**_FIGURE, **_BETWEEN_COUNTS}),
    Expectation(
        "expect_column_proportion_of_unique_values_to_be_between", "column.unique_proportion", "column", {**_FIGURE, **_BETWEEN_NUMBERS}
    ),
    Expectation(
        "expect_column_proportion_of_non_null_values_to_be_between", "column.non_null_proportion", "column", {**_FIGURE, **_BETWEEN_NUMBERS}
    ),
    Expectation("expect_column_distinct_values_to_be_in_set", "column.distinct_values", "column", {**_FIGURE, "value_set": _SET}),
    Expectation("expect_column_distinct_values_to_contain_set", "column.distinct_values", "column", {**_FIGURE, "value_set": _SET}),
    Expectation("expect_column_distinct_values_to_equal_set", "column.distinct_values", "column", {**_FIGURE, "value_set": _SET}),
    Expectation("expect_table_row_count_to_be_between", "table.row_count", "table", _BETWEEN_COUNTS),
    Expectation("expect_table_row_count_to_equal", "table.row_count", "table", {"value": Argument("a whole number", _is_count)}),
    Expectation("expect_table_column_count_to_be_between", "table.column_count", "table", {"min_value": _COUNT, "max_value": _COUNT}),
    Expectation("expect_table_column_count_to_equal", "table.column_count", "table", {"value": Argument("a whole number", _is_count)}),
    Expectation(
        "expect_table_columns_to_match_set",
        "table.columns",
        "table",
        {
            "column_set": Argument("a list of columns", lambda value: _is_list(value, _is_name)),
            "exact_match": Argument(_FLAG.words, _FLAG.accepts, default=True),
        },
    ),
    Expectation(
        "expect_table_columns_to_match_ordered_list",
        "table.columns",
        "table",
        {"column_list": Argument("a list of columns", lambda value: isinstance(value, list | tuple) and _is_list(value, _is_name))},
    ),
    Expectation("expect_column_to_exist", "table.columns", "table", {"column": _COLUMN}),
)
EXPECTATIONS: Final[Mapping[str, Expectation]] = {expectation.name: expectation for expectation in _ALL}
