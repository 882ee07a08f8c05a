"""What a set of rules needs to know about rows, gathered chunk by chunk in one pass.

A load checks itself while it streams, and a table is checked at a version by streaming it; both end in a Profile, and a
report, Great Expectations' results and Data Docs are made from it without a second look at the rows. Memory does not grow
with the rows, but for the measures that say so (`quality.measures`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import Any, Final

import polars as pl

from quality.bounds import Unjudgeable
from quality.measures import Distinct, Extremes, Kept, Measure, Moments, Presence
from quality.predicates import broken, considered
from quality.rule import Rule

EXAMPLES: Final = 20
_CHUNK: Final = 250_000
_MEASURES: Final[Mapping[str, type[Measure]]] = {
    "column.min": Extremes,
    "column.max": Extremes,
    "column.mean": Moments,
    "column.sum": Moments,
    "column.standard_deviation": Moments,
    "column.median": Kept,
    "column.non_null_proportion": Presence,
    "column.distinct_values": Distinct,
    "column.distinct_values.count": Distinct,
    "column.unique_proportion": Distinct,
    "column_values.unique": Kept,
    "compound_columns.unique": Kept,
}


@dataclass
class Tally:
    """How the values that one rule judges came out. `missing` were not judged."""

    evaluated: int = 0
    missing: int = 0
    unexpected: int = 0
    examples: list[Any] = field(default_factory=list)


class Profile:
    """Counts and figures of the rows seen so far. `problems` says, by rule identity, why a rule cannot be judged."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        self.rows = 0
        self.schema: pl.Schema | None = None
        self.problems: dict[str, str] = {}
        self._by_row: dict[str, tuple[Rule, pl.Expr]] = {}
        self._tallies: dict[str, Tally] = {}
        self._measures: dict[str, Measure] = {}

    def add(self, chunk: pl.DataFrame, extra: Mapping[str, pl.Expr] | None = None) -> Mapping[str, pl.Series]:
        """Take in one more chunk; returns what `extra` expressions and, by identity, the row rules say of each of its rows."""
        if chunk.schema != self.schema:
            self._compile(chunk.schema)
        self.rows += chunk.height
        verdicts = self._judge(chunk, extra or {})
        questions = [(measure, measure.asks()) for measure in self._measures.values()]
        if questions:
            # Aliased, because two measures may ask the same of one column.
            asked = [question.alias(f"{i} {j}") for i, (_, many) in enumerate(questions) for j, question in enumerate(many)]
            answers = iter(series[0] for series in chunk.lazy().select(asked).collect().iter_columns())
            for measure, many in questions:
                measure.merge(*(next(answers) for _ in many))
        return verdicts

    def tally(self, rule: Rule) -> Tally:
        """How the values came out that this rule judges one by one."""
        if rule.kind.scope == "row":
            return self._tallies.get(rule.identity, Tally())
        measure = self._measures.get(_key(rule))
        if not isinstance(measure, Kept):
            return Tally()
        repeated = measure.repeated()
        return Tally(self.rows, self.rows - len(measure.values), len(repeated), repeated.head(EXAMPLES).to_list())

    def figure(self, rule: Rule) -> Any:
        """What a rule on a column or on the table's shape observes; None when there was nothing to observe."""
        match rule.kind.metric:
            case "table.row_count":
                return self.rows
            case "table.columns":
                return list(self.schema or ())
            case "table.column_count":
                return len(self.schema or ())
            case metric:
                measure = self._measures.get(_key(rule))
                return None if measure is None else _figure(metric, measure, self.rows)

    def nulls(self, column: str) -> int:
        """How many values of a column are missing, as far as any rule has looked."""
        for rule in self.rules:
            if rule.columns == (column,) and rule.identity not in self.problems:
                if rule.expectation == "expect_column_values_to_not_be_null":
                    return self.tally(rule).unexpected
                if rule.kind.map and rule.expectation != "expect_column_values_to_be_null":
                    return self.tally(rule).missing
                if rule.expectation == "expect_column_values_to_be_null":
                    return self.rows - self.tally(rule).unexpected
                measure = self._measures.get(_key(rule))
                if isinstance(measure, Presence | Distinct | Moments):
                    return self.rows - measure.count
        return 0

    def _compile(self, schema: pl.Schema) -> None:
        self.schema = schema
        self._by_row.clear()
        for rule in self.rules:
            try:
                if rule.kind.scope == "row":
                    self._by_row[rule.identity] = rule, broken(rule, schema)
                    self._tallies.setdefault(rule.identity, Tally())
                elif rule.kind.metric in _MEASURES and _key(rule) not in self._measures:
                    self._measures[_key(rule)] = _measure(rule, schema)
            except Unjudgeable as reason:
                self.problems[rule.identity] = str(reason)

    def _judge(self, chunk: pl.DataFrame, extra: Mapping[str, pl.Expr]) -> Mapping[str, pl.Series]:
        expressions = {**extra, **{name: expression for name, (_, expression) in self._by_row.items()}}
        if not expressions:
            return {}
        verdicts = chunk.lazy().select(expression.alias(name) for name, expression in expressions.items()).collect()
        for name, (rule, _) in self._by_row.items():
            verdict = verdicts[name]
            tally = self._tallies[name]
            unexpected = int(verdict.sum())
            tally.evaluated += chunk.height
            tally.missing += verdict.null_count()
            tally.unexpected += unexpected
            if unexpected and len(tally.examples) < EXAMPLES:
                where = verdict.arg_true().head(EXAMPLES - len(tally.examples))
                tally.examples += values_at(chunk, rule.columns, where)
        return {name: verdicts[name] for name in expressions}


