"""SOQL's date literals (`TODAY`, `LAST_N_DAYS:30`, `THIS_QUARTER`) as half-open ranges of days.

The organisation's time zone is UTC, its fiscal year the calendar year, its weeks begin on Sunday, as in a new org.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Final

_NAMED: Final = {
    "YESTERDAY": "LAST_DAY",
    "TODAY": "THIS_DAY",
    "TOMORROW": "NEXT_DAY",
    "LAST_90_DAYS": "LAST_N_DAYS",
    "NEXT_90_DAYS": "NEXT_N_DAYS",
}
_UNIT: Final = r"(?:FISCAL_)?(?P<unit>DAY|WEEK|MONTH|QUARTER|YEAR)"
_SINGLE: Final = re.compile(rf"(?P<which>LAST|THIS|NEXT)_{_UNIT}")
_COUNTED: Final = re.compile(rf"(?P<which>LAST|NEXT)_N_{_UNIT}S|N_(?P<fiscal>FISCAL_)?(?P<ago>DAY|WEEK|MONTH|QUARTER|YEAR)S_AGO")
_FURTHEST: Final = {"DAY": 1_500_000, "WEEK": 200_000, "MONTH": 50_000, "QUARTER": 16_000, "YEAR": 4_000}


def span(name: str, count: int | None, today: date) -> tuple[date, date] | None:
    """The first day of a literal and the day after its last; None where there is no such literal."""
    if name in {"LAST_90_DAYS", "NEXT_90_DAYS"} and count is None:
        count = 90
    name = _NAMED.get(name, name)
    if count is None:
        return _single(name, today)
    return _counted(name, count, today)


def _single(name: str, today: date) -> tuple[date, date] | None:
    found = _SINGLE.fullmatch(name)
    if found is None:
        return None
    unit, steps = found["unit"], {"LAST": -1, "THIS": 0, "NEXT": 1}[found["which"]]
    return _shifted(unit, today, steps), _shifted(unit, today, steps + 1)


def _counted(name: str, count: int, today: date) -> tuple[date, date] | None:
    found = _COUNTED.fullmatch(name)
    if found is None:
        return None
    unit = found["unit"] or found["ago"]
    count = min(count, _FURTHEST[unit])
    if found["ago"]:
        return _shifted(unit, today, -count), _shifted(unit, today, 1 - count)
    if found["which"] == "NEXT":
        return _shifted(unit, today, 1), _shifted(unit, today, 1 + count)
    # Of all units, only the last n days include the current one.
    return _shifted(unit, today, -count), _shifted(unit, today, 1 if unit == "DAY" else 0)


def _shifted(unit: str, today: date, steps: int) -> date:
    """The first day of the unit that lies so many units from today's, kept within the calendar."""
    if unit in {"DAY", "WEEK"}:
        start = today if unit == "DAY" else today - timedelta(days=today.isoweekday() % 7)
        ordinal = start.toordinal() + steps * (1 if unit == "DAY" else 7)
        return date.fromordinal(min(max(ordinal, 1), date.max.toordinal()))
    months = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}[unit]
    index = today.year * 12 + today.month - 1
    first = index - index % months + steps * months
    first = min(max(first, 12), date.max.year * 12 + 11)
    return date(first // 12, first % 12 + 1, 1)
