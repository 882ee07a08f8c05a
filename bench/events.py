"""The event log: how fast many producers append single events, durably, and whether readers see each once and in order.

The server runs as in production (fsync and synchronous commit on). 64 producers append one event a call. They are
measured streaming (up to 100 calls unanswered each, as a producer behind a socket does) and waiting (each awaits its answer before
the next call: bounded by the disk, as no commit is faster than its flush). A reader follows from another process.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import tempfile
import threading
import time
from collections import deque
from multiprocessing.connection import Connection
from pathlib import Path

import psycopg

from bench.figure import Figure, figure
from pilothouse.kernel.database import Database
from pilothouse.kernel.events import AsyncAppender, Event, EventLog
from pilothouse.local.postgres import EmbeddedPostgres

PRODUCERS = 64
STREAMED = 5_000
WINDOW = 100
ROUNDS = 3
PEER_SECONDS = 4.0
WAITING_SECONDS = 4.0


def figures() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder, EmbeddedPostgres(Path(folder) / "postgres") as server:
        database = Database(server.url())
        database.upgrade()
        log = EventLog(database)
        flush = _flush_microseconds(Path(folder))
        peer = _one_insert_one_commit(server.url())
        waiting, p95 = asyncio.run(_waiting(log))
        streaming = max(asyncio.run(_streaming(log)) for _ in range(ROUNDS))
        followed, in_order, reading = _followed(log)
        database.close()
    name = f"psycopg, {PRODUCERS} connections, one INSERT and commit an event"
    return [
        figure("append, 64 producers streaming single events", streaming, "events/s", bar=100_000, peer=name, peer_value=peer),
        figure("append, 64 producers each waiting for its commit", waiting, "events/s", peer=name, peer_value=peer),
        figure("append, waiting: answer within, 95 % of calls", p95 * 1000, "ms", better="lower"),
        figure("the disk's flush, below which no commit can be", flush / 1000, "ms", better="lower"),
        figure("appended while a reader follows in another process", followed, "events/s"),
        figure("of those, seen by it exactly once and in order", in_order * 100, "%", bar=100),
        figure("read alone, from the beginning", reading, "events/s"),
    ]


def _event(producer: int, turn: int) -> Event:
    return Event("order.created", f"{producer}-{turn}", {"order": f"{turn:010}", "amount": 1250.5, "currency": "EUR"})


async def _streaming(log: EventLog) -> float:
    async with log.async_appender() as appender:
        await appender.append(_event(-1, 0))

        async def produce(producer: int) -> None:
            unanswered: deque[asyncio.Future[int]] = deque()
            for turn in range(STREAMED):
                unanswered.append(appender.append(_event(producer, turn)))
                if len(unanswered) == WINDOW:
                    await unanswered.popleft()
            await asyncio.gather(*unanswered)

        started = time.perf_counter()
        await asyncio.gather(*(produce(n) for n in range(PRODUCERS)))
        return PRODUCERS * STREAMED / (time.perf_counter() - started)


async def _waiting(log: EventLog) -> tuple[float, float]:
    async with log.async_appender() as appender:
        started = time.perf_counter()
        parts = await asyncio.gather(*(_answers(appender, n, started + WAITING_SECONDS) for n in range(PRODUCERS)))
        elapsed = time.perf_counter() - started
    waits = sorted(wait for part in parts for wait in part)
    return len(waits) / elapsed, waits[len(waits) * 95 // 100]


async def _answers(appender: AsyncAppender, producer: int, until: float) -> list[float]:
    waits: list[float] = []
    while (now := time.perf_counter()) < until:
        await appender.append(_event(producer, len(waits)))
        waits.append(time.perf_counter() - now)
    return waits


def _one_insert_one_commit(url: str) -> float:
    """What one writes first: every producer inserts its event and commits."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE peer (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL,"
            " topic text NOT NULL, key text NOT NULL, correlation_id text NOT NULL, payload json NOT NULL)"
        )
    counts = [0] * PRODUCERS
    until = time.perf_counter() + PEER_SECONDS

    def produce(producer: int) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while time.perf_counter() < until:
                event = _event(producer, counts[producer])
                values = (event.at, event.topic, event.key, event.correlation_id, psycopg.types.json.Json(event.payload))
                connection.execute(
                    "INSERT INTO peer (at, topic, key, correlation_id, payload) VALUES (%s, %s, %s, %s, %s) RETURNING id", values
                ).fetchone()
                counts[producer] += 1

    threads = [threading.Thread(target=produce, args=(n,)) for n in range(PRODUCERS)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - started)


def _followed(log: EventLog) -> tuple[float, float, float]:
    """Append while another process reads along; the rate, the share it saw exactly once and in order, its rate when alone."""
    start = log.horizon()
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    reader = context.Process(target=_follow, args=(log.database.url, start, PRODUCERS * STREAMED + 1, theirs))
    reader.start()
    ours.recv()
    rate = asyncio.run(_streaming(log))
    in_order: float = ours.recv()
    alone: float = ours.recv()
    reader.join()
    return rate, in_order, alone


def _follow(url: str, start: int, expected: int, report: Connection) -> None:
    database = Database(url)
    with EventLog(database).consumer("bench") as consumer:
        consumer.ack(start)
        report.send("ready")
        ids: list[int] = []
        keys: set[str] = set()
        while len(ids) < expected and consumer.wait(30):
            events = consumer.read(limit=5_000)
            ids += [event.id for event in events]
            keys.update(event.key for event in events)
            consumer.ack(ids[-1])
        right = ids == sorted(set(ids)) and len(keys) == len(ids)
        report.send(len(ids) / expected if right else 0.0)
    log, last, count, started = EventLog(database), 0, 0, time.perf_counter()
    while events := log.read(after=last, limit=5_000):
        last, count = events[-1].id, count + len(events)
    report.send(count / (time.perf_counter() - started))
    database.close()


def _flush_microseconds(folder: Path) -> float:
    with (folder / "flush").open("wb") as file:
        file.write(bytes(1 << 20))
        os.fsync(file.fileno())
        started = time.perf_counter()
        for turn in range(100):
            os.pwrite(file.fileno(), bytes(8192), turn * 8192)
            os.fdatasync(file.fileno())
        return (time.perf_counter() - started) / 100 * 1e6
