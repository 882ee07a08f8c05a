"""Payments settle decisions: what became of each is an entry of the ledger about it, and an event, once.

An entry and its event are one transaction, and the database itself refuses a second outcome of one decision. So whoever is killed
anywhere leaves decisions that are settled and decisions that are not, and the next run finds the latter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import polars as pl
import sqlalchemy as sa

from pilothouse.agents.capsules import Capsule, Draft, Ledger
from pilothouse.agents.capsules.capsule import Digest
from pilothouse.hindsight.money import Money, decided
from pilothouse.hindsight.orders import OPEN, TABLES, became, fates
from pilothouse.kernel.database import Database
from pilothouse.kernel.database.schema import capsules
from pilothouse.kernel.events import Event, EventLog
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.versions import Versions

SETTLED: Final = "decision.settled"  # the topic
SUBJECT: Final = "sales_order"  # what decisions are about that payments settle: <source>/sales_order/<number>
_TOGETHER: Final = 500  # outcomes in one transaction


class _Said(NamedTuple):
    """A decision that money can judge."""

    capsule: Capsule
    action: str
    share: float


class _Open(NamedTuple):
    """A decision without an outcome."""

    digest: Digest
    agent: str
    subject: str


@dataclass(frozen=True)
class Ready:
    """Decisions whose outcome is known and has not been written down: digest to what became of the order."""

    fates: Mapping[Digest, Mapping[str, Any]]
    open: int  # decisions without an outcome, these included


class Judgeable(NamedTuple):
    """Decisions about late orders that are open, as rows; and the day of which payments tell."""

    rows: list[dict[str, Any]]
    today: date


class Settling:
    """Settles the decisions of one ledger by one lake."""

    def __init__(self, database: Database, ledger: Ledger, events: EventLog, lake: Lake, money: Money) -> None:
        self._database = database
        self._ledger = ledger
        self._events = events
        self._lake = lake
        self._money = money

    def ready(self) -> Ready:
        """What could be settled now. Before the marts exist, nothing can."""
        waiting = self._waiting()
        if not waiting or not all(self._lake.table(name).exists() for name in TABLES):
            return Ready({}, len(waiting))
        found = fates(self._lake, self._money, {each.subject.rpartition("/")[2] for each in waiting}).settled
        known = {row["order_id"]: row for row in found.iter_rows(named=True)}
        ready = {each.digest: known[order] for each in waiting if (order := each.subject.rpartition("/")[2]) in known}
        return Ready(ready, len(waiting))

    def late_and_open(self) -> Judgeable:
        """Decisions that are not settled, and whose orders are late: by them, too, decisions are judged."""
        waiting = {each.subject.rpartition("/")[2]: each for each in self._waiting()}
        found = fates(self._lake, self._money, waiting)
        rows = found.frame.filter(pl.col("outcome") == OPEN)
        named = {waiting[row["order_id"]].digest: row for row in rows.iter_rows(named=True)}
        said = [each for capsule in self._ledger.these(named) if (each := _said(capsule)) is not None]
        told = [{**named[each.capsule.digest], **_about(each, named[each.capsule.digest])} for each in said]
        return Judgeable(told, found.today)

    def settle(self) -> Iterator[Capsule]:
        """Settle what can be; yields the entries as they become durable, some hundred at a time."""
        ready = list(self.ready().fates.items())
        for start in range(0, len(ready), _TOGETHER):
            yield from self._together(dict(ready[start : start + _TOGETHER]))

    def _together(self, some: Mapping[Digest, Mapping[str, Any]]) -> list[Capsule]:
        drafts = list(self._drafts({each.digest: said for each in self._ledger.these(some) if (said := _said(each)) is not None}, some))
        with self._database.begin() as connection:
            # Held until the end of the transaction: another settler waits here, and then finds these settled.
            self._ledger.lock(connection)
            settled = self._settled_already(connection, some)
            made = self._ledger.append_within(connection, [draft for draft in drafts if draft.about not in settled])
            self._events.append_in(connection, map(_event, made))
        return made

    def _drafts(self, said: Mapping[Digest, _Said], some: Mapping[Digest, Mapping[str, Any]]) -> Iterator[Draft]:
        if not said:
            return
        rows = pl.DataFrame([some[each] for each in said], infer_schema_length=None)
        amount = rows["placed_eur"].cast(pl.Float64).fill_null(0.0).to_numpy()
        actions = np.array([each.action for each in said.values()])
        shares = np.array([each.share for each in said.values()])
        outcomes = became(rows)
        brought, (best, part, most) = self._money.of(actions, shares, amount, outcomes), self._money.best(amount, outcomes)
        withdrawn = (rows["outcome"] == "withdrawn").to_numpy()
        for place, (each, row) in enumerate(zip(said.values(), rows.iter_rows(named=True), strict=True)):
            # Of an order that its customer took back, no decision has earned or lost anything.
            worth = (0.0, 0.0) if withdrawn[place] else (float(brought[place]), float(most[place]))
            told = {"model": self._model(each.capsule), "money": self._money.version}
            yield _draft(each, {**row, **told}, worth, (str(best[place]), float(part[place])))

    def _model(self, capsule: Capsule) -> str | None:
        """The version of the model whose word a decision had."""
        named = capsule.blobs.get("versions")
        if named is None:
            return None
        read = Versions.from_json(msgspec.json.decode(self._ledger.blob(named))).read
        return next((f"{entry.name}@{entry.version}" for entry in read if entry.kind == "model"), None)

    def _waiting(self) -> list[_Open]:
        """Decisions about orders that have no outcome, the oldest first. Their manifests are not read: there may be many."""
        outcome = capsules.alias("outcome")
        settled = sa.exists().where(outcome.c.about == capsules.c.digest, outcome.c.kind == "outcome")
        asked = (
            sa.select(capsules.c.digest, capsules.c.agent, capsules.c.subject)
            .where(capsules.c.kind == "decision", sa.func.split_part(capsules.c.subject, "/", 2) == SUBJECT, ~settled)
            .order_by(capsules.c.seq)
        )
        with self._database.reading() as connection:
            return [_Open(Digest(row.digest.hex()), row.agent, row.subject) for row in connection.execute(asked)]

    @staticmethod
    def _settled_already(connection: sa.Connection, some: Mapping[Digest, Any]) -> set[Digest]:
        named = [bytes.fromhex(each) for each in some]
        asked = sa.select(capsules.c.about).where(capsules.c.kind == "outcome", capsules.c.about.in_(named))
        return {Digest(row.about.hex()) for row in connection.execute(asked)}


def _said(capsule: Capsule) -> _Said | None:
    """What was decided; None where it is nothing that payments tell the worth of."""
    output = capsule.body.get("output")
    said = decided(output) if isinstance(output, Mapping) else None
    return None if said is None else _Said(capsule, *said)


def _draft(decision: _Said, row: Mapping[str, Any], worth: tuple[float, float], best: tuple[str, float]) -> Draft:
    capsule = decision.capsule
    body = {
        "decision": capsule.digest,
        "decided_at": capsule.manifest["at"],
        "firm_id": row["firm_id"],
        "action": decision.action,
        "share": decision.share,
        "probability": capsule.body["output"].get("probability"),
        "model": row["model"],
        "outcome": row["outcome"],
        "days_late": row["days_late"],
        "lost_share": round(row["lost_share"], 6),
        "amount_eur": _text(row["placed_eur"]),
        "exposure_eur": _text(row["open_eur"]),
        "owed_eur": _text(row["owed_eur"]),
        "paid_eur": _text(row["paid_eur"]),
        "due_on": None if row["due_on"] is None else row["due_on"].isoformat(),
        "settled_on": row["settled_on"].isoformat(),
        "worth_eur": round(worth[0], 2),
        "best": {"action": best[0], "share": best[1], "worth_eur": round(worth[1], 2)},
        "regret_eur": round(worth[1] - worth[0], 2),
        "money": row["money"],
    }
    return Draft(
        kind="outcome",
        subject=str(capsule.manifest["subject"]),
        at=_moment(row["settled_on"]),
        body=body,
        about=capsule.digest,
        agent=str(capsule.manifest["agent"]),
        agent_version=str(capsule.manifest["agent_version"]),
        synthetic=bool(capsule.manifest["synthetic"] or row["_synthetic"]),
    )


def _about(decision: _Said, row: Mapping[str, Any]) -> dict[str, Any]:
    """What a row of a table says of a decision and its order."""
    manifest = decision.capsule.manifest
    return {
        "decision": decision.capsule.digest,
        "subject": manifest["subject"],
        "agent": manifest["agent"],
        "decided_at": datetime.fromisoformat(manifest["at"]),
        "action": decision.action,
        "share": decision.share,
        "amount_eur": row["placed_eur"],
        "exposure_eur": row["open_eur"],
        "_synthetic": bool(manifest["synthetic"] or row["_synthetic"]),
    }


def _event(made: Capsule) -> Event:
    body = made.body
    told = {name: body[name] for name in ("decision", "action", "outcome", "days_late", "worth_eur", "regret_eur", "settled_on")}
    return Event(
        topic=SETTLED,
        key=str(made.manifest["subject"]),
        payload={**told, "capsule": made.digest, "agent": made.manifest["agent"], "synthetic": made.manifest["synthetic"]},
    )


def _moment(day: date) -> datetime:
    """The end of a day: by then it was known."""
    return datetime.combine(day, time(23, 59, 59), UTC)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
