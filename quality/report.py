"""What the rules found, and whether it may be published.

The verdicts are those that Great Expectations would give (a test compares them), computed without importing it: the
streaming gate decides in the middle of a load, where GX's seconds of import have no place.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import polars as pl

from pilothouse.kernel.errors import ConfigError, DataRejected
from quality.bounds import Unjudgeable, literal, members
from quality.predicates import outside
from quality.profile import Profile
from quality.rule import Rule

_SHOWN = 3


@dataclass(frozen=True)
class RuleResult:
    """What one rule found. `problem` says why it could not be judged, which is never a success.

    `evaluated` counts the rows it looked at, of which `missing` had no value to judge. `observed` is the figure of a rule
    on a column or on the table.
    """

    rule: Rule
    success: bool
    evaluated: int = 0
    missing: int = 0
    unexpected: int = 0
    examples: tuple[Any, ...] = ()
    observed: Any = None
    problem: str = ""

    @property
    def on_failure(self) -> str:
        """Who pays when it is broken."""
        return self.rule.on_failure

    @property
    def blocks(self) -> bool:
        """Whether it forbids to publish: broken and blocking, or unable to hold back the rows it was made to hold back."""
        return not self.success and (self.on_failure == "block" or (self.on_failure == "quarantine" and bool(self.problem)))

    def describe(self) -> str:
        """One line for a person."""
        if self.problem:
            return f"{self.rule.name}: cannot be judged: {self.problem}"
        if self.rule.kind.map:
            shown = ", ".join(map(repr, self.examples[:_SHOWN]))
            return f"{self.rule.name}: {self.unexpected:,} of {self.evaluated:,} rows" + (f", such as {shown}" if shown else "")
        observed = f"{len(self.observed)} values" if isinstance(self.observed, pl.Series) else repr(self.observed)
        return f"{self.rule.name}: observed {observed}"


@dataclass(frozen=True)
class Report:
    """All that the rules found in one load or table. `arrived` rows came, `rejected` of them were held back."""

    results: tuple[RuleResult, ...]
    arrived: int
    rejected: int = 0

    @property
    def success(self) -> bool:
        """Whether every rule was kept."""
        return all(result.success for result in self.results)

    @property
    def blocked(self) -> tuple[RuleResult, ...]:
        """The broken rules that forbid to publish."""
        return tuple(result for result in self.results if result.blocks)

    @property
    def warnings(self) -> tuple[RuleResult, ...]:
        """The broken rules that only ask to be told."""
        return tuple(result for result in self.results if not result.success and not result.blocks)

    def require(self, what: str) -> None:
        """Raise DataRejected, with the first offending values, where a blocking rule is broken."""
        if self.blocked:
            raise DataRejected(
                f"{what}: {len(self.blocked)} blocking rule(s) broken, nothing was published\n  "
                + "\n  ".join(result.describe() for result in self.blocked),
                hint="mend the source, or change the rule's on_failure to quarantine or warn",
            )


def judged(profile: Profile, rules: Iterable[Rule] | None = None) -> tuple[RuleResult, ...]:
    """The verdict of each rule on what the profile has seen."""
    return tuple(judge(profile, rule) for rule in (profile.rules if rules is None else rules))


def judge(profile: Profile, rule: Rule) -> RuleResult:
    """The verdict of one rule."""
    if problem := profile.problems.get(rule.identity):
        return RuleResult(rule, success=False, evaluated=profile.rows, problem=problem)
    try:
        return _judge_values(profile, rule) if rule.kind.map else _judge_figure(profile, rule)
    except Unjudgeable as reason:
        return RuleResult(rule, success=False, evaluated=profile.rows, problem=str(reason))


def refuse_unjudgeable(rule: Rule, schema: pl.Schema) -> None:
    """ConfigError where a rule makes no sense for columns of these types: every load would be told so, and none be judged."""
    profile = Profile([rule])
    profile.add(pl.DataFrame(schema=schema))
    if problem := judge(profile, rule).problem:
        raise ConfigError(f"{rule}: it cannot be judged: {problem}", hint="write values of the column's own kind")


def _judge_values(profile: Profile, rule: Rule) -> RuleResult:
    tally = profile.tally(rule)
    present = tally.evaluated - tally.missing
    success = present == 0 or (present - tally.unexpected) / present >= rule.arguments["mostly"]
    return RuleResult(rule, success, tally.evaluated, tally.missing, tally.unexpected, tuple(tally.examples))


def _judge_figure(profile: Profile, rule: Rule) -> RuleResult:
    observed, arguments = profile.figure(rule), rule.arguments
    examples: tuple[Any, ...] = ()
    if rule.expectation == "expect_column_to_exist":
        success = arguments["column"] in observed
    elif rule.kind.metric == "column.distinct_values":
        extra, absent = against_set(rule, observed)
        examples = tuple(extra[:20] or absent[:20])
        success = not extra and not absent
    elif rule.kind.metric == "table.columns":
        success = _columns_match(rule, observed)
    elif "value" in arguments:
        success = observed == arguments["value"]
    else:
        success = _within(rule, observed, profile.schema)
    return RuleResult(rule, success, evaluated=profile.rows, examples=examples, observed=observed)


def against_set(rule: Rule, observed: pl.Series | None) -> tuple[list[Any], list[Any]]:
    """Of a rule on a column's distinct values: those that the set does not have, and those of the set that are absent,
    each only where the rule asks for it."""
    values = pl.Series(dtype=pl.Null) if observed is None else observed
    wanted = rule.arguments["value_set"]
    extra = (
        [] if rule.expectation.endswith("contain_set") else values.filter(~values.is_in(members(wanted, values.dtype).implode())).to_list()
    )
    if rule.expectation.endswith("be_in_set"):
        return extra, []
    present = set(values.to_list())
    held = ((value, members([value], values.dtype).to_list()) for value in wanted if value is not None)
    return extra, [value for value, found in held if not found or found[0] not in present]


def _columns_match(rule: Rule, observed: list[str]) -> bool:
    if "column_list" in rule.arguments:
        return observed == list(rule.arguments["column_list"])
    wanted = set(rule.arguments["column_set"])
    return wanted == set(observed) if rule.arguments["exact_match"] else wanted <= set(observed)


def _within(rule: Rule, observed: Any, schema: pl.Schema | None) -> bool:
    if observed is None:
        return False
    own = rule.kind.metric in ("column.min", "column.max")
    dtype = schema[rule.columns[0]] if own and schema is not None else pl.Series([observed]).dtype
    arguments = rule.arguments
    bounds = [None if arguments[end] is None else literal(arguments[end], dtype) for end in ("min_value", "max_value")]
    return not pl.select(outside(pl.lit(observed), bounds[0], bounds[1], arguments)).item()
