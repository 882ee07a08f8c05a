"""Graph analytics over a company's tables: what they say, when they are computed again, and what a run in Dagster shows of them."""

from __future__ import annotations

from decimal import Decimal

import networkx as nx
import polars as pl
import pytest

from assets.analytics import analytics_assets
from assets.measuring import Measuring
from graph.analytics.tables import ANALYSED, INPUTS
from pilothouse.kernel.errors import ConfigError
from pilothouse.kernel.lake import Lake
from tests.raw_company import RawCompany


@pytest.fixture(scope="module")
def lake(raw: RawCompany) -> Lake:
    list(Measuring(raw.lake).measure())
    return raw.lake


def read(lake: Lake, table: str) -> pl.DataFrame:
    return lake.table(table).scan().collect()


def test_every_firm_is_measured_and_every_column_is_declared(lake: Lake) -> None:
    firms = read(lake, "marts/dim_firm")
    measures = read(lake, "graph/firm_measures")
    assert sorted(measures["firm_id"]) == sorted(firms["firm_id"])
    for name, table in ANALYSED.items():
        frame = read(lake, name)
        assert frame.columns == list(table.columns)
        assert frame.select(table.key).is_duplicated().any() is False
        assert frame["_synthetic"].all()
    assert measures["ownership_pagerank"].sum() == pytest.approx(1)
    assert measures.null_count().select(pl.sum_horizontal(pl.all())).item() == 0


def test_a_group_owes_what_its_firms_owe_by_the_books(lake: Lake) -> None:
    """By brute force: open invoices on that day, added up over what networkx finds to hang together."""
    measures = read(lake, "graph/firm_measures")
    day = measures["exposure_day"][0]
    assert day == read(lake, "marts/fct_order")["ordered_on"].max()
    invoices = read(lake, "marts/fct_invoice").filter(
        pl.col("due_on").is_not_null() & pl.col("owed_eur").is_not_null() & ~pl.col("is_cancelled").fill_null(value=True)
    )
    still = invoices.filter((pl.col("invoiced_on") <= day) & (pl.col("paid_on").is_null() | (pl.col("paid_on") > day)))
    owed = dict(still.group_by("firm_id").agg(pl.col("owed_eur").sum()).iter_rows())
    overdue = dict(still.filter(pl.col("due_on") < day).group_by("firm_id").agg(pl.col("owed_eur").sum()).iter_rows())
    ownership = nx.Graph(
        read(lake, "marts/fct_ownership").filter(pl.col("share_percent") >= 50).select("owner_firm_id", "owned_firm_id").rows()
    )
    ownership.add_nodes_from(measures["firm_id"])
    groups = {firm: part for part in nx.connected_components(ownership) for firm in part}
    assert any(len(part) > 2 for part in groups.values())
    for row in measures.to_dicts():
        firm, part = row["firm_id"], groups[row["firm_id"]]
        assert row["open_eur"] == owed.get(firm, Decimal(0))
        assert row["group_firms"] == len(part)
        assert row["group_open_eur"] == sum(owed.get(each, Decimal(0)) for each in part)
        assert row["group_overdue_eur"] == sum(overdue.get(each, Decimal(0)) for each in part)
        assert row["group_id"] in part


def test_what_is_up_to_date_is_left_alone_and_equal_content_is_no_new_version(lake: Lake) -> None:
    before = {name: lake.table(name).version() for name in ANALYSED}
    assert Measuring(lake).outdated() is None
    assert {made.changed for made in Measuring(lake).measure()} == {False}
    assert {made.changed for made in Measuring(lake).measure(anew=True)} == {False}
    assert {name: lake.table(name).version() for name in ANALYSED} == before


def test_a_mart_that_changed_is_reason_to_measure_again_and_only_what_changed_is_published(lake: Lake) -> None:
    owns = lake.table("marts/fct_ownership")
    rows = owns.scan().collect().sort("owner_firm_id", "owned_firm_id")
    pinned = owns.replace(rows.head(rows.height - 1).to_arrow().to_reader(), key=("owner_firm_id", "owned_firm_id"))
    assert Measuring(lake).outdated() is not None
    made = {each.table.name: each for each in Measuring(lake).measure()}
    assert made["graph/firm_holdings"].changed
    assert not made["graph/firm_alike"].changed
    assert pinned in made["graph/firm_holdings"].versions.read
    assert made["graph/firm_holdings"].pinned in made["graph/firm_holdings"].versions.written
    assert Measuring(lake).outdated() is None


def test_a_person_is_told_of_a_firm(lake: Lake) -> None:
    here = Measuring(lake)
    alike = read(lake, "graph/firm_alike")
    firm = alike["firm_id"][0]
    assert here.of_firm(firm)["firm_id"] == firm
    told = here.alike(firm)
    assert [row["jaccard"] for row in told] == sorted((row["jaccard"] for row in told), reverse=True)
    assert 0 < len(told) <= 10
    with pytest.raises(ConfigError, match="there is no firm 'nobody'"):
        here.alike("nobody")


def test_before_marts_are_built_nothing_is_measured(tmp_path: object) -> None:
    empty = Measuring(Lake(str(tmp_path)))
    assert empty.outdated() is None
    with pytest.raises(ConfigError, match="marts/dim_firm has not been built yet"):
        list(empty.measure())
    with pytest.raises(ConfigError, match="has not been made yet"):
        empty.of_firm("anybody")


def test_the_assets_read_the_marts_and_are_checked() -> None:
    definition = analytics_assets()
    assert {key.to_user_string() for key in definition.keys} == set(ANALYSED)
    for key in definition.keys:
        assert {each.to_user_string() for each in definition.asset_deps[key]} == set(INPUTS)
    assert {spec.asset_key for spec in definition.check_specs} == set(definition.keys)