def profiled(rules: Sequence[Rule], data: pl.LazyFrame) -> Profile:
    """The profile of a table in one streamed pass over the columns that its rules read."""
    schema = data.collect_schema()
    needed = {name for rule in rules for name in rule.columns if name in schema} | set(schema.names()[:1])
    profile = Profile(rules)
    chunks: Iterable[pl.DataFrame] = data.select(name for name in schema if name in needed).collect_batches(chunk_size=_CHUNK)
    for chunk in chunks:
        profile.add(chunk)
    if profile.schema is None:
        profile.add(pl.DataFrame(schema={name: dtype for name, dtype in schema.items() if name in needed}))
    profile.schema = schema
    return profile


def values_at(chunk: pl.DataFrame, columns: Sequence[str], where: pl.Series) -> list[Any]:
    """The values at these rows; a mapping of each where several columns are judged together."""
    found = chunk.select(columns)[where]
    return found.to_series().to_list() if len(columns) == 1 else found.to_dicts()


def anywhere(verdicts: Iterable[pl.Series]) -> pl.Series | None:
    """Which rows any of these verdicts condemns; None when none does."""
    condemned = [verdict.fill_null(value=False) for verdict in verdicts if verdict.any()]
    return reduce(or_, condemned) if condemned else None


def _key(rule: Rule) -> str:
    kind = _MEASURES[rule.kind.metric]
    rows = rule.arguments.get("ignore_row_if", "")
    return f"{kind.__name__} {rule.columns} {rows}"


def _measure(rule: Rule, schema: pl.Schema) -> Measure:
    kind = _MEASURES[rule.kind.metric]
    if rule.kind.metric == "compound_columns.unique":
        absent = [name for name in rule.columns if name not in schema]
        if not absent:
            return Kept(rule.columns, schema, considered(rule.arguments, schema))
    measure = kind(rule.columns, schema)
    if rule.kind.metric == "column.median" and not measure.dtype.is_numeric():
        raise Unjudgeable(f"column {rule.columns[0]!r} is {measure.dtype}, not a number")
    return measure


def _figure(metric: str, measure: Measure, rows: int) -> Any:  # noqa: PLR0911 - one line a figure
    match metric, measure:
        case "column.min", Extremes():
            return measure.smallest
        case "column.max", Extremes():
            return measure.greatest
        case "column.mean", Moments():
            return measure.mean
        case "column.sum", Moments():
            return measure.sum
        case "column.standard_deviation", Moments():
            return measure.deviation
        case "column.median", Kept():
            return measure.median
        case "column.non_null_proportion", Presence():
            return measure.count / rows if rows else 0
        case "column.distinct_values", Distinct():
            return measure.values
        case "column.distinct_values.count", Distinct():
            return len(measure.values)
        case "column.unique_proportion", Distinct():
            return len(measure.values) / measure.count if measure.count else 0
        case _:
            raise AssertionError(f"{type(measure).__name__} does not measure {metric}")
