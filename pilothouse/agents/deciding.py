"""From what happened to decisions: one snapshot for many occasions, one transaction for those that are decided within half a second.

A decision, the proposal that it makes, the pins of what it read and the mark that its occasion is done become durable together, or
not at all. A run that is killed decides the rest when it runs again; an occasion that comes twice is decided once. What one occasion
does to a tool stops no other. An occasion whose subject is not in the tables yet waits for them; one whose subject is gone, or that
came to no decision in three runs, is given up with the reason. Decisions share a commit because the disk takes as long for one as a
policy does; a language model takes seconds, and each of its decisions is kept at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import polars as pl
import sqlalchemy as sa

from pilothouse.agents.agent import Agent
from pilothouse.agents.capsules import Capsule, Ledger
from pilothouse.agents.inbox import Inbox, Occasion
from pilothouse.agents.registry import Registry
from pilothouse.agents.running import Run, run
from pilothouse.agents.snapshot import Snapshot
from pilothouse.kernel.database import Database
from pilothouse.kernel.errors import AgentError, ModelUnavailable, PilothouseError
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.lake.current import newest
from pilothouse.kernel.lake.pins import Pins
from pilothouse.kernel.versions import Pinned, Versions
from pilothouse.tables.behind import behind

Follow = Callable[[sa.Connection, Capsule, Agent], Any]  # what else happens in the transaction of a decision
How = Literal["decided", "waiting", "failed", "undecidable"]
_ATTEMPTS: Final = 3
_AT_ONCE: Final = 500
TOGETHER: Final = 50  # decisions that share a commit, at most
HELD_BACK: Final = 0.5  # seconds that one may wait for the others
_RECENT: Final = timedelta(days=1)  # what happened earlier is history to an agent that looks for the first time


@dataclass(frozen=True, kw_only=True)
class Came:
    """What came of one occasion."""

    occasion: Occasion
    how: How
    said: str = ""
    capsule: Capsule | None = None
    seconds: float = 0.0
    for_all: bool = False  # what failed fails for all others too, and none of them is to blame
    versions: Versions = field(default_factory=Versions)

    @property
    def output(self) -> Mapping[str, Any]:
        """What was decided."""
        return {} if self.capsule is None else self.capsule.body["output"]


@dataclass(frozen=True)
class _Made:
    """A run that came to a decision, which nobody knows of yet."""

    occasion: Occasion
    run: Run
    seconds: float


class Deciding:
    """One agent at work over one lake, ledger and inbox."""

    def __init__(
        self,
        agent: Agent,
        *,
        lake: Lake,
        database: Database,
        ledger: Ledger,
        pins: Pins,
        follow: Follow = lambda *_: None,
        patience: timedelta = timedelta(days=1),
    ) -> None:
        self.agent = agent
        self.inbox = Inbox(database, agent)
        self._registry = Registry(database)
        self._lake = lake
        self._database = database
        self._ledger = ledger
        self._pins = pins
        self._follow = follow
        self._patience = patience
        self._held = ""  # the snapshot that was pinned last

    def state(self) -> dict[str, Any] | None:
        """A word for what a run would work on; None where there is nothing to do. A state is worth one run."""
        news, waiting = self.inbox.news(), self.inbox.waiting()
        turn = self._turn()
        if not news and not waiting and not turn and not self._looks_first():
            return None
        tables = {name: self._lake.table(name).version() for name in self.agent.awaits if self._lake.table(name).exists()}
        if self.agent.awaits.keys() - tables.keys():
            return None  # until every table has been built once, there is nothing to decide by
        return {
            "news": news,
            "waiting": [f"{each.occasion} {each.attempts}" for each in waiting],
            "tables": tables,
            "overdue": sum(self._overdue(each) for each in waiting),
            **({"round": turn} if turn else {}),
        }

    def decide(self, *, most: int = _AT_ONCE) -> Iterator[Came]:
        """Collect what happened and decide what can be decided, telling what came of each as it is durable."""
        first = self._looks_first()
        self.inbox.collect(since=datetime.now(UTC) - _RECENT if first else None)
        snapshot = Snapshot.take(self._lake, sorted({*self.agent.tables, *self.agent.awaits}))
        try:
            if first:
                self._look(snapshot)
            self._make_round(snapshot)
            waiting = self.inbox.waiting()
            gone = self._gone(waiting)
            ready = self._ready(snapshot, waiting) - gone
            yield from self._not_ready([each for each in waiting if each.occasion not in ready], gone)
            yield from self._work_on([each for each in waiting if each.occasion in ready][:most], snapshot)
        finally:
            snapshot.close()

    def _looks_first(self) -> bool:
        return self.agent.backlog is not None and not self._registry.has_run(self.agent.name)

    def _look(self, snapshot: Snapshot) -> None:
        """Note what is open and recent: its creation was never announced, being part of a first load."""
        backlog = self.agent.backlog
        if backlog is None or backlog.table not in snapshot.tables:
            return
        order = f"-{backlog.newest}, -{backlog.key}"
        rows = snapshot.rows(backlog.table, backlog.where, limit=backlog.most, order=order)
        open_ = " and ".join(f"{name} = {str(value).lower()}" for name, value in backlog.where.items())
        why = f"among the {backlog.most} newest with {open_} when {self.agent.name} first looked; older ones are history to it"
        self.inbox.found([str(row[backlog.key]) for row in reversed(rows)], why)

    def _turn(self) -> str:
        """The round that is to be made; empty where none is, or where it was made."""
        if self.agent.rounds is None:
            return ""
        turn = str(int(datetime.now(UTC).timestamp() // self.agent.rounds.every.total_seconds()))
        return "" if self.inbox.looked(turn) else turn

    def _make_round(self, snapshot: Snapshot) -> None:
        """Look for what no event tells of. A round that dies is made again: what it noted is noted once."""
        if (turn := self._turn()) and self.agent.rounds is not None:
            self.inbox.round(turn, self.agent.rounds.find(snapshot, datetime.now(UTC)), self.agent.rounds)

    def _ready(self, snapshot: Snapshot, waiting: list[Occasion]) -> set[str]:
        """The occasions whose subjects are in every table that the agent awaits."""
        keys = {each.key for each in waiting}
        for table, column in self.agent.awaits.items():
            keys &= snapshot.holds(table, column, keys)
        return {each.occasion for each in waiting if each.key in keys}

    def _not_ready(self, waiting: list[Occasion], gone: set[str]) -> Iterator[Came]:
        for each in waiting:
            if each.occasion in gone:
                yield self._given_up(each, f"{each.subject} was deleted in its source before it could be decided")
            elif self._overdue(each):
                tables = " and ".join(self.agent.awaits)
                yield self._given_up(each, f"{each.subject} did not come into {tables} within {self._patience}")
            else:
                yield Came(occasion=each, how="waiting", said=f"not in {' and '.join(self.agent.awaits)} yet")

    def _gone(self, waiting: list[Occasion]) -> set[str]:
        """The occasions whose subjects their raw table knows as deleted."""
        gone: set[str] = set()
        rows: dict[str, dict[bytes, list[str]]] = {}
        for each in waiting:
            told = each.event.get("payload", {})
            if "table" in told and "row_id" in told:
                rows.setdefault(told["table"], {}).setdefault(bytes.fromhex(told["row_id"]), []).append(each.occasion)
        for table, wanted in rows.items():
            if self._lake.table(table).exists():
                known = self._lake.table(table).scan().filter(pl.col("_row_id").is_in(list(wanted)))
                deleted = newest(known, ["_change"]).filter(pl.col("_change") == "delete").collect(engine="streaming")
                gone |= {occasion for row_id in deleted["_row_id"] for occasion in wanted[row_id]}
        return gone

    def _overdue(self, occasion: Occasion) -> bool:
        return datetime.now(UTC) - occasion.noted_at > self._patience

    def _work_on(self, occasions: Sequence[Occasion], snapshot: Snapshot) -> Iterator[Came]:
        """Decide on each, and keep what was decided in as few commits as nobody has to wait for."""
        made: list[_Made] = []
        since = time.monotonic()
        for occasion in occasions:
            one = self._one(occasion, snapshot)
            if isinstance(one, _Made):
                made.append(one)
            if isinstance(one, Came) or len(made) >= TOGETHER or time.monotonic() - since > HELD_BACK:
                yield from self._keep(made, snapshot)
                made, since = [], time.monotonic()
            if isinstance(one, Came):
                yield one
                if one.for_all:
                    return
        yield from self._keep(made, snapshot)

    def _one(self, occasion: Occasion, snapshot: Snapshot) -> _Made | Came:
        """Run. What is wrong with the database or the lake is wrong for all, and stops the batch."""
        began = time.monotonic()
        try:
            made = run(self.agent, occasion.request(datetime.now(UTC)), snapshot)
        except ModelUnavailable as error:
            self.inbox.fail(occasion, str(error))  # however often: an order is not given up because a server is down
            return Came(occasion=occasion, how="failed", said=str(error), for_all=True)
        except AgentError as error:
            return self._failed(occasion, str(error))
        except PilothouseError:
            raise
        except Exception as error:  # a brain that is broken for one subject decides on others all the same
            return self._failed(occasion, f"{self.agent.name}: {type(error).__name__}: {error}")
        return _Made(occasion, made, time.monotonic() - began)

    def _keep(self, made: Sequence[_Made], snapshot: Snapshot) -> Iterator[Came]:
        """Remember what was decided, all of it or none. Where one stands in the way of all, each is tried by itself."""
        if not made:
            return
        try:
            self._hold(snapshot)
            capsules = self._remember(made)
        except Exception as error:
            if isinstance(error, PilothouseError) and not isinstance(error, AgentError):
                raise
            if len(made) > 1:
                for each in made:
                    yield from self._keep([each], snapshot)
            else:
                said = str(error) if isinstance(error, AgentError) else f"{self.agent.name}: {type(error).__name__}: {error}"
                yield self._failed(made[0].occasion, said)
            return
        for each, capsule in zip(made, capsules, strict=True):
            if capsule is None:
                yield Came(occasion=each.occasion, how="waiting", said="somebody else has settled it meanwhile")
            else:
                yield Came(occasion=each.occasion, how="decided", capsule=capsule, seconds=each.seconds, versions=each.run.versions)

    def _remember(self, made: Sequence[_Made]) -> list[Capsule | None]:
        """The decisions, what follows from them and the marks on their occasions, in one transaction; None where one is settled already."""
        with self._database.begin() as connection:
            ours = [each for each in made if self.inbox.claim_within(connection, each.occasion)]
            capsules = self._ledger.append_within(connection, [each.run.draft() for each in ours])
            for each, capsule in zip(ours, capsules, strict=True):
                self._registry.note_within(connection, capsule)
                self._follow(connection, capsule, self.agent)
                self.inbox.settle_within(connection, each.occasion, capsule.digest)
        kept = {each.occasion.occasion: capsule for each, capsule in zip(ours, capsules, strict=True)}
        return [kept.get(each.occasion.occasion) for each in made]

    def _hold(self, snapshot: Snapshot) -> None:
        """Pin all that the decision stands on before it is durable: a crash in between leaves a pin too many, never one too few."""
        if snapshot.versions.digest() != self._held:
            self._pins.hold(behind(self._lake, snapshot.versions), f"agent/{self.agent.name}", reason="a decision stands on it")
            self._held = snapshot.versions.digest()

    def _failed(self, occasion: Occasion, why: str) -> Came:
        if occasion.attempts + 1 >= _ATTEMPTS:
            return self._given_up(occasion, f"no decision in {_ATTEMPTS} runs: {why}")
        self.inbox.fail(occasion, why)
        return Came(occasion=occasion, how="failed", said=why)

    def _given_up(self, occasion: Occasion, why: str) -> Came:
        self.inbox.give_up(occasion, why)
        return Came(occasion=occasion, how="undecidable", said=why)


def read_by(came: list[Came]) -> Versions:
    """All that decisions of one run read, as one vector."""
    read: set[Pinned] = set()
    for each in came:
        read |= set(each.versions.read)
    return Versions(read=tuple(sorted(read)))
