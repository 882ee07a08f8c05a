"""The firms of this world as they truly are, before any system wrote them down.

Customers come first, then prospects that only sales knows, then firms that only the bureau knows; holdings own some
of all of them. Each firm has traits that decide how it orders, complains and pays. The traits are ground truth: systems show
their consequences.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from pilothouse.sandbox.company.columns import Array
from pilothouse.sandbox.company.industries import INDUSTRIES
from pilothouse.sandbox.company.noise import uniforms
from pilothouse.sandbox.company.places import COUNTRIES, Country

Choice = TypeVar("Choice")
NEVER = 1 << 30  # a day that does not come
_FIRST = (
    "Nor",
    "Tek",
    "Val",
    "Kor",
    "Mer",
    "Sol",
    "Alt",
    "Pro",
    "Ven",
    "Lux",
    "Ter",
    "Dyn",
    "Hel",
    "Arg",
    "Bel",
    "Cas",
    "Fer",
    "Gam",
    "Ost",
    "Rho",
)
_LAST = (
    "tek",
    "dur",
    "vex",
    "mont",
    "lin",
    "gran",
    "via",
    "nova",
    "max",
    "form",
    "tron",
    "plan",
    "stal",
    "core",
    "wind",
    "rix",
    "dex",
    "ban",
)
_PAYMENT_DAYS = np.array([0, 14, 30, 45, 60])


@dataclass(frozen=True)
class Firms:
    """All firms, one list or array a trait, in the order of their numbers."""

    name: list[str]
    legal_form: list[str]
    street: list[str]
    house_number: list[str]
    postal_code: list[str]
    city: list[str]
    region: list[str]
    tax_number: list[str]
    country: Array  # place in COUNTRIES
    industry: Array  # place in INDUSTRIES
    founded: Array  # year
    size: Array  # 1 is typical: employees, orders and their amounts grow with it
    payment_days: Array
    discount: Array  # percent
    owner: Array  # firm that owns it, or -1
    weakness: Array  # balance sheet, standard deviations, high is bad
    habit: Array  # how it treats its suppliers, high is bad
    trouble: Array  # quarrels about quality, high is bad
    customer_from: Array  # first day as a customer
    burst_from: Array  # the day from which it orders four times as often, any of the last year
    distressed_from: Array  # the day from which its group is in distress, any of the last year

    def __len__(self) -> int:
        return len(self.name)

    def country_of(self, firm: int) -> Country:
        """The country a firm is in."""
        return COUNTRIES[int(self.country[firm])]


def draw_firms(rng: np.random.Generator, customers: int, others: int, today: int) -> Firms:
    """Firms with all their traits; `today` is the last day of the history, in days since 1970."""
    count = customers + others
    country = rng.choice(len(COUNTRIES), count, p=_shares([land.share for land in COUNTRIES]))
    industry = rng.choice(len(INDUSTRIES), count, p=_shares([trade.share for trade in INDUSTRIES]))
    owner, root = _groups(rng, customers, count)
    distressed_root = np.where(rng.random(count) < 0.22, today - rng.integers(40, 365, count), NEVER)
    customer_from = today - rng.integers(400, 4_000, count)
    fresh = rng.random(count) < 0.15
    customer_from[fresh] = today - rng.integers(5, 360, int(fresh.sum()))
    burst_from = np.where(rng.random(count) < 0.05, today - rng.integers(15, 365, count), NEVER)
    name, legal_form, street, house_number, postal_code, city, region = _words(rng, country, industry, root)
    return Firms(
        name=name,
        legal_form=legal_form,
        street=street,
        house_number=house_number,
        postal_code=postal_code,
        city=city,
        region=region,
        tax_number=_tax_numbers(rng, country),
        country=country,
        industry=industry,
        founded=2024 - np.minimum(rng.gamma(2.0, 15.0, count).astype(np.int64), 180),
        size=np.clip(rng.lognormal(0.0, 1.0, count), 0.05, 30.0),
        payment_days=rng.choice(_PAYMENT_DAYS, count, p=[0.05, 0.25, 0.45, 0.15, 0.10]),
        discount=rng.integers(0, 16, count),
        owner=owner,
        weakness=rng.standard_normal(count),
        habit=rng.standard_normal(count),
        trouble=rng.standard_normal(count),
        customer_from=customer_from,
        burst_from=burst_from,
        distressed_from=np.where(root >= 0, distressed_root[root], NEVER),
    )


def _shares(weights: list[float]) -> Array:
    values: Array = np.array(weights) / sum(weights)
    return values


def _groups(rng: np.random.Generator, customers: int, count: int) -> tuple[Array, Array]:
    """Who owns each firm and who stands at the top of its group; -1 for independent firms and for the top's owner.

    A holding comes from the firms that only the bureau knows, so that a customer's distress may begin out of sight.
    """
    owner, root = np.full(count, -1), np.full(count, -1)
    holdings = np.arange(count - max(1, customers * 3 // 100), count)
    free = rng.permutation(holdings[0])
    taken = 0
    for holding in holdings.tolist():
        members = free[taken : taken + int(rng.integers(4, 13))].tolist()
        taken += len(members)
        tree = [holding]
        root[holding] = holding
        for member in members:
            owner[member] = tree[int(rng.integers(0, min(len(tree), 4)))]
            root[member] = holding
            tree.append(member)
    return owner, root


def _tax_numbers(rng: np.random.Generator, country: Array) -> list[str]:
    """A different number for each firm, in its country's form."""
    start, numbers = int(rng.integers(10**6, 9 * 10**6)), []
    for place, code in enumerate(country.tolist()):
        land = COUNTRIES[code]
        digits = (start + place * 48_611) % (10**8 - 11)  # a prime step over a prime modulus: no number twice
        numbers.append(f"{land.tax_prefix}{digits + 10**8 if land.tax_digits > 8 else digits:0{land.tax_digits}d}")
    return numbers


