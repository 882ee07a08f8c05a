"""Group commit: everybody's event once, whatever dies in between, and no id before it is durable."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from urllib.parse import urlsplit

import psycopg
import pytest

from pilothouse.kernel.database import Database
from pilothouse.kernel.errors import DatabaseUnavailable
from pilothouse.kernel.events import Event, EventLog
from pilothouse.kernel.events.event import encoded
from pilothouse.kernel.events.group import Group, Line
from pilothouse.local.postgres import EmbeddedPostgres

PRODUCER = """
import sys
from pilothouse.kernel.database import Database
from pilothouse.kernel.events import Event, EventLog
with EventLog(Database(sys.argv[1])).appender() as appender:
    for n in range(1_000_000):
        print(appender.append(Event("t", str(n))), flush=True)
"""


@pytest.fixture
def log(database: Database) -> EventLog:
    return EventLog(database)


@pytest.fixture(scope="module")
def mortal_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(tmp_path_factory.mktemp("mortal") / "postgres", durable=False) as server:
        yield server


@pytest.fixture
def own_server(mortal_server: EmbeddedPostgres) -> EmbeddedPostgres:
    """A server that a test may kill, and that runs when the test begins."""
    mortal_server.start()
    return mortal_server


@pytest.fixture
def own_log(own_server: EmbeddedPostgres) -> Iterator[EventLog]:
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(own_server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    database = Database(own_server.url(name))
    database.upgrade()
    yield EventLog(database)
    database.close()


def everything(log: EventLog) -> list[Event]:
    found: list[Event] = []
    while page := log.read(after=found[-1].id if found else 0, limit=5000):
        found += page
    return found


def in_threads(count: int, work: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=work, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_events_of_many_threads_are_there_once_under_the_id_each_was_told(log: EventLog) -> None:
    told: dict[str, int] = {}
    with log.appender() as appender:

        def produce(producer: int) -> None:
            for turn in range(30):
                key = f"{producer}-{turn}"
                told[key] = appender.append(Event("t", key))

        in_threads(16, produce)
    assert {each.key: each.id for each in everything(log)} == told
    assert len(told) == 480


def test_one_thread_after_another_its_events_keep_their_order(log: EventLog) -> None:
    with log.appender() as appender:
        ids = [appender.append(Event("t", str(n))) for n in range(20)]
        ids += appender.append_all([Event("t", str(n)) for n in range(20, 40)])
    assert ids == sorted(ids)
    assert [each.key for each in everything(log)] == [str(n) for n in range(40)]


def test_those_who_wait_share_a_commit(log: EventLog) -> None:
    at_the_door = threading.Barrier(33)
    with psycopg.connect(log.database.url) as connection, log.appender() as appender:
        connection.execute("LOCK TABLE pilothouse.events IN ACCESS EXCLUSIVE MODE")  # the first commit has to wait, and all with it

        def produce(producer: int) -> None:
            at_the_door.wait()
            appender.append(Event("t", f"{producer}"))

        def let_in() -> None:
            at_the_door.wait()
            time.sleep(1)  # from the door to the queue
            connection.rollback()

        opener = threading.Thread(target=let_in)
        opener.start()
        in_threads(32, produce)
        opener.join()
        row = connection.execute("SELECT count(*), count(DISTINCT batch) FROM pilothouse.events").fetchone()
    assert row is not None
    assert row[0] == 32
    assert row[1] <= 3


def test_more_than_a_group_holds_arrives_completely_and_in_order(log: EventLog) -> None:
    with log.appender() as appender:
        assert len(appender.append_all([Event("t", str(n)) for n in range(12_000)])) == 12_000
    assert [each.key for each in everything(log)] == [str(n) for n in range(12_000)]


def test_events_of_many_tasks_are_there_once_under_the_id_each_was_told(log: EventLog) -> None:
    async def produce() -> dict[str, int]:
        async with log.async_appender() as appender:

            async def one(producer: int) -> dict[str, int]:
                return {f"{producer}-{turn}": await appender.append(Event("t", f"{producer}-{turn}")) for turn in range(20)}

            parts = await asyncio.gather(*(one(n) for n in range(32)))
            burst = [appender.append(Event("t", f"burst-{n}")) for n in range(6000)]
        return {key: number for part in parts for key, number in part.items()} | {f"burst-{n}": f.result() for n, f in enumerate(burst)}

    told = asyncio.run(produce())
    assert {each.key: each.id for each in everything(log)} == told
    assert len(told) == 6640


def test_a_cancelled_waiter_disturbs_nobody(log: EventLog) -> None:
    async def produce() -> None:
        async with log.async_appender() as appender:
            futures = [appender.append(Event("t", str(n))) for n in range(10)]
            futures[3].cancel()
            await asyncio.gather(*futures[:3], *futures[4:])

    asyncio.run(produce())
    assert len(everything(log)) == 10


def test_a_producer_killed_at_a_random_moment_loses_no_event_it_was_told_of(log: EventLog) -> None:
    process = subprocess.Popen([sys.executable, "-c", PRODUCER, log.database.url], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    told = [int(process.stdout.readline()) for _ in range(200)]
    process.kill()
    told += [int(line) for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    process.wait()
    process.stdout.close()
    found = [each.id for each in everything(log)]
    assert set(told) <= set(found)
    assert len(found) == len(set(found))


def test_while_the_server_is_killed_and_started_again_no_event_is_lost_or_doubled(own_log: EventLog, own_server: EmbeddedPostgres) -> None:
    told: dict[str, int] = {}
    with own_log.appender(patience=60) as appender:
        stop = threading.Event()

        def produce(producer: int) -> None:
            turn = 0
            while not stop.is_set():
                key = f"{producer}-{turn}"
                told[key] = appender.append(Event("t", key))
                turn += 1

        threads = [threading.Thread(target=produce, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for _ in range(4):
            goal = len(told) + 50
            assert eventually(partial(_more_than, told, goal))
            kill(own_server)
            own_server.start()
        stop.set()
        for thread in threads:
            thread.join()
    assert {each.key: each.id for each in everything(own_log)} == told
    assert len(everything(own_log)) == len(told)


def test_tasks_survive_a_killed_server_too(own_log: EventLog, own_server: EmbeddedPostgres) -> None:
    async def produce() -> int:
        async with own_log.async_appender(patience=60) as appender:
            count = 0
            for round_ in range(3):
                await asyncio.gather(*(appender.append(Event("t", f"{round_}-{n}")) for n in range(50)))
                waiting = [appender.append(Event("t", f"{round_}-during-{n}")) for n in range(50)]
                kill(own_server)
                await asyncio.get_running_loop().run_in_executor(None, own_server.start)
                await asyncio.gather(*waiting)
                count += 100
            return count

    count = asyncio.run(produce())
    found = [each.key for each in everything(own_log)]
    assert len(found) == len(set(found)) == count


def test_a_server_that_stays_away_is_said_to_everybody_who_waits(own_log: EventLog, own_server: EmbeddedPostgres) -> None:
    errors: list[Exception] = []
    with own_log.appender(patience=0.3) as appender:
        appender.append(Event("t", "before"))
        own_server.stop()

        def produce(producer: int) -> None:
            try:
                appender.append(Event("t", str(producer)))
            except DatabaseUnavailable as error:
                errors.append(error)

        in_threads(5, produce)
        assert len(errors) == len(set(map(id, errors))) == 5
        own_server.start()
        appender.append(Event("t", "after"))
    assert [each.key for each in everything(own_log)] == ["before", "after"]


def test_tasks_are_told_that_the_server_stays_away(own_log: EventLog, own_server: EmbeddedPostgres) -> None:
    async def produce() -> list[object]:
        async with own_log.async_appender(patience=0.3) as appender:
            await appender.append(Event("t", "before"))
            own_server.stop()
            return await asyncio.gather(*(appender.append(Event("t", str(n))) for n in range(3)), return_exceptions=True)

    assert [type(outcome) for outcome in asyncio.run(produce())] == [DatabaseUnavailable] * 3


class Cutter:
    """A wire to the server that is cut when the answer to the rows comes back: committed, and nobody was told."""

    def __init__(self, url: str) -> None:
        self.server = (urlsplit(url).hostname or "", urlsplit(url).port or 0)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = url.replace(f":{self.server[1]}/", f":{self.listener.getsockname()[1]}/")
        self.cuts = 0
        self.armed = True
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                far = socket.create_connection(self.server)
                copying = threading.Event()
                threading.Thread(target=self.pump, args=(near, far, copying, True), daemon=True).start()
                threading.Thread(target=self.pump, args=(far, near, copying, False), daemon=True).start()

    def pump(self, source: socket.socket, target: socket.socket, copying: threading.Event, up: bool) -> None:
        with suppress(OSError), source, target:
            while data := source.recv(1 << 16):
                if up and b"PGCOPY" in data:
                    copying.set()
                elif not up and copying.is_set() and self.armed:
                    self.armed = False
                    self.cuts += 1
                    source.shutdown(socket.SHUT_RDWR)
                    target.shutdown(socket.SHUT_RDWR)
                    return
                target.sendall(data)


def test_a_commit_whose_answer_was_lost_on_the_wire_is_not_sent_again(log: EventLog) -> None:
    cutter = Cutter(log.database.url)
    cut_off = EventLog(Database(cutter.url))
    with cut_off.appender() as appender:
        first = appender.append(Event("t", "first"))
        second = appender.append(Event("t", "second"))
    assert cutter.cuts == 1
    assert [(each.id, each.key) for each in everything(log)] == [(first, "first"), (second, "second")]
    cutter.listener.close()


def test_an_attempt_that_may_still_commit_is_waited_for_before_it_is_repeated(log: EventLog) -> None:
    group = Group([encoded(Event("t", "k"))])
    with log.database.engine.connect() as slow:
        group.ids = log.append_in(slow, [Event("t", "somebody else's")])
        line = Line(log.database, patience=0.2)
        with pytest.raises(DatabaseUnavailable, match="may still be committing"):
            line.commit(group)
        slow.rollback()
    assert line.commit(group) == group.ids
    line.drop()
    assert [each.key for each in everything(log)] == ["k"]


def _more_than(told: dict[str, int], goal: int) -> bool:
    return len(told) > goal


def kill(server: EmbeddedPostgres) -> None:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    assert eventually(lambda: not server.running)


def eventually(condition: Callable[[], bool], within: float = 30.0) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.005)
    return condition()
