"""Prompts and traces in MLflow, made of what the ledger holds: each decision of a language model as a tree of spans, each prompt a version.

Nothing waits for MLflow, whose import alone takes seconds: decisions are durable without it, and what it shows is derived from them
afterwards. Where it was down, or a run of this was killed, the next goes on at the first decision that MLflow does not know.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from models.tracking import Tracking
from pilothouse.agents.brains.language import KIND
from pilothouse.agents.capsules import Capsule, Ledger
from pilothouse.agents.cassette import Heard
from pilothouse.kernel.database import Database
from pilothouse.kernel.database.schema import traced
from pilothouse.kernel.errors import ModelError

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT: Final = "agent/{agent}"
DECISION: Final = "pilothouse.decision"
PROMPT: Final = "pilothouse.prompt"
_AT_ONCE: Final = 200
_SECOND: Final = 1_000_000_000
_ORDERED: Final = 1_000  # nanoseconds that every call is given, so that calls are shown in their order


@dataclass(frozen=True)
class Traced:
    """What one run of it wrote down."""

    traces: int = 0
    prompts: int = 0


class Records:
    """What MLflow shows of language models' decisions."""

    def __init__(self, database: Database, ledger: Ledger, tracking: Tracking) -> None:
        self._database = database
        self._ledger = ledger
        self._tracking = tracking

    def waiting(self) -> str:
        """The first decision that MLflow does not show yet; nothing where it shows all."""
        first = next(self._new(), None)
        return first[0].digest if first else ""

    def write(self) -> Traced:
        """Show them. ModelError where MLflow does not answer; what was written stays."""
        made = Traced()
        while batch := list(self._new()):
            with self._tracking.opened() as client:
                for decision, definition in batch:
                    prompts = self._prompt(client, decision.manifest["agent"], definition)
                    traces = self._trace(client, decision)
                    made = Traced(made.traces + traces, made.prompts + prompts)
                    self._passed(decision.seq)
        return made

    def prune(self, before: datetime) -> int:
        """Take the traces of decisions before that moment away, which the ledger keeps; returns how many."""
        gone, newest = 0, int(before.timestamp() * 1000) - 1  # MLflow takes those of the very moment, too
        with self._tracking.opened() as client:
            for experiment in client.search_experiments(filter_string=f"name LIKE '{EXPERIMENT.format(agent='%')}'"):
                gone += client.delete_traces(experiment.experiment_id, max_timestamp_millis=newest)
        return gone

    def _new(self) -> Iterator[tuple[Capsule, Mapping[str, Any]]]:
        """Decisions of language models that were not written down, with their definitions. Others are passed over, once."""
        while batch := self._ledger.after(self._position(), kind="decision", most=_AT_ONCE):
            named = {each.blobs["agent"] for each in batch}
            definitions = {digest: msgspec.json.decode(self._ledger.blob(digest)) for digest in named}
            found = [(each, definitions[each.blobs["agent"]]) for each in batch]
            spoken = [(each, definition) for each, definition in found if KIND in definition["brain"]]
            if spoken:
                yield from spoken
                return
            self._passed(batch[-1].seq)

    def _prompt(self, client: MlflowClient, agent: str, definition: Mapping[str, Any]) -> int:
        """A version of the agent's prompt in the registry, unless it is there; returns how many were made."""
        import hashlib

        text = definition["brain"][KIND]["prompt"]
        digest, name = hashlib.sha256(text.encode()).hexdigest(), f"{agent}.prompt"
        known = [each for each in client.search_prompts(f"name = '{name}'") if each.name == name]
        if known and any(each.tags.get(PROMPT) == digest for each in client.search_prompt_versions(name)):
            return 0
        client.register_prompt(name, text, commit_message=f"as {agent} was told when it first decided by it", tags={PROMPT: digest})
        return 1

    def _trace(self, client: MlflowClient, decision: Capsule) -> int:
        """A decision as a tree of spans, unless it is there; returns how many were made."""
        import mlflow

        agent = decision.manifest["agent"]
        experiment = self._tracking.experiment(client, EXPERIMENT.format(agent=agent))
        where = {"locations": [experiment], "filter_string": f"tags.`{DECISION}` = '{decision.digest}'", "max_results": 1}
        if client.search_traces(**where):
            return 0
        heard = msgspec.json.decode(self._ledger.blob(decision.blobs["cassette"]), type=list[Heard])
        now = int(datetime.fromisoformat(decision.manifest["at"]).timestamp() * _SECOND)
        request = msgspec.json.decode(self._ledger.blob(decision.blobs["request"]))
        tags = {DECISION: decision.digest, "pilothouse.agent_version": decision.manifest["agent_version"]}
        root = mlflow.start_span_no_context(agent, "AGENT", inputs=request, tags=tags, experiment_id=experiment, start_time_ns=now)
        for each in heard:
            now = _span(root, each, now)
        root.set_attributes({"synthetic": decision.manifest["synthetic"], **decision.body["cost"]})
        root.end(outputs=decision.body["output"], end_time_ns=now)
        if not client.search_traces(**where):  # it only warns where a trace could not be written
            raise ModelError(f"MLflow took no trace of {decision.digest[:12]}", hint="see its log; the next run tries again")
        return 1

    def _position(self) -> int:
        with self._database.reading() as connection:
            return connection.scalar(sa.select(traced.c.seq)) or 0

    def _passed(self, seq: int) -> None:
        with self._database.begin() as connection:
            connection.execute(insert(traced).values(one=True, seq=seq).on_conflict_do_update(index_elements=["one"], set_={"seq": seq}))


def _span(root: Any, heard: Heard, now: int) -> int:
    """One call under its decision; returns when it ended. Only models' answers say how long they took: a tool's time is not kept."""
    import mlflow

    speaks = heard.source == "model"
    name = heard.answer["model"] if speaks and heard.answer else heard.name
    span = mlflow.start_span_no_context(name, "CHAT_MODEL" if speaks else "TOOL", parent_span=root, inputs=heard.asked, start_time_ns=now)
    if speaks and heard.answer:
        tokens = heard.answer["tokens"]
        span.set_attribute(
            "mlflow.chat.tokenUsage",
            {"input_tokens": tokens["input"], "output_tokens": tokens["output"], "total_tokens": tokens["input"] + tokens["output"]},
        )
        now += int(heard.answer["seconds"] * _SECOND)
    now += _ORDERED
    span.end(outputs=heard.answer, status="ERROR" if heard.error else "OK", end_time_ns=now)
    return now
