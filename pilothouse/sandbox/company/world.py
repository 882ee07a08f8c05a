"""What the generator and the clock both know: the firms, which record stands for which firm, and the product prices.

Served tables never hold it. It is drawn from the seed once, written to the truth, and read from there when the company resumes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pilothouse.sandbox.company.columns import Array
from pilothouse.sandbox.company.firms import Firms, draw_firms
from pilothouse.sandbox.company.noise import DRAWS, as_typed, uniforms

FIRST_PARTNER = 10_100_001
DUPLICATES = 0.02  # share of business partners, and of accounts, that stand for a firm which has one already
OVERLAP = 0.70  # share of accounts whose firm is a business partner too
DAY = 86_400
BURST = 4.0  # times as many orders
DUPLICATE_SHARE = 0.12  # of a firm's orders, through a duplicate of it


@dataclass(frozen=True)
class Sizes:
    """How many records of each kind the history holds."""

    partners: int
    accounts: int
    products: int
    orders: int
    opportunities: int
    cases: int

    @classmethod
    def at(cls, scale: float) -> Sizes:
        """The sizes of the company at a scale: 1 is a medium-sized manufacturer."""
        counts = (2_000, 1_800, 3_000, 40_000, 5_000, 8_000)
        return cls(*(max(10, round(count * scale)) for count in counts))


@dataclass
class World:
    """The firms, their records in each system, and what each product costs."""

    firms: Firms
    partner_number: list[str]  # the business partners that order
    partner_firm: Array  # the firm of each
    partner_name: list[str]  # its name in SAP
    account_firm: Array  # the firm of the n-th account
    bureau_firm: Array  # the firms the bureau knows, in the order of their numbers there
    price: Array  # hundredths of a euro, of the n-th product
    weight: Array  # grams
    group: Array
    bureau_numbers: dict[int, str] = field(init=False)

    def __post_init__(self) -> None:
        self.bureau_numbers = {int(firm): bureau_number(place) for place, firm in enumerate(self.bureau_firm)}

    def appetite(self, day: int) -> Array:
        """How often each business partner orders on a day: large firms more, hasty ones much more, duplicates rarely."""
        firms, firm = self.firms, self.partner_firm
        weight: Array = firms.size[firm] * (firms.customer_from[firm] <= day) * np.where(firms.burst_from[firm] <= day, BURST, 1.0)
        _, originals = np.unique(firm, return_index=True)
        duplicate = np.ones(len(firm), dtype=bool)
        duplicate[originals] = False
        weight[duplicate] *= DUPLICATE_SHARE
        return weight

    def add_partner(self, number: str, firm: int, name: str, day: int) -> int:
        """A firm becomes a customer under this number. Returns its place."""
        self.partner_number.append(number)
        self.partner_name.append(name)
        self.partner_firm = np.append(self.partner_firm, firm)
        self.firms.customer_from[firm] = day
        return len(self.partner_number) - 1

    def drop_partner(self, number: str) -> None:
        """A business partner is gone and orders no more."""
        place = self.partner_number.index(number) if number in self.partner_number else None
        if place is not None:
            del self.partner_number[place], self.partner_name[place]
            self.partner_firm = np.delete(self.partner_firm, place)


def bureau_number(place: int) -> str:
    """The bureau's number of the n-th firm it knows."""
    return f"B{(7_000_003 + place * 7_919) % 99_999_989:09d}"


def draw_world(seed: int, sizes: Sizes, now: int) -> World:
    """The world of a seed; `now` is the end of its history, in seconds since 1970."""
    rng = np.random.default_rng([seed, 1])
    customers = sizes.partners - round(sizes.partners * DUPLICATES)
    shared = round(sizes.accounts * OVERLAP)
    prospects = sizes.accounts - shared
    firms = draw_firms(rng, customers, prospects + max(2, sizes.partners * 15 // 100), now // DAY)
    partner_firm = np.concatenate([np.arange(customers), rng.choice(customers, sizes.partners - customers)])
    return World(
        firms=firms,
        partner_number=[str(FIRST_PARTNER + place) for place in range(sizes.partners)],
        partner_firm=partner_firm,
        partner_name=_partner_names(rng, firms, partner_firm, customers),
        account_firm=_accounts(rng, customers, shared, prospects),
        bureau_firm=_known_to_bureau(rng, firms, customers, prospects),
        price=np.maximum(150, np.rint(rng.lognormal(9.2, 1.1, sizes.products))).astype(np.int64),
        weight=np.maximum(20, np.rint(rng.lognormal(7.0, 1.2, sizes.products))).astype(np.int64),
        group=rng.integers(0, 12, sizes.products),
    )


def _partner_names(rng: np.random.Generator, firms: Firms, partner_firm: Array, customers: int) -> list[str]:
    """SAP keeps names as the register writes them, but for the duplicates that somebody keyed in a second time."""
    draws = uniforms(rng, len(partner_firm), DRAWS)
    return [
        firms.name[firm] if place < customers else as_typed(firms.name[firm], firms.legal_form[firm], firms.city[firm], draws[place])
        for place, firm in enumerate(partner_firm.tolist())
    ]


def _accounts(rng: np.random.Generator, customers: int, shared: int, prospects: int) -> Array:
    """The firm of each account: customers, a few of them twice, and prospects, well mixed."""
    twice = min(round((shared + prospects) * DUPLICATES), shared // 2)
    once = rng.permutation(customers)[: shared - twice]
    firms = np.concatenate([once, rng.choice(once, shared - len(once)), customers + np.arange(prospects)])
    return rng.permutation(firms)


def _known_to_bureau(rng: np.random.Generator, firms: Firms, customers: int, prospects: int) -> Array:
    """Nearly all customers, many prospects, everybody who owns or is owned."""
    chance = np.full(len(firms), 1.0)
    chance[:customers] = 0.92
    chance[customers : customers + prospects] = 0.6
    chance[firms.owner >= 0] = 1.0
    return rng.permutation(np.flatnonzero(rng.random(len(firms)) < chance))
