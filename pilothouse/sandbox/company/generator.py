"""Writes a company: the same seed, scale and moment give the same rows, byte for byte.

Each part draws from a generator of its own, so that a change in one leaves the others as they were. Everything is
written in slices: at a hundred times the usual size memory stays bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import numpy as np

from pilothouse.sandbox.company import bureau, crm, masters, sap, warehouse
from pilothouse.sandbox.company import salesforce as sf
from pilothouse.sandbox.company.columns import Array
from pilothouse.sandbox.company.fulfilment import FIRST_BILLING, FIRST_DELIVERY
from pilothouse.sandbox.company.history import SalesHistory, load
from pilothouse.sandbox.company.rates import draw_rates
from pilothouse.sandbox.company.risk import log_odds
from pilothouse.sandbox.company.sales import FIRST_ORDER, FIRST_PRODUCT, signals
from pilothouse.sandbox.company.schema import Entity
from pilothouse.sandbox.company.store import Store, timestamp
from pilothouse.sandbox.company.truth import Truth
from pilothouse.sandbox.company.world import DAY, FIRST_PARTNER, Sizes, World, draw_world

SLICE = 20_000  # rows
RATE_DAYS = 400  # a little more than the history, so that its first day has a rate
_STAGE_OPEN = np.array([0.22, 0.24, 0.20, 0.20, 0.14])


def generate(store: Store, truth: Truth, seed: int, scale: float, now: datetime) -> None:
    """Fill an empty store and an empty truth with the company of that seed, its history ending now."""
    sizes, end = Sizes.at(scale), int(now.timestamp())
    world = draw_world(seed, sizes, end)
    truth.keep_world(world)
    truth.keep_risks(_risks(world, end // DAY))
    with store.filling():
        _masters(store, world, seed, end)
        rates = draw_rates(seed, end // DAY - RATE_DAYS + 1, RATE_DAYS)
        load(store, warehouse.EXCHANGE_RATE, bureau.exchange_rates(rates))
        _bureau(store, world, seed, end)
        _Crm(store, world, seed, end).write(sizes)
        sales = SalesHistory(store, truth, world, rates, seed, end)
        sales.write(sizes.orders)
        _count_on(store, sales, world, sizes)
        for name, value in (("seed", str(seed)), ("scale", repr(scale)), ("history ends", timestamp(now)), ("step", "0")):
            store.set_fact(name, value)
    truth.keep_ceiling(sales.ceiling)


def _risks(world: World, today: int) -> Array:
    everybody = np.arange(len(world.firms))
    usual = np.zeros(len(everybody))
    return log_odds(signals(world.firms, everybody, np.full(len(everybody), today), usual, today))


def slices(count: int, size: int = SLICE) -> Iterator[Array]:
    """The places 0 to `count`, some thousand at a time."""
    return (np.arange(first, min(first + size, count)) for first in range(0, count, size))


def _masters(store: Store, world: World, seed: int, now: int) -> None:
    rng = np.random.default_rng([seed, 3])
    for places in slices(len(world.partner_firm)):
        partners, addresses, taxes = masters.partners(rng, world, places, now)
        load(store, sap.BUSINESS_PARTNER, partners)
        load(store, sap.BUSINESS_PARTNER_ADDRESS, addresses)
        load(store, sap.BUSINESS_PARTNER_TAX_NUMBER, taxes)
    for places in slices(len(world.price)):
        load(store, sap.PRODUCT, masters.products(rng, world, places, now))


def _bureau(store: Store, world: World, seed: int, now: int) -> None:
    rng = np.random.default_rng([seed, 6])
    for places in slices(len(world.bureau_firm), SLICE // 4):
        load(store, warehouse.CREDIT_RATING, bureau.quarterly(rng, world, world.bureau_firm[places], now // DAY, 1 + 4 * int(places[0])))
    load(store, warehouse.OWNERSHIP, bureau.ownerships(rng, world))
    month = np.datetime64(now // DAY, "D").astype("datetime64[M]")
    months = (month - np.arange(14, -1, -1)).astype("datetime64[D]").astype(np.int64)
    load(store, warehouse.INDUSTRY_INDEX, bureau.industry_indices(months, now // DAY))


class _Crm:
    """Writes Salesforce's side of the history."""

    def __init__(self, store: Store, world: World, seed: int, now: int) -> None:
        self.store, self.world, self.now = store, world, now
        self.rng = np.random.default_rng([seed, 7])
        self.firm = world.account_firm
        self.ids = [sf.record_id("Account", place + 1) for place in range(len(self.firm))]
        # An account is as old as the business with its firm; what belongs to it is younger.
        since = np.minimum(world.firms.customer_from[self.firm] * DAY, now - 20 * DAY)
        self.created = np.maximum(since, now - 2_000 * DAY) - self.rng.integers(0, 10 * DAY, len(self.firm))

    def write(self, sizes: Sizes) -> None:
        """Write users, accounts, contacts, opportunities and cases."""
        load(self.store, sf.USER, crm.users(self.now))
        customer = np.isin(self.firm, self.world.partner_firm)
        for places in slices(len(self.firm)):
            created = self.created[places]
            changed = created + ((self.now - created) * self.rng.random(len(places)) ** 0.3).astype(np.int64)
            rows = crm.accounts(self.rng, self.world, self.firm[places], customer[places], 1 + int(places[0]), created, changed)
            load(self.store, sf.ACCOUNT, rows)
        people = self._contacts()
        self._opportunities(sizes.opportunities)
        self._cases(sizes.cases, people)

    def _contacts(self) -> Array:
        """One to three contacts an account. Returns the place of each account's first contact, and at the end their number."""
        people = self.rng.choice(3, len(self.firm), p=[0.6, 0.28, 0.12]) + 1
        owner = np.repeat(np.arange(len(self.firm)), people)
        for places in slices(len(owner)):
            account = owner[places]
            created = self.created[account] + ((self.now - self.created[account]) * self.rng.random(len(places)) ** 2).astype(np.int64)
            changed = created + ((self.now - created) * self.rng.random(len(places)) ** 0.5).astype(np.int64)
            names = [self.ids[place] for place in account.tolist()]
            load(
                self.store, sf.CONTACT, crm.contacts(self.rng, self.world, names, self.firm[account], 1 + int(places[0]), created, changed)
            )
        return np.concatenate([[0], np.cumsum(people)])

    def _moments(self, count: int, account: Array) -> tuple[Array, Array]:
        """Moments of the last year, in order of time, each with its account, which exists by then."""
        at = self.now - 365 * DAY + (365 * DAY * self.rng.random(count)).astype(np.int64)
        at = np.maximum(at, self.created[account] + 3_600)
        order = np.argsort(at, kind="stable")
        return at[order], account[order]

    def _accounts_by(self, weight: Array, count: int) -> Array:
        bounds = np.cumsum(weight)
        places: Array = np.searchsorted(bounds, self.rng.random(count) * bounds[-1], side="right")
        return places

    def _opportunities(self, count: int) -> None:
        chosen = self._accounts_by(self.world.firms.size[self.firm] ** 0.5, count)
        created, account = self._moments(count, chosen)
        for places in slices(count):
            at, owner = created[places], account[places]
            age = (self.now - at) / (120 * DAY)
            closed = self.rng.random(len(at)) < np.clip(age, 0.02, 0.97)
            stages = np.where(closed, np.where(self.rng.random(len(at)) < 0.42, 5, 6), self.rng.choice(5, len(at), p=_STAGE_OPEN))
            ids, firm = [self.ids[place] for place in owner.tolist()], self.firm[owner]
            names = [self.world.firms.name[place] for place in firm.tolist()]
            rows = crm.opportunities(self.rng, self.world, ids, firm, names, 1 + int(places[0]), at, self.now, stages)
            load(self.store, sf.OPPORTUNITY, rows)

    def _cases(self, count: int, people: Array) -> None:
        firms = self.world.firms
        buys = np.where(np.isin(self.firm, self.world.partner_firm), 1.0, 0.05)
        chosen = self._accounts_by(buys * firms.size[self.firm] ** 0.4 * np.exp(0.6 * firms.trouble[self.firm]), count)
        created, account = self._moments(count, chosen)
        for places in slices(count):
            owner = account[places]
            first, behind = people[owner], people[owner + 1]
            person = first + ((behind - first) * self.rng.random(len(owner))).astype(np.int64)
            named = (self.rng.random(len(owner)) < 0.9).tolist()
            contact = [sf.record_id("Contact", place + 1) if known else None for place, known in zip(person.tolist(), named, strict=True)]
            ids, trouble = [self.ids[place] for place in owner.tolist()], firms.trouble[self.firm[owner]]
            load(self.store, sf.CASE, crm.cases(self.rng, ids, contact, trouble, 1 + int(places[0]), created[places], self.now))


