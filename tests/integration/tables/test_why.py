"""Why a row of the real models says what it says, against brute force on nothing but what was named.

Made of the named raw rows alone, the row must come out the same: so none is missing. Taking any one of them away must change
it, at once or once others are gone: so none is idle. But for records that are named because they were compared: that is what a
firm was told by, whether or not less would have done.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import cache, partial
from pathlib import Path

import duckdb
import polars as pl
import pytest

from pilothouse.kernel.errors import ConfigError, LakeError
from pilothouse.tables.building import Builder
from pilothouse.tables.project import Model, Project, relation
from pilothouse.tables.why.explain import Explainer
from pilothouse.tables.why.impact import Impact
from pilothouse.tables.why.needed import Needed
from pilothouse.tables.why.reading import At
from pilothouse.tables.why.row import Choice, Key, alternatives
from tests.integration.tables.remade import Raw, Remade, by_itself, compiled, rows_of
from tests.integration.tables.removal import is_cause
from tests.integration.tables.test_building import built, lived
from tests.raw_company import RawCompany

ROWS = 2  # of each table
SAMPLE = 4  # of the raw rows behind each
TABLES = 6  # of which one raw row is followed upwards


@pytest.fixture(scope="module")
def explainer(raw: RawCompany, builder: Builder, project: Project, work: Path) -> Explainer:
    lived(raw, 60)  # some rows have several versions, some are deleted
    built(builder)
    return Explainer(raw.lake, project, work)


@pytest.fixture(scope="module")
def whole_texts(project: Project, raw: RawCompany, work: Path) -> Mapping[str, str]:
    return compiled(raw.lake, project, work)


def marts(project: Project) -> Iterator[Model]:
    return (model for model in project.published.values() if model.layer != "staging" and not model.kept)


@pytest.mark.timeout(900)
def test_what_is_named_is_all_that_it_takes_and_nothing_idle(
    raw: RawCompany, explainer: Explainer, project: Project, whole_texts: Mapping[str, str]
) -> None:
    dice, remade = random.Random(5), Remade(raw.lake, project, whole_texts)
    for model in marts(project):
        table = raw.lake.table(model.table).scan().collect()
        columns = [column.name for column in model.columns if not column.name.startswith("_")]
        for _ in range(ROWS):
            told = table.row(dice.randrange(table.height), named=True)
            key = {name: str(told[name]) for name in model.key}
            explained = explainer.why(model.table, key)
            remade.keep(explained.raw())
            assert remade.row(model, key, frozenset()) == [tuple(told[name] for name in columns)], (model.table, key)
            answer = cache(partial(remade.row, model, key))
            made = sorted(by_itself(explained))
            for row in dice.sample(made, min(SAMPLE, len(made))):
                assert is_cause(row, rows_of(explained.raw()), answer), (model.table, key, row)


@pytest.mark.timeout(900)
def test_what_depends_on_a_raw_row_is_every_row_whose_sources_it_is_among(raw: RawCompany, explainer: Explainer, project: Project) -> None:
    """Forward and back are one relation, over whole tables: impact names a row exactly if why of that row names the raw one."""
    impact = Impact(explainer, project.published.values())
    back: dict[Raw, set[tuple[str, Key]]] = defaultdict(set)
    with explainer.walk() as walk:
        for model in project.published.values():
            if model.layer == "staging" or model.kept or model.name == "fct_exposure":
                continue
            columns = {column.name for column in model.columns if not column.name.startswith("_")}
            keys = raw.lake.table(model.table).scan().select(model.key).collect()
            at = At(model.table, explainer.reading.newest(model.table))
            for key, sources in walk.needs(at, {tuple(map(str, row)): columns for row in keys.iter_rows()}).items():
                for source in sources:
                    back[source].add((model.table, key))
    dice = random.Random(9)
    for table in dice.sample(sorted({name for name, _ in back}), TABLES):
        row_id = dice.choice(sorted(row_id for name, row_id in back if name == table))
        found = {(each.table, tuple(each.key.values())) for each in impact.of(table, row_id)}
        assert {each for each in found if not each[0].startswith(("staging/", "marts/fct_exposure"))} == back[table, row_id], (
            table,
            row_id,
        )


def test_every_column_tells_the_columns_it_is_computed_from(explainer: Explainer, project: Project) -> None:
    found = {model.table: explainer.lineage(model) for model in project.published.values()}
    assert found["marts/fct_order"]["customer_id"] == [("staging/stg_s4__sales_order", "customer_id")]
    assert found["staging/stg_s4__sales_order"]["customer_id"] == [("raw/s4/sales_order", "SoldToParty")]
    assert ("intermediate/int_party", "name") in found["marts/dim_firm"]["name"]
    assert ("intermediate/int_firm_link", "weight") in found["intermediate/int_firm_member"]["firm_id"]
    inputs = {model.table: set(project.inputs(model)) for model in project.published.values()}
    for table, columns in found.items():
        assert {source for sources in columns.values() for source, _ in sources} <= inputs[table]


def test_a_raw_column_is_used_by_those_models_that_cannot_be_made_without_it(
    raw: RawCompany, explainer: Explainer, project: Project, whole_texts: Mapping[str, str]
) -> None:
    """DuckDB says which: it is asked for each model over a table that lacks the column."""
    told: dict[tuple[str, str], set[str]] = {}
    needed: dict[tuple[str, str], set[str]] = {}
    for model in (each for each in project.models.values() if each.raw):
        (table,) = model.raw
        columns = explainer.reading.columns_of(At(table, explainer.reading.newest(table)))
        told[model.name, table] = explainer.used(model, table, columns)
        with closing(duckdb.connect()) as empty:
            empty.execute(f'CREATE SCHEMA "{relation(table)[0]}"; CREATE TABLE whole AS {raw.lake.table(table).files().sql} LIMIT 0')
            text = whole_texts[model.name]
            needed[model.name, table] = {column for column in columns if not can_be_made(empty, text, relation(table), column)}
    assert len(told) > 15
    assert told == needed
    assert "DeliveryBlockReason" in told["stg_s4__sales_order", "raw/s4/sales_order"]
    assert "SalesOffice" not in told["stg_s4__sales_order", "raw/s4/sales_order"]


def can_be_made(connection: duckdb.DuckDBPyConnection, text: str, table: tuple[str, str], without: str) -> bool:
    place = ".".join(f'"{part}"' for part in table)
    connection.execute(f'CREATE OR REPLACE VIEW {place} AS SELECT * EXCLUDE ("{without}") FROM whole')
    try:
        connection.execute(f"DESCRIBE {text}")
    except duckdb.BinderException:
        return False
    return True


def test_one_column_needs_no_more_than_the_row(raw: RawCompany, explainer: Explainer) -> None:
    abroad = raw.lake.table("marts/fct_order").scan().filter(pl.col("currency") != "EUR").collect()
    key = {"order_id": abroad["order_id"][0]}
    whole, items = explainer.why("fct_order", key).raw(), explainer.why("fct_order", key, column="items").raw()
    assert {row.key["_row_id"] for row in items.values()} < {row.key["_row_id"] for row in whole.values()}
    assert {table for table, _ in items} == {"raw/s4/sales_order", "raw/s4/sales_order_item"}


def test_every_model_can_be_explained(explainer: Explainer, project: Project) -> None:
    for model in project.published.values():
        assert model.kept or explainer.text(model).text


def test_a_row_or_a_column_that_is_not_there_is_told(explainer: Explainer) -> None:
    with pytest.raises(ConfigError, match="no row order_id=nobody"):
        explainer.why("marts.fct_order", {"order_id": "nobody"})
    with pytest.raises(ConfigError, match=r"no column 'amuont'[\s\S]*net_amount"):
        explainer.why("marts.fct_order", {"order_id": "nobody"}, column="amuont")
    with pytest.raises(ConfigError, match=r"fct_rating: rating_id=first is no key of it"):
        explainer.why("marts.fct_rating", {"rating_id": "first"})
    with pytest.raises(ConfigError, match="its key is order_id"):
        explainer.why("marts.fct_order", {"order": "1"})


def test_sources_of_which_any_one_would_do_are_marked(raw: RawCompany, explainer: Explainer) -> None:
    """A region is there for any one of its firms; an order has its own items, and no choice."""
    needed = Needed({"a\x1fid"}, {"x": {"1": Needed({"b\x1f", "a\x1f"}), "2": Needed({"c\x1f", "d\x1f"})}, "y": {"1": Needed({"e\x1f"})}})
    places = {"a": 0, "b": 1, "c": 2, "d": 3, "e": 4}
    assert alternatives(needed, lambda atom: places[atom.split("\x1f")[0]]) == [Choice(((1,), (2, 3)))]
    ((region, firms), *_) = raw.lake.table("marts/dim_firm").scan().collect()["country"].value_counts(sort=True).rows()
    row = explainer.why("dim_region", {"region_id": region})
    assert [len(choice.alternatives) for choice in row.choices] == [firms]
    marked = [source for source in row.as_json()["sources"] if "choice" in source]
    assert len({(source["choice"], source["alternative"]) for source in marked}) == firms > 1
    plain = explainer.why("fct_order", {"order_id": raw.lake.table("marts/fct_order").scan().collect()["order_id"][0]}, column="items")
    assert not plain.choices


def test_a_choice_as_wide_as_a_table_is_told_in_part_and_impact_tells_the_same_part(
    raw: RawCompany, explainer: Explainer, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A region is there for any one of its firms."""
    monkeypatch.setattr("pilothouse.tables.why.needed.WIDE", 3)
    monkeypatch.setattr("pilothouse.tables.why.needed._TOLD", 3)
    ((region, firms), *_) = raw.lake.table("marts/dim_firm").scan().collect()["country"].value_counts(sort=True).rows()
    explained = explainer.why("dim_region", {"region_id": region})
    assert [(len(choice.alternatives), choice.more) for choice in explained.choices] == [(3, firms - 3)]
    assert {source["more"] for source in explained.as_json()["sources"]} == {firms - 3}
    impact, partners = Impact(explainer, project.published.values()), "raw/s4/business_partner"
    named = {row.key["_row_id"] for (table, _), row in explained.raw().items() if table == partners}
    there = raw.lake.table(partners).scan().select(pl.col("_row_id").bin.encode("hex").str.to_uppercase()).collect().to_series()
    for row_id in [*sorted(named)[:2], *sorted({*there} - named)[:2]]:
        told = impact.of_rows(partners, [(row_id,)], {}, {"marts/dim_region": None})
        assert (region in {each.key["region_id"] for each in told}) == (row_id in named)