def _words(rng: np.random.Generator, country: Array, industry: Array, root: Array) -> Iterator[list[str]]:
    """The texts of all firms, in the order of the fields of `Firms`: name, legal form, street, house number, code, city, region."""
    draws = uniforms(rng, len(country), 12)
    coined = [f"{_FIRST[int(u[0] * len(_FIRST))]}{_LAST[int(u[1] * len(_LAST))]}" for u in draws]
    holdings = set(root[root >= 0].tolist())
    rows = []
    for firm, u in enumerate(draws):
        land, trade = COUNTRIES[int(country[firm])], INDUSTRIES[int(industry[firm])]
        form = _pick(land.legal_forms, u[2])
        city, code, region = _pick(land.cities, u[3])
        head = int(root[firm])
        if firm in holdings:
            name = f"{coined[firm]} Holding"
        elif head >= 0 and u[4] < 0.6:
            name = f"{coined[head]} {_pick(trade.words[land.language], u[5])}" + (f" {city}" if u[6] < 0.3 else "")
        else:
            name = _name(land, _pick(trade.words[land.language], u[5]), coined[firm], city, u)
        rows.append((f"{name} {form}", form, _pick(land.streets, u[9]), str(1 + int(u[10] * 180)), _postal(code, u[11]), city, region))
    return (list(column) for column in zip(*rows, strict=True))


def _name(land: Country, word: str, coined: str, city: str, u: list[float]) -> str:
    surname = _pick(land.surnames, u[6])
    if u[4] < 0.40:
        return f"{surname} {word}"
    if u[4] < 0.68:
        return f"{coined} {word}"
    if u[4] < 0.80:
        return f"{word} {city}"
    if u[4] < 0.90:
        return f"{surname} & {_pick(land.surnames, u[7])} {word}"
    return f"{_pick(land.given_names, u[8])} {surname} {word}"


def _pick(choices: tuple[Choice, ...], draw: float) -> Choice:
    return choices[int(draw * len(choices))]


def _postal(code: str, draw: float) -> str:
    """A postal code near the city's first: its last digit moved, letters left alone."""
    return code[:-1] + str(int(draw * 10)) if code[-1].isdigit() else code