def _count_on(store: Store, sales: SalesHistory, world: World, sizes: Sizes) -> None:
    """Set the counters from which new records get their numbers."""
    for entity, first, following in (
        (sap.BUSINESS_PARTNER, FIRST_PARTNER, FIRST_PARTNER + len(world.partner_firm)),
        (sap.PRODUCT, FIRST_PRODUCT, FIRST_PRODUCT + len(world.price)),
        (sap.SALES_ORDER, FIRST_ORDER, sales.numbers.order),
        (sap.OUTB_DELIVERY_HEADER, FIRST_DELIVERY, sales.numbers.delivery),
        (sap.BILLING_DOCUMENT, FIRST_BILLING, sales.numbers.billing),
        (sf.USER, 1, 1 + crm.USERS),
        (sf.ACCOUNT, 1, 1 + len(world.account_firm)),
        (sf.CONTACT, 1, 1 + _size(store, sf.CONTACT)),
        (sf.OPPORTUNITY, 1, 1 + sizes.opportunities),
        (sf.CASE, 1, 1 + sizes.cases),
        (warehouse.CREDIT_RATING, 1, 1 + _size(store, warehouse.CREDIT_RATING)),
    ):
        store.set_fact(f"first {entity.table}", str(first))
        store.set_fact(f"next {entity.table}", str(following))
    store.set_fact("next payment", str(sales.numbers.payment))


def _size(store: Store, entity: Entity) -> int:
    (count,) = next(store.rows(f"SELECT COUNT(*) FROM {entity.table}"))
    return int(count or 0)
