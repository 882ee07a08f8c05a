"""The log: what is appended is read by everybody, once, in order, and nobody passes what may still be committed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilothouse.kernel.database import Database
from pilothouse.kernel.errors import DatabaseError
from pilothouse.kernel.events import Event, EventLog


def event(key: object, topic: str = "order.created") -> Event:
    return Event(topic, str(key), {"order": str(key)})


def keys(events: list[Event]) -> list[str]:
    return [each.key for each in events]


@pytest.fixture
def log(database: Database) -> EventLog:
    return EventLog(database)


json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
moments = st.datetimes(
    datetime(1970, 1, 1),  # noqa: DTZ001 - the strategy adds the zone
    datetime(2262, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]),
)
events = st.builds(Event, st.text("abc.é\\\t\n", min_size=1, max_size=9), text, st.dictionaries(text, json, max_size=3), text, moments)


@given(batch=st.lists(events, min_size=1, max_size=5))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_event_comes_back_as_it_was_told(log: EventLog, batch: list[Event]) -> None:
    ids = log.append(batch)
    found = log.read(after=ids[0] - 1)
    assert [each.id for each in found] == ids
    for told, heard in zip(batch, found, strict=True):
        assert (heard.topic, heard.key, heard.payload) == (told.topic, told.key, told.payload)
        assert (heard.correlation_id, heard.at) == (told.correlation_id, told.at)


def never_json() -> object:
    return object()


@pytest.mark.parametrize(
    "bad",
    [
        Event("", "k"),
        Event("t\0", "k"),
        Event("t", "k\0"),
        Event("t", "k", {"what": never_json()}),
        Event("t", "k", {"text": "\ud800"}),
        Event("t", "k", [1]),  # type: ignore[arg-type]
        Event("t", "k", at=datetime(2026, 1, 1)),  # noqa: DTZ001 - without a zone is the point
        Event("t", 7),  # type: ignore[arg-type]
    ],
    ids=["no topic", "NUL in topic", "NUL in key", "no JSON", "half a character", "no object", "no zone", "no text"],
)
def test_an_event_that_cannot_be_stored_is_named_and_takes_nobody_with_it(log: EventLog, bad: Event) -> None:
    with pytest.raises(DatabaseError, match="cannot be stored"):
        log.append([event(1), bad])
    with log.appender() as appender, pytest.raises(DatabaseError, match="cannot be stored"):
        appender.append(bad)
    assert log.read() == []


def test_a_nul_inside_a_payload_is_kept(log: EventLog) -> None:
    log.append([Event("t", "k", {"text": "a\0b"})])
    assert log.read()[0].payload == {"text": "a\0b"}


def test_an_event_in_a_transaction_happens_exactly_if_the_rest_does(log: EventLog) -> None:
    with log.database.begin() as connection:
        log.append_in(connection, [event("kept")])
        connection.execute(sa.text("INSERT INTO pilothouse.announcements (table_id, version) VALUES ('t', 1)"))

    def fail() -> None:
        with log.database.begin() as connection:
            log.append_in(connection, [event("gone")])
            connection.execute(sa.text("INSERT INTO pilothouse.announcements (table_id, version) VALUES ('t', 1)"))

    with pytest.raises(DatabaseError, match="duplicate key"):
        fail()
    assert keys(log.read()) == ["kept"]


def test_outside_of_a_transaction_it_refuses(log: EventLog) -> None:
    with log.database.reading() as connection, pytest.raises(DatabaseError, match="outside of a transaction"):
        log.append_in(connection, [event(1)])


def test_nothing_appended_is_nothing(log: EventLog) -> None:
    assert log.append([]) == []
    with log.appender() as appender:
        assert appender.append_all([]) == []
    assert log.read() == []
    assert log.horizon() == 0


@pytest.mark.parametrize("ending", ["commit", "rollback"])
def test_a_reader_waits_at_an_open_transaction_and_then_sees_everything_in_order(log: EventLog, ending: str) -> None:
    log.append([event("before")])
    with log.database.engine.connect() as open_one:
        log.append_in(open_one, [event("open")])
        log.append([event("after")])
        assert keys(log.read()) == ["before"], "'after' has a higher id than 'open', which may still be committed"
        getattr(open_one, ending)()
    assert keys(log.read()) == (["before", "open", "after"] if ending == "commit" else ["before", "after"])


def test_a_transaction_that_only_took_its_ids_is_waited_for_too(log: EventLog) -> None:
    with log.database.engine.connect() as open_one:
        open_one.execute(sa.text("SELECT pilothouse.reserve_events(3)"))
        log.append([event("after")])
        assert log.read() == []
        open_one.rollback()
    assert keys(log.read()) == ["after"]


def test_an_open_transaction_that_appends_nothing_holds_nobody_back(log: EventLog) -> None:
    with log.database.engine.connect() as busy:
        busy.execute(sa.text("INSERT INTO pilothouse.announcements (table_id, version) VALUES ('t', 1)"))
        log.append([event("seen")])
        assert keys(log.read()) == ["seen"]
        busy.rollback()


def test_a_writer_waits_for_no_other_writer(log: EventLog) -> None:
    with log.database.engine.connect() as open_one:
        log.append_in(open_one, [event("open")])
        with log.database.begin() as quick:
            quick.execute(sa.text("SET LOCAL lock_timeout = '1s'"))
            log.append_in(quick, [event("quick")])
        open_one.rollback()


def test_while_many_write_commit_late_and_roll_back_a_reader_sees_each_committed_event_once_and_in_order(log: EventLog) -> None:
    committed: set[str] = set()
    note = threading.Lock()

    def write(writer: int) -> None:
        for turn in range(25):
            with log.database.engine.connect() as connection:
                mine = [event(f"{writer}-{turn}-{i}") for i in range(1 + (writer + turn) % 3)]
                log.append_in(connection, mine)
                if (writer + turn) % 3 == 0:
                    time.sleep(0.02)  # long enough for the others to commit higher ids, and for the reader to come by
                if (writer + turn) % 5 == 0:
                    connection.rollback()
                    continue
                connection.commit()
            with note:
                committed.update(keys(mine))

    seen: list[Event] = []

    def drain() -> None:
        while found := log.read(after=seen[-1].id if seen else 0, limit=7):
            seen.extend(found)

    _while_running([threading.Thread(target=write, args=(n,)) for n in range(6)], drain)
    drain()
    assert [each.id for each in seen] == sorted({each.id for each in seen})
    assert sorted(keys(seen)) == sorted(committed)


def _while_running(threads: list[threading.Thread], step: Callable[[], None]) -> None:
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        step()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize(
    ("topics", "expected"),
    [
        (["order.created"], ["1"]),
        (["order.*"], ["1", "2"]),
        (["invoice.paid", "order.changed"], ["2", "3"]),
        (["order"], []),
        (["o_der.*"], []),
        ([], ["1", "2", "3"]),
    ],
)
def test_topics_choose(log: EventLog, topics: list[str], expected: list[str]) -> None:
    log.append([event(1), event(2, "order.changed"), event(3, "invoice.paid")])
    assert keys(log.read(topics=topics)) == expected


def test_reading_uses_the_index_however_long_the_log_is(log: EventLog) -> None:
    log.append([event(n) for n in range(5000)])
    with log.database.begin() as connection:
        connection.execute(sa.text("ANALYZE pilothouse.events"))
        plan: Any = connection.scalars(
            sa.text("EXPLAIN SELECT * FROM pilothouse.events WHERE id > 4000 AND id <= 4500 ORDER BY id LIMIT 10")
        ).all()
    assert "Index Scan using events_pkey" in "\n".join(plan)


def aged(days: float, key: object) -> Event:
    return Event("order.created", str(key), {}, "", datetime.now(UTC) - timedelta(days=days))


def test_retention_removes_what_is_old_but_keeps_the_newest(log: EventLog) -> None:
    log.append([aged(40, 1), aged(35, 2), aged(31, 3), aged(1, 4)])
    assert log.prune(timedelta(days=30), keep=2) == 2
    assert keys(log.read()) == ["3", "4"]
    assert log.prune(timedelta(days=30)) == 1
    assert log.prune(timedelta(days=30)) == 0
    assert keys(log.read()) == ["4"]


def test_retention_never_passes_a_young_event_even_if_an_older_one_follows(log: EventLog) -> None:
    log.append([aged(40, 1), aged(1, 2), aged(40, 3)])
    assert log.prune(timedelta(days=30)) == 1
    assert keys(log.read()) == ["2", "3"]


def test_retention_waits_for_an_open_transaction(log: EventLog) -> None:
    with log.database.engine.connect() as open_one:
        log.append_in(open_one, [aged(40, "open")])
        log.append([aged(40, "after")])
        assert log.prune(timedelta(days=30)) == 0
        open_one.commit()
    assert keys(log.read()) == ["open", "after"]


def test_retention_never_passes_a_live_consumer_but_an_abandoned_one_and_tells_it(log: EventLog) -> None:
    log.append([aged(40, n) for n in range(4)])
    consumer = log.consumer("credit_desk")
    consumer.ack(consumer.read(limit=1)[0].id)
    assert log.prune(timedelta(days=30)) == 1
    with log.database.begin() as connection:
        connection.execute(sa.text("UPDATE pilothouse.consumers SET seen_at = now() - interval '31 days'"))
    log.append([event("new")])
    assert log.prune(timedelta(days=30)) == 3
    back = log.consumer("credit_desk")
    with pytest.raises(DatabaseError, match="events 2 to 4 were removed before it read them"):
        back.read()
    assert back.skip_missed() == 3
    assert keys(back.read()) == ["new"]


def test_a_consumer_that_comes_after_retention_missed_nothing(log: EventLog) -> None:
    log.append([aged(40, "old"), event("new")])
    log.prune(timedelta(days=30))
    assert keys(log.consumer("late").read()) == ["new"]
