"""Groups of firms by ownership, and what they owe together.

A group is all firms joined by control: half of the shares or more. What it owes is what each of its firms owes, once and in full, as
whoever decides about credit counts it. What an owner holds of what its firms owe is another figure: weighted by its shares, direct
and through others.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from graph.analytics.measures import components
from graph.analytics.network import DIGITS, Network

CONTROL: Final = 0.5
_LEVELS: Final = 32  # of ownership through others; firms that own each other in full would never end
_NOTHING: Final = 1e-6  # a share through so many others that it says nothing


def groups(owns: pl.DataFrame, firms: pl.Series) -> pl.DataFrame:
    """The group of each firm, called after the firm at its head: the one that nobody in it controls, the first of several.

    `owns` has the columns owner, owned and share (0 to 1)."""
    control = owns.filter((pl.col("share") >= CONTROL) & (pl.col("owner") != pl.col("owned")))
    network = Network(control.select(source="owner", target="owned"), firms, directed=True)
    found = components(network).with_columns(controlled=pl.col("node").is_in(control["owned"].implode()))
    head = pl.col("node").filter(~pl.col("controlled")).min().over("group")
    return found.select(firm_id="node", group_id=pl.coalesce(head, "group"), group_firms="members")


def holdings(owns: pl.DataFrame) -> pl.DataFrame:
    """What each firm holds of each other, direct and through others: `share` is the sum over all ways of the product along each, at
    most the whole; `direct_share` what it holds itself; `levels` the length of the shortest way."""
    direct = owns.filter(pl.col("owner") != pl.col("owned")).group_by("owner", "owned").agg(pl.col("share").sum().clip(0, 1))
    level, levels = direct, [direct.with_columns(levels=pl.lit(1))]
    for number in range(2, _LEVELS + 1):
        below = direct.select(owned="owner", further="owned", more="share")
        level = (
            level.join(below, on="owned")
            .select("owner", owned="further", share=pl.col("share") * pl.col("more"))
            .filter((pl.col("owner") != pl.col("owned")) & (pl.col("share") > _NOTHING))
            .sort("owner", "owned", "share")
            .group_by("owner", "owned", maintain_order=True)
            .agg(pl.col("share").sum())
        )
        if level.is_empty():
            break
        levels.append(level.with_columns(levels=pl.lit(number)))
    total = pl.concat(levels).sort("owner", "owned", "levels").group_by("owner", "owned", maintain_order=True)
    summed = total.agg(pl.col("share").sum().clip(0, 1).round(DIGITS), pl.col("levels").min().cast(pl.Int64))
    return summed.join(direct.rename({"share": "direct_share"}), on=["owner", "owned"], how="left", maintain_order="left").select(
        "owner", "owned", "share", pl.col("direct_share").round(DIGITS).fill_null(0.0), "levels"
    )


def held(owed: pl.DataFrame, holding: pl.DataFrame) -> pl.DataFrame:
    """What each firm owes, and what its holdings owe by its shares: `owed` has the columns firm_id and open_eur."""
    parts = (
        holding.join(owed, left_on="owned", right_on="firm_id")
        .sort("owner", "owned")
        .group_by("owner", maintain_order=True)
        .agg(held=(pl.col("share") * pl.col("open_eur").cast(pl.Float64)).sum())
    )
    return owed.join(parts, left_on="firm_id", right_on="owner", how="left", maintain_order="left").select(
        "firm_id", attributable_open_eur=(pl.col("open_eur").cast(pl.Float64) + pl.col("held").fill_null(0.0)).round(2)
    )
