"""The candidate decides again, on each occasion, by what was known then.

Of a decision of the ledger the answers that it heard are kept, and are given to whoever asks the same again. What a candidate asks
beyond them is answered from the tables at the very versions that the decision read. Before the ledger, `past` tells what was known.
Neither knows a later row, so none can be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final

import msgspec
from pydantic import ValidationError

from models.model import Model
from models.versions import VersionTable
from pilothouse.agents.capsules.capsule import canonical
from pilothouse.agents.cassette import Heard, error_of
from pilothouse.agents.running import Run, run
from pilothouse.agents.snapshot import Snapshot, plain
from pilothouse.agents.tools import Tool
from pilothouse.hindsight.backtest.candidate import Candidate
from pilothouse.hindsight.backtest.events import Event
from pilothouse.hindsight.backtest.past import Past, past
from pilothouse.hindsight.money import decided
from pilothouse.kernel.errors import AgentError
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.versions import Versions

_OPEN: Final = 4  # snapshots of the ledger's versions that are held open


@dataclass(frozen=True)
class Tried:
    """What the candidate said on one occasion. `why_not` tells why it said nothing."""

    event: Event
    action: str | None
    share: float
    probability: float | None
    synthetic: bool
    why_not: str = ""
    output: bytes = b""


class Backtest:
    """A candidate over past events of one lake."""

    def __init__(self, lake: Lake, models: Mapping[str, Model], candidate: Candidate) -> None:
        self._lake = lake
        self._candidate = candidate
        self._models = [model for model in models.values() if model.versions in candidate.agent.tables]
        self._past: Past | None = None
        self._open: dict[str, Snapshot] = {}
        self._forced = self._forced_rows()

    def over(self, events: Iterable[Event]) -> Iterator[Tried]:
        """Every occasion, as it comes. Whoever is not let near one by a model that has seen it is told so, and nothing is decided."""
        try:
            yield from map(self._tried, events)
        finally:
            for snapshot in self._open.values():
                snapshot.close()
            self._open.clear()

    def _tried(self, event: Event) -> Tried:
        if (seen := self._seen_by_model(event.day)) is not None:
            return Tried(event, None, 0.0, None, synthetic=False, why_not=seen)
        try:
            made = self._before(event) if event.versions is None else self._again(event, event.versions)
        except AgentError as error:
            return Tried(event, None, 0.0, None, synthetic=False, why_not=error.message)
        output = msgspec.json.decode(made.output)
        action, share = decided(output) or (None, 0.0)
        return Tried(event, action, share, output.get("probability"), synthetic=made.synthetic, output=made.output)

    def _before(self, event: Event) -> Run:
        """Before the ledger: by what was known when the day began."""
        if self._past is None:
            self._past = past(self._lake, self._candidate.agent.tables, self._models, version=self._candidate.model)
        return run(self._candidate.agent, event.request, self._past.on(event.day))

    def _again(self, event: Event, versions: Versions) -> Run:
        """By the answers of then; a model that is to be used throughout has not been asked then, so everything is asked anew."""
        snapshot, agent = self._at(versions), self._candidate.agent
        if self._candidate.model is None:
            agent = replace(agent, tools=tuple(recalled(tool, event.heard) for tool in agent.tools))
        return run(agent, event.request, snapshot)

    def _at(self, versions: Versions) -> Snapshot:
        key = versions.digest()
        if key not in self._open:
            while len(self._open) >= _OPEN:
                self._open.pop(next(iter(self._open))).close()
            snapshot = Snapshot.of(self._lake, versions)
            self._open[key] = Forced(snapshot, self._forced, self._lake, versions) if self._forced else snapshot
        return self._open[key]

    def _forced_rows(self) -> dict[str, dict[str, Any]]:
        """The rows that stand for a model's table where one version is to be used throughout."""
        if self._candidate.model is None:
            return {}
        if not self._models:
            raise AgentError(f"{self._candidate.agent.name} asks no model", hint="leave out --model")
        rows = {}
        for model in self._models:
            VersionTable(self._lake, model).get(self._candidate.model)  # ModelError where there is none
            found = self._lake.table(model.versions).scan().collect()
            row = next(each for each in found.iter_rows(named=True) if each["version"] == self._candidate.model)
            rows[model.versions] = {**{name: plain(value) for name, value in row.items()}, "is_champion": True}
        return rows

    def _seen_by_model(self, day: date) -> str | None:
        """Why the model that is to be used may not be asked on a day; None where it may."""
        for table, row in self._forced.items():
            if date.fromisoformat(row["seen_until"]) > day:
                return f"{table} version {row['version']} has learned from what came before {row['seen_until']}"
        return None


class Forced(Snapshot):
    """A snapshot in which some tables say one row alone."""

    def __init__(self, inner: Snapshot, forced: Mapping[str, dict[str, Any]], lake: Lake, versions: Versions) -> None:
        super().__init__(lake, {entry.name: entry for entry in versions.read if entry.kind == "table"})
        self._inner = inner
        self._forced = forced

    @property
    def tables(self) -> tuple[str, ...]:
        """What can be looked at."""
        return tuple(sorted({*self._inner.tables, *self._forced}))

    def rows(self, table: str, where: Mapping[str, Any], *, limit: int, order: str = "") -> list[dict[str, Any]]:
        """The one row, or what the snapshot says."""
        if table not in self._forced:
            return self._inner.rows(table, where, limit=limit, order=order)
        row = self._forced[table]
        return [dict(row)] if all(row.get(name) == value for name, value in where.items()) else []

    def close(self) -> None:
        """Give back what it holds."""
        self._inner.close()


def recalled(tool: Tool, heard: Iterable[Heard]) -> Tool:
    """A tool that gives the answer of then to whoever asks the same, and looks for itself only where nobody asked that."""
    known: dict[bytes, Heard] = {}
    for each in heard:
        if each.name == tool.name:
            with suppress(ValidationError):  # what could not be asked then has no answer
                known[canonical(tool.arguments.model_validate(each.asked).model_dump(mode="json"))] = each

    def answered(snapshot: Any, asked: Any) -> Any:
        then = known.get(canonical(asked.model_dump(mode="json")))
        if then is None:
            return tool.run(snapshot, asked)
        if then.error is not None:
            raise error_of(then.error)
        return then.answer

    return replace(tool, run=answered)
