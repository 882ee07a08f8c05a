"""Twelve months of sales up to now: orders with all that followed them, written slice by slice.

A slice holds some thousand orders that were placed one after the other; memory does not grow with the scale. What
was not yet shipped, billed or paid by now stands on the agenda, and the clock takes it from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from pilothouse.sandbox.company import fulfilment, receivables, sap
from pilothouse.sandbox.company.agenda import Agenda
from pilothouse.sandbox.company.columns import Array, Columns, dates, days, moments, texts
from pilothouse.sandbox.company.places import COUNTRIES
from pilothouse.sandbox.company.rates import Rates
from pilothouse.sandbox.company.risk import Ceiling
from pilothouse.sandbox.company.sales import FIRST_ORDER, Orders, draw_orders, order_score
from pilothouse.sandbox.company.schema import Entity
from pilothouse.sandbox.company.store import Store
from pilothouse.sandbox.company.truth import Truth
from pilothouse.sandbox.company.world import DAY, World

HOURS = 365 * 24
SLICE = 5_000  # orders
_WEEKDAY = np.array([1.0, 1.1, 1.1, 1.05, 0.85, 0.12, 0.06])  # Monday first
_HOUR = np.array([0.1] * 5 + [0.4, 0.9, 1.6, 2.0, 2.1, 2.0, 1.4, 1.3, 1.8, 1.9, 1.6, 1.0, 0.5] + [0.2] * 6)


def load(store: Store, entity: Entity, columns: Columns) -> None:
    """Write columns into a table of the store."""
    names = list(columns.values)
    store.load_tuples(entity, names, columns.tuples(names))


@dataclass
class Numbers:
    """The next number of each document kind."""

    order: int = FIRST_ORDER
    delivery: int = fulfilment.FIRST_DELIVERY
    billing: int = fulfilment.FIRST_BILLING
    payment: int = receivables.FIRST_PAYMENT


@dataclass
class SalesHistory:
    """Writes the sales of the year before `now` (seconds since 1970) for one world."""

    store: Store
    truth: Truth
    world: World
    rates: Rates
    seed: int
    now: int
    ceiling: Ceiling = field(default_factory=Ceiling)
    numbers: Numbers = field(default_factory=Numbers)

    def write(self, orders: int) -> None:
        """Write so many orders and what followed."""
        agenda = Agenda(self.store)
        for place, (partner, at) in enumerate(self._placed(orders)):
            rng = np.random.default_rng([self.seed, 5, place])
            drawn = draw_orders(rng, self.world, self.rates, partner, at, self.numbers.order, self.now // DAY)
            self.numbers.order += len(at)
            self._follow(rng, drawn, agenda)

    def _placed(self, orders: int) -> Iterator[tuple[Array, Array]]:
        """Who ordered when, in order of time, in slices of whole hours."""
        rng = np.random.default_rng([self.seed, 4])
        start = self.now - HOURS * 3_600
        opens = start + 3_600 * np.arange(HOURS)
        weight = _WEEKDAY[(opens // DAY + 3) % 7] * _HOUR[opens // 3_600 % 24] * (1 + 0.15 * np.arange(HOURS) / HOURS)
        counts = rng.multinomial(orders, weight / weight.sum())
        at = np.sort(np.repeat(opens, counts) + rng.integers(0, 3_600, orders))
        for first in range(0, orders, SLICE):
            part = at[first : first + SLICE]
            yield np.concatenate([self._who(rng, day, number) for day, number in _runs(part // DAY)]), part

    def _who(self, rng: np.random.Generator, day: int, count: int) -> Array:
        """Business partners that order on a day."""
        bounds = np.cumsum(self.world.appetite(day))
        who: Array = np.searchsorted(bounds, rng.random(count) * bounds[-1], side="right")
        return who

    def _follow(self, rng: np.random.Generator, drawn: Orders, agenda: Agenda) -> None:
        orders, count = drawn.orders, drawn.orders.count
        score = order_score(drawn)
        self.ceiling.add(drawn.signals, score)
        self.truth.weigh(orders.texts("SalesOrder"), drawn.firm, score)
        fate = rng.random(count)
        rejected, blocked = fate < 0.012, (fate > 0.012) & (fate < 0.016)
        ships = np.where(blocked, self.now + DAY, fulfilment.draw_shipping(rng, drawn.at))
        bills = fulfilment.draw_billing(rng, ships)
        shipped = ~rejected & (ships <= self.now)
        billed = shipped & (bills <= self.now)
        waiting = ~rejected & ~shipped
        agenda.plan("deliver", zip(moments(ships[waiting]), orders.where(waiting).texts("SalesOrder"), strict=True))
        _mark(drawn, rejected, blocked, shipped, billed, np.where(billed, bills, np.where(shipped, ships, drawn.at)))
        for entity, rows in ((sap.SALES_ORDER, orders), (sap.SALES_ORDER_ITEM, drawn.items), (sap.SALES_ORDER_PARTNER, drawn.partners)):
            load(self.store, entity, rows)
        delivered = self._ship(drawn, shipped, billed, ships, bills, agenda)
        self._bill(rng, drawn, billed, bills, delivered, score, agenda)

    def _ship(self, drawn: Orders, shipped: Array, billed: Array, ships: Array, bills: Array, agenda: Agenda) -> list[str]:
        """Deliveries of the shipped orders. Returns the delivery of each order, empty where there is none."""
        count = int(shipped.sum())
        numbers = texts(self.numbers.delivery + _ranks(ships[shipped]))
        self.numbers.delivery += count
        items, item_order = _items_of(drawn, shipped)
        headers, lines = fulfilment.deliveries(drawn.orders.where(shipped), items, item_order, numbers, ships[shipped])
        done = billed[shipped]
        headers["OverallSDProcessStatus"] = ["C" if invoiced else "B" for invoiced in done.tolist()]
        headers["LastChangeDate"] = days(np.where(done, bills[shipped], ships[shipped]))
        load(self.store, sap.OUTB_DELIVERY_HEADER, headers)
        load(self.store, sap.OUTB_DELIVERY_ITEM, lines)
        agenda.plan("bill", zip(moments(bills[shipped][~done]), headers.where(~done).texts("DeliveryDocument"), strict=True))
        delivered = [""] * drawn.orders.count
        for place, number in zip(np.flatnonzero(shipped).tolist(), numbers, strict=True):
            delivered[place] = number
        return delivered

    def _bill(
        self, rng: np.random.Generator, drawn: Orders, billed: Array, bills: Array, delivered: list[str], score: Array, agenda: Agenda
    ) -> None:
        firms, firm, at = self.world.firms, drawn.firm[billed], bills[billed]
        orders = drawn.orders.where(billed)
        numbers = texts(self.numbers.billing + _ranks(at))
        self.numbers.billing += len(at)
        items, item_order = _items_of(drawn, billed)
        countries = [COUNTRIES[code].code for code in firms.country[firm].tolist()]
        handed = [delivered[place] for place in np.flatnonzero(billed).tolist()]
        headers, lines = fulfilment.billings(orders, items, item_order, handed, countries, numbers, at)
        outcomes = receivables.draw_outcomes(rng, score[billed], firms.habit[firm], at, firms.payment_days[firm])
        self.truth.expect(numbers, orders.texts("SalesOrder"), firm, score[billed], outcomes)
        names = [firms.name[place] for place in firm.tolist()]
        entries = receivables.invoice_entries(headers, orders.texts("SalesOrder"), names, self.rates, at, outcomes.due)
        paid = ~outcomes.loss & (outcomes.paid_at <= self.now)
        self._pay(headers, entries, paid, outcomes)
        load(self.store, sap.BILLING_DOCUMENT, headers)
        load(self.store, sap.BILLING_DOCUMENT_ITEM, lines)
        for entry in entries:
            load(self.store, sap.OPERATIONAL_ACCTG_DOC_ITEM_CUBE, entry)
        coming = ~outcomes.loss & ~paid
        agenda.plan("pay", zip(moments(outcomes.paid_at[coming]), headers.where(coming).texts("BillingDocument"), strict=True))

    def _pay(self, headers: Columns, entries: list[Columns], paid: Array, outcomes: receivables.Outcomes) -> None:
        """Payments that came by now clear their receivables; what is overdue has been dunned."""
        owed, at = entries[0], outcomes.paid_at[paid]
        numbers = texts(self.numbers.payment + _ranks(at))
        self.numbers.payment += len(at)
        entries += receivables.payment_entries(owed.where(paid), numbers, at)
        for name, values in receivables.clearing(numbers, at).items():
            owed[name] = _spread(paid, values, 0 if name == "IsCleared" else "")
        owed["ClearingDate"] = [day or None for day in owed["ClearingDate"]]
        headers["InvoiceClearingStatus"] = ["C" if done else "A" for done in paid.tolist()]
        changed = _spread(paid, moments(at), "")
        headers["LastChangeDateTime"] = [moment or before for moment, before in zip(changed, headers["LastChangeDateTime"], strict=True)]
        headers["LastChangeDate"] = [str(moment)[:10] for moment in headers["LastChangeDateTime"]]
        level = np.where(paid, 0, receivables.dunning_level(outcomes.due, self.now // DAY))
        owed["DunningLevel"] = texts(level)
        dunned = dates(outcomes.due + 14 * level)
        owed["LastDunningDate"] = [day if times else None for day, times in zip(dunned, level.tolist(), strict=True)]


def _mark(drawn: Orders, rejected: Array, blocked: Array, shipped: Array, billed: Array, changed: Array) -> None:
    """Set the status of orders and their items by what has become of them."""
    orders, items, place = drawn.orders, drawn.items, drawn.item_order
    status = np.where(rejected | billed, "C", np.where(shipped, "B", "A"))
    orders["OverallSDProcessStatus"] = status.tolist()
    orders["OverallDeliveryStatus"] = np.where(shipped, "C", "A").tolist()
    orders["OverallSDDocumentRejectionSts"] = np.where(rejected, "C", "A").tolist()
    orders["DeliveryBlockReason"] = np.where(blocked, "01", "").tolist()
    orders["TotalCreditCheckStatus"] = np.where(blocked, "B", "A").tolist()
    orders["LastChangeDateTime"] = moments(changed)
    orders["LastChangeDate"] = days(changed)
    items["SDProcessStatus"] = status[place].tolist()
    items["DeliveryStatus"] = np.where(shipped, "C", "A")[place].tolist()
    items["SalesDocumentRjcnReason"] = np.where(rejected, "00", "")[place].tolist()


def _items_of(drawn: Orders, chosen: Array) -> tuple[Columns, Array]:
    """The items of the chosen orders, and the place of each item's order among them."""
    mask = chosen[drawn.item_order]
    return drawn.items.where(mask), (np.cumsum(chosen) - 1)[drawn.item_order[mask]]


def _ranks(at: Array) -> Array:
    """The place of each moment in order of time: documents get their numbers as they appear."""
    ranks = np.empty(len(at), dtype=np.int64)
    ranks[np.argsort(at, kind="stable")] = np.arange(len(at))
    return ranks


def _runs(day: Array) -> list[tuple[int, int]]:
    values, counts = np.unique(day, return_counts=True)
    return list(zip(values.tolist(), counts.tolist(), strict=True))


def _spread(mask: Array, values: object, otherwise: str | int) -> list[str | int]:
    """Values at the places where the mask is true, in order; something else at the others."""
    given = iter(values) if isinstance(values, list) else None
    return [(next(given) if given is not None else values) if chosen else otherwise for chosen in mask.tolist()]  # type: ignore[misc]
