"""From rules to Great Expectations' suite, results and Data Docs.

`validate` checks a table at a version (a LazyFrame) in one streamed pass, or takes the Profile of a load that has already
looked. Our summary decides; GX's own result is kept beside it, for whoever has tools that read it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from quality.gate import Gate
from quality.profile import EXAMPLES, Profile, profiled
from quality.report import Report, judged
from quality.rule import Rule

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuite
    from great_expectations.core.expectation_validation_result import ExpectationSuiteValidationResult, ExpectationValidationResult

_SEVERITY = {"block": "critical", "quarantine": "warning", "warn": "info"}
_RESULT_FORMAT = {"result_format": "SUMMARY", "partial_unexpected_count": EXAMPLES, "include_unexpected_rows": False}


@dataclass(frozen=True)
class ValidationResult:
    """What a table's rules found: our report, GX's result as JSON, and the page that shows it, where one was asked for."""

    name: str
    report: Report
    expectations: Mapping[str, Any] = field(repr=False)
    page: Path | None = None

    @property
    def success(self) -> bool:
        """Whether every rule was kept."""
        return self.report.success


def suite(name: str, rules: Sequence[Rule], schema: pl.Schema | None = None) -> ExpectationSuite:
    """The rules as a GX suite. With the table's schema, bounds of time are written as GX compares them with its columns."""
    import_module("quality.engine")  # first, because it imports GX in silence
    from great_expectations.core import ExpectationSuite
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.expectations.metadata_types import FailureSeverity

    configurations = [
        ExpectationConfiguration(
            type=rule.expectation,
            kwargs=_told(rule, schema),
            meta={"rule": rule.name, "table": rule.table, "on_failure": rule.on_failure},
            description=rule.name,
            notes=rule.description or None,
            severity=FailureSeverity(_SEVERITY[rule.on_failure]),
        )
        for rule in rules
    ]
    return ExpectationSuite(name=_file_name(name), expectations=configurations)


def validate(rules: Sequence[Rule], data: pl.LazyFrame | Profile | Gate, docs: Path | None = None, *, name: str = "") -> ValidationResult:
    """Judge a table, a profile of it, or a load that passed a gate, by GX; write its page below `docs` where that is given."""
    if isinstance(data, Gate):
        profiles = data.profiles
        report = data.finish()
    else:
        profiles = (data if isinstance(data, Profile) else profiled(rules, data),)
        report = Report(judged(profiles[0]), profiles[0].rows)
    name = name or next((rule.table for rule in rules if rule.table), "table")
    result = _suite_result(name, profiles)
    page = None
    if docs is not None:
        from quality.docs import publish

        page = publish(result, suite(name, [rule for profile in profiles for rule in profile.rules]), docs)
    return ValidationResult(name, report, _as_json(result), page)


def _suite_result(name: str, profiles: Sequence[Profile]) -> ExpectationSuiteValidationResult:
    """GX's verdict on each profile's rules, as one result."""
    import_module("quality.engine")
    from great_expectations.core.expectation_validation_result import ExpectationSuiteValidationResult
    from great_expectations.core.run_identifier import RunIdentifier
    from great_expectations.validator.validation_statistics import calc_validation_statistics

    from quality.engine import ProfileEngine, SilentValidator

    results: list[ExpectationValidationResult] = []
    for profile in profiles:
        engine = ProfileEngine(profile)
        configurations = suite(name, profile.rules, profile.schema).expectation_configurations
        runtime = {"catch_exceptions": True, "result_format": dict(_RESULT_FORMAT)}
        order = {rule.name: number for number, rule in enumerate(profile.rules)}
        for rule, configuration in zip(profile.rules, configurations, strict=True):
            engine.expect(rule, configuration, runtime)
        found = SilentValidator(engine).graph_validate(configurations, runtime)
        results += sorted(map(_flat, found), key=lambda result: order[_rule_name(result)])
    counted = calc_validation_statistics(results)
    moment = datetime.now(UTC)
    return ExpectationSuiteValidationResult(
        results=results,
        success=counted.success,
        suite_name=_file_name(name),
        statistics={
            "evaluated_expectations": counted.evaluated_expectations,
            "successful_expectations": counted.successful_expectations,
            "unsuccessful_expectations": counted.unsuccessful_expectations,
            "success_percent": counted.success_percent,
        },
        meta={
            "expectation_suite_name": _file_name(name),
            "run_id": RunIdentifier(run_name=_file_name(name), run_time=moment),
            "validation_time": moment.strftime("%Y%m%dT%H%M%S.%fZ"),
            "active_batch_definition": {"data_asset_name": name},
        },
    )


def _rule_name(result: ExpectationValidationResult) -> str:
    assert result.expectation_config is not None
    return str((result.expectation_config.meta or {})["rule"])


def _flat(result: ExpectationValidationResult) -> ExpectationValidationResult:
    """Why a rule could not be judged, in the one place where Data Docs look for it: GX nests it by metric, and stumbles."""
    nested = [info for info in (result.exception_info or {}).values() if isinstance(info, dict)]
    if nested:
        message = nested[0]["exception_message"]
        result.exception_info = {"raised_exception": True, "exception_message": message, "exception_traceback": message}
    return result


def _file_name(table: str) -> str:
    """GX makes files of suites' names, and refuses slashes in them."""
    return table.replace("/", ".")


def _as_json(result: ExpectationSuiteValidationResult) -> Mapping[str, Any]:
    found: Mapping[str, Any] = result.to_json_dict()  # type: ignore[no-untyped-call]
    return found


def _told(rule: Rule, schema: pl.Schema | None) -> dict[str, Any]:
    """The rule's arguments as plain JSON values; a bound without a zone against timestamps with one is UTC."""
    told = {key: _json(value) for key, value in rule.kwargs.items() if value is not None}
    column = rule.columns[0] if rule.columns else ""
    dtype = schema.get(column) if schema is not None else None
    if isinstance(dtype, pl.Datetime) and dtype.time_zone:
        for end in ("min_value", "max_value"):
            if isinstance(told.get(end), str) and datetime.fromisoformat(told[end]).tzinfo is None:
                told[end] = datetime.fromisoformat(told[end]).replace(tzinfo=UTC).isoformat()
    return told


def _json(value: Any) -> Any:
    if isinstance(value, bool | int | float | str) or value is None:
        return value
    if isinstance(value, set | frozenset):
        return sorted((_json(item) for item in value), key=lambda item: (str(type(item)), item))
    if isinstance(value, list | tuple):
        return [_json(item) for item in value]
    return value.isoformat() if hasattr(value, "isoformat") else float(value)
