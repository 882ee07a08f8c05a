"""What a firm's measures are made of, row by row of the marts: what Python computed says here what SQL says by itself.

Of a sum over a group those firms count that add to it, with the shares that tie them to the firm that was asked about; the others
could be gone, and the sum would be the same. Where several ways of control tie two firms together, one shortest is named, and that
there are others is said. PageRank, betweenness, likeness and communities are made of a whole network: that is said, and its rows are
not told one by one.

It stands apart from `graph/analytics`, whose text names the version of what it computes: an explanation computes nothing.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Final

import polars as pl

from graph.analytics.ownership import CONTROL

Rows = dict[str, dict[tuple[str, ...], set[str]]]  # table → key → the columns that matter

_OVERDUE: Final = ("overdue_1_30_eur", "overdue_31_60_eur", "overdue_61_90_eur", "overdue_over_90_eur")
_OF_THE_FIRM: Final = {"open_eur": ("open_eur",), "overdue_eur": _OVERDUE}
_OF_THE_GROUP: Final = {"group_open_eur": ("open_eur",), "group_overdue_eur": _OVERDUE}
_OF_THE_NETWORK: Final = frozenset(
    {"ownership_pagerank", "ownership_betweenness", "community_id", "community_firms", "attributable_open_eur"}
)
_SHARE: Final = frozenset({"owner_firm_id", "owned_firm_id", "share_percent"})
_FIRM, _OWNS, _OWED, _ORDER = "marts/dim_firm", "marts/fct_ownership", "marts/fct_exposure", "marts/fct_order"


@dataclass
class MadeOf:
    """Rows of marts, and what is to be said of them."""

    rows: Rows = field(default_factory=lambda: defaultdict(lambda: defaultdict(set)))
    notes: list[str] = field(default_factory=list)

    def need(self, table: str, key: tuple[str, ...], columns: Iterable[str] = ()) -> None:
        """A row, and what of it matters."""
        self.rows[table][key].update(columns)


class Measured:
    """The marts that measures were computed from, at the versions at which they were."""

    def __init__(self, marts: Mapping[str, pl.LazyFrame]) -> None:
        self._marts = marts

    def made_of(self, firm: str, columns: Collection[str], order: str = "") -> MadeOf:
        """What these columns of a firm's row are made of. `order` is one that is known anyway: of those orders that would do to say
        until when exposures count, it is named rather than another."""
        found = MadeOf()
        found.need(_FIRM, (firm,))
        asked = set(columns)
        owed: list[tuple[str, tuple[str, ...]]] = [(firm, _OF_THE_FIRM[name]) for name in sorted(asked & _OF_THE_FIRM.keys())]
        group = self._group(firm)
        for name in sorted(asked & _OF_THE_GROUP.keys()):
            owed += [(member, _OF_THE_GROUP[name]) for member in group]
        owing = self._owing(found, owed)
        if asked & {"group_firms", "group_id"}:
            owing |= group.keys()
        if asked & {*_OF_THE_GROUP, "group_firms", "group_id"}:
            self._tie(found, firm, group, owing)
        if "group_id" in asked:
            found.notes.append("a group is called after the firm at its head: any share of control in it could name another")
        if asked & {"owners", "holdings"}:
            self._shares_of(found, firm, asked)
        if owed or "exposure_day" in asked:
            self._until(found, order, exactly="exposure_day" in asked)
        for name in sorted(asked & _OF_THE_NETWORK):
            found.notes.append(f"{name} is made of the whole network of {self._shares.height:,} shares: its rows are not told one by one")
        return found

    @cached_property
    def _shares(self) -> pl.DataFrame:
        known = self._marts[_FIRM].select("firm_id").collect()["firm_id"].implode()
        share = (pl.col("share_percent").cast(pl.Float64) / 100).clip(0, 1).fill_null(1.0)
        owned = self._marts[_OWNS].select(owner="owner_firm_id", owned="owned_firm_id", share=share)
        return owned.filter(pl.col("owner").is_in(known) & pl.col("owned").is_in(known)).sort("owner", "owned").collect()

    @cached_property
    def _control(self) -> Mapping[str, list[tuple[str, tuple[str, str]]]]:
        """For each firm those that it controls or is controlled by, with the key of the share."""
        found: dict[str, list[tuple[str, tuple[str, str]]]] = defaultdict(list)
        control = self._shares.filter((pl.col("share") >= CONTROL) & (pl.col("owner") != pl.col("owned")))
        for owner, owned in control.select("owner", "owned").iter_rows():
            found[owner].append((owned, (owner, owned)))
            found[owned].append((owner, (owner, owned)))
        return found

    @cached_property
    def _day(self) -> date | None:
        newest: date | None = self._marts[_ORDER].select(pl.col("ordered_on").max()).collect().item()
        return newest

    def _group(self, firm: str) -> dict[str, tuple[str, tuple[str, str]] | None]:
        """The firms of its group, each with the one before it on a shortest way from the firm, and the share that ties the two."""
        before: dict[str, tuple[str, tuple[str, str]] | None] = {firm: None}
        pending = deque([firm])
        while pending:
            here = pending.popleft()
            for other, share in self._control.get(here, ()):
                if other not in before:
                    before[other] = here, share
                    pending.append(other)
        return before

    def _owing(self, found: MadeOf, owed: Collection[tuple[str, tuple[str, ...]]]) -> set[str]:
        """The firms that owe something, whose rows are needed."""
        wanted = sorted({firm for firm, _ in owed})
        rows = self._marts[_OWED].filter(pl.col("firm_id").is_in(wanted) & (pl.col("day") <= (self._day or date.min)))
        then = rows.select("firm_id", "day", "open_eur", *_OVERDUE).collect().sort("firm_id", "day").unique("firm_id", keep="last")
        known = {row["firm_id"]: row for row in then.iter_rows(named=True)}
        owing: set[str] = set()
        for firm, columns in owed:
            adding = [name for name in columns if known.get(firm, {}).get(name)]
            if adding:
                found.need(_OWED, (firm, str(known[firm]["day"])), adding)
                owing.add(firm)
        return owing

    def _tie(self, found: MadeOf, firm: str, before: Mapping[str, tuple[str, tuple[str, str]] | None], members: Collection[str]) -> None:
        """The shares on the ways from a firm to these members of its group."""
        tied: set[str] = set()
        for member in members:
            here = member
            while here not in tied and (step := before[here]) is not None:
                tied.add(here)
                here, share = step
                found.need(_OWNS, share, _SHARE)
                for end in share:
                    found.need(_FIRM, (end,))
        shares = {share for each in tied | {firm} for _, share in self._control.get(each, ())}
        inside = {share for share in shares if {*share} <= tied | {firm}}
        if len(inside) > len(tied):
            found.notes.append(
                f"{len(inside) - len(tied)} more shares of control tie the same firms: of several ways the shortest is named"
            )

    def _shares_of(self, found: MadeOf, firm: str, asked: Collection[str]) -> None:
        sides = [("owned", "owners"), ("owner", "holdings")]
        for column, name in sides:
            if name in asked:
                for share in self._shares.filter(pl.col(column) == firm).select("owner", "owned").iter_rows():
                    found.need(_OWNS, share, ("owner_firm_id", "owned_firm_id"))

    def _until(self, found: MadeOf, order: str, *, exactly: bool) -> None:
        """An order that says until which day exposures count. Any would do that is as new as the newest exposure that counts."""
        picked = [date.fromisoformat(day) for _, day in found.rows.get(_OWED, {})]
        if self._day is None or not (picked or exactly):
            return
        since = self._day if exactly else max(picked)
        orders = self._marts[_ORDER].filter(pl.col("ordered_on") >= since)
        fitting, known = orders.select(pl.len(), (pl.col("order_id") == order).any()).collect().row(0)
        if not known:
            order = orders.filter(pl.col("ordered_on") == self._day).select(pl.col("order_id").min()).collect().item()
        found.need(_ORDER, (order,), ("ordered_on",))
        if fitting > 1:
            found.notes.append(
                f"exposures count until {self._day}, the newest day on which an order was placed: any of {fitting:,} orders would do"
            )
