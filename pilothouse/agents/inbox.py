"""What agents are to decide on: each occasion once, whatever crashes, and each with a word on what became of it.

    event log ──collect──▶ waiting ──run──▶ decided
    found by looking ────▶    ├─ nothing to decide on any more, or no run could ──▶ undecidable
                              └─ decided when the agent first looked, or history ─▶ covered

Taking events out of the log and moving its cursor is one transaction, deciding and settling is another. So an event is neither
lost nor decided twice, and one that cannot be decided yet waits here and holds up no other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from pilothouse.agents.agent import FOUND, Agent, Request, Rounds
from pilothouse.agents.capsules.capsule import Digest
from pilothouse.kernel.database import Database
from pilothouse.kernel.database.schema import agent_inbox as inbox
from pilothouse.kernel.events import Event, EventLog

State = Literal["waiting", "decided", "covered", "undecidable"]
_AT_ONCE: Final = 1_000
_COVERED: Final = "decided when the agent first looked, which was after this happened"
_HISTORY: Final = "happened long before the agent first looked"


@dataclass(frozen=True, kw_only=True)
class Occasion:
    """One thing to decide on."""

    agent: str
    occasion: str
    subject: str
    event: Mapping[str, Any]
    state: State
    said: str
    attempts: int
    happened_at: datetime
    noted_at: datetime
    decision: Digest | None

    @property
    def key(self) -> str:
        """The subject's own key, such as the number of an order."""
        return self.subject.rpartition("/")[2]

    def request(self, at: datetime) -> Request:
        """What the agent is asked about it."""
        return Request(subject=self.subject, at=at, event=self.event, event_id=self.occasion)


