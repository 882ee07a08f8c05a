"""The best that anybody could rank orders who sees only what the sources show: an ideal observer of the sandbox's company.

It knows the generator's equations and parameters (who is who, how large a firm is, what each signal is worth, when planted events may
begin), and none of what the generator keeps to itself: a firm's weakness, habit and trouble, when it began to order in haste, when its
group fell into distress, how large an order was meant. Of these it has the prior that they are drawn from, and what was seen before the
order's day: ratings, invoices and their payments, cases, orders, the customer's record in sales; and the order itself. Its chance of
late payment is the mean over the posterior. No score that is made of the same rows ranks better on average, whatever it was taught.

Ratings, days of punctual payments and cases speak of one trait each, so their posteriors are exact, on a line or a grid. What couples
the traits, whether each invoice came late, weights samples drawn from these; so do the days on which planted events may have begun.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import expit, ndtr, ndtri
from scipy.stats import qmc

from pilothouse.kernel.lake import Lake
from pilothouse.sandbox.company.places import COUNTRIES
from pilothouse.sandbox.company.risk import INTERCEPT, LATE_DAYS, SIGNALS
from pilothouse.sandbox.company.sales import signals, slump
from pilothouse.sandbox.company.truth import Truth
from pilothouse.sandbox.company.world import BURST, DUPLICATE_SHARE, World

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
SAMPLES: Final = 128
_WORTH: Final = {each.name: each.weight for each in SIGNALS}
_GRID: Final = np.linspace(-4.5, 4.5, 181)
_NODES: Final = np.array([-np.sqrt(3.0), 0.0, np.sqrt(3.0)])  # of a normal variable, exact for polynomials up to the fifth degree
_NODE_WEIGHTS: Final = np.array([1 / 6, 2 / 3, 1 / 6])
_LEAST: Final = 1e-300


@dataclass(frozen=True)
class Events:
    """Days on which something planted may have begun, each standing for some days, and how likely each is; the last is never."""

    day: Whole
    prior: Floats

    @classmethod
    def of(cls, chance: float, first: int, last: int, step: int) -> Events:
        """Any day from one to another with the same chance."""
        days = np.arange(first, last + 1, step)
        return cls(np.append(days, 1 << 30), np.append(np.full(len(days), chance / len(days)), 1 - chance))


@dataclass(frozen=True)
class Splits:
    """What is seen tells days apart on which an event may have begun: by the first invoiced order since, and whether it has come."""

    place: Whole  # of that order
    come: Whole  # 0 or 1
    of: Whole  # the split of each of the events' days

    @classmethod
    def by(cls, events: Events, paying: Paying, day: int) -> Splits:
        """The splits of an event's days, as of a day."""
        found, of = np.unique(2 * np.searchsorted(paying.day, events.day) + (events.day <= day), return_inverse=True)
        return cls(found // 2, found % 2, of)

    def summed(self, weights: Floats) -> Floats:
        """The weight of each split, of those of all days."""
        return np.bincount(self.of, weights=weights, minlength=len(self.place)).astype(np.float64)


@dataclass(frozen=True)
class Paying:
    """What is seen of a firm's invoices on a day, in order of their orders' days."""

    day: Whole  # of the order
    known: Floats  # the part of its log-odds that is no secret
    size: Floats  # the order's size as its items tell it, mean and deviation
    spread: Floats
    state: Whole  # 0 in time, 1 late, 2 not yet known
    age: Whole  # days since it was due, of what is not yet known
    floor: Whole  # the earliest that it could have been paid, in days after due


class Observer:
    """What an ideal observer says of orders."""

    def __init__(self, lake: Lake, truth: Truth, end: int) -> None:
        self._world: World = truth.world()
        self._firms, self._end = self._world.firms, end
        self._points = qmc.Sobol(3, seed=1).random(SAMPLES).clip(1e-6, 1 - 1e-6)
        self._bursts = Events.of(0.05, end - 364, end - 15, 2)
        self._distress = Events.of(0.22, end - 364, end - 40, 4)
        self._root = _roots(self._firms.owner)
        self._read_orders(lake, truth)
        self._read_invoices(lake, truth)
        self._read_ratings(lake, truth)
        self._read_accounts(lake, truth)
        self._members = {
            root: [f for f in np.flatnonzero(self._root == root).tolist() if f in self._invoices_of]
            for root in np.unique(self._root[self._root >= 0]).tolist()
        }
        self._said: dict[tuple[int, int], Floats] = {}

    def chances(self, order_ids: list[str]) -> Floats:
        """The chance that each order is paid late, as of its day."""
        return np.array([self._chance(self._place[order]) for order in order_ids])

    # What is seen

    def _read_orders(self, lake: Lake, truth: Truth) -> None:
        orders = _raw(lake, "s4", "sales_order", "SalesOrder", "CreationDate").sort("SalesOrder")
        firm = pl.DataFrame(truth.rows("SELECT sales_order, firm FROM sales_order"), schema=["SalesOrder", "firm"], orient="row")
        orders = orders.join(firm, on="SalesOrder", maintain_order="left")
        self._place = {order: place for place, order in enumerate(orders["SalesOrder"].to_list())}
        self._firm = orders["firm"].to_numpy()
        self._day = _days(orders["CreationDate"])
        plain = signals(self._firms, self._firm, self._day, np.zeros(len(self._firm)), self._end)
        self._known: Floats = INTERCEPT + np.sum(
            [_WORTH[name] * plain[name] for name in ("industry_slump", "country", "new_customer")], axis=0
        )
        items = _raw(lake, "s4", "sales_order_item", "SalesOrder", "RequestedQuantity")
        place = items["SalesOrder"].replace_strict(self._place).to_numpy()
        self._size, self._spread = _sizes(place, items["RequestedQuantity"].cast(pl.Float64).to_numpy(), self._firms.size[self._firm])
        by_day = np.bincount(self._day - self._day.min())
        self._first_day = int(self._day.min())
        rates = [orders / self._world.appetite(self._first_day + place).sum() for place, orders in enumerate(by_day.tolist())]
        _, originals = np.unique(self._world.partner_firm, return_index=True)
        each = np.full(len(self._world.partner_firm), DUPLICATE_SHARE)
        each[originals] = 1.0
        self._appetite = self._firms.size * np.bincount(self._world.partner_firm, weights=each, minlength=len(self._firms))
        self._pace = np.concatenate([[0.0], np.cumsum(rates)])  # orders of a firm of appetite 1 until the start of each day
        self._orders_of = _grouped(self._firm)

    def _read_invoices(self, lake: Lake, truth: Truth) -> None:
        rows = pl.DataFrame(
            truth.rows("SELECT billing_document, sales_order, due_on, paid_on FROM invoice"),
            schema=["BillingDocument", "order", "due", "paid"],
            orient="row",
            infer_schema_length=None,
        ).join(_raw(lake, "s4", "billing_document", "BillingDocument", "BillingDocumentDate"), on="BillingDocument")
        rows = rows.with_columns(pl.col("order").replace_strict(self._place)).sort("order")
        self._of_order = rows["order"].to_numpy()
        self._billed, self._due = _days(rows["BillingDocumentDate"]), _days(rows["due"])
        self._paid = np.where(rows["paid"].is_null().to_numpy(), 1 << 30, _days(rows["paid"].fill_null("2100-01-01")))
        self._invoices_of = _grouped(self._firm[self._of_order])

    def _read_ratings(self, lake: Lake, truth: Truth) -> None:
        rows = _raw(lake, "bureau", "credit_rating", "bureau_id", "score", "rated_on")
        firm = rows["bureau_id"].replace_strict(_identities(truth, "bureau")).to_numpy()
        day = _days(rows["rated_on"])
        country = np.array([land.risk for land in COUNTRIES])[self._firms.country[firm]]
        self._rated = day
        self._reading = rows["score"].to_numpy() - 290 - 15 * country - 12 * slump(self._firms.industry[firm], day, self._end)
        self._ratings_of = _grouped(firm)

    def _read_accounts(self, lake: Lake, truth: Truth) -> None:
        who = _identities(truth, "salesforce")
        rows = _raw(lake, "crm", "account", "Id", "CreatedDate", "LastModifiedDate", "Payment_Behaviour__c")
        firm = rows["Id"].replace_strict(who).to_numpy()
        buys = np.where(np.isin(firm, self._world.partner_firm), 1.0, 0.05) * self._firms.size[firm] ** 0.4
        cases = _raw(lake, "crm", "case", "AccountId", "CreatedDate", "LastModifiedDate", "Type", "IsEscalated")
        self._case_pace = cases.height / 365 * buys / (buys * np.exp(0.6 * self._firms.trouble[firm])).sum()
        self._account_since, self._account_changed = _days(rows["CreatedDate"]), _days(rows["LastModifiedDate"])
        self._mood = rows["Payment_Behaviour__c"].replace_strict({"Good": 0, "Mixed": 1, "Poor": 2}, default=-1).to_numpy()
        self._accounts_of = _grouped(firm)
        self._opened, self._case_changed = _days(cases["CreatedDate"]), _days(cases["LastModifiedDate"])
        self._complains = cases["Type"].is_in(["Complaint", "Billing"]).to_numpy()
        self._escalated = cases["IsEscalated"].cast(pl.Int64).to_numpy() == 1
        self._cases_of = _grouped(cases["AccountId"].replace_strict(who).to_numpy())

    # What follows

    def _chance(self, order: int) -> float:
        firm, day = int(self._firm[order]), int(self._day[order])
        paying = self._paying(firm, day)
        bursts, distress = self._splits(firm, day, paying)
        u, logs = self._weighed(firm, day, paying, bursts, distress)
        events = np.outer(self._hasty(firm, day, bursts, 1), self._distressed(firm, day, distress))
        weights = np.exp(logs - logs.max()) * events[:, :, None]
        below = above = 0.0
        for hasty in (0, 1):
            for dire in (0, 1):
                weight = weights[bursts.come == hasty][:, distress.come == dire].sum(axis=(0, 1))
                shift = _WORTH["order_burst"] * hasty + _WORTH["group_distress"] * dire
                late = _late(self._known[order] + u + shift, self._size[order], self._spread[order])
                above += float((weight * late).sum())
                below += float(weight.sum())
        return above / below

    def _splits(self, firm: int, day: int, paying: Paying) -> tuple[Splits, Splits]:
        """Of the days on which its burst may have begun, and its group's distress; without a group there is none."""
        bursts = Splits.by(self._bursts, paying, day)
        if self._root[firm] >= 0:
            return bursts, Splits.by(self._distress, paying, day)
        return bursts, Splits(np.array([len(paying.day)]), np.array([0]), np.zeros(len(self._distress.day), dtype=np.int64))

    def _weighed(self, firm: int, day: int, paying: Paying, bursts: Splits, distress: Splits) -> tuple[Floats, Floats]:
        """Samples of what the traits add up to, and how well each explains the invoices, by when planted events began."""
        u, habit = self._samples(firm, day, paying)

        def explained(hasty: int, dire: int) -> Floats:
            shift = hasty * _WORTH["order_burst"] + dire * _WORTH["group_distress"]
            logs = _explained(paying, u + shift, habit)
            return np.vstack([np.zeros(len(u)), np.cumsum(logs, axis=0)])

        first, second = np.minimum.outer(bursts.place, distress.place), np.maximum.outer(bursts.place, distress.place)
        total, one = explained(0, 0)[first], explained(1, 0)
        hasty_first = (bursts.place[:, None] < distress.place)[:, :, None]
        total += np.where(hasty_first, one[second] - one[first], 0.0)
        if self._root[firm] >= 0:
            one, both = explained(0, 1), explained(1, 1)
            total += np.where(hasty_first, 0.0, one[second] - one[first]) + both[-1] - both[second]
        return u, total

    def _hasty(self, firm: int, day: int, bursts: Splits, now: int) -> Floats:
        """How likely each beginning of a burst is, by how often the firm has ordered; `now` counts the order itself."""
        placed = self._day[self._orders_of[firm]]
        began = np.minimum(self._bursts.day, day)
        since = np.maximum(began, self._firms.customer_from[firm])
        orders = ((placed[:, None] >= began) & (placed[:, None] < day)).sum(axis=0) + now * (self._bursts.day <= day)
        pace = self._pace[np.clip(day - self._first_day, 0, None)] - self._pace[np.clip(since - self._first_day, 0, len(self._pace) - 1)]
        logs = orders * np.log(BURST) - (BURST - 1) * self._appetite[firm] * np.maximum(pace, 0.0)
        return bursts.summed(_weights(self._bursts, np.where(self._bursts.day <= day, logs, 0.0)))

    def _distressed(self, firm: int, day: int, distress: Splits) -> Floats:
        """How likely each beginning of the group's distress is, by its head's ratings and by how the others pay."""
        root = int(self._root[firm])
        if root < 0:
            return np.ones(1)
        logs = self._head(root, day)
        for other in self._members[root]:
            if other != firm:
                logs = logs + self._other(other, day)
        return distress.summed(_weights(self._distress, logs))

    def _head(self, root: int, day: int) -> Floats:
        rows = self._ratings_of.get(root, np.array([], dtype=np.int64))
        rows = rows[self._rated[rows] < day]
        if not len(rows):
            return np.zeros(len(self._distress.day))
        inverse = np.linalg.inv(62.0**2 * np.ones((len(rows), len(rows))) + 28.0**2 * np.eye(len(rows)))
        apart = self._reading[rows][:, None] - 230.0 * (self._rated[rows][:, None] >= self._distress.day)
        found: Floats = -0.5 * np.einsum("id,ij,jd->d", apart, inverse, apart)
        return found

    def _other(self, firm: int, day: int) -> Floats:
        if (firm, day) not in self._said:
            paying = self._paying(firm, day)
            bursts, distress = self._splits(firm, day, paying)
            _, logs = self._weighed(firm, day, paying, bursts, distress)
            top = logs.max(axis=(0, 2))
            means = np.exp(logs - top[:, None]).mean(axis=2)
            self._said[firm, day] = (top + np.log(self._hasty(firm, day, bursts, 0) @ means + _LEAST))[distress.of]
        return self._said[firm, day]

    def _paying(self, firm: int, day: int) -> Paying:
        rows = self._invoices_of.get(firm, np.array([], dtype=np.int64))
        rows = rows[self._billed[rows] < day]
        order, due, paid = self._of_order[rows], self._due[rows], self._paid[rows]
        seen = paid < day
        late = np.where(seen, paid - due > LATE_DAYS, day - due > LATE_DAYS)
        return Paying(
            self._day[order],
            self._known[order],
            self._size[order],
            self._spread[order],
            np.where(late, 1, np.where(seen, 0, 2)),
            np.where(seen, paid, day) - due,
            self._billed[rows] + 1 - due,
        )

    def _samples(self, firm: int, day: int, paying: Paying) -> tuple[Floats, Floats]:
        rows = self._ratings_of.get(firm, np.array([], dtype=np.int64))
        rows = rows[self._rated[rows] < day]
        precision = 1.0 + len(rows) * (62 / 28) ** 2
        mean = (62 / 28**2) * self._reading[rows].sum() / precision
        weakness = mean + ndtri(self._points[:, 0]) / np.sqrt(precision)
        habit = _drawn(self._habit(firm, day, paying), self._points[:, 1])
        trouble = _drawn(self._trouble(firm, day), self._points[:, 2])
        return _WORTH["weakness"] * weakness + _WORTH["habit"] * habit + _WORTH["trouble"] * trouble, habit

    def _habit(self, firm: int, day: int, paying: Paying) -> Floats:
        """The log-density of a firm's habit on the grid: by the days of its punctual payments, and by what sales says."""
        logs = -0.5 * _GRID**2
        settled = paying.state == 0
        days, floor = paying.age[settled], np.maximum(paying.floor[settled], -25)
        if len(days):
            upper = np.where(days >= LATE_DAYS, np.inf, days + 0.5)
            lower = np.where(days <= floor, -np.inf, days - 0.5)
            at = 1.0 + 4.0 * _GRID
            logs = logs + np.log(ndtr((upper[:, None] - at) / 7.0) - ndtr((lower[:, None] - at) / 7.0) + _LEAST).sum(axis=0)
        for account in self._accounts_of.get(firm, ()):
            mood = int(self._mood[account])
            if mood >= 0 and self._account_changed[account] < day:
                low, high = (-np.inf, 0.5, 1.5)[mood], (0.5, 1.5, np.inf)[mood]
                at = 1.0 + 0.7 * _GRID
                logs = logs + np.log(ndtr((high - at) / 0.7) - ndtr((low - at) / 0.7) + _LEAST)
        return logs

    def _trouble(self, firm: int, day: int) -> Floats:
        """The same of a firm's trouble: by how many cases it reported, of which kind, and how many escalated."""
        logs = -0.5 * _GRID**2
        start = self._end - 365
        for account in self._accounts_of.get(firm, ()):
            if self._account_since[account] < day:
                logs = logs - self._case_pace[account] * max(day - start, 0) * np.exp(0.6 * _GRID)
        rows = self._cases_of.get(firm, np.array([], dtype=np.int64))
        rows = rows[self._opened[rows] < day]
        if len(rows):
            complains = int(self._complains[rows].sum())
            told = rows[self._case_changed[rows] < day]
            escalated = int(self._escalated[told].sum())
            chance, rate = expit(-1.0 + 0.7 * _GRID), np.clip(0.08 + 0.07 * _GRID, 0.01, 0.5)
            logs = logs + 0.6 * _GRID * len(rows) + complains * np.log(chance) + (len(rows) - complains) * np.log(1 - chance)
            logs = logs + escalated * np.log(rate) + (len(told) - escalated) * np.log(1 - rate)
        return logs


def _weights(events: Events, logs: Floats) -> Floats:
    """How likely each day is, by what it was thought before and how well it explains what is seen."""
    found: Floats = events.prior * np.exp(logs - logs.max())
    return found


def _explained(paying: Paying, u: Floats, habit: Floats) -> Floats:
    """How likely what is seen of each invoice is by each sample, as logarithms."""
    late = _late(paying.known[:, None] + u, paying.size[:, None], paying.spread[:, None])
    state = paying.state[:, None]
    early = (paying.age <= paying.floor)[:, None]  # it could not have been paid yet
    slow = np.where(early, 1.0, 1 - ndtr((paying.age[:, None] - 1.5 - 4.0 * habit) / 7.0))
    seen = np.where(state == 1, late, np.where(state == 0, 1 - late, late + (1 - late) * slow))
    found: Floats = np.log(seen + _LEAST)
    return found


def _late(log_odds: Floats, size: Any, spread: Any) -> Floats:
    """The chance of late payment over what an order's size may have been."""
    worth = _WORTH["order_size"]
    total = np.zeros(np.broadcast(log_odds, size).shape)
    for node, weight in zip(_NODES, _NODE_WEIGHTS, strict=True):
        total = total + weight * expit(log_odds + worth * (size + node * spread))
    return total


def _sizes(place: Whole, quantity: Floats, firm_size: Floats) -> tuple[Floats, Floats]:
    """Mean and deviation of how large each order was meant, by its items."""
    grid = np.linspace(-2.5, 2.5, 41)
    prior = np.exp(-0.5 * grid**2) * (grid[1] - grid[0]) / np.sqrt(2 * np.pi)
    prior[[0, -1]] = ndtr(-2.5) + prior[[0, -1]] / 2
    at = 0.8 + 0.4 * np.log(firm_size[place])[:, None] + 0.6 * grid
    lower = np.where(quantity <= 1, -np.inf, np.log(np.maximum(quantity - 0.5, 0.1)))
    found = np.log(ndtr((np.log(quantity + 0.5)[:, None] - at) / 0.7) - ndtr((lower[:, None] - at) / 0.7) + _LEAST)
    logs = np.tile(np.log(prior), (len(firm_size), 1))
    np.add.at(logs, place, found)
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    mean = weights @ grid
    return mean, np.sqrt(np.maximum(weights @ grid**2 - mean**2, 0.0))


def _drawn(logs: Floats, points: Floats) -> Floats:
    weights = np.exp(logs - logs.max())
    reach = np.concatenate([[0.0], np.cumsum((weights[1:] + weights[:-1]) / 2)])
    found: Floats = np.interp(points, reach / reach[-1], _GRID)
    return found


def _roots(owner: Whole) -> Whole:
    """The head of each firm's group, -1 for a firm without owner."""
    root = owner.copy()
    while True:
        above = np.where(root >= 0, owner[root], -1)
        if (above < 0).all():
            return root
        root = np.where(above >= 0, above, root)


def _grouped(keys: Whole) -> dict[int, Whole]:
    order = np.argsort(keys, kind="stable")
    values, first = np.unique(keys[order], return_index=True)
    return dict(zip(values.tolist(), np.split(order, first[1:]), strict=True))


def _raw(lake: Lake, source: str, stream: str, *columns: str) -> pl.DataFrame:
    return lake.raw(source, stream).scan().select(columns).collect()


def _identities(truth: Truth, system: str) -> dict[str, int]:
    return {str(key): int(str(firm)) for key, firm in truth.rows("SELECT id, firm FROM identity WHERE system = ?", (system,))}


def _days(values: pl.Series) -> Whole:
    dates = values.str.slice(0, 10).str.to_date() if values.dtype == pl.String else values.cast(pl.Date)
    return dates.to_physical().cast(pl.Int64).to_numpy()
