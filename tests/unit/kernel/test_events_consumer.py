"""Consumers: at least once by default, exactly once in one transaction, and awake when there is something to do."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
import sqlalchemy as sa

from pilothouse.kernel.database import Database
from pilothouse.kernel.errors import DatabaseError, DatabaseUnavailable
from pilothouse.kernel.events import Consumer, Event, EventLog


def event(key: object, topic: str = "order.created") -> Event:
    return Event(topic, str(key))


def keys(events: list[Event]) -> list[str]:
    return [each.key for each in events]


@pytest.fixture
def log(database: Database) -> EventLog:
    return EventLog(database)


@pytest.fixture
def consumer(log: EventLog) -> Iterator[Consumer]:
    with log.consumer("credit_desk") as consumer:
        yield consumer


def test_until_it_is_acknowledged_an_event_comes_again_in_the_next_life_too(log: EventLog, consumer: Consumer) -> None:
    ids = log.append([event(n) for n in range(4)])
    assert keys(consumer.read(limit=2)) == keys(consumer.read(limit=2)) == ["0", "1"]
    consumer.ack(ids[0])
    assert keys(log.consumer("credit_desk").read()) == ["1", "2", "3"]
    consumer.ack(ids[3])
    assert log.consumer("credit_desk").read() == consumer.read() == []


def test_two_consumers_go_at_their_own_pace(log: EventLog, consumer: Consumer) -> None:
    ids = log.append([event(n) for n in range(2)])
    consumer.ack(ids[1])
    assert keys(log.consumer("other").read()) == ["0", "1"]
    assert {name: position for name, (position, _) in log.consumers().items()} == {"credit_desk": ids[1], "other": 0}


def test_acknowledged_in_the_transaction_of_the_effect_each_event_takes_effect_once(log: EventLog, consumer: Consumer) -> None:
    log.append([event(n) for n in range(3)])

    def act(*, crash: bool) -> None:
        with log.database.begin() as connection:
            for each in consumer.read():
                connection.execute(sa.text("INSERT INTO pilothouse.announcements (table_id, version) VALUES (:key, 1)"), {"key": each.key})
                consumer.ack(each.id, connection)
            if crash:
                raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        act(crash=True)
    act(crash=False)
    act(crash=False)
    with log.database.reading() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM pilothouse.announcements")) == 3
    assert consumer.read() == []


def test_of_two_readers_under_one_name_the_slower_one_is_told(log: EventLog, consumer: Consumer) -> None:
    ids = log.append([event(n) for n in range(3)])
    twin = log.consumer("credit_desk")
    assert keys(twin.read()) == keys(consumer.read())
    consumer.ack(ids[1])
    with pytest.raises(DatabaseError, match="somebody else moved its cursor"):
        twin.ack(ids[0])
    assert keys(twin.read()) == ["2"]


def test_acknowledging_the_past_moves_nothing(log: EventLog, consumer: Consumer) -> None:
    ids = log.append([event(n) for n in range(3)])
    consumer.ack(ids[2])
    consumer.ack(ids[0])
    assert consumer.position == ids[2]
    assert consumer.read() == []


def test_topics_of_others_are_passed_over_durably(log: EventLog) -> None:
    log.append([event(n, "noise") for n in range(1500)])
    consumer = log.consumer("credit_desk", ["order.*"])
    assert consumer.read() == []
    assert log.consumers()["credit_desk"][0] == log.horizon()
    log.append([event("mine"), event("noise", "noise")])
    assert keys(consumer.read()) == ["mine"]
    assert keys(consumer.read()) == ["mine"]


def test_waiting_ends_when_something_for_us_is_committed(log: EventLog) -> None:
    with log.consumer("credit_desk", ["order.*"]) as consumer:
        assert consumer.wait(0.01) is False
        tell = threading.Thread(target=lambda: (log.append([event(0, "noise")]), log.append([event("mine")])))
        started = time.monotonic()
        tell.start()
        assert consumer.wait(20)
        assert time.monotonic() - started < 4, "a notification woke us, not the watch every five seconds"
        tell.join()
        assert keys(consumer.read()) == ["mine"]


def test_waiting_returns_at_once_for_what_is_there_already(log: EventLog, consumer: Consumer) -> None:
    log.append([event(1)])
    assert consumer.wait(0)


def test_waiting_behind_a_transaction_that_rolls_back_ends_although_nobody_notifies(log: EventLog, consumer: Consumer) -> None:
    with log.database.engine.connect() as open_one:
        log.append_in(open_one, [event("never")])
        log.append([event("after")])
        assert consumer.wait(0.05) is False
        rollback = threading.Timer(0.1, open_one.rollback)
        rollback.start()
        started = time.monotonic()
        assert consumer.wait(20)
        assert time.monotonic() - started < 4
        rollback.join()
    assert keys(consumer.read()) == ["after"]


def test_losing_the_connection_while_waiting_is_said_and_the_next_wait_works(log: EventLog, consumer: Consumer) -> None:
    assert consumer.wait(0) is False
    with psycopg.connect(log.database.url, autocommit=True) as killer:
        killer.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
    with pytest.raises(DatabaseUnavailable):
        consumer.wait(10)
    log.append([event(1)])
    assert consumer.wait(10)


def test_a_forgotten_consumer_starts_over_and_an_unknown_one_is_an_error(log: EventLog, consumer: Consumer) -> None:
    consumer.ack(log.append([event(1)])[0])
    log.forget("credit_desk")
    assert keys(log.consumer("credit_desk").read()) == ["1"]
    with pytest.raises(DatabaseError, match="no consumer 'nobody'") as refusal:
        log.forget("nobody")
    assert "credit_desk" in refusal.value.hint