def test_a_table_that_was_never_made_holds_nothing_that_depends(raw: RawCompany, explainer: Explainer, project: Project) -> None:
    features = raw.lake.table("features/feat_order_risk")
    item = raw.lake.table("raw/s4/sales_order_item").scan().select("_row_id").first().collect()["_row_id"][0].hex().upper()
    impact, place = Impact(explainer, project.published.values()), Path(features.uri)
    before = {each.table for each in impact.of("raw/s4/sales_order_item", item)}
    assert features.name in before
    aside = place.rename(place.with_name("aside"))
    try:
        assert {each.table for each in impact.of("raw/s4/sales_order_item", item)} == before - {features.name}
    finally:
        aside.rename(place)


def test_how_a_table_was_made_matters_to_those_rows_alone_that_reach_it(
    raw: RawCompany, explainer: Explainer, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exposures are made of invoices, and these of journal items: of those that customers owe, and not of the others."""

    def told(at: At) -> dict[str, int]:
        if at.table == "marts/fct_exposure":
            raise LakeError("nothing tells how it was made")
        return inputs(at)

    inputs, impact = explainer.reading.inputs, Impact(explainer, project.published.values())
    monkeypatch.setattr(explainer.reading, "inputs", told)
    items = raw.lake.table("raw/s4/journal_item").scan().select("_row_id", "FinancialAccountType").collect()
    customers = pl.col("FinancialAccountType") == "D"
    owed, other = (items.filter(which)["_row_id"][0].hex().upper() for which in (customers, ~customers))
    assert {each.table for each in impact.of("raw/s4/journal_item", other)} == {"staging/stg_s4__journal_item"}
    with pytest.raises(LakeError, match="how it was made"):
        list(impact.of("raw/s4/journal_item", owed))
