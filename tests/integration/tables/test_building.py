"""Building the tables of a living company."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from pilothouse.kernel.lake.upkeep import tend
from pilothouse.kernel.versions import recording
from pilothouse.tables.building import Builder, Made
from pilothouse.tables.record import Notes
from tests.integration.tables.conftest import NOW
from tests.raw_company import RawCompany


def lived(raw: RawCompany, beats: int) -> int:
    """So many beats of the company's life, and what they changed in raw tables."""
    clock = raw.company.clock
    for _ in range(beats):
        clock.step(NOW + timedelta(hours=3 * (clock.beats + 1)))
    return raw.sync()


def built(builder: Builder, *names: str) -> None:
    assert "\n".join(failures(list(builder.build(names or None)))) == ""


def failures(made: list[Made]) -> list[str]:
    return [each.reason for each in made if each.reason]


def test_what_is_made_again_from_the_same_versions_is_left_alone(builder: Builder) -> None:
    assert {made.how for made in builder.build()} == {"unchanged"}
    assert builder.outdated() == {}


# A few rows, those of some days with orders on their whole way, and those of weeks with every kind of change.
@pytest.mark.parametrize("beats", [1, 20, 120])
def test_what_is_made_in_part_equals_what_is_made_as_a_whole(raw: RawCompany, builder: Builder, beats: int) -> None:
    assert lived(raw, beats) > 0
    partly = list(builder.build())
    assert "\n".join(failures(partly)) == ""
    assert "in part" in {made.how for made in partly}
    anew = list(builder.build(full=True))
    assert {made.model.name for made in anew if made.how != "in full"} == {"int_firm_weights"}  # kept as they were learned
    assert [made.model.name for made in anew if made.changed] == []


def test_a_build_reads_named_versions_and_each_table_tells_which(raw: RawCompany, builder: Builder) -> None:
    lived(raw, 10)
    with recording() as recorder:
        made = next(each for each in builder.build(["stg_s4__sales_order", "fct_order"]) if each.model.name == "stg_s4__sales_order")
    versions = recorder.versions()
    assert raw.lake.raw("s4", "sales_order").pinned() in versions.read
    assert made.table in versions.written
    table = raw.lake.table("staging/stg_s4__sales_order")
    record = next(Notes(raw.lake).told_of(table, table.version()))
    assert record.inputs["raw/s4/sales_order"].version == raw.lake.raw("s4", "sales_order").version()


def test_an_expired_version_of_an_input_makes_the_table_as_a_whole(raw: RawCompany, builder: Builder) -> None:
    lived(raw, 40)
    built(builder, "stg_s4__sales_order")
    lived(raw, 40)
    built(builder, "stg_s4__sales_order")
    for name in ("stg_s4__sales_order", "stg_s4__sales_order_item", "int_firm_member"):
        tend(raw.lake.table(builder.project.models[name].table), keep=timedelta(0))
    order = builder.project.models["fct_order"]
    behind = {order.name, *(model.name for model in builder.project.ancestors(order))}
    made = {each.model.name: each for each in builder.build(behind)}
    assert not failures(list(made.values()))
    assert made["fct_order"].how == "in full"
    assert [each.model.name for each in builder.build(behind, full=True) if each.changed] == []


def test_upkeep_makes_no_table_outdated(raw: RawCompany, builder: Builder) -> None:
    built(builder)
    for model in builder.project.published.values():
        tend(raw.lake.table(model.table), keep=timedelta(0))
    assert builder.outdated() == {}


def test_a_table_that_somebody_else_wrote_is_made_again(raw: RawCompany, builder: Builder) -> None:
    table = raw.lake.table("marts/dim_product")
    before = table.scan().collect()
    table.replace(before.head(1).to_arrow().to_reader())
    assert "marts/dim_product" in builder.outdated()
    built(builder)
    assert table.scan().collect().sort("product_id").equals(before.sort("product_id"))


def test_every_row_says_that_it_is_synthetic(raw: RawCompany, builder: Builder) -> None:
    for model in builder.project.published.values():
        scan = raw.lake.table(model.table).scan()
        assert scan.filter(~pl.col("_synthetic")).collect().is_empty(), model.name
