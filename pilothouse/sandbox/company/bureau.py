"""Rows of the warehouse: what a credit bureau says of firms, who owns whom, exchange rates and industry figures."""

from __future__ import annotations

import numpy as np

from pilothouse.sandbox.company.columns import Array, Columns, dates, decimals, moments
from pilothouse.sandbox.company.industries import INDUSTRIES
from pilothouse.sandbox.company.places import COUNTRIES
from pilothouse.sandbox.company.rates import CODES, Rates
from pilothouse.sandbox.company.sales import slump
from pilothouse.sandbox.company.warehouse import GRADES
from pilothouse.sandbox.company.world import DAY, World

_EDGES = np.array([240, 300, 360, 440])  # upper scores of the grades A to D
_TAX_MISSING = 15  # percent of the firms


def scores(rng: np.random.Generator, world: World, firm: Array, day: Array, end: int) -> Array:
    """The bureau's scores of firms on days, 100 best, 600 worst: a noisy reading of their weakness, and of known distress."""
    firms = world.firms
    country = np.array([land.risk for land in COUNTRIES])[firms.country[firm]]
    reading = (
        290 + 62 * firms.weakness[firm] + 15 * country + 12 * slump(firms.industry[firm], day, end) + 28 * rng.standard_normal(len(firm))
    )
    top = (firms.owner[firm] < 0) & (day >= firms.distressed_from[firm])
    found: Array = np.clip(np.rint(reading + np.where(top, 230, 0)), 100, 600).astype(np.int64)
    return found


def ratings(world: World, firm: Array, score: Array, day: Array, current: Array, first: int, rng: np.random.Generator) -> Columns:
    """Ratings of firms on days, numbered from `first`."""
    firms, places, count = world.firms, firm.tolist(), len(firm)
    # The same firms are without a number in each rating: an older row must not give it away.
    known = [place * 40_503 % 100 >= _TAX_MISSING for place in places]
    limit = np.rint(firms.size[firm] * np.clip(600 - score, 0, 500) * 2_500).astype(np.int64) * 100
    return Columns(
        count,
        {
            "rating_id": list(range(first, first + count)),
            "bureau_id": [world.bureau_numbers[place] for place in places],
            "firm_name": [firms.name[place] for place in places],
            "street": [f"{firms.street[place]} {firms.house_number[place]}" for place in places],
            "postal_code": [firms.postal_code[place] for place in places],
            "city": [firms.city[place] for place in places],
            "country": [COUNTRIES[code].code for code in firms.country[firm].tolist()],
            "tax_number": [firms.tax_number[place] if told else None for place, told in zip(places, known, strict=True)],
            "industry": [INDUSTRIES[code].code for code in firms.industry[firm].tolist()],
            "rating_grade": [GRADES[place] for place in np.searchsorted(_EDGES, score, side="right").tolist()],
            "score": score.tolist(),
            "credit_limit_eur": decimals(limit, scale=2),
            "rated_on": dates(day),
            "is_current": current.astype(np.int64).tolist(),
            "updated_at": moments(day * DAY + 7 * 3_600 + rng.integers(0, 3_600, count)),
        },
    )


def quarterly(rng: np.random.Generator, world: World, firm: Array, end: int, first: int) -> Columns:
    """A year of ratings of these firms: four each, about three months apart, the newest current."""
    ages = np.sort(rng.integers(1, 91, (len(firm), 1)) + np.arange(4) * 91, axis=1)[:, ::-1]
    day = (end - ages).ravel()
    rated = np.repeat(firm, 4)
    current = np.tile([False, False, False, True], len(firm))
    order = np.argsort(day, kind="stable")
    rated, day, current = rated[order], day[order], current[order]
    return ratings(world, rated, scores(rng, world, rated, day, end), day, current, first, rng)


def ownerships(rng: np.random.Generator, world: World) -> Columns:
    """Who owns whom, as far as the bureau knows."""
    owned = np.flatnonzero(world.firms.owner >= 0)
    owner = world.firms.owner[owned]
    share = np.where(rng.random(len(owned)) < 0.6, 10_000, rng.integers(5_100, 9_990, len(owned)))
    since = np.maximum(world.firms.founded[owned], 1990)
    names, numbers = world.firms.name, world.bureau_numbers
    return Columns(
        len(owned),
        {
            "owner_id": [numbers[place] for place in owner.tolist()],
            "owned_id": [numbers[place] for place in owned.tolist()],
            "owner_name": [names[place] for place in owner.tolist()],
            "owned_name": [names[place] for place in owned.tolist()],
            "share_percent": decimals(share, scale=2),
            "since": [f"{year}-07-01" for year in since.tolist()],
        },
    )


def exchange_rates(rates: Rates) -> Columns:
    """All known rates; the bank publishes them in the afternoon."""
    foreign = [place for place, code in enumerate(CODES) if code != "EUR"]
    days = rates.first_day + np.arange(len(rates.table))
    day = np.repeat(days, len(foreign))
    return Columns(
        len(day),
        {
            "currency": [CODES[place] for place in foreign] * len(days),
            "rate_date": dates(day),
            "per_eur": [f"{rate:.6f}" for rate in rates.table[:, foreign].ravel().tolist()],
            "updated_at": moments(day * DAY + 15 * 3_600),
        },
    )


def industry_indices(months: Array, end: int) -> Columns:
    """Output and insolvencies of each industry in these months (days since 1970 of their firsts); `end` is the history's last day."""
    industry = np.tile(np.arange(len(INDUSTRIES)), len(months))
    month = np.repeat(months, len(INDUSTRIES))
    depth = slump(industry, month + 15, end)
    # A ripple that repeats each year, so that the fall is not the only movement.
    season = 2.0 * np.sin((month % 365.25) / 365.25 * 2 * np.pi + industry)
    return Columns(
        len(month),
        {
            "industry": [INDUSTRIES[place].code for place in industry.tolist()],
            "industry_name": [INDUSTRIES[place].name for place in industry.tolist()],
            "month": dates(month),
            "output_index": np.round(100 - 11 * depth + season, 1).tolist(),
            "insolvencies_per_10000": np.round(58 + 45 * depth - season, 1).tolist(),
        },
    )
