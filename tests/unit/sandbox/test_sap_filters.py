"""$filter against a reference: the same predicate in Python over the same rows."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilothouse.sandbox.company.sap import SALES_ORDER
from pilothouse.sandbox.drift import Column
from pilothouse.sandbox.sap.errors import ODataError
from pilothouse.sandbox.sap.filters import compiled
from pilothouse.sandbox.sap.services import Version
from tests.unit.sandbox.sap_scene import order, populated

ROWS = [order(number) for number in range(1, 26)]
COLUMNS = {field.name: Column(field, field.name) for field in SALES_ORDER.fields}


@pytest.fixture(scope="module")
def matches(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Version], set[str]]:
    store = populated(tmp_path_factory.mktemp("filters") / "company.sqlite")

    def matching(text: str, version: Version) -> set[str]:
        condition = compiled(text, COLUMNS, "t0", version, "A_SalesOrderType")
        sql = f'SELECT t0."SalesOrder" FROM {SALES_ORDER.table} t0 WHERE {condition.text}'
        return {str(number) for (number,) in store.rows(sql, condition.values)}

    return matching


@pytest.mark.parametrize(
    ("version", "text", "wanted"),
    [
        (2, "SalesOrder eq '7'", lambda n: n == 7),
        (2, "'7' eq SalesOrder", lambda n: n == 7),
        (2, "100 lt TotalNetAmount", lambda n: n * 10 + 0.5 > 100),
        (2, "TotalNetAmount gt 100M and TotalNetAmount le 150.5m", lambda n: 100 < n * 10 + 0.5 <= 150.5),
        (4, "TotalNetAmount ge 100.5 and not (TotalNetAmount ge 150.5)", lambda n: 10 <= n < 15),
        (2, "DeliveryBlockReason eq null", lambda n: n % 2 == 1),
        (2, "DeliveryBlockReason ne '01'", lambda n: n % 2 == 1),
        (4, "not (DeliveryBlockReason gt '00')", lambda n: n % 2 == 1),
        (2, "not startswith(DeliveryBlockReason,'0')", lambda n: n % 2 == 1),
        (2, "LastChangeDateTime ge datetimeoffset'2026-01-01T00:20:00Z'", lambda n: n >= 20),
        (2, "LastChangeDateTime ge datetimeoffset'2026-01-01T01:20:00+01:00'", lambda n: n >= 20),
        (4, "LastChangeDateTime gt 2026-01-01T00:20:00.000020Z", lambda n: n > 20),
        (4, "LastChangeDateTime lt 2026-01-01T00:20:00.0000201Z", lambda n: n < 20),
        (2, "CreationDate eq datetime'2026-01-01T00:00:00'", lambda n: True),
        (4, "CreationDate lt 2026-01-01", lambda n: False),
        (2, "substringof('/2',PurchaseOrderByCustomer)", lambda n: str(n).startswith("2")),
        (2, "substringof('/2',PurchaseOrderByCustomer) eq false", lambda n: not str(n).startswith("2")),
        (4, "contains(PurchaseOrderByCustomer,'/2')", lambda n: str(n).startswith("2")),
        (4, "endswith(PurchaseOrderByCustomer,'O''Neill')", lambda n: True),
        (4, "endswith(PurchaseOrderByCustomer,'')", lambda n: True),
        (2, "tolower(PurchaseOrderByCustomer) eq 'po/3 & o''neill'", lambda n: n == 3),
        (4, "length(SalesOrder) eq 1", lambda n: n < 10),
        (4, "concat(SalesOrder,SoldToParty) eq '3103'", lambda n: n == 3),
        (4, "SalesOrder in ('1','2','30')", lambda n: n in {1, 2}),
        (2, "CompleteDeliveryIsDefined", lambda n: False),
        (2, "CompleteDeliveryIsDefined eq false or SalesOrder eq '1'", lambda n: True),
        (2, "SalesOrder eq '1' or SalesOrder eq '2' and TotalNetAmount gt 1000", lambda n: n == 1),
        (2, "(SalesOrder eq '1' or SalesOrder eq '2') and TotalNetAmount gt 15", lambda n: n == 2),
    ],
)
def test_a_filter_picks_the_right_rows(
    matches: Callable[[str, Version], set[str]], version: Version, text: str, wanted: Callable[[int], bool]
) -> None:
    assert matches(text, version) == {str(number) for number in range(1, 26) if wanted(number)}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SalesOrder",
        "SalesOrder eq",
        "SalesOrder eq 7",
        "TotalNetAmount eq 'x'",
        "Nothing eq '1'",
        "SalesOrder eq '1' and",
        "(SalesOrder eq '1'",
        "SalesOrder eq '1')",
        "SalesOrder eq 'open",
        "shout(SalesOrder)",
        "startswith(SalesOrder)",
        "contains(SalesOrder,'1')",  # V4's, asked of V2
        "LastChangeDateTime gt datetimeoffset'yesterday'",
        "SalesOrder eq TotalNetAmount",
        "SalesOrder eq '1'; DROP TABLE sap_SalesOrder",
        "not " * 500 + "CompleteDeliveryIsDefined",
        "(" * 5000 + "CompleteDeliveryIsDefined" + ")" * 5000,
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ODataError) as refused:
        compiled(text, COLUMNS, "t0", 2, "A_SalesOrderType")
    assert refused.value.status == 400


@settings(max_examples=200)
@given(st.text(max_size=60))
def test_no_text_does_worse_than_a_refusal(text: str) -> None:
    with suppress(ODataError):
        compiled(text, COLUMNS, "t0", 4, "T")


_FIELDS = ("SalesOrder", "SoldToParty", "DeliveryBlockReason")
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "gt": lambda a, b: None not in (a, b) and a > b,
    "ge": lambda a, b: None not in (a, b) and a >= b,
    "lt": lambda a, b: None not in (a, b) and a < b,
    "le": lambda a, b: None not in (a, b) and a <= b,
}
_Predicate = tuple[str, Callable[[dict[str, Any]], bool]]


def _compare(name: str, operator: str, value: str) -> _Predicate:
    return f"{name} {operator} '{value}'", lambda row: _OPERATORS[operator](row[name], value)


def _either(one: _Predicate, other: _Predicate) -> _Predicate:
    return f"({one[0]} or {other[0]})", lambda row: one[1](row) or other[1](row)


def _all(one: _Predicate, other: _Predicate) -> _Predicate:
    return f"{one[0]} and {other[0]}", lambda row: one[1](row) and other[1](row)


_leaf = st.builds(_compare, st.sampled_from(_FIELDS), st.sampled_from(list(_OPERATORS)), st.sampled_from(["", "01", "10", "103", "2", "9"]))
_predicates = st.recursive(
    _leaf,
    lambda inner: st.one_of(
        st.builds(_either, inner, inner),
        st.builds(_all, inner, inner),
        st.builds(lambda p: (f"not ({p[0]})", lambda row: not p[1](row)), inner),
    ),
    max_leaves=8,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_predicates)
def test_any_nesting_of_conditions_means_what_it_says(matches: Callable[[str, Version], set[str]], predicate: _Predicate) -> None:
    text, wanted = predicate
    assert matches(text, 4) == {row["SalesOrder"] for row in ROWS if wanted(row)}


def test_a_filter_on_the_change_time_uses_its_index(tmp_path: Path) -> None:
    store = populated(tmp_path / "company.sqlite")
    condition = compiled("LastChangeDateTime ge 2026-01-01T00:20:00Z", COLUMNS, "t0", 4, "T")
    plan = list(store.rows(f"EXPLAIN QUERY PLAN SELECT * FROM {SALES_ORDER.table} t0 WHERE {condition.text}", condition.values))
    assert "USING INDEX" in str(plan)
    store.close()
