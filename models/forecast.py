"""The kind of model that foretells cash: expected payments a week and series, with an interval that holds as often as it says.

It is judged as it will be used: rates learned up to a day, then one outlook a week from that day on, each by what was known at its end,
against what came. Level and width are corrected by how earlier outlooks turned out, measured in standard deviations of their own, so
that an interval goes on to hold where firms begin to pay slower.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
_TOTAL: Final = "total"
_WEEK: Final = 7
_LEVEL: Final = 8  # weeks whose outcome corrects the next outlook
_FEWEST: Final = 100  # outcomes from which the width of an interval can be told
_NORMAL: Final = 1.2816  # before that, the one of a normal distribution
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
        """Learn rates by a day, and judge the outlooks from then on."""
        from models import plots
        from models.cash import rates

        books = self._books(model, tables)
        days = (books.last_day - books.first_day).days
        seen_until = books.first_day + timedelta(days=int(days * (1 - model.split.hold_out)))
        if seen_until - timedelta(weeks=self.weeks) < books.first_day + _WARM_UP:
            raise ModelError(f"{model.name}: {days} days of history, and it takes a year", hint="sync more of the past")
        learnt, estimator, example = rates(books, seen_until)
        judged = self._judged(books, learnt, seen_until)
        return Fitted(
            card={**learnt.as_json(), "series": list(books.series), "known_until": books.last_day.isoformat()},
            estimator=estimator,
            example=example.head(5),
            seen_until=seen_until,
            metrics=judged.metrics(),
            figures={"forecast": partial(plots.outlook, judged.drawn), "errors": partial(plots.errors, judged.errors, judged.seasonal)},
        )

    def compare(self, model: Model, tables: Tables, candidate: Card, incumbent: Card, since: date) -> Compared | None:
        """Both from the same days on, against the same weeks."""
        from models.cash import Rates

        books = self._books(model, tables)
        if books.last_day < since + timedelta(weeks=self.weeks):
            return None
        found = [self._judged(books, Rates.from_json(card), since).metrics() for card in (candidate, incumbent)]
        return Compared(since, books.last_day, int(found[0]["weeks_judged"]), *found)

    def score(self, model: Model, tables: Tables, card: Card) -> pl.DataFrame:
        """The weeks ahead of the newest day, by series."""
        import polars as pl

        from models.cash import Rates, outlooks

        books, learnt = self._books(model, tables), Rates.from_json(card)
        today = books.last_day
        earliest = today - timedelta(weeks=max((today - books.first_day - _WARM_UP).days, 0) // _WEEK)  # so that their weeks end today
        track = Track(self._looks(books, learnt, earliest, today), self.coverage)
        low, high = track.interval(today)
        rows = []
        for each in outlooks(books, learnt, today, self.weeks):
            look = each.times(track.level(today))
            wide = look.variance**0.5
            for week in range(self.weeks):
                first = today + timedelta(days=1 + week * _WEEK)
                expected = float(look.expected[week])
                rows.append(
                    {
                        "series": look.series,
                        "week_from": first,
                        "week_to": first + timedelta(days=_WEEK - 1),
                        "expected_eur": round(expected, 2),
                        "low_eur": round(max(expected + low * float(wide[week]), 0.0), 2),
                        "high_eur": round(max(expected + high * float(wide[week]), 0.0), 2),
                        "open_eur": round(float(look.of_open[week]), 2),
                        "to_bill_eur": round(float(look.of_ordered[week]), 2),
                        "to_come_eur": round(float(look.of_new[week]), 2),
                    }
                )
        synthetic = any(bool(table["_synthetic"].any()) for table in tables.values())
        return pl.DataFrame(rows).with_columns(pl.lit(synthetic).alias("_synthetic"))

    def explain(self, card: Card, row: Mapping[str, Any]) -> Sequence[Reason]:
        """Where the cash of a week comes from."""
        del card  # the row says it all
        parts = {
            "open_eur": "invoices that are open",
            "to_bill_eur": "orders that are not billed yet",
            "to_come_eur": "orders still to come",
        }
        found = [Reason(name, words, row[name], float(row[name])) for name, words in parts.items()]
        return sorted(found, key=lambda reason: -reason.adds)

    def _books(self, model: Model, tables: Tables) -> Books:
        from models.books import books_of

        return books_of(model, tables, self.series, self.fewest)

    def _judged(self, books: Books, learnt: Rates, since: date) -> Judged:
        """Every outlook from a day on, each as it would have been given on its day."""
        warm = since - timedelta(weeks=(since - books.first_day - _WARM_UP).days // _WEEK)
        looks = list(self._looks(books, learnt, warm, books.last_day))
        return judge(Track(looks, self.coverage), [look for look in looks if look.today >= since], books.series)

    def _looks(self, books: Books, learnt: Rates, since: date, until: date) -> Iterator[Look]:
        """An outlook a week, with what came of it as far as that is known by a day."""
        from models.cash import actual, outlooks

        today = since
        while today + timedelta(days=_WEEK) <= until:
            known = min(self.weeks, (until - today).days // _WEEK)
            came, before = actual(books, today, known), actual(books, today, -SEASON)
            for each in outlooks(books, learnt, today, self.weeks):
                yield Look(today, each, came[each.series].tolist(), before[each.series].tolist())
            today += timedelta(days=_WEEK)


@dataclass(frozen=True)
class Look:
    """One outlook on one series from one day, what came in the weeks after it, and what had come in the season before."""

    today: date
    outlook: Outlook
    came: list[float]
    before: list[float]

    def ended(self, until: date) -> int:
        """How many of its weeks had ended by a day."""
        return max(min(len(self.came), (until - self.today).days // _WEEK), 0)

    def deviation(self, week: int, level: float) -> float:
        """How far off it was in a week, in standard deviations of its own."""
        look = self.outlook.times(level)
        wide = max(math.sqrt(float(look.variance[week])), 1.0)
        return (self.came[week] - float(look.expected[week])) / wide

    def errors(self, level: float) -> tuple[list[float], list[float], list[float]]:
        """Absolute errors of the outlook, of the same week of the season before, and of the last week."""
        ours = [abs(came - level * float(self.outlook.expected[week])) for week, came in enumerate(self.came)]
        seasonal = [abs(came - self.before[week % SEASON]) for week, came in enumerate(self.came)]
        return ours, seasonal, [abs(came - self.before[-1]) for came in self.came]


class Track:
    """How earlier outlooks turned out: what a day's own is corrected by, and how wide its interval must be. Nothing of a week is
    used before it has ended."""

    def __init__(self, looks: Iterable[Look], coverage: float) -> None:
        self._looks = list(looks)
        self._coverage = coverage
        self._levels: dict[date, float] = {}

    def level(self, today: date) -> float:
        """What came against what was expected, in all, in the last weeks: firms that all pay slower than they did are seen in it."""
        if today not in self._levels:
            came, expected = 0.0, 0.0
            for look in self._looks:
                if look.outlook.series == _TOTAL:
                    for week in range(max(look.ended(today - timedelta(weeks=_LEVEL)), 0), look.ended(today)):
                        came += look.came[week]
                        expected += float(look.outlook.expected[week])
            self._levels[today] = came / expected if expected else 1.0
        return self._levels[today]

    def interval(self, today: date) -> tuple[float, float]:
        """How many standard deviations an outlook of this day lies too low and too high, so often as the coverage says."""
        import numpy as np

        off = [look.deviation(week, self.level(look.today)) for look in self._looks for week in range(look.ended(today))]
        if len(off) < _FEWEST:
            return -_NORMAL, _NORMAL
        low, high = np.quantile(off, [(1 - self._coverage) / 2, (1 + self._coverage) / 2])
        return float(low), float(high)


@dataclass(frozen=True)
class Judged:
    """Outlooks against what came: mean absolute errors by series, those of who repeats the season or the last week, and coverage."""

    errors: Mapping[str, float]
    seasonal: Mapping[str, float]
    naive: Mapping[str, float]
    coverage: float
    weeks: int
    drawn: Sequence[tuple[date, float, float, float, float]]  # the total two weeks ahead: day, expected, low, high, came

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


def judge(track: Track, looks: Sequence[Look], series: Sequence[str]) -> Judged:
    """Outlooks of each series together, each as it would have been given on its day."""
    import numpy as np

    intervals = {today: track.interval(today) for today in {look.today for look in looks}}
    errors, seasonal, naive, inside, drawn = {}, {}, {}, [], []
    for name in series:
        mine = [look for look in looks if look.outlook.series == name]
        columns = [np.concatenate(parts) for parts in zip(*(look.errors(track.level(look.today)) for look in mine), strict=True)]
        errors[name], seasonal[name], naive[name] = (float(np.mean(column)) for column in columns)
        for look in mine:
            (low, high), level = intervals[look.today], track.level(look.today)
            inside += [low <= look.deviation(week, level) <= high for week in range(len(look.came))]
            if name == _TOTAL and len(look.came) > 1:
                told = look.outlook.times(level)
                expected, wide = float(told.expected[1]), float(told.variance[1]) ** 0.5
                drawn.append((look.today + timedelta(days=14), expected, expected + low * wide, expected + high * wide, look.came[1]))
    return Judged(errors, seasonal, naive, float(np.mean(inside)), len(inside), drawn)
