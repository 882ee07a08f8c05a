"""A decision made again over tables that are made again of some raw rows: what the why of a decision is held against.

It knows nothing of how decisions are explained. Raw rows are taken out, the models' own texts and the code of graph analytics make
their tables of what is left, and the agent decides over these.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from graph.analytics.firms import firm_tables
from graph.analytics.tables import INPUTS
from pilothouse.agents.agent import Agent, Request
from pilothouse.agents.running import Run, run
from pilothouse.agents.snapshot import Snapshot, plain
from pilothouse.kernel.errors import AgentError, ToolFailed
from pilothouse.kernel.lake import Lake
from pilothouse.tables.project import Project, relation
from pilothouse.tables.why.row import Row
from tests.integration.tables.remade import Raw, Remade, compared

COMMENTARY = {"otherwise", "confidence", "firm"}  # of what might have been, and a name: no part of what was decided
MODEL = "model/late_payment_risk"


class RemadeSnapshot(Snapshot):
    """Tables as they are made again; what models learned is as it was."""

    def __init__(self, remade: Remade, lake: Lake, tables: Iterable[str]) -> None:
        self._remade = remade
        self._learned = lake.table(MODEL).scan().collect().to_dicts()
        self._names = tuple(sorted(tables))

    @property
    def tables(self) -> tuple[str, ...]:
        return self._names

    def rows(self, table: str, where: Mapping[str, Any], *, limit: int, order: str = "") -> list[dict[str, Any]]:
        if table == MODEL:
            return [{name: plain(value) for name, value in row.items()} for row in self._learned if row.items() >= where.items()]
        if table == "graph/firm_measures":
            found = [row for row in self._measures.to_dicts() if row.items() >= where.items()]
            return [{name: plain(value) for name, value in row.items()} for row in found]
        schema, name = relation(table)
        same = " AND ".join(f'"{each}" = ?' for each in where)
        ordered = f' ORDER BY "{order}"' if order else ""
        asked = self._remade.connection.execute(f'SELECT * FROM "{schema}"."{name}" WHERE {same}{ordered} LIMIT {limit}', [*where.values()])
        columns = [column[0] for column in asked.description or ()]
        return [dict(zip(columns, map(plain, values), strict=True)) for values in asked.fetchall()]

    @cached_property
    def _measures(self) -> pl.DataFrame:
        marts = {table: self._remade.connection.sql('FROM "{}"."{}"'.format(*relation(table))).pl().lazy() for table in INPUTS}
        return firm_tables(marts)["graph/firm_measures"]


@dataclass
class DecidedAgain:
    """Decisions of an agent over a company of which some raw rows can be taken away."""

    lake: Lake
    project: Project
    texts: Mapping[str, str]
    agent: Agent

    def whole(self, kept: Iterable[Raw] | None = None) -> Remade:
        """The company, or what some of its raw rows make."""
        return Remade(self.lake, self.project, self.texts, kept)

    def answer(self, remade: Remade, request: Request, gone: frozenset[Raw] = frozenset()) -> str:
        """What is decided, and what the model was told of what it listens to."""
        remade.take(gone)
        try:
            made = run(self.agent, request, RemadeSnapshot(remade, self.lake, self.agent.tables))
        except (AgentError, ToolFailed):
            return "nothing"
        return self.said(made)

    def said(self, made: Run) -> str:
        """What a run said, as far as it is compared."""
        output = {name: value for name, value in json.loads(made.output).items() if name not in COMMENTARY}
        features = next(heard["answer"] for heard in json.loads(made.cassette) if heard["name"] == "features")
        return json.dumps([output, {name: features[name] for name in sorted(self._listened)}], sort_keys=True)

    @cached_property
    def _listened(self) -> set[str]:
        """The features that can move the model's score at all."""
        (row,) = self.lake.table(MODEL).scan().select("card").collect().to_dicts()
        card = json.loads(row["card"])["features"]
        adds = {each["name"]: _adds(each) for each in card}
        return {name for name, several in adds.items() if len(several) > 1}


def _adds(feature: Mapping[str, Any]) -> set[float]:
    return {*feature["adds"], feature["missing"]} if feature["kind"] == "line" else {*feature["adds"].values(), feature["others"]}


def resolved(rows: Iterable[Row]) -> set[Raw]:
    """The raw rows that tell who is who, which are named because a resolver compared them."""
    return set().union(*map(compared, rows))
