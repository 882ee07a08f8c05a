"""The world as it was known when a day began, for orders that came before decisions were kept.

Delta keeps how tables were since the lake began, and not before. Of an earlier day tables say what they knew then by the days that
their rows carry, so of each table it is declared here what an honest look at the past is. A fact counts if it is dated before the
day. What a row said before it was changed is not known: then only what never changes of it is told. A table of which nothing is
declared cannot be looked at. What is of today is who is who: which records are one firm, and what people call it.

Features need no such care: each row of `feat_order_risk` holds what was known when its order was placed, and nothing later.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, Final, Protocol

import polars as pl

from models.model import Model
from models.versions import Version, VersionTable
from pilothouse.agents.snapshot import Snapshot, note_look, plain
from pilothouse.hindsight.backtest.groups import Groups
from pilothouse.kernel.errors import AgentError, ToolFailed
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.versions import Pinned, note_read

Row = Mapping[str, Any]
EXPOSURE: Final = "marts/fct_exposure"
OWNERSHIP: Final = "marts/fct_ownership"
MEASURES: Final = "graph/firm_measures"
# What an order never changes, or what is kept of it as it was placed.
_OF_ORDER: Final = ("order_id", "firm_id", "customer_id", "order_type", "sales_organization", "ordered_on", "currency", "_synthetic")
_OF_CASE: Final = ("case_id", "case_number", "firm_id", "account_id", "subject", "case_type", "opened_at", "_synthetic")


class Seen(Protocol):
    """A table as it can be looked at on a day."""

    def rows(self, where: Row, day: date) -> Iterable[Row]:
        """At least the rows with these values, as they were known when the day began."""
        ...


class Indexed:
    """Rows found by one column, each as it was known on the day; None where it was not."""

    def __init__(self, frame: pl.DataFrame, by: str, known: Callable[[Row, date], Row | None]) -> None:
        self._frame = frame
        self._by = by
        self._known = known
        self._places: dict[Any, list[int]] = {}
        for place, value in enumerate(frame[by]):
            self._places.setdefault(value, []).append(place)

    def rows(self, where: Row, day: date) -> Iterable[Row]:
        """Those with the value in question, or all."""
        places: Sequence[int] = self._places.get(where[self._by], ()) if self._by in where else range(self._frame.height)
        seen = (self._known(self._frame.row(place, named=True), day) for place in places)
        return (row for row in seen if row is not None)


class Versions:
    """The versions of a model, of which one was used: the newest that has seen nothing from that day on, or one that is named."""

    def __init__(self, versions: Sequence[Version], frame: pl.DataFrame, wanted: int | None) -> None:
        self._since = {each.version: each.seen_until for each in versions}
        self._rows = {row["version"]: row for row in frame.iter_rows(named=True)}
        self._wanted = wanted

    def in_force(self, day: date) -> int | None:
        """Its number; None where every version has seen what came on that day, or where there is none."""
        if self._wanted is not None:
            return self._wanted if self._since[self._wanted] <= day else None
        return max((version for version, since in self._since.items() if since <= day), default=None)

    def rows(self, where: Row, day: date) -> Iterable[Row]:  # noqa: ARG002 - as every table is asked
        """That one alone, as the one that is used."""
        version = self.in_force(day)
        return [] if version is None else [{**self._rows[version], "is_champion": True}]


@dataclass(frozen=True)
class Past:
    """Tables of today, looked at as they were known on days before. Reading them is noted with every look."""

    pinned: Mapping[str, tuple[Pinned, ...]]  # what each is made of
    seen: Mapping[str, Seen]
    lake: Lake

    def on(self, day: date) -> PastSnapshot:
        """The snapshot of a day."""
        return PastSnapshot(self, day)

    def model_on(self, name: str, day: date) -> int | None:
        """The version of a model that is used on a day."""
        found = self.seen.get(name)
        return found.in_force(day) if isinstance(found, Versions) else None


class PastSnapshot(Snapshot):
    """What was known when a day began."""

    def __init__(self, past: Past, day: date) -> None:
        super().__init__(past.lake, {name: made_of[0] for name, made_of in past.pinned.items()})
        self._past = past
        self._day = day

    def rows(self, table: str, where: Row, *, limit: int, order: str = "") -> list[dict[str, Any]]:
        """Rows with these values as they were known, as plain JSON."""
        if table not in self._past.seen:
            raise ToolFailed(f"{table} is not in this snapshot", hint=f"it holds {', '.join(self.tables) or 'nothing'}")
        for each in self._past.pinned[table]:
            note_read(each)
        rows = [
            row for row in self._past.seen[table].rows(where, self._day) if all(row.get(name) == value for name, value in where.items())
        ]
        if order:
            rows.sort(key=lambda row: (row[order] is None, row[order]))
        found = [{name: plain(value) for name, value in row.items()} for row in rows[:limit]]
        note_look(self._past.pinned[table][0], where, found)
        return found


def past(lake: Lake, tables: Collection[str], models: Collection[Model], *, version: int | None = None) -> Past:
    """The past of these tables; AgentError where nothing is declared of one. `version` is of the model that is to be used throughout."""
    there = [name for name in tables if lake.table(name).exists()]
    if MEASURES in tables and MEASURES not in there and all(lake.table(name).exists() for name in (OWNERSHIP, EXPOSURE)):
        there.append(MEASURES)  # it is computed anew, and needs only what it is computed from
    of_models = {model.versions: model for model in models}
    seen: dict[str, Seen] = {}
    pinned: dict[str, tuple[Pinned, ...]] = {}
    for name in there:
        sources = (EXPOSURE, OWNERSHIP) if name == MEASURES else (name,)
        pinned[name] = tuple(lake.table(source).pinned() for source in sources)
        frames = [lake.table(source).scan(int(at.version)).collect() for source, at in zip(sources, pinned[name], strict=True)]
        if name in of_models:
            seen[name] = Versions(_checked(lake, of_models[name], version), frames[0], version)
        elif name == MEASURES:
            seen[name] = Groups(exposure=frames[0], ownership=frames[1])
        elif name in _KNOWN:
            by, known = _KNOWN[name]
            seen[name] = Indexed(frames[0], by, known)
        else:
            raise AgentError(
                f"{name} cannot be seen as it was before the ledger began",
                hint="backtest over decisions of the ledger, or declare in hindsight/backtest/past.py what was known of it on a day",
            )
    return Past(pinned, seen, lake)


def _checked(lake: Lake, model: Model, version: int | None) -> list[Version]:
    table = VersionTable(lake, model)
    if version is not None:
        table.get(version)  # ModelError where there is none
    return table.all()


def _order(row: Row, day: date) -> Row | None:
    """As it was placed: what was decided, delivered and changed since is not known."""
    if row["ordered_on"] > day:
        return None
    placed = {"net_amount_eur": row["placed_eur"], "placed_eur": row["placed_eur"], "payment_days": row["placed_payment_days"]}
    placed |= {"placed_payment_days": row["placed_payment_days"], "delivery_block": None, "is_rejected": False, "is_complete": False}
    return {**dict.fromkeys(row), **{name: row[name] for name in _OF_ORDER}, **placed}


def _firm(row: Row, day: date) -> Row | None:  # noqa: ARG001 - as every table is asked
    """What it is called, and nothing else of it: nobody decides by a name."""
    return {**dict.fromkeys(row), **{name: row[name] for name in ("firm_id", "name", "_synthetic")}}


def _features(row: Row, day: date) -> Row | None:
    return row if row["ordered_on"] <= day else None


def _case(row: Row, day: date) -> Row | None:
    """That it was there, and whether it was closed by then; its state and priority change without a day that would say since when."""
    begins = datetime.combine(day, time(), UTC)
    if row["opened_at"] is None or row["opened_at"] >= begins:
        return None
    closed = row["closed_at"] is not None and row["closed_at"] < begins
    said = {"is_closed": closed, "closed_at": row["closed_at"] if closed else None}
    return {**dict.fromkeys(row), **{name: row[name] for name in _OF_CASE}, **said}


def _owner(row: Row, day: date) -> Row | None:
    return row if row["since"] is None or row["since"] < day else None


_KNOWN: Final[Mapping[str, tuple[str, Callable[[Row, date], Row | None]]]] = {
    "marts/fct_order": ("order_id", _order),
    "features/feat_order_risk": ("order_id", _features),
    "marts/dim_firm": ("firm_id", _firm),
    "marts/fct_case": ("firm_id", _case),
    OWNERSHIP: ("owned_firm_id", _owner),
}
