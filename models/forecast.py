"""The kind of model that foretells cash: expected payments a week and series, with an interval that holds as often as it says.

It is judged as it will be used: rates learned up to a day, then one outlook a week from that day on, each by what was known at its end,
against what came. Intervals take their width from how far earlier outlooks were off, measured in standard deviations of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

from models.model import Card, Compared, Fitted, Model, Reason, Tables
from pilothouse.kernel.errors import ModelError

if TYPE_CHECKING:
    import polars as pl

    from models.cash import Books, Outlook, Rates

SEASON: Final = 4  # weeks: firms that pay once a month do so every four or five; a year has not been seen twice
_WARM_UP: Final = timedelta(weeks=16)  # of history before the first outlook that anything is learned from


@dataclass(frozen=True)
class CashForecast:
    """Open invoices by the habits of their firms, orders by how soon they are billed, and new orders as they came."""

    weeks: int = 8
    coverage: float = 0.8
    series: str = "country"  # the column of the firms by which sums are told apart
    fewest: int = 12  # payments a week of a series that stands for itself

    @property
    def called(self) -> Literal["forecast"]:
        """What kind it is."""
        return "forecast"

    def fit(self, model: Model, tables: Tables) -> Fitted:
        """Learn rates up to a day, the interval's width from outlooks before it, and judge both by those after it."""
        from models import plots
        from models.cash import rates

        books = self._books(model, tables)
        days = (books.last_day - books.first_day).days
        seen_until = books.first_day + timedelta(days=int(days * (1 - model.split.hold_out)))
        if seen_until - timedelta(weeks=self.weeks) < books.first_day + _WARM_UP:
            raise ModelError(f"{model.name}: {days} days of history, and it takes a year", hint="sync more of the past")
        learnt, estimator, example = rates(books, seen_until)
        before = list(self._looks(books, learnt, books.first_day + _WARM_UP, seen_until))
        off = [miss for look in before for miss in look.deviations(seen_until)]
        low, high = _quantile(off, (1 - self.coverage) / 2), _quantile(off, (1 + self.coverage) / 2)
        card = {**learnt.as_json(), "interval": [low, high], "series": list(books.series), "known_until": books.last_day.isoformat()}
        after = list(self._looks(books, learnt, seen_until, books.last_day))
        judged = judge(after, books.series, (low, high))
        return Fitted(
            card=card,
            estimator=estimator,
            example=example.head(5),
            seen_until=seen_until,
            metrics=judged.metrics(),
            figures={
                "forecast": partial(plots.outlook, judged.drawn(after)),
                "errors": partial(plots.errors, judged.errors, judged.seasonal),
            },
        )

    def compare(self, model: Model, tables: Tables, candidate: Card, incumbent: Card, since: date) -> Compared | None:
        """Both from the same days on, against the same weeks."""
        from models.cash import Rates

        books = self._books(model, tables)
        found = []
        for card in (candidate, incumbent):
            looks = list(self._looks(books, Rates.from_json(card), since, books.last_day))
            if sum(len(look.came) for look in looks) < self.weeks:
                return None
            low, high = card["interval"]
            found.append(judge(looks, tuple(card["series"]), (low, high)).metrics())
        return Compared(since, books.last_day, int(found[0]["weeks_judged"]), *found)

    def score(self, model: Model, tables: Tables, card: Card) -> pl.DataFrame:
        """The weeks ahead of the newest day, by series."""
        import polars as pl

        from models.cash import WEEK, Rates, outlooks

        books = self._books(model, tables)
        low, high = card["interval"]
        rows = []
        for look in outlooks(books, Rates.from_json(card), books.last_day, self.weeks):
            wide = look.variance**0.5
            for week in range(self.weeks):
                first = books.last_day + timedelta(days=1 + week * WEEK)
                expected = float(look.expected[week])
                rows.append(
                    {
                        "series": look.series,
                        "week_from": first,
                        "week_to": first + timedelta(days=WEEK - 1),
                        "expected_eur": round(expected, 2),
                        "low_eur": round(max(expected + low * wide[week], 0.0), 2),
                        "high_eur": round(max(expected + high * wide[week], 0.0), 2),
                        "of_open_invoices_eur": round(float(look.of_open[week]), 2),
                        "of_orders_not_billed_eur": round(float(look.of_ordered[week]), 2),
                        "of_orders_to_come_eur": round(float(look.of_new[week]), 2),
                    }
                )
        synthetic = any(bool(table["_synthetic"].any()) for table in tables.values())
        return pl.DataFrame(rows).with_columns(pl.lit(synthetic).alias("_synthetic"))

    def explain(self, card: Card, row: Mapping[str, Any]) -> Sequence[Reason]:
        """Where the cash of a week comes from."""
        del card  # the row says it all
        parts = {
            "of_open_invoices_eur": "invoices that are open",
            "of_orders_not_billed_eur": "orders that are not billed yet",
            "of_orders_to_come_eur": "orders still to come",
        }
        found = [Reason(name, words, row[name], float(row[name])) for name, words in parts.items()]
        return sorted(found, key=lambda reason: -reason.adds)

    def _books(self, model: Model, tables: Tables) -> Books:
        from models.books import books_of

        return books_of(model, tables, self.series, self.fewest)

    def _looks(self, books: Books, learnt: Rates, since: date, until: date) -> Iterator[Look]:
        """An outlook a week, with what came of it as far as that is known by a day."""
        from models.cash import WEEK, actual, outlooks

        today = since
        while today + timedelta(days=WEEK) <= until:
            known = min(self.weeks, (until - today).days // WEEK)
            came, before = actual(books, today, known), actual(books, today, -SEASON)
            for each in outlooks(books, learnt, today, self.weeks):
                yield Look(today, each, came[each.series].tolist(), before[each.series].tolist())
            today += timedelta(days=WEEK)


@dataclass(frozen=True)
class Look:
    """One outlook on one series from one day, what came in the weeks after it, and what had come in the season before."""

    today: date
    outlook: Outlook
    came: list[float]
    before: list[float]

    def deviations(self, until: date) -> list[float]:
        """How far off it was, in standard deviations of its own, in weeks that had ended by a day."""
        weeks = min(len(self.came), (until - self.today).days // 7)
        return [
            (self.came[week] - float(self.outlook.expected[week])) / max(float(self.outlook.variance[week]) ** 0.5, 1.0) for week in range(weeks)
        ]

    def errors(self) -> tuple[list[float], list[float], list[float]]:
        """Absolute errors of the outlook, of the same week of the season before, and of the last week."""
        ours = [abs(came - float(self.outlook.expected[week])) for week, came in enumerate(self.came)]
        seasonal = [abs(came - self.before[week % SEASON]) for week, came in enumerate(self.came)]
        return ours, seasonal, [abs(came - self.before[-1]) for came in self.came]


@dataclass(frozen=True)
class Judged:
    """Outlooks against what came: mean absolute errors by series, those of who repeats the season or the last week, and coverage."""

    errors: Mapping[str, float]
    seasonal: Mapping[str, float]
    naive: Mapping[str, float]
    coverage: float
    weeks: int
    interval: tuple[float, float]

    def metrics(self) -> dict[str, float]:
        """What is kept of a version. `scaled_error` is what candidates are compared by: 1 is no better than repeating the season."""
        ratios = {name: self.errors[name] / max(self.seasonal[name], 1.0) for name in self.errors}
        return {
            "scaled_error": sum(ratios.values()) / len(ratios),
            "worst_scaled_error": max(ratios.values()),
            "coverage": self.coverage,
            "weeks_judged": float(self.weeks),
            **{f"scaled_error_{name}": ratio for name, ratio in ratios.items()},
            **{f"against_last_week_{name}": self.errors[name] / max(self.naive[name], 1.0) for name in self.errors},
        }

    def drawn(self, looks: Sequence[Look]) -> list[tuple[date, float, float, float, float]]:
        """The total as it was foretold two weeks ahead: day, expected, low, high, came."""
        low, high = self.interval
        rows = []
        for look in looks:
            if look.outlook.series == "total" and len(look.came) > 1:
                expected, wide = float(look.outlook.expected[1]), float(look.outlook.variance[1]) ** 0.5
                rows.append((look.today + timedelta(days=14), expected, expected + low * wide, expected + high * wide, look.came[1]))
        return rows


def judge(looks: Sequence[Look], series: Sequence[str], interval: tuple[float, float]) -> Judged:
    """All outlooks of each series together."""
    import numpy as np

    low, high = interval
    errors, seasonal, naive, inside = {}, {}, {}, []
    for name in series:
        mine = [look for look in looks if look.outlook.series == name]
        columns = [np.concatenate(parts) for parts in zip(*(look.errors() for look in mine), strict=True)]
        errors[name], seasonal[name], naive[name] = (float(np.mean(column)) for column in columns)
        inside += [low <= miss <= high for look in mine for miss in look.deviations(date.max)]
    return Judged(errors, seasonal, naive, float(np.mean(inside)), len(inside), interval)


def _quantile(values: Sequence[float], share: float) -> float:
    import numpy as np

    return float(np.quantile(values, share))
