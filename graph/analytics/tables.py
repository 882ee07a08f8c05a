"""The tables that analytics make: their keys, and what each column says. Declared apart from what computes them, which loads igraph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Analysed:
    """A table of the lake that is computed from the shape of the graph."""

    name: str
    key: tuple[str, ...]
    description: str
    columns: Mapping[str, str]


INPUTS: Final = ("marts/dim_firm", "marts/fct_ownership", "marts/fct_order", "marts/fct_order_item", "marts/fct_exposure")
_SYNTHETIC: Final = {"_synthetic": "Whether any firm of the network comes from the enterprise in a box"}

FIRM_MEASURES: Final = Analysed(
    "graph/firm_measures",
    ("firm_id",),
    "Where each firm stands among the others, and what its group owes. Its columns are properties of the firm's node in the graph.",
    {
        "firm_id": "The firm",
        "open_eur": "What it owes itself, on exposure_day",
        "overdue_eur": "Of that, what is overdue",
        "owners": "Firms that own a part of it",
        "holdings": "Firms of which it owns a part",
        "ownership_pagerank": "PageRank where rank flows from a firm to its owners, by their shares: 0.85 damped, all firms together 1",
        "ownership_betweenness": "Shortest ways of ownership, in either direction, that lead over it",
        "group_id": "The group under one control (half of the shares or more), called after the firm at its head",
        "group_firms": "Firms of that group, itself included",
        "group_open_eur": "What all firms of the group owe, each once and in full",
        "group_overdue_eur": "Of that, what is overdue",
        "attributable_open_eur": "What it owes itself, and what firms owe of which it holds shares, by these shares, also through others",
        "community_id": "Firms that hang together by ownership and by what they buy (Leiden), called after the first of them",
        "community_firms": "Firms of that community",
        "exposure_day": "The newest day on which an order was placed: what is owed is of that day",
        "measures_version": "What computed it: changes with the code, never with the data",
        **_SYNTHETIC,
    },
)
FIRM_HOLDINGS: Final = Analysed(
    "graph/firm_holdings",
    ("owner_firm_id", "owned_firm_id"),
    "What each firm holds of each other, itself and through others.",
    {
        "owner_firm_id": "Who holds",
        "owned_firm_id": "Of whom",
        "share": "The part that it holds, over all ways: 0 to 1",
        "direct_share": "The part that it holds itself",
        "levels": "Steps of the shortest way: 1 is itself",
        **_SYNTHETIC,
    },
)
FIRM_ALIKE: Final = Analysed(
    "graph/firm_alike",
    ("firm_id", "other_firm_id"),
    "For each firm those ten that buy what it buys.",
    {
        "firm_id": "The firm",
        "other_firm_id": "One that is like it",
        "shared_products": "Products that both have ordered",
        "jaccard": "Of the products that either has ordered, the part that both have",
        "adamic_adar": "What both have ordered, rare products counting more",
        **_SYNTHETIC,
    },
)
ANALYSED: Final = {each.name: each for each in (FIRM_MEASURES, FIRM_HOLDINGS, FIRM_ALIKE)}
