"""What analytics say of firms: three tables, of marts alone.

`graph/firm_measures` has a row a firm, whose columns are properties of its node in the graph. `graph/firm_holdings` says who holds
what of whom, `graph/firm_alike` who buys the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Final

import polars as pl

from graph.analytics.likeness import alike
from graph.analytics.measures import betweenness, communities, degrees, pagerank
from graph.analytics.network import Network
from graph.analytics.ownership import groups, held, holdings
from graph.analytics.tables import ANALYSED

ALIKE: Final = 10  # kept of each firm
LEAST: Final = 0.1  # of Jaccard
COMMON: Final = 20_000  # buyers of a product that says nothing
_OVERDUE: Final = ("overdue_1_30_eur", "overdue_31_60_eur", "overdue_61_90_eur", "overdue_over_90_eur")
_EURO: Final = pl.Decimal(18, 2)


def version() -> str:
    """What the measures are computed by: a hash of the text of this package."""
    texts = [path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()[:16]


def firm_tables(marts: Mapping[str, pl.LazyFrame]) -> dict[str, pl.DataFrame]:
    """The tables by their names, each in the order of its key."""
    firms = marts["marts/dim_firm"].select("firm_id", "_synthetic").sort("firm_id").collect()
    owns = _owns(marts, firms)
    holding, similar = holdings(owns), _similar(marts, firms)
    synthetic = firms["_synthetic"].any()  # a measure of a place in a network is made of all of it
    measured = _measured(firms["firm_id"], owns, holding, similar, *_owed(marts, firms))
    tables = {
        "graph/firm_measures": measured.with_columns(measures_version=pl.lit(version())),
        "graph/firm_holdings": holding.rename({"owner": "owner_firm_id", "owned": "owned_firm_id"}),
        "graph/firm_alike": similar.rename({"node": "firm_id", "other": "other_firm_id", "shared": "shared_products"}),
    }
    return {
        name: frame.with_columns(_synthetic=pl.lit(synthetic, dtype=pl.Boolean)).select(*ANALYSED[name].columns).sort(ANALYSED[name].key)
        for name, frame in tables.items()
    }


def _measured(
    firms: pl.Series, owns: pl.DataFrame, holding: pl.DataFrame, similar: pl.DataFrame, owed: pl.DataFrame, day: pl.Series
) -> pl.DataFrame:
    # Rank flows from a firm to whoever owns it, by what he owns of it.
    ownership = Network(owns.select(source="owned", target="owner", weight="share"), firms, directed=True)
    joined = Network(
        pl.concat(
            [
                owns.select(source="owner", target="owned", weight=pl.lit(1.0)),
                similar.select(source="node", target="other", weight="jaccard"),
            ]
        ),
        firms,
    )
    between = betweenness(Network(owns.select(source="owner", target="owned"), directed=False))
    community = communities(joined)
    group = groups(owns, firms)
    together = (
        group.join(owed, on="firm_id")
        .group_by("group_id")
        .agg(group_open_eur=pl.col("open_eur").sum(), group_overdue_eur=pl.col("overdue_eur").sum())
    )
    return (
        owed.join(degrees(ownership).select(firm_id="node", owners="outgoing", holdings="incoming"), on="firm_id")
        .join(pagerank(ownership).select(firm_id="node", ownership_pagerank="pagerank"), on="firm_id")
        .join(between.select(firm_id="node", ownership_betweenness="betweenness"), on="firm_id", how="left")
        .join(group, on="firm_id")
        .join(together, on="group_id")
        .join(held(owed, holding), on="firm_id")
        .join(community.select(firm_id="node", community_id="group", community_firms="members"), on="firm_id")
        .with_columns(pl.col("ownership_betweenness").fill_null(0.0), pl.col("owners", "holdings").cast(pl.Int64))
        .with_columns(pl.col("open_eur", "overdue_eur", "group_open_eur", "group_overdue_eur", "attributable_open_eur").cast(_EURO))
        .with_columns(exposure_day=pl.lit(day.item() if len(day) else None, dtype=pl.Date))
    )


def _owns(marts: Mapping[str, pl.LazyFrame], firms: pl.DataFrame) -> pl.DataFrame:
    known = firms["firm_id"].implode()
    share = (pl.col("share_percent").cast(pl.Float64) / 100).clip(0, 1).fill_null(1.0)
    owned = marts["marts/fct_ownership"].select(owner="owner_firm_id", owned="owned_firm_id", share=share)
    return owned.filter(pl.col("owner").is_in(known) & pl.col("owned").is_in(known)).sort("owner", "owned").collect()


def _similar(marts: Mapping[str, pl.LazyFrame], firms: pl.DataFrame) -> pl.DataFrame:
    orders = marts["marts/fct_order"].select("order_id", node="firm_id")
    bought = marts["marts/fct_order_item"].select("order_id", item="product_id").join(orders, on="order_id").select("node", "item").unique()
    return alike(bought.filter(pl.col("node").is_in(firms["firm_id"].implode())).collect(), best=ALIKE, least=LEAST, common=COMMON)


def _owed(marts: Mapping[str, pl.LazyFrame], firms: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series]:
    """What each firm owes on the newest day on which an order was placed, and that day: rows of later days say what is owed if nobody
    pays."""
    day = marts["marts/fct_order"].select(pl.col("ordered_on").max()).collect()["ordered_on"].drop_nulls()
    overdue = pl.sum_horizontal(_OVERDUE).cast(_EURO)
    rows = marts["marts/fct_exposure"].filter(pl.col("day") <= (day.item() if len(day) else date.min))
    then = rows.select("firm_id", "day", "open_eur", overdue_eur=overdue).collect().sort("firm_id", "day")
    # not by the last of each group: of decimals in a lazy query Polars 2.1 panics at it
    then = then.unique("firm_id", keep="last").drop("day")
    owed = firms.select("firm_id").join(then, on="firm_id", how="left", maintain_order="left")
    return owed.with_columns(pl.col("open_eur", "overdue_eur").fill_null(0).cast(_EURO)), day
