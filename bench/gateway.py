"""The gateway while its servers die, hang, refuse and break off: how long the longest request took, whether one was lost, what it cost.

The servers are aimock's, from npm: nobody here wrote them. Eight threads ask without a pause while each thing happens to the server
that is asked first, being the cheapest; then it is well again before the next. A request is lost where it ends in an error. What the
gateway adds is measured beside the client of OpenAI alone, asking the same server for the same answer.
"""

from __future__ import annotations

import os
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from bench.figure import Figure, figure
from pilothouse.agents.brains.conversation import Offer, Question
from pilothouse.agents.brains.gateway import Gateway
from pilothouse.agents.brains.speakers import Speaker
from pilothouse.agents.budget import Account, Budget
from pilothouse.kernel.errors import PilothouseError
from pilothouse.kernel.settings import LanguageModelSettings, ProviderSettings
from tests.aimock import Aimock, calls

THREADS = 8
BEFORE, DURING, AFTER = 0.5, 3.0, 0.7  # seconds
PRICES = {"cheap": "0.5", "middle": "3", "dear": "15"}
TOOL = Offer(name="order", description="an order", schema={"type": "object", "properties": {"order_id": {"type": "string"}}})
SAY = Offer(name="decide", description="the decision", schema={"type": "object", "properties": {"action": {"type": "string"}}})
SAID = calls("decide", action="hold", reasons=["three invoices are overdue", "its group owes two million"])


@dataclass
class Load:
    """What came of asking without a pause."""

    seconds: list[tuple[float, float]] = field(default_factory=list)  # when a request began, and how long it took
    money: Decimal = Decimal(0)
    lost: list[str] = field(default_factory=list)


def figures() -> list[Figure]:
    with ExitStack() as stack:
        servers = {name: stack.enter_context(Aimock()) for name in PRICES}
        for server in servers.values():
            server.says(dict(SAID))
        gateway = stack.enter_context(_closing(_gateway(servers)))
        _ask(gateway)
        return [*_failing(gateway, servers), *_routing(servers), *_alone(servers["cheap"])]


def _failing(gateway: Gateway, servers: dict[str, Aimock]) -> Iterator[Figure]:
    asked, lost = 0, list[str]()
    for what, breaks, mends in _faults(servers["cheap"]):
        load = _loaded(gateway, breaks, mends)
        asked, lost = asked + len(load.seconds), [*lost, *load.lost]
        yield figure(f"longest request while the first server {what}", max(took for _, took in load.seconds), "s", better="lower", bar=1.0)
        gateway.health.answered("cheap")
    yield figure(f"requests lost, of {asked:,}", len(lost), "requests", better="lower", bar=0)
    if lost:
        print(lost[0])


def _faults(server: Aimock) -> Iterator[tuple[str, Callable[[], None], Callable[[], None]]]:
    def well() -> None:
        server.says(dict(SAID))

    def again() -> None:
        server.start()
        well()

    yield "is killed", server.kill, again
    yield "hangs", lambda: os.kill(server.process.pid, signal.SIGSTOP), lambda: os.kill(server.process.pid, signal.SIGCONT)
    yield "answers 429", lambda: server.disturbed(rateLimitRate=1.0), well
    yield "answers 500", lambda: server.disturbed(dropRate=1.0), well
    yield "answers nonsense", lambda: server.disturbed(malformedRate=1.0), well
    yield "breaks off halfway", lambda: server.says({**SAID, "chunkSize": 5, "truncateAfterChunks": 3}), well
    yield "falls silent halfway", lambda: server.says({**SAID, "chunkSize": 5, "latency": 60_000}), well


def _routing(servers: dict[str, Aimock]) -> Iterator[Figure]:
    """Money for the same answers, by price and in the order in which models are declared."""
    spent = {}
    for cheapest in (True, False):
        with _closing(_gateway(servers, order=["dear", "middle", "cheap"], cheapest=cheapest)) as gateway:
            spent[cheapest] = _loaded(gateway, lambda: None, lambda: None, during=1.0)
    by_price, declared = (load.money / len(load.seconds) * 1_000 for load in (spent[True], spent[False]))
    yield figure(
        "money for 1,000 answers, routed by cost",
        float(by_price),
        "EUR",
        better="lower",
        peer="in the order declared",
        peer_value=float(declared),
        ratio_bar=5,
    )


def _alone(server: Aimock) -> Iterator[Figure]:
    """One thread, one server: what the gateway adds to a client of OpenAI that does nothing else."""
    from openai import OpenAI

    client = OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
    tools: Any = [{"type": "function", "function": {"name": "decide", "parameters": dict(SAY.schema)}}]
    messages: Any = [{"role": "system", "content": "You are a desk."}, {"role": "user", "content": "{}"}]

    def plainly() -> None:
        for _ in client.chat.completions.create(model="m", messages=messages, tools=tools, stream=True, tool_choice="required"):
            pass

    with _closing(_gateway({"cheap": server})) as gateway:
        ours, theirs = _median(lambda: _ask(gateway)), _median(plainly)
    client.close()
    what, peer = "an answer through the gateway, one server, warm", "openai's client"
    yield figure(what, ours * 1_000, "ms", better="lower", peer=peer, peer_value=theirs * 1_000)


def _median(once: Callable[[], Any]) -> float:
    took = []
    for _ in range(120):
        began = time.perf_counter()
        once()
        took.append(time.perf_counter() - began)
    return statistics.median(took[20:])


def _loaded(gateway: Gateway, breaks: Callable[[], Any], mends: Callable[[], Any], *, during: float = DURING) -> Load:
    load, ended, lock = Load(), threading.Event(), threading.Lock()

    def ask() -> None:
        while not ended.is_set():
            began = time.monotonic()
            try:
                money = _ask(gateway)
            except PilothouseError as error:
                with lock:
                    load.lost.append(str(error))
            else:
                with lock:
                    load.money += money
            with lock:
                load.seconds.append((began, time.monotonic() - began))

    threads = [threading.Thread(target=ask) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    time.sleep(BEFORE)
    breaks()
    time.sleep(during)
    mends()
    time.sleep(AFTER)
    ended.set()
    for thread in threads:
        thread.join()
    return load


def _ask(gateway: Gateway) -> Decimal:
    messages = ({"role": "system", "text": "You are a desk."}, {"role": "user", "text": "{}"})
    account = Account(Budget(money=Decimal(10), tokens=1_000_000, seconds=30))
    said = gateway.answer(Question(messages=messages, tools=(TOOL,), decide=SAY), list(gateway.speakers), account)
    assert said.calls[0]["name"] == "decide"
    return account.spent.money


def _gateway(servers: dict[str, Aimock], order: list[str] | None = None, *, cheapest: bool = True) -> Gateway:
    speakers = []
    for name in order or list(servers):
        price = Decimal(PRICES[name])
        given = LanguageModelSettings(provider=name, name="m", input_price=price, output_price=price * 4)
        speakers.append(Speaker(name, given, ProviderSettings(kind="compatible", url=f"{servers[name].url}/v1")))
    return Gateway(speakers, cheapest=cheapest)


@contextmanager
def _closing(gateway: Gateway) -> Iterator[Gateway]:
    try:
        yield gateway
    finally:
        gateway.close()
