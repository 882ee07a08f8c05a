"""Great Expectations' execution engine over Polars: every metric of a suite is answered from one Profile.

GX on pandas takes 57 s and 6 GB for 20 expectations over 5 million rows, because each metric is a pass of its own. Here a
Profile has looked at the rows once, while they were loaded or by streaming the table, and GX asks it. Suites, verdicts and
Data Docs remain GX's own; only its arithmetic is replaced, through its own extension points: an ExecutionEngine, and metrics
registered for it. `quality.expectations` lists what is covered.

Importing this module imports GX, which takes seconds: import it where a suite runs, never at the top of a module.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any, NoReturn

import polars as pl

from quality.bounds import Unjudgeable
from quality.expectations import EXPECTATIONS
from quality.profile import EXAMPLES, Profile, Tally
from quality.report import against_set
from quality.rule import Rule

with warnings.catch_warnings():
    # GX and what it imports warn of their own deprecations; the reader of our log can mend none of them.
    warnings.simplefilter("ignore")
    from great_expectations.core.batch import BatchData, BatchMarkers
    from great_expectations.exceptions.exceptions import MetricResolutionError
    from great_expectations.execution_engine.execution_engine import ExecutionEngine
    from great_expectations.expectations import metrics as _core_metrics  # noqa: F401 - registers GX's own metrics
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.expectations.metrics.metric_provider import MetricProvider
    from great_expectations.expectations.registry import _registered_metrics, register_metric
    from great_expectations.validator.metric_configuration import MetricConfiguration
    from great_expectations.validator.validator import Validator

_MAP_ANSWERS = ("unexpected_count", "unexpected_values", "unexpected_index_list", "unexpected_index_query", "filtered_row_count")
_SET_ANSWERS = tuple(f"column.distinct_values.{which}{what}" for which in ("not_in_set", "missing_from_column") for what in ("", ".count"))

_TABLE_ANSWERS: Mapping[str, Callable[[Profile], Any]] = {
    "table.row_count": lambda profile: profile.rows,
    "table.columns": lambda profile: list(profile.schema or ()),
    "table.column_count": lambda profile: len(profile.schema or ()),
}


class SilentValidator(Validator):
    """GX's validator without its progress bar, which it shows wherever there is no data context."""

    def _determine_progress_bars(self) -> bool:
        return False


class ProfileEngine(ExecutionEngine[Any]):
    """Answers GX's metrics from a Profile; computes nothing itself."""

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        self.profile = profile
        self._asked_by: dict[Any, Rule] = {}

    def expect(self, rule: Rule, configuration: ExpectationConfiguration, runtime: Mapping[str, Any]) -> None:
        """Remember which metrics GX will ask for on behalf of this rule, so that each is answered by the rule that asked."""
        dependencies = configuration.to_domain_obj().get_validation_dependencies(self, dict(runtime))
        for metric in dependencies.get_metric_configurations():
            self._asked_by.setdefault(metric.id, rule)

    def resolve_metrics(
        self,
        metrics_to_resolve: Iterable[MetricConfiguration],
        metrics: Mapping[Any, Any] | None = None,  # noqa: ARG002 - GX's signature
        runtime_configuration: Mapping[str, Any] | None = None,  # noqa: ARG002
    ) -> dict[Any, Any]:
        """All metrics that GX needs, in one call. One that cannot be judged fails alone; GX asks again for the others."""
        answers: dict[Any, Any] = {}
        for metric in metrics_to_resolve:
            try:
                answers[metric.id] = _answer(self.profile, metric, self._asked_by.get(metric.id))
            except Unjudgeable as reason:
                raise MetricResolutionError(message=str(reason), failed_metrics=(metric,)) from reason
        return answers

    def resolve_metric_bundle(self, metric_fn_bundle: Any) -> NoReturn:
        """Never asked: no metric of ours is computed by GX."""
        raise NotImplementedError(f"{type(self).__name__} answers from a profile, not from {metric_fn_bundle!r}")

    def get_batch_data_and_markers(self, batch_spec: Any) -> tuple[BatchData, BatchMarkers]:  # noqa: ARG002 - GX's signature
        """A batch is the profile; GX wants to know since when."""
        return BatchData(execution_engine=self), BatchMarkers({"ge_load_time": datetime.now(UTC).isoformat()})

    def _no_conditions(self, condition: Any) -> NoReturn:
        raise NotImplementedError(f"row conditions are refused when a rule is declared, yet here is {condition!r}")

    _comparison_condition_to_filter_clause = _no_conditions
    _nullity_condition_to_filter_clause = _no_conditions
    _and_condition_to_filter_clause = _no_conditions
    _or_condition_to_filter_clause = _no_conditions


def _answer(profile: Profile, metric: MetricConfiguration, rule: Rule | None) -> Any:
    name = metric.metric_name
    if name in _TABLE_ANSWERS:
        return _TABLE_ANSWERS[name](profile)
    if rule is None:
        raise Unjudgeable(f"no rule asked for the metric {name}")
    if problem := profile.problems.get(rule.identity):
        raise Unjudgeable(problem)
    if name == "column_values.nonnull.unexpected_count":
        return profile.nulls(metric.metric_domain_kwargs["column"])
    if name in _SET_ANSWERS:
        extra, absent = against_set(rule, profile.figure(rule))
        values = extra if "not_in_set" in name else absent
        return len(values) if name.endswith(".count") else values[:EXAMPLES]
    wanted = name.rpartition(".")[2]
    return _map_answer(profile.tally(rule), wanted) if wanted in _MAP_ANSWERS else _plain(profile.figure(rule))


def _map_answer(tally: Tally, wanted: str) -> Any:
    match wanted:
        case "unexpected_count":
            return tally.unexpected
        case "unexpected_values":
            return tally.examples[:EXAMPLES]
        case "filtered_row_count":
            return tally.evaluated - tally.missing
        case _:
            return None  # rows have no index here; quarantine knows their keys


def _plain(value: Any) -> Any:
    """A figure as GX compares it: it reads ISO bounds against timestamps, but not against dates."""
    if isinstance(value, pl.Series):
        return value.to_list()
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day)  # noqa: DTZ001 - a date has no zone
    return value


def _register() -> None:
    """Make GX believe in our metrics: each under the domain and value keys of GX's own metric of that name."""
    names = {*_TABLE_ANSWERS, "column_values.nonnull.unexpected_count", *_SET_ANSWERS}
    for kind in EXPECTATIONS.values():
        names |= {f"{kind.metric}.{answer}" for answer in _MAP_ANSWERS} if kind.map else {kind.metric}
    for name in sorted(names):
        if name not in _registered_metrics:
            continue  # a column map metric has no filtered_row_count
        known = _registered_metrics[name]
        keys = {"domain_keys": tuple(known["metric_domain_keys"]), "value_keys": tuple(known["metric_value_keys"])}
        model, _ = next(iter(known["providers"].values()))
        provider = type(f"Profile {name}", (MetricProvider,), {**keys, "default_kwarg_values": model.default_kwarg_values})
        register_metric(
            metric_name=name,
            metric_domain_keys=keys["domain_keys"],
            metric_value_keys=keys["value_keys"],
            execution_engine=ProfileEngine,
            metric_class=provider,
            metric_provider=_answered_in_bulk,
        )


def _answered_in_bulk(*_: Any, **__: Any) -> NoReturn:
    raise NotImplementedError("ProfileEngine.resolve_metrics answers all metrics at once")


_register()
