"""Language models behind servers that nobody here wrote: each dialect, each way to fail, and what the gateway makes of it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from pilothouse.agents.brains.answers import Answers
from pilothouse.agents.brains.conversation import Offer, Question
from pilothouse.agents.brains.gateway import Gateway
from pilothouse.agents.brains.speakers import Speaker
from pilothouse.agents.budget import Account, Budget
from pilothouse.kernel.database import Database
from pilothouse.kernel.errors import AgentError, BudgetExceeded, ConfigError, ModelUnavailable
from pilothouse.kernel.settings import LanguageModelSettings, ProviderSettings, Settings
from tests.aimock import Aimock, calls
from tests.contract.conftest import Opened

ORDER = Offer(name="order", description="an order", schema={"type": "object", "properties": {"order_id": {"type": "string"}}})
SAY = Offer(name="decide", description="the decision", schema={"type": "object", "properties": {"action": {"type": "string"}}})
HOLD = calls("decide", action="hold")


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Aimock, Aimock]]:
    with Aimock() as one, Aimock() as other:
        yield one, other


@pytest.fixture
def one(servers: tuple[Aimock, Aimock]) -> Aimock:
    servers[0].says(HOLD)
    return servers[0]


@pytest.fixture
def other(servers: tuple[Aimock, Aimock]) -> Aimock:
    servers[1].says(calls("decide", action="release"))
    return servers[1]


def speaker(server: Aimock, name: str = "one", kind: str = "compatible", *, price: str = "1", model: str = "m", **provider: Any) -> Speaker:
    url = server.url + ("/v1" if kind in {"openai", "compatible", "ollama"} else "")
    given = LanguageModelSettings(provider=name, name=model, input_price=Decimal(price), output_price=Decimal(price))
    return Speaker(name, given, ProviderSettings.model_validate({"kind": kind, "url": url, "key": "secret", **provider}))


def question(text: str = "{}", **more: Any) -> Question:
    messages = ({"role": "system", "text": "You are a desk."}, {"role": "user", "text": text})
    return Question(messages=messages, tools=(ORDER,), decide=SAY, **more)


def action(gateway: Gateway, account: Account | None = None, asked: Question | None = None) -> Any:
    said = gateway.answer(asked or question(), list(gateway.speakers), account or Account(Budget(money=Decimal(1), seconds=20)))
    return said.calls[0]["arguments"]["action"]


DIALECTS = {
    "openai": "gpt-5-mini",
    "anthropic": "claude-haiku-5-5",
    "groq": "llama-3.3-70b-versatile",
    "mistral": "mistral-small-latest",
    "ollama": "qwen3",
    "compatible": "m",
}


@pytest.mark.parametrize("kind", DIALECTS)
def test_every_dialect_carries_a_conversation_with_tools(kind: str, one: Aimock, gateway_of: Opened) -> None:
    one.says(calls("order", order_id="7"), HOLD)
    # aimock streams in OpenAI's way alone, which Mistral's own client refuses
    gateway = gateway_of(speaker(one, kind=kind, model=DIALECTS[kind], stream=kind != "mistral"))
    account, asked = Account(Budget(money=Decimal(1))), question()
    first = gateway.answer(asked, ["one"], account)
    assert [(each["name"], each["arguments"]) for each in first.calls] == [("order", {"order_id": "7"})]
    said = {"role": "assistant", "text": first.text, "calls": list(first.calls)}
    answered = {"role": "tool", "id": first.calls[0]["id"], "name": "order", "answer": {"net": "12.50"}, "failed": False}
    second = gateway.answer(Question(messages=(*asked.messages, said, answered), tools=(ORDER,), decide=SAY), ["one"], account)
    assert [(each["name"], each["arguments"]) for each in second.calls] == [("decide", {"action": "hold"})]
    sent = one.asked()[-1]
    assert [each["role"] for each in sent["messages"]] == ["system", "user", "assistant", "tool"]
    assert "12.50" in str(sent["messages"][-1])
    assert account.spent.money == first.money + second.money > 0
    assert account.spent.tokens == sum(each.input_tokens + each.output_tokens for each in (first, second))


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_refuses_for_now_is_followed_by_the_next(status: int, one: Aimock, other: Aimock, gateway_of: Opened) -> None:
    gateway = gateway_of(speaker(one, "one"), speaker(other, "other", price="2"))
    one.fails(status)
    began = time.monotonic()
    assert action(gateway) == "release"
    assert time.monotonic() - began < 1
    assert action(gateway) == "release"  # it rests
    gateway.health.answered("one")
    assert action(gateway) == "hold"


def test_one_server_alone_is_asked_again_until_it_answers(one: Aimock, gateway_of: Opened) -> None:
    gateway = gateway_of(speaker(one))
    account = Account(Budget(seconds=20))
    one.fails(503)
    assert action(gateway, account) == "hold"
    assert account.spent.calls == 2


def test_a_server_says_how_long_it_wants_to_be_left_alone(one: Aimock, gateway_of: Opened) -> None:
    gateway = gateway_of(speaker(one))
    one.says({"error": {"message": "slow down", "type": "rate_limit_error"}, "status": 429, "retryAfter": 40})
    began = time.monotonic()
    with pytest.raises(ModelUnavailable, match="429") as raised:
        action(gateway)
    assert time.monotonic() - began < 5  # the run has no 40 seconds
    assert raised.value.transient
    assert 30 < gateway.health.rests("one") <= 40


@pytest.mark.parametrize("chaos", ["dropRate", "malformedRate", "disconnectRate", "rateLimitRate"])
def test_nothing_is_lost_where_many_answers_fail(chaos: str, one: Aimock, other: Aimock, gateway_of: Opened) -> None:
    gateway = gateway_of(speaker(one, "one"), speaker(other, "other"))
    for server in (one, other):
        server.disturbed(**{chaos: 0.4})
    assert {action(gateway) for _ in range(8)} <= {"hold", "release"}


def test_half_an_answer_is_none(one: Aimock, other: Aimock, gateway_of: Opened) -> None:
    gateway = gateway_of(speaker(one, "one"), speaker(other, "other", price="2"))
    one.says({**calls("decide", action="hold", why="long " * 40), "chunkSize": 10, "truncateAfterChunks": 4})
    account = Account(Budget(money=Decimal(1), tokens=100_000))
    assert action(gateway, account) == "release"
    assert account.spent.tokens > 2_000  # what broke off may have been paid for in full


def test_a_server_that_hangs_is_overtaken_within_a_second(one: Aimock, other: Aimock, gateway_of: Opened) -> None:
    gateway = gateway_of(speaker(one, "one"), speaker(other, "other", price="2"))
    os.kill(one.process.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert action(gateway) == "release"
        assert time.monotonic() - began < 1
        began = time.monotonic()
        assert action(gateway) == "release"  # it rests, and nobody waits for it any more
        assert time.monotonic() - began < 0.4
    finally:
        os.kill(one.process.pid, signal.SIGCONT)


def test_a_server_that_is_only_slow_is_heard_where_there_is_no_other(one: Aimock, gateway_of: Opened) -> None:
    one.says({**HOLD, "latency": 300})
    assert action(gateway_of(speaker(one, patience=0.1))) == "hold"


def test_a_server_that_takes_too_long_is_broken_off_and_the_run_ends_in_time(one: Aimock, gateway_of: Opened) -> None:
    one.says({**HOLD, "latency": 30_000})
    account = Account(Budget(money=Decimal(1), seconds=1.5))
    with pytest.raises(ModelUnavailable) as raised:
        action(gateway_of(speaker(one)), account)
    assert account.spent.seconds < 1.5
    assert "pilothouse gateway" in raised.value.hint


def test_a_dead_server_is_told_by_name(gateway_of: Opened, servers: tuple[Aimock, Aimock]) -> None:
    gateway = gateway_of(speaker(servers[0], url="http://127.0.0.1:9/v1"))
    with pytest.raises(ModelUnavailable, match="one: ModelConnectionError"):
        action(gateway, Account(Budget(seconds=1)))
    assert "APIConnectionError" in gateway.check()["one"]


@pytest.mark.parametrize(("status", "told"), [(401, "PROVIDERS__ONE__KEY"), (404, "language_models.one"), (400, "language_models.one")])
def test_what_no_repetition_mends_is_asked_once_and_told(status: int, told: str, one: Aimock, gateway_of: Opened) -> None:
    gateway = gateway_of(speaker(one))
    one.says({"error": {"message": "no", "type": "invalid_request_error"}, "status": status})
    account = Account(Budget())
    with pytest.raises(AgentError, match="no language model takes the question") as raised:
        action(gateway, account)
    assert told in raised.value.hint
    assert not raised.value.transient
    assert account.spent.calls == 1
    assert account.spent.money == 0


def test_the_cheapest_that_is_well_is_asked_first(one: Aimock, other: Aimock, gateway_of: Opened) -> None:
    assert action(gateway_of(speaker(one, "one", price="3"), speaker(other, "other", price="2"))) == "release"
    assert action(gateway_of(speaker(one, "one", price="3"), speaker(other, "other", price="2"), cheapest=False)) == "hold"
    assert (
        action(gateway_of(speaker(one, "one", price="1"), speaker(other, "other", price="2")), asked=question(avoid=frozenset({"one"})))
        == "release"
    )


def test_what_cannot_be_afforded_is_not_asked(one: Aimock, other: Aimock, gateway_of: Opened) -> None:
    dear, cheap = speaker(one, "one", price="900"), speaker(other, "other", price="1")
    assert action(gateway_of(dear, cheap, cheapest=False)) == "release"
    with pytest.raises(BudgetExceeded, match="one may take"):
        action(gateway_of(dear))
    assert one.asked() == []


def test_a_server_that_lies_about_its_tokens_makes_no_room(one: Aimock, gateway_of: Opened) -> None:
    gateway = gateway_of(speaker(one))
    text = '{"known": "' + "a firm that owes much; " * 200 + '"}'
    one.says({**HOLD, "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}})
    account = Account(Budget())
    action(gateway, account, question(text))
    assert account.spent.tokens > len(text) / 10
    one.says({**HOLD, "usage": {"prompt_tokens": 9_000_000, "completion_tokens": 1, "total_tokens": 9_000_001}})
    account = Account(Budget())
    assert action(gateway, account, question(text)) == "hold"
    with pytest.raises(BudgetExceeded, match="more than the"):
        action(gateway, account, question(text))


def test_the_same_question_over_the_same_data_is_asked_once(one: Aimock, database: Database, gateway_of: Opened) -> None:
    gateway = gateway_of(speaker(one), answers=Answers(lambda: database))
    first = question(data="versions 1")
    assert action(gateway, asked=first) == "hold"
    one.says(calls("decide", action="release"))
    account = Account(Budget())
    assert action(gateway, account, first) == "hold"
    assert (account.spent.money, account.spent.tokens, account.spent.calls) == (Decimal(0), 0, 1)
    assert one.asked() == []
    assert action(gateway, asked=question(data="versions 2")) == "release"
    assert Answers(lambda: database).prune(timedelta(0)) == 2
    assert action(gateway, asked=first) == "release"


def test_a_price_that_is_not_known_is_asked_for(one: Aimock) -> None:
    given = ProviderSettings.model_validate({"kind": "openai", "key": "secret"})
    listed = Speaker("one", LanguageModelSettings(provider="one", name="gpt-5-mini"), given)
    assert all(price > 0 for price in listed.prices)
    with pytest.raises(ConfigError, match="what gpt-unheard-of costs is not known") as raised:
        _ = Speaker("one", LanguageModelSettings(provider="one", name="gpt-unheard-of"), given).prices
    assert "input_price" in raised.value.hint


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"providers": {}}, "no provider 'local'"),
        ({"providers": {"local": {"kind": "compatible"}}}, "providers.local: url is not set"),
        ({"providers": {"local": {"kind": "anthropic"}}}, "providers.local: key is not set"),
    ],
)
def test_what_is_not_set_is_told_before_anybody_is_asked(settings: dict[str, Any], told: str) -> None:
    model = {"provider": "local", "name": "m", "input_price": 1, "output_price": 1}
    with pytest.raises(ConfigError, match=told):
        Gateway.of(Settings(**settings, language_models={"small": model})).answer(question(), ["small"], Account(Budget()))
