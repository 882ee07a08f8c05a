"""What a firm's measures are made of, row by row of the marts: what Python computed says here what SQL says by itself.

What a group owes is made of the invoices that were open, of those firms that owe something, and of the shares that tie these firms to
the one that was asked about; whatever else there is could be gone, and the sum would be the same. It is not made of the rows of
`marts/fct_exposure`, though it is read there: such a row is there because something happened on its day, such as a payment, and what
is owed holds on, whether or not it did. Where several ways of control tie two firms together, one shortest is named, and that there
are others is said. PageRank, betweenness, what is attributable and communities are made of a whole network: that is said, and its rows
are not told one by one.

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

FIRM, OWNS, INVOICE, ORDER = "marts/dim_firm", "marts/fct_ownership", "marts/fct_invoice", "marts/fct_order"
MARTS: Final = (FIRM, OWNS, INVOICE, ORDER)
_OWN: Final = {"open_eur": False, "overdue_eur": True}  # whether invoices count that are due alone
_GROUP: Final = {"group_open_eur": False, "group_overdue_eur": True}
_NETWORK: Final = ("attributable_open_eur", "community_firms", "community_id", "ownership_betweenness", "ownership_pagerank")
_ENDS: Final = ("owner_firm_id", "owned_firm_id")
_SHARE: Final = (*_ENDS, "share_percent")
_OWED: Final = ("firm_id", "invoiced_on", "due_on", "paid_on", "owed_eur", "is_cancelled")


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
        """What these columns of a firm's row are made of. `order` is one that is needed anyway: if it tells as well as the newest one
        until when invoices count, no other is named."""
        found, asked = MadeOf(), set(columns)
        found.need(FIRM, (firm,))
        before = self._group(firm)
        owed = [(member, _GROUP[name]) for name in sorted(asked & _GROUP.keys()) for member in before]
        owed += [(firm, _OWN[name]) for name in sorted(asked & _OWN.keys())]
        tied = self._need_invoices(found, owed) if owed else set()
        if asked & {"group_firms", "group_id"}:
            tied = set(before)
        if asked & {*_GROUP, "group_firms", "group_id"}:
            self._need_shares(found, firm, before, tied)
        if "group_id" in asked:
            found.notes.append("a group is called after the firm at its head: any share of control in it could name another")
        for column, name in (("owned", "owners"), ("owner", "holdings")):
            if name in asked:
                for share in self._shares.filter(pl.col(column) == firm).select("owner", "owned").iter_rows():
                    self._need_share(found, share, _ENDS)
        if owed or "exposure_day" in asked:
            self._need_day(found, order, {member for member, _ in owed}, exactly="exposure_day" in asked)
        for name in _NETWORK:
            if name in asked:
                found.notes.append(
                    f"{name} is made of the whole network of {self._shares.height:,} shares: its rows are not told one by one"
                )
        return found

    @cached_property
    def _shares(self) -> pl.DataFrame:
        known = self._marts[FIRM].select("firm_id").collect()["firm_id"].implode()
        share = (pl.col("share_percent").cast(pl.Float64) / 100).clip(0, 1).fill_null(1.0)
        owned = self._marts[OWNS].select(owner="owner_firm_id", owned="owned_firm_id", share=share)
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
    def _newest(self) -> tuple[date, int, str]:
        """The newest day on which an order was placed, as invoices count as they stood then; how many were, and the first of them."""
        orders = self._marts[ORDER].filter(pl.col("ordered_on") == pl.col("ordered_on").max())
        day, several, first = orders.select(pl.col("ordered_on").first(), pl.len(), pl.col("order_id").min()).collect().row(0)
        return day or date.min, several, first or ""

    @cached_property
    def _owed(self) -> tuple[pl.DataFrame, Mapping[str, tuple[int, int]]]:
        """The invoices that are owed or were, firm by firm, and where those of each stand and how many they are."""
        owing = pl.col("due_on").is_not_null() & pl.col("owed_eur").is_not_null() & (pl.col("owed_eur") != 0)
        told = (
            self._marts[INVOICE].filter(~pl.col("is_cancelled") & owing).select("firm_id", "invoice_id", "invoiced_on", "due_on", "paid_on")
        )
        invoices = told.sort("firm_id", "invoice_id").collect().with_row_index("place")
        places = invoices.group_by("firm_id").agg(pl.col("place").min(), pl.len())
        return invoices, {firm: (place, count) for firm, place, count in places.iter_rows()}

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

    def _open(self, firms: Collection[str], day: date) -> pl.DataFrame:
        """The invoices of these firms that were open on a day, and whether they were due."""
        invoices, places = self._owed
        theirs = pl.concat([invoices.clear(), *(invoices.slice(*places[firm]) for firm in sorted(firms) if firm in places)])
        then = theirs.filter((pl.col("invoiced_on") <= day) & (pl.col("paid_on").is_null() | (pl.col("paid_on") > day)))
        return then.select("invoice_id", "firm_id", is_due=pl.col("due_on") < day).sort("invoice_id")

    def _need_invoices(self, found: MadeOf, owed: Collection[tuple[str, bool]]) -> set[str]:
        """The open invoices that add something; returns the firms that owe them."""
        owing: set[str] = set()
        wanted = set(owed)
        for invoice, firm, due in self._open({firm for firm, _ in owed}, self._newest[0]).iter_rows():
            if (firm, False) in wanted or (due and (firm, True) in wanted):
                found.need(INVOICE, (invoice,), _OWED)
                owing.add(firm)
        return owing

    def _need_shares(
        self, found: MadeOf, firm: str, before: Mapping[str, tuple[str, tuple[str, str]] | None], members: Collection[str]
    ) -> None:
        """The shares on the ways from a firm to these members of its group."""
        tied = {firm}
        for member in sorted(members):
            here = member
            while here not in tied and (step := before[here]) is not None:
                tied.add(here)
                here, share = step
                self._need_share(found, share, _SHARE)
        inside = {share for each in tied for _, share in self._control.get(each, ()) if {*share} <= tied}
        if len(inside) >= len(tied):
            more = len(inside) - len(tied) + 1
            found.notes.append(f"{more} more shares of control tie the same firms: of several ways a shortest is named")

    @staticmethod
    def _need_share(found: MadeOf, share: tuple[str, str], columns: Iterable[str]) -> None:
        """A share of one known firm in another."""
        found.need(OWNS, share, columns)
        for end in share:
            found.need(FIRM, (end,))

    def _need_day(self, found: MadeOf, order: str, firms: Collection[str], *, exactly: bool) -> None:
        """An order that says until when invoices count."""
        newest, several, first = self._newest
        known = self._marts[ORDER].filter(pl.col("order_id") == order).select("ordered_on").collect()["ordered_on"].to_list()
        if known and known[0] is not None and not exactly and self._open(firms, known[0]).equals(self._open(firms, newest)):
            found.need(ORDER, (order,), ("ordered_on",))
            return
        if not several:
            return
        found.need(ORDER, (order if newest in known else first,), ("ordered_on",))
        if several > 1:
            found.notes.append(
                f"invoices count as they stood on {newest}, the day of the newest order: any of its {several} orders would do"
            )
