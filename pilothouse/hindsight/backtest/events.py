"""What there was to decide on: decisions of the ledger, each with the answers that it heard, and orders from before it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, Final

import msgspec
import polars as pl

from models.model import Model
from models.versions import VersionTable
from pilothouse.agents.agent import Agent, Request
from pilothouse.agents.capsules import Capsule, Ledger
from pilothouse.agents.cassette import Heard
from pilothouse.hindsight.money import decided
from pilothouse.hindsight.orders import FEATURES
from pilothouse.hindsight.settling import SUBJECT
from pilothouse.kernel.errors import AgentError
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.versions import Versions

RELEASED: Final = ("release", 0.0)  # what was done with every order before anybody decided


@dataclass(frozen=True, kw_only=True)
class Event:
    """One occasion to decide. Of a decision of the ledger it holds what was decided, at which versions, and what was heard."""

    request: Request
    order: str
    decided: tuple[str, float]  # action, and the share of a prepayment
    capsule: Capsule | None = None
    versions: Versions | None = None
    heard: tuple[Heard, ...] = ()

    @property
    def day(self) -> date:
        """When it was."""
        return self.request.at.astimezone(UTC).date()


def decisions(ledger: Ledger, agent: Agent, since: date | None, until: date | None) -> Iterator[Event]:
    """The decisions of an agent in a time, the first one first; of several about one order, the last."""
    seen: set[str] = set()
    kept: list[tuple[Capsule, tuple[str, float]]] = []
    for capsule in ledger.entries(kind="decision"):
        day = datetime.fromisoformat(capsule.manifest["at"]).date()
        if capsule.manifest["agent"] != agent.name or (since and day < since) or (until and day >= until):
            continue
        said = decided(capsule.body["output"])
        if said is not None and capsule.manifest["subject"] not in seen:
            seen.add(capsule.manifest["subject"])
            kept.append((capsule, said))
    for capsule, said in reversed(kept):
        request, versions, cassette = (ledger.blob(capsule.blobs[name]) for name in ("request", "versions", "cassette"))
        yield Event(
            request=Request.from_json(msgspec.json.decode(request)),
            order=str(capsule.manifest["subject"]).rpartition("/")[2],
            decided=said,
            capsule=capsule,
            versions=Versions.from_json(msgspec.json.decode(versions)),
            heard=tuple(each for each in msgspec.json.decode(cassette, type=list[Heard]) if each.source == "tool"),
        )


def orders_before(lake: Lake, agent: Agent, since: date | None, until: date | None, but: set[str]) -> Iterator[Event]:
    """The orders of a time about which nothing was decided, the first one first: all were delivered on account."""
    if not lake.table(FEATURES).exists():
        return
    rows = lake.table(FEATURES).scan().select("order_id", "ordered_on")
    if since is not None:
        rows = rows.filter(pl.col("ordered_on") >= since)
    if until is not None:
        rows = rows.filter(pl.col("ordered_on") < until)
    for order, day in rows.collect().sort("ordered_on", "order_id").iter_rows():
        if order not in but:
            at = datetime.combine(day, time(), UTC)
            event: dict[str, Any] = {"topic": "order.created", "key": order}
            yield Event(request=Request(subject=f"{agent.subject}/{order}", at=at, event=event), order=order, decided=RELEASED)


def about_orders(agent: Agent) -> None:
    """AgentError unless an agent decides about sales orders: of others no payment tells what they were worth."""
    if agent.subject.rpartition("/")[2] != SUBJECT:
        raise AgentError(
            f"{agent.name} does not decide about sales orders, but {agent.subject}", hint="backtest credit_desk, or one like it"
        )


def occasions(lake: Lake, ledger: Ledger | None, agent: Agent, since: date | None, until: date | None) -> list[Event]:
    """All there was to decide on in a time, in its order; without a ledger, orders alone."""
    of_ledger = list(decisions(ledger, agent, since, until)) if ledger is not None else []
    before = orders_before(lake, agent, since, until, {event.order for event in of_ledger})
    return sorted([*of_ledger, *before], key=lambda event: (event.request.at, event.order))


def since_unseen(lake: Lake, models: Iterable[Model], agent: Agent) -> date | None:
    """The first day of which the models that an agent asks have seen nothing: from there on it can be judged."""
    asked = (model for model in models if model.versions in agent.tables)
    return max((each.seen_until for model in asked for each in VersionTable(lake, model).all() if each.is_champion), default=None)
