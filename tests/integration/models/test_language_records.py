"""What MLflow shows of language models' decisions: each once, however often it was interrupted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from models.tracking import Tracking
from pilothouse.agents.agent import Agent, Request
from pilothouse.agents.brains.gateway import Gateway
from pilothouse.agents.brains.language import speaking
from pilothouse.agents.brains.records import Records, Traced
from pilothouse.agents.brains.speakers import Speaker
from pilothouse.agents.capsules import Ledger, Signer
from pilothouse.agents.running import run
from pilothouse.agents.tools import Calls, Tool
from pilothouse.kernel.database import Database
from pilothouse.kernel.errors import ModelError
from pilothouse.kernel.settings import LanguageModelSettings, ProviderSettings
from tests.aimock import Aimock, calls

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


class OfOrder(BaseModel):
    order_id: str


class Decided(BaseModel):
    action: str


class Plain:
    def definition(self) -> Any:
        return {"plain": True}

    def as_defined(self, definition: Any) -> Plain:
        return self

    def decide(self, agent: Agent, request: Request, calls: Calls) -> Mapping[str, Any]:
        return {"action": "hold"}


PLAIN = Agent(
    name="tracing_desk",
    description="Decides on orders.",
    instructions="Hold what is large.",
    subject="s4/sales_order",
    tools=(Tool(name="order", description="an order", arguments=OfOrder, run=lambda *_: {"net": "7.00"}, permission="orders"),),
    permissions=frozenset({"orders"}),
    output=Decided,
    brain=Plain(),
)


@pytest.fixture
def desk() -> Iterator[Agent]:
    with Aimock() as server:
        server.says(calls("order", order_id="1"), calls("decide", action="release"))
        given = LanguageModelSettings(provider="one", name="m", input_price=Decimal(1), output_price=Decimal(1))
        gateway = Gateway([Speaker("small", given, ProviderSettings(kind="compatible", url=f"{server.url}/v1"))])
        yield speaking(PLAIN, ("small",), gateway)
        gateway.close()


def test_each_decision_of_a_model_is_shown_once_and_each_prompt_is_a_version(
    desk: Agent, database: Database, tracking: Tracking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(database, Signer.open(tmp_path / "key.pem"))
    records = Records(database, ledger, tracking)

    def decide(agent: Agent, number: str) -> None:
        ledger.append([run(agent, Request(subject=f"s4/sales_order/{number}", at=NOON, event={}), None).draft()])

    decide(PLAIN, "1")
    assert records.waiting() == ""
    for number in ("2", "3"):
        decide(desk, number)
    decide(PLAIN, "4")
    with pytest.raises(ModelError, match="fails"):
        Records(database, ledger, Tracking("http://127.0.0.1:1")).write()
    with monkeypatch.context() as patched:  # killed after the first was written, before that was noted
        patched.setattr(Records, "_passed", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            records.write()
    assert records.write() == Traced(traces=1, prompts=0)
    assert records.waiting() == ""
    reworded = speaking(replace(PLAIN, instructions="Release what is small."), ("small",), desk.brain.gateway)  # type: ignore[attr-defined]
    decide(reworded, "5")
    assert records.write() == Traced(traces=1, prompts=1)

    with tracking.opened() as client:
        traces = client.search_traces(locations=[tracking.experiment(client, "agent/tracing_desk")])
        versions = client.search_prompt_versions("tracing_desk.prompt")
    assert {trace.info.tags["pilothouse.decision"] for trace in traces} == {
        each.digest for each in ledger.entries(kind="decision") if each.manifest["subject"][-1] in "235"
    }
    spans = sorted(traces[0].data.spans, key=lambda span: span.start_time_ns)
    assert [(span.name, span.span_type) for span in spans] == [
        ("tracing_desk", "AGENT"),
        ("small", "CHAT_MODEL"),
        ("order", "TOOL"),
        ("small", "CHAT_MODEL"),
    ]
    assert spans[0].outputs == {"action": "release"}
    assert traces[0].info.token_usage["total_tokens"] > 0
    assert records.prune(NOON) == 0
    assert records.prune(NOON + timedelta(seconds=1)) == 3
    with tracking.opened() as client:
        assert client.search_traces(locations=[tracking.experiment(client, "agent/tracing_desk")]) == []
    assert records.write() == Traced()
    assert {version.template.split("\n")[2] for version in versions} == {"Hold what is large.", "Release what is small."}
