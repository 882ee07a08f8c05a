"""What the group behind a firm owed when a day began: `graph/firm_measures` says it of today alone.

A group is made of what was owned by then, and owes what its firms owed by the end of the day before. Both marts carry the days from
which on their rows hold; the group itself is found by the same function that measures it today.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

import polars as pl

from graph.analytics.ownership import groups

_OVERDUE: Final = ("overdue_1_30_eur", "overdue_31_60_eur", "overdue_61_90_eur", "overdue_over_90_eur")
_NOTHING: Final = (Decimal(0), Decimal(0))


@dataclass(frozen=True)
class _Group:
    name: str
    firms: tuple[str, ...]


class Groups:
    """The groups of each day, by the marts `fct_ownership` and `fct_exposure`."""

    def __init__(self, ownership: pl.DataFrame, exposure: pl.DataFrame) -> None:
        share = (pl.col("share_percent").cast(pl.Float64) / 100).clip(0, 1).fill_null(1.0)
        self._owns = ownership.select("since", owner="owner_firm_id", owned="owned_firm_id", share=share)
        self._synthetic = bool(ownership["_synthetic"].any() or exposure["_synthetic"].any())
        self._turns: list[date] = sorted(self._owns["since"].drop_nulls().unique().to_list())
        self._between: dict[int, Mapping[str, _Group]] = {}
        owed = exposure.select("firm_id", "day", "open_eur", overdue=pl.sum_horizontal(_OVERDUE)).sort("firm_id", "day")
        self._days: dict[str, list[date]] = {}
        self._owed: dict[str, list[tuple[Decimal, Decimal]]] = {}
        for firm, day, open_, overdue in owed.iter_rows():
            self._days.setdefault(firm, []).append(day)
            self._owed.setdefault(firm, []).append((open_, overdue))

    def rows(self, where: Mapping[str, Any], day: date) -> Sequence[dict[str, Any]]:
        """The row of a firm, with what it says of groups. Where a firm stands in the network is not told: that is of today."""
        firm = where.get("firm_id")
        if firm is None:
            return []
        group = self._on(day).get(firm, _Group(firm, (firm,)))
        open_, overdue = self._owed_by(firm, day)
        together = [self._owed_by(each, day) for each in group.firms]
        return [
            {
                "firm_id": firm,
                "open_eur": open_,
                "overdue_eur": overdue,
                "group_id": group.name,
                "group_firms": len(group.firms),
                "group_open_eur": sum((each[0] for each in together), Decimal(0)),
                "group_overdue_eur": sum((each[1] for each in together), Decimal(0)),
                "_synthetic": self._synthetic,
            }
        ]

    def _on(self, day: date) -> Mapping[str, _Group]:
        """The groups of several firms on a day: they change only where somebody became an owner."""
        turn = bisect_left(self._turns, day)
        if turn not in self._between:
            owned = self._owns.filter(pl.col("since").is_null() | (pl.col("since") < day))
            firms = pl.concat([owned["owner"], owned["owned"]]).unique().sort()
            found = groups(owned.select("owner", "owned", "share"), firms) if len(firms) else pl.DataFrame({"group_id": [], "firm_id": []})
            several = found.group_by("group_id").agg(pl.col("firm_id").sort())
            named = [_Group(name, tuple(members)) for name, members in several.iter_rows()]
            self._between[turn] = {firm: each for each in named for firm in each.firms}
        return self._between[turn]

    def _owed_by(self, firm: str, day: date) -> tuple[Decimal, Decimal]:
        """What a firm owed when a day began, and what of it was overdue."""
        place = bisect_left(self._days.get(firm, ()), day)
        return self._owed[firm][place - 1] if place else _NOTHING
