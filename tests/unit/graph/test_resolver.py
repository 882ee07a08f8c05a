"""Weights and links."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pyarrow as pa
import pytest

from graph.resolution.firms import FIRMS
from graph.resolution.resolver import Weights, declared, learned, links, weighed
from pilothouse.kernel.errors import ModelError

COLUMNS = ("source", "record_id", "name", "street", "postal_code", "city", "country", "tax_number", "website", "industry")
ADLER = ("Adler Maschinenbau GmbH", "Hauptstraße 12", "80331", "München", "DE", "DE811", None, "MACH")


def parties(*rows: tuple[str | None, ...]) -> pa.Table:
    listed = [("s4", str(number), *row) for number, row in enumerate(rows)]
    return pa.table({name: pa.array(list(column), pa.string()) for name, column in zip(COLUMNS, zip(*listed, strict=True), strict=True)})


def changed(row: tuple[str | None, ...], **values: str | None) -> tuple[str | None, ...]:
    return tuple(values.get(name, value) for name, value in zip(COLUMNS[2:], row, strict=True))


WEIGHTS = declared(FIRMS, 0.0005)
compared = partial(weighed, FIRMS, WEIGHTS)


@pytest.mark.parametrize(
    "as_typed",
    [
        changed(ADLER, name="Adler Maschinenbau", tax_number=None),
        changed(ADLER, name="ADLER Maschinenbau G.m.b.H. (München)", street="Hauptstr. 12", tax_number=None),
        changed(ADLER, name="Maschinenbau Adler", city="Muenchen", tax_number=None),
        changed(ADLER, name="Adlre Maschinenbau GmbH", postal_code=None, tax_number=None),
        changed(ADLER, street="Nebenweg 3", postal_code="80333"),
    ],
)
def test_one_firm_is_recognised_however_it_is_typed(as_typed: tuple[str | None, ...]) -> None:
    assert compared(parties(ADLER, as_typed)).probability >= FIRMS.likely


@pytest.mark.parametrize(
    "other",
    [
        changed(ADLER, street="Nebenweg 3", tax_number=None),  # one name in one town, another house
        changed(ADLER, name="Berg Stahlbau GmbH", tax_number=None),  # one house
        changed(ADLER, street="Nebenweg 3", city="Berlin", postal_code="10115", tax_number="DE999"),
    ],
)
def test_another_firm_is_not_taken_for_it(other: tuple[str | None, ...]) -> None:
    assert compared(parties(ADLER, other)).probability < FIRMS.likely


def test_the_evidence_adds_up_to_the_weight() -> None:
    found = compared(parties(ADLER, changed(ADLER, street="Hauptstr. 12")))
    assert found.prior + sum(weight for _, weight in found.evidence.values()) == pytest.approx(found.weight, abs=0.01)
    assert found.evidence["street"][0] == "the same"
    assert "<html" in found.chart.lower()


def test_what_is_missing_says_nothing() -> None:
    assert "tax_number" not in compared(parties(ADLER, changed(ADLER, tax_number=None))).evidence


def test_links_of_what_changed_are_those_of_all_that_touch_it() -> None:
    rows = parties(ADLER, changed(ADLER, name="Adler Maschinenbau"), ADLER, changed(ADLER, name="Berg Stahlbau GmbH"))
    whole = links(FIRMS, WEIGHTS, rows).to_pylist()
    part = links(FIRMS, WEIGHTS, rows, ["s4:1"]).to_pylist()
    assert part == [row for row in whole if "s4:1" in (row["left_id"], row["right_id"])]
    assert part


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_records_are_weighed_by_what_is_declared(count: int) -> None:
    rows = parties(ADLER, ADLER).slice(0, count)
    weights = learned(FIRMS, rows)
    assert weights.levels == WEIGHTS.levels
    assert links(FIRMS, weights, rows).num_rows == (1 if count == 2 else 0)


def test_weights_survive_a_table_and_are_named_by_what_they_say() -> None:
    again = Weights.from_json(WEIGHTS.as_json())
    assert again == WEIGHTS
    assert again.version == WEIGHTS.version
    assert declared(FIRMS, 0.001).version != WEIGHTS.version


def test_a_comparison_that_is_no_sql_is_told() -> None:
    broken = replace(FIRMS, comparisons=(replace(FIRMS.comparisons[0], missing="name_l IS SOMEHOW"), *FIRMS.comparisons[1:]))
    with pytest.raises(ModelError, match="resolver firm"):
        links(broken, WEIGHTS, parties(ADLER, ADLER))
