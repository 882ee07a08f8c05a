"""A rule: one expectation about one table, and what happens when it is broken.

A rule is a frozen value that names one of Great Expectations' expectations (`quality.expectations` lists those that
our engine evaluates). From it come the streaming gate's check, the GX suite, the Dagster asset check and the page in
Data Docs. It is verified when it is declared: a typing error in a rule that is only evaluated at night would otherwise
cost the night's load.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal

from pilothouse.kernel.errors import ConfigError
from quality.expectations import EXPECTATIONS, Expectation, complete

OnFailure = Literal["block", "quarantine", "warn"]
_TABLE = re.compile(r"raw/[^/\s]+/[^/\s]+|[a-z0-9_]+/[^/\s]+")


@dataclass(frozen=True)
class Rule:
    """One expectation = one check.

    `on_failure` says who pays for a broken rule: with `quarantine` the broken rows alone are held back, with `block`
    nothing of the load is published, with `warn` somebody is told. `table` is `<connector kind>/<stream>` (the stream
    in every source of that kind) or `raw/<source>/<stream>` (in that source alone).
    """

    name: str
    expectation: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    on_failure: OnFailure = "block"
    table: str = ""
    description: str = ""

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ConfigError(f"a rule for {self.table or 'no table'} has no name", hint="name it by what holds when it is kept")
        if self.on_failure not in ("block", "quarantine", "warn"):
            raise ConfigError(f"{self}: on_failure is {self.on_failure!r}", hint="choose block, quarantine or warn")
        kind = EXPECTATIONS.get(self.expectation)
        if kind is None:
            raise ConfigError(
                f"{self}: the Polars engine does not know the expectation {self.expectation!r}",
                hint="choose one of: " + ", ".join(sorted(EXPECTATIONS)),
            )
        for problem in kind.problems(self.kwargs):
            raise ConfigError(f"{self}: {problem}", hint=f"{self.expectation} takes {kind.signature()}")
        if self.on_failure == "quarantine" and kind.scope != "row":
            raise ConfigError(
                f"{self}: {self.expectation} judges the table as a whole, so it cannot name the rows to hold back",
                hint="choose block or warn",
            )

    def __str__(self) -> str:
        return f"rule {self.name!r} of {self.table}" if self.table else f"rule {self.name!r}"

    def __hash__(self) -> int:
        return hash((self.name, self.table, self.identity))

    @property
    def kind(self) -> Expectation:
        """What we know about the expectation."""
        return EXPECTATIONS[self.expectation]

    @cached_property
    def arguments(self) -> Mapping[str, Any]:
        """The expectation's arguments with every default filled in."""
        return complete(self.kind, self.kwargs)

    @cached_property
    def identity(self) -> str:
        """What is measured, apart from how much of it is tolerated: rules that share it are measured once."""
        return identity(self.expectation, self.arguments)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it reads; none when it judges the table's shape."""
        found: list[str] = []
        for name in ("column", "column_A", "column_B", "column_list"):
            value = self.arguments.get(name)
            found += [value] if isinstance(value, str) else list(value or ())
        return tuple(found)

    def applies_to(self, connector: str, source: str, stream: str) -> bool:
        """Whether it judges that stream of that source, which is of that kind of connector."""
        return self.table in (f"{connector}/{stream}", f"raw/{source}/{stream}")


def identity(expectation: str, arguments: Mapping[str, Any]) -> str:
    """One text for one measurement, the same however its arguments were written down."""
    measured = {name: value for name, value in arguments.items() if name != "mostly"}
    return f"{expectation} {json.dumps(measured, sort_keys=True, default=str)}"


def written(kwargs: Mapping[str, Any]) -> str:
    """What an expectation takes as one JSON text, as people read and change it."""
    return json.dumps(dict(kwargs), sort_keys=True, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    raise TypeError(f"{value!r} cannot be written down")


def rules(table: str, *declared: Rule) -> tuple[Rule, ...]:
    """The rules of one table; two of one name would hide each other in every report."""
    if not _TABLE.fullmatch(table):
        raise ConfigError(
            f"{table!r} is no table that rules can be bound to", hint="write <connector kind>/<stream> or raw/<source>/<stream>"
        )
    seen: set[str] = set()
    for rule in declared:
        if rule.name in seen:
            raise ConfigError(f"{table}: two rules are named {rule.name!r}", hint="rename one of them")
        seen.add(rule.name)
    return tuple(replace(rule, table=table) for rule in declared)


def rules_for(declared: Iterable[Rule], *, connector: str, source: str, stream: str) -> tuple[Rule, ...]:
    """The rules that judge one stream of one source; a rule of the source itself replaces its kind's rule of the same name."""
    found: dict[str, Rule] = {}
    for rule in declared:
        if rule.applies_to(connector, source, stream) and not (rule.name in found and found[rule.name].table.startswith("raw/")):
            found[rule.name] = rule
    return tuple(found.values())