class Inbox:
    """The inbox of one agent."""

    def __init__(self, database: Database, agent: Agent) -> None:
        self._database = database
        self._agent = agent
        self._mine = inbox.c.agent == agent.name
        self._consumer = EventLog(database).consumer(f"agent/{agent.name}", agent.wakes_on)

    def news(self) -> int:
        """The id of an event that is to be collected; 0 where there is none."""
        if not self._agent.wakes_on:
            return 0
        events = self._consumer.read(limit=1)
        return events[0].id if events else 0

    def collect(self, *, since: datetime | None = None) -> int:
        """Take in every event that wakes the agent; returns how many there were. What happened before `since` is history to it."""
        taken = 0
        while self._agent.wakes_on and (events := self._consumer.read(limit=_AT_ONCE)):
            with self._database.begin() as connection:
                self._add(connection, [(str(event.id), f"{self._agent.subject}/{event.key}", _told(event), event.at) for event in events])
                connection.execute(_COVER, {"agent": self._agent.name, "found": FOUND, "said": _COVERED})
                if since is not None:
                    history = sa.and_(self._mine, inbox.c.state == "waiting", inbox.c.happened_at < since)
                    connection.execute(sa.update(inbox).where(history).values(state="covered", said=_HISTORY, settled_at=sa.func.now()))
                self._consumer.ack(events[-1].id, connection)
            taken += len(events)
        return taken

    def found(self, keys: Iterable[str], why: str) -> int:
        """Note subjects that the agent found by looking; those that it has heard of already stay as they are."""
        subjects = [f"{self._agent.subject}/{key}" for key in keys]
        now = datetime.now(UTC)
        with self._database.begin() as connection:
            heard = (self._mine, inbox.c.subject.in_(subjects), inbox.c.state != "covered")
            known: set[str] = set(connection.scalars(sa.select(inbox.c.subject).where(*heard)))
            fresh = [each for each in subjects if each not in known]
            self._add(connection, [(f"found/{each}", each, {"topic": FOUND, "why": why}, now) for each in fresh])
        return len(fresh)

    def looked(self, turn: str) -> bool:
        """Whether the round of that turn was made."""
        query = sa.select(sa.exists().where(self._mine, inbox.c.occasion == f"round/{turn}"))
        with self._database.reading() as connection:
            return bool(connection.scalar(query))

    def round(self, turn: str, keys: Sequence[str], rounds: Rounds) -> int:
        """Note what a round found, and that it was made. What the agent has heard of lately rests; so does what still waits."""
        subjects = [f"{self._agent.subject}/{key}" for key in keys]
        now = datetime.now(UTC)
        with self._database.begin() as connection:
            lately = sa.or_(inbox.c.noted_at >= now - rounds.rests, inbox.c.state == "waiting")
            known: set[str] = set(connection.scalars(sa.select(inbox.c.subject).where(self._mine, inbox.c.subject.in_(subjects), lately)))
            fresh = [each for each in dict.fromkeys(subjects) if each not in known][: rounds.most]
            why = f"{rounds.why}; found by a round of {self._agent.name}, which takes up {rounds.most} at most"
            self._add(connection, [(f"round/{turn}/{each}", each, {"topic": FOUND, "why": why}, now) for each in fresh])
            mark = {"agent": self._agent.name, "occasion": f"round/{turn}", "subject": self._agent.subject, "happened_at": now}
            said = {"state": "covered", "said": f"looked, and found {len(fresh)}", "event": {"topic": FOUND}, "settled_at": now}
            connection.execute(insert(inbox).on_conflict_do_nothing(), {**mark, **said})
        return len(fresh)

    def asked(self, keys: Iterable[str], by: str) -> None:
        """Note subjects that somebody wants to be decided anew, at today's data."""
        now = datetime.now(UTC)
        event = {"topic": "decision.asked", "by": by}
        with self._database.begin() as connection:
            self._add(connection, [(f"asked/{now.isoformat()}/{key}", f"{self._agent.subject}/{key}", event, now) for key in keys])

    def waiting(self, most: int = 5_000) -> list[Occasion]:
        """What is to be decided, the oldest first."""
        return self.all("waiting", most=most, newest=False)

    def all(self, state: State | None = None, *, most: int = 100, newest: bool = True) -> list[Occasion]:
        """Occasions, the newest first."""
        order = (inbox.c.noted_at.desc(), inbox.c.occasion.desc()) if newest else (inbox.c.noted_at, inbox.c.occasion)
        query = sa.select(inbox).where(self._mine, *([inbox.c.state == state] if state else [])).order_by(*order).limit(most)
        with self._database.reading() as connection:
            return [_occasion(row) for row in connection.execute(query)]

    def counts(self) -> Counter[str]:
        """How many occasions there are in each state."""
        query = sa.select(inbox.c.state, sa.func.count().label("occasions")).where(self._mine).group_by(inbox.c.state)
        with self._database.reading() as connection:
            return Counter({row.state: row.occasions for row in connection.execute(query)})

    def claim_within(self, connection: sa.Connection, occasion: Occasion) -> bool:
        """Whether it still waits; nobody else settles it until the transaction ends."""
        query = sa.select(inbox.c.state).where(self._mine, inbox.c.occasion == occasion.occasion).with_for_update()
        return connection.scalar(query) == "waiting"

    def settle_within(self, connection: sa.Connection, occasion: Occasion, decision: Digest) -> None:
        """It is decided, in the transaction that remembers the decision."""
        self._move(connection, occasion, state="decided", decision=bytes.fromhex(decision), said="", settled_at=sa.func.now())

    def give_up(self, occasion: Occasion, why: str) -> None:
        """It will not be decided."""
        with self._database.begin() as connection:
            self._move(connection, occasion, state="undecidable", said=why, settled_at=sa.func.now())

    def fail(self, occasion: Occasion, why: str) -> None:
        """A run came to no decision, and another may."""
        with self._database.begin() as connection:
            self._move(connection, occasion, said=why, attempts=inbox.c.attempts + 1)

    def _add(self, connection: sa.Connection, entries: list[tuple[str, str, Mapping[str, Any], datetime]]) -> None:
        rows = [
            {"agent": self._agent.name, "occasion": occasion, "subject": subject, "event": dict(event), "happened_at": at}
            for occasion, subject, event, at in entries
        ]
        if rows:
            connection.execute(insert(inbox).on_conflict_do_nothing(), rows)

    def _move(self, connection: sa.Connection, occasion: Occasion, **values: Any) -> None:
        where = (self._mine, inbox.c.occasion == occasion.occasion, inbox.c.state == "waiting")
        connection.execute(sa.update(inbox).where(*where).values(**values))


def prune(database: Database, older_than: timedelta) -> int:
    """Remove what was settled that long ago; returns how much. The decisions themselves stay in the ledger."""
    old = sa.and_(inbox.c.state != "waiting", inbox.c.settled_at < sa.func.now() - older_than)
    with database.begin() as connection:
        return connection.execute(sa.delete(inbox).where(old)).rowcount


# An order that was found open, and whose creation is announced afterwards: the agent has decided on it with all that it could know.
_COVER: Final = sa.text("""
UPDATE pilothouse.agent_inbox AS event SET state = 'covered', said = :said, settled_at = now()
FROM pilothouse.agent_inbox AS seen
WHERE event.agent = :agent AND event.state = 'waiting' AND event.event->>'topic' <> :found
  AND seen.agent = :agent AND seen.subject = event.subject AND seen.event->>'topic' = :found
  AND seen.state <> 'undecidable' AND seen.happened_at >= event.happened_at
""")


def _told(event: Event) -> dict[str, Any]:
    told = {"topic": event.topic, "key": event.key, "at": event.at.isoformat(), "payload": dict(event.payload)}
    return told | ({"correlation_id": event.correlation_id} if event.correlation_id else {})


def _occasion(row: Any) -> Occasion:
    copied = ("agent", "occasion", "subject", "event", "state", "said", "attempts", "happened_at", "noted_at")
    decision = None if row.decision is None else Digest(row.decision.hex())
    return Occasion(**{name: getattr(row, name) for name in copied}, decision=decision)
