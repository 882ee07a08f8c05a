"""Ten thousand answers of models that do their worst: no run takes more than it was given, and none calls what it may not."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

from pilothouse.agents.agent import Agent, Request
from pilothouse.agents.brains.conversation import Question, Said
from pilothouse.agents.brains.gateway import Gateway
from pilothouse.agents.brains.health import Health
from pilothouse.agents.brains.language import speaking
from pilothouse.agents.brains.speakers import Failed, Speaker
from pilothouse.agents.budget import Account, Budget
from pilothouse.agents.cassette import Recorded, Recorder
from pilothouse.agents.policy import Policy
from pilothouse.agents.tools import Budgeted, Permitted, Repeats, Tool, Toolbox
from pilothouse.kernel.errors import AgentError
from pilothouse.kernel.settings import LanguageModelSettings, ProviderSettings

BUDGET = Budget(money=Decimal("0.05"), tokens=20_000, seconds=30, calls=6)
ACTED: list[Any] = []


class Anything(BaseModel):
    number: int = 0


class Output(BaseModel):
    action: str


class Tireless(Health):
    """Nobody rests: the runs are many, and their failures are not to slow each other down."""

    def rests(self, server: str) -> float:
        return 0.0


class Adversary(Speaker):
    """A model behind a server that says whatever harms: it lies about tokens, asks for what it may not, without end, or breaks off."""

    async def ask(self, question: Question, alive: Any) -> Said:
        dice = DICE
        alive()
        if dice.random() < 0.15:
            raise Failed("it breaks off", free=dice.random() < 0.5, refused=dice.random() < 0.2)
        lies = dice.random() < 0.05
        reported = 10**9 if lies else dice.choice([0, 1, 500])
        calls = [
            {
                "id": f"call{number:05d}",
                "name": dice.choice(["look", "look", "act", "forbidden", "nothing", "decide", "../act"]),
                "arguments": dice.choice([{"number": dice.randrange(10**6)}, {"action": "x"}, {"action": 7}, "{", {}, {"number": "x"}]),
            }
            for number in range(dice.choice([0, 1, 1, 1, 3, 9]))
        ]
        text = dice.choice(["", "no", '{"action": 1', "x" * 3_000])
        sent, answered = max(reported, question.size // 8), max(10**7 if lies else dice.choice([0, 50]), len(text) // 8)
        money = self.cost(sent, answered).money
        return Said(model=self.name, text=text, calls=tuple(calls), input_tokens=sent, output_tokens=answered, money=money)

    @property
    def ready(self) -> Any:  # it needs no library
        return None

    async def close(self) -> None:
        pass


DICE = random.Random(17)


def tool(name: str, **more: Any) -> Tool:
    return Tool(**{"name": name, "description": name, "arguments": Anything, "run": lambda *_: name, "permission": "look", **more})


TOOLS = (
    tool("look"),
    tool("act", effect="act", run=lambda *_: ACTED.append(1)),
    tool("forbidden", permission="x", run=lambda *_: ACTED.append(2)),
)


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    adversaries = [
        Adversary(
            name,
            LanguageModelSettings(provider=name, name=name, input_price=Decimal(price), output_price=Decimal(price)),
            ProviderSettings(kind="compatible", url="http://nowhere"),
        )
        for name, price in (("one", "1"), ("two", "3"))
    ]
    gateway = Gateway(adversaries, health=Tireless())
    plain = Agent(
        name="desk",
        description="d",
        instructions="i",
        subject="s",
        tools=TOOLS,
        permissions=frozenset({"look"}),
        output=Output,
        brain=Policy(None, lambda *_: {}, lambda *_: {}),  # type: ignore[arg-type]  # never asked
        budget=BUDGET,
    )
    yield speaking(plain, ("one", "two"), gateway)
    gateway.close()


def test_no_run_overruns_and_nothing_is_done(agent: Agent) -> None:
    ends: dict[str, int] = {}
    answers = 0
    lies = 0
    for number in range(3_200):
        account, recorder = Account(BUDGET), Recorder()
        calls = Repeats(Recorded(Budgeted(Permitted(Toolbox(TOOLS, None), agent.permissions), account), recorder))
        try:
            agent.brain.decide(agent, Request(subject=f"s/{number}", at=datetime(2026, 6, 1, tzinfo=UTC), event={}), calls)
            end = "decided"
        except AgentError as error:
            end = type(error).__name__
        ends[end] = ends.get(end, 0) + 1
        answers += sum(each.source == "model" for each in recorder.heard)
        # What a server says that it has charged is charged, and no call follows it. What is reserved never passes the budget.
        lied = bool(account._closed)
        lies += lied
        assert account.spent.calls <= BUDGET.calls
        assert lied or account.spent.beyond(BUDGET) is None, account.spent
    assert ACTED == []
    assert 100 < lies < 3_000
    assert answers > 10_000
    assert {"decided", "BudgetExceeded", "AgentError"} <= ends.keys(), ends
