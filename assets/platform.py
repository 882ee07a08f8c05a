"""The parts of a running Pilothouse, built from settings once and passed down. Each part is opened when first used,
and imported then: Dagster loads this module for its declarations alone."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr, ValidationError

from connectors.connector import Connector, ConnectorKind
from models.model import Model
from pilothouse.kernel.concealing import conceal
from pilothouse.kernel.errors import ConfigError
from pilothouse.kernel.registry import discover
from pilothouse.kernel.settings import PREFIX, PrincipalSettings, Settings, SourceSettings, config_error
from pilothouse.kernel.streams import Stream
from quality.rule import Rule, rules_for

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from connectors.target import Target
    from graph.kinds import Ontology
    from graph.store import Graph
    from models.tracking import Tracking
    from models.training import Trainer
    from pilothouse.agents.agent import Agent
    from pilothouse.agents.brains.gateway import Gateway
    from pilothouse.agents.brains.records import Records
    from pilothouse.agents.capsules import Ledger, Signer
    from pilothouse.agents.deciding import Deciding
    from pilothouse.agents.trials.case import Case
    from pilothouse.agents.trials.judging import Judge
    from pilothouse.agents.trials.standing import Standings
    from pilothouse.approvals.executor import Executor
    from pilothouse.approvals.policy import Policy
    from pilothouse.approvals.principals import Principals
    from pilothouse.approvals.proposals import Proposals
    from pilothouse.hindsight.affected import Affected
    from pilothouse.hindsight.money import Money
    from pilothouse.hindsight.settling import Settling
    from pilothouse.kernel.database import Database
    from pilothouse.kernel.events import EventLog
    from pilothouse.kernel.lake import Lake
    from pilothouse.kernel.lake.pins import Pins
    from pilothouse.kernel.objects import Objects
    from pilothouse.tables.building import Builder
    from pilothouse.tables.project import Project
    from pilothouse.tables.why.explain import Explainer
    from pilothouse.tables.why.impact import Impact
    from quality.drift import DriftPolicy


class Source:
    """One configured source: its kind, its validated options, its streams and rules. Opening it is another step."""

    def __init__(self, name: str, settings: SourceSettings, kind: ConnectorKind, options: Any, rules: tuple[Rule, ...]) -> None:
        self.name = name
        self.settings = settings
        self.kind = kind
        self._options = options
        self._rules = rules

    @cached_property
    def streams(self) -> dict[str, Stream]:
        """The source's streams by name."""
        return {stream.name: stream for stream in self.kind.streams(self._options)}

    def stream(self, name: str) -> Stream:
        """One stream; ConfigError where the source has none of that name."""
        if name not in self.streams:
            raise ConfigError(f"{self.name}: no stream '{name}'", hint=f"it has {', '.join(sorted(self.streams))}")
        return self.streams[name]

    def rules(self, stream: str) -> tuple[Rule, ...]:
        """The rules that judge one of its streams, as they are declared."""
        return rules_for(self._rules, connector=self.kind.name, source=self.name, stream=stream)

    def connect(self) -> Connector:
        """An open line to it; the caller closes it. ConfigError names what is not set that it takes to log on."""
        self._admitted()
        return self.kind.connect(self.name, self._options)

    def write(self) -> AbstractContextManager[Target]:
        """It as a place to write to. ConfigError where it is only read."""
        if self.kind.target is None:
            raise ConfigError(f"sources.{self.name}: a source of kind '{self.kind.name}' is only read", hint="propose writes to another")
        self._admitted()
        return self.kind.target(self.name, self._options)

    def _admitted(self) -> None:
        missing = self._options.missing()
        if missing:
            variables = " and ".join(f"{PREFIX}SOURCES__{self.name.upper()}__{name.upper()}" for name in missing)
            raise ConfigError(f"sources.{self.name}: {' and '.join(missing)} not set", hint=f"set {variables}")


class Platform:
    """Settings, and what they stand for."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @cached_property
    def lake(self) -> Lake:
        """The lake."""
        from pilothouse.kernel.lake import Lake

        conceal(value for name, value in self.settings.lake.options.items() if "secret" in name.lower() or "token" in name.lower())
        return Lake(self.settings.lake_url, self.settings.lake.options)

    @cached_property
    def database(self) -> Database:
        """The operational database; ConfigError where none is set and none runs."""
        from pilothouse.kernel.database import Database

        url = self.settings.database.url
        if url is None:
            raise ConfigError(
                "there is no operational database", hint=f"`pilothouse up` starts one, or set {PREFIX}DATABASE__URL to a managed PostgreSQL"
            )
        conceal([url.get_secret_value()])
        return Database(url.get_secret_value())

    @cached_property
    def graph(self) -> Graph:
        """The graph; ConfigError where none is set and none runs."""
        from graph.store import Graph

        given = self.settings.graph
        if given.url is None:
            raise ConfigError("there is no graph", hint=f"`pilothouse up` starts one, or set {PREFIX}GRAPH__URL to a server of yours")
        if given.password is None:
            raise ConfigError(f"graph.url = {given.url}: the password is not set", hint=f"set {PREFIX}GRAPH__PASSWORD")
        conceal(secret.get_secret_value() for secret in (given.password, given.reader_password) if secret is not None)
        return Graph.open(given.url, given.user, given.password.get_secret_value(), given.database, engine=given.engine)

    @cached_property
    def ontology(self) -> Ontology:
        """What there is in the graph, held against the contracts of the marts that it comes from."""
        from graph.kinds import Ontology

        published = self.project.published.values()
        return Ontology.declared().held_against(
            {model.table: {column.name: column.kind for column in model.columns} for model in published}
        )

    def close(self) -> None:
        """Give back the connections to database, graph and language models, and the engine of tables, if any were opened."""
        for part in ("database", "graph", "builder", "gateway"):
            if part in self.__dict__:
                getattr(self, part).close()

    @cached_property
    def events(self) -> EventLog:
        """The event log."""
        from pilothouse.kernel.events import EventLog

        return EventLog(self.database)

    @cached_property
    def pins(self) -> Pins:
        """The table versions that must stay readable."""
        from pilothouse.kernel.lake.pins import Pins

        return Pins(self.database)

    @cached_property
    def project(self) -> Project:
        """The models of which tables are made."""
        from pilothouse.tables.project import FOLDER, Project

        return Project.load(FOLDER, self.settings.home / "tables")

    @cached_property
    def builder(self) -> Builder:
        """What makes them."""
        from graph.resolution.corrections import Corrections
        from pilothouse.tables.building import Builder

        Corrections(self.lake).ensure()  # models read what people said, before anybody says anything
        return Builder(self.lake, self.project, self.settings.home / "tables", self.settings.tables)

    @cached_property
    def explainer(self) -> Explainer:
        """What says why a row of them says what it says."""
        from pilothouse.tables.why.explain import Explainer

        return Explainer(self.lake, self.project, self.settings.home / "tables")

    @cached_property
    def impact(self) -> Impact:
        """What says which rows depend on a raw one."""
        from pilothouse.tables.why.impact import Impact

        return Impact(self.explainer, self.project.published.values())

    @cached_property
    def models(self) -> dict[str, Model]:
        """Every declared model by name."""
        return discover("models.declared", Model)

    def model(self, name: str) -> Model:
        """One model; ConfigError where none has that name."""
        if name not in self.models:
            raise ConfigError(f"no model '{name}'", hint=f"there are {', '.join(self.models)}; a plugin adds one by an entry point")
        return self.models[name]

    @cached_property
    def tracking(self) -> Tracking:
        """MLflow."""
        from models.tracking import Tracking, artifact_folder

        mlflow = self.settings.mlflow
        if mlflow.url is not None:
            conceal([mlflow.url.get_secret_value()])
            return Tracking(mlflow.url.get_secret_value())
        return Tracking(self.database.ensure_database("mlflow"), mlflow.artifacts or artifact_folder(self.settings.home))

    @cached_property
    def trainer(self) -> Trainer:
        """What trains models, and keeps their versions in MLflow."""
        from models.training import Trainer

        return Trainer(self.lake, self.tracking, keep=self.settings.mlflow.keep, pins=self.pins)

    @cached_property
    def agents(self) -> dict[str, Agent]:
        """Every declared agent by name, with the brain that is set for it."""
        from pilothouse.agents.agent import Agent

        found = discover("pilothouse.agents.desks", Agent)
        for name, given in self.settings.agents.brains.items():
            if name not in found:
                raise ConfigError(f"agents.{name}: there is no such agent", hint=f"there are {', '.join(found)}")
            if given.brain == "language":
                from pilothouse.agents.brains.language import speaking

                found[name] = speaking(found[name], given.models, self.gateway)
        return found

    def in_force(self, name: str) -> Agent:
        """The version of an agent that decides: today's, unless it was tried and found worse than another."""
        agent = self.agent(name)
        given = self.settings.agents.brains.get(name)
        return self._asking(self.standings.in_force(agent, only_tried=given is not None and given.tried))

    def rival(self, name: str) -> Agent | None:
        """The version that today's must not be worse than; None where there is no other."""
        rival = self.standings.rival(self.agent(name))
        return None if rival is None else self._asking(rival)

    def _asking(self, agent: Agent) -> Agent:
        """An earlier version that a language model decides for asks through the gateway of today."""
        from pilothouse.agents.brains.language import LanguageModel

        if isinstance(agent.brain, LanguageModel) and agent.brain.gateway is None:
            return replace(agent, brain=replace(agent.brain, gateway=self.gateway))
        return agent

    @cached_property
    def standings(self) -> Standings:
        """Which versions of agents stood up to their trials."""
        from pilothouse.agents.trials.standing import Standings

        return Standings(self.database)

    def cases(self, name: str) -> list[Case]:
        """What an agent is tried by: the cases that come with it, and those that people made of its decisions."""
        from pilothouse.agents.trials.feedback import spoken_cases
        from pilothouse.agents.trials.shipped import shipped_cases

        agent = self.agent(name)
        return [*(shipped_cases(agent.trials.cases) if agent.trials else []), *spoken_cases(self.ledger, agent)]

    def judge(self, name: str) -> Judge | None:
        """Who reads an agent's reasons; None where nobody is set."""
        from pilothouse.agents.budget import Budget
        from pilothouse.agents.trials.judging import Judge

        given = self.settings.agents.brains.get(name)
        if given is None or not given.judge:
            return None
        self.gateway.speaker(given.judge)
        return Judge(self.gateway, given.judge, Budget())

    @cached_property
    def records(self) -> Records:
        """What MLflow shows of language models' decisions."""
        from pilothouse.agents.brains.records import Records

        return Records(self.database, self.ledger, self.tracking)

    @cached_property
    def gateway(self) -> Gateway:
        """What asks language models."""
        from pilothouse.agents.brains.answers import Answers
        from pilothouse.agents.brains.gateway import Gateway

        conceal(given.key.get_secret_value() for given in self.settings.providers.values() if given.key is not None)
        return Gateway.of(self.settings, Answers(lambda: self.database))

    def agent(self, name: str) -> Agent:
        """One agent; ConfigError where none has that name."""
        if name not in self.agents:
            raise ConfigError(f"no agent '{name}'", hint=f"there are {', '.join(self.agents)}; a plugin adds one by an entry point")
        return self.agents[name]

    def deciding(self, name: str) -> Deciding:
        """One agent at work: what wakes it, and what becomes of what it decides."""
        from pilothouse.agents.deciding import Deciding
        from pilothouse.approvals.proposing import proposing

        return Deciding(
            self.in_force(name),
            lake=self.lake,
            database=self.database,
            ledger=self.ledger,
            pins=self.pins,
            follow=proposing(self.proposals),
            patience=self.settings.agents.patience,
        )

    @cached_property
    def ledger(self) -> Ledger:
        """What was decided, and what became of it."""
        from pilothouse.agents.capsules import Ledger

        return Ledger(self.database, self._signer)

    @cached_property
    def _signer(self) -> Signer:
        from pilothouse.agents.capsules import Signer

        return Signer.open(self.settings.home / "keys" / "capsules.pem")

    @cached_property
    def principals(self) -> Principals:
        """Who may approve what agents propose."""
        from pilothouse.approvals.principals import ADMIN, Principals

        # Where nobody is declared, one administrator stands for whoever owns this machine; `pilothouse up` keeps their token.
        return Principals(self.database, self.settings.principals or {ADMIN: PrincipalSettings(role=ADMIN)}, self._signer)

    @cached_property
    def proposals(self) -> Proposals:
        """What agents would write, and what people said of it."""
        from assets.own_records import checking
        from pilothouse.approvals.proposals import Proposals

        return Proposals(self.database, self.ledger, self._policy, self.settings.approvals.expires, checking(self))

    @property
    def _policy(self) -> Policy:
        from pilothouse.approvals.policy import Policy

        return Policy(four_eyes_above=self.settings.approvals.four_eyes_above)

    @cached_property
    def executor(self) -> Executor:
        """The one place that writes what people approved."""
        from pilothouse.approvals.compensating import compensating
        from pilothouse.approvals.executor import Executor
        from pilothouse.approvals.proof import Proof

        return Executor(self.database, self.proposals, Proof(self.ledger, self._policy), self.target, compensating(self.lake))

    def target(self, name: str) -> AbstractContextManager[Target]:
        """Where approved actions are written: a source, or what is our own."""
        from contextlib import nullcontext

        from assets.own_records import OWN, own_target

        return nullcontext(own_target(self)) if name == OWN else self.source(name).write()

    @cached_property
    def money(self) -> Money:
        """What decisions bring, by the company's own figures."""
        from pilothouse.hindsight.money import Money

        return Money(self.settings.money)

    @cached_property
    def settling(self) -> Settling:
        """What settles decisions when payments tell their outcome."""
        from pilothouse.hindsight.settling import Settling

        return Settling(self.database, self.ledger, self.events, self.lake, self.money)

    @cached_property
    def affected(self) -> Affected:
        """What finds the decisions that something touched."""
        from pilothouse.hindsight.affected import Affected

        return Affected(self.lake, self.ledger, lambda: self.impact)

    @cached_property
    def objects(self) -> Objects:
        """Content-addressed blobs beside the lake's tables. What decisions saw lies in the database (docs/decisions/0018)."""
        from pilothouse.kernel.objects import Objects

        return Objects(f"{self.lake.url}/objects", self.lake.options)

    @property
    def drift(self) -> DriftPolicy:
        """What a changed schema may do."""
        from quality.drift import DriftPolicy

        return DriftPolicy(**self.settings.drift.model_dump())

    @cached_property
    def sources(self) -> dict[str, Source]:
        """Every configured source by name, its options validated by its connector's kind."""
        kinds = discover("connectors", ConnectorKind)
        declared = tuple(discover("quality.rules", Rule, name=lambda rule: f"{rule.table}: {rule.name}").values())
        return {name: _source(name, settings, kinds, declared) for name, settings in sorted(self.settings.sources.items())}

    def rules(self, source: str, stream: str) -> tuple[Rule, ...]:
        """The rules that judge a stream as they are in force: declared, with what people changed of them."""
        from quality.amendments import Amendments

        return Amendments(self.lake).over(self.source(source).rules(stream), source, stream)

    def source(self, name: str) -> Source:
        """One source; ConfigError where there is none of that name."""
        if name not in self.sources:
            raise ConfigError(f"no source '{name}'", hint=f"pilothouse.toml names {', '.join(self.sources) or 'none'}")
        return self.sources[name]


def _source(name: str, settings: SourceSettings, kinds: dict[str, ConnectorKind], rules: tuple[Rule, ...]) -> Source:
    if settings.connector not in kinds:
        raise ConfigError(
            f"sources.{name}: no connector '{settings.connector}'",
            hint=f"there are {', '.join(kinds)}; a plugin adds one by an entry point",
        )
    kind = kinds[settings.connector]
    try:
        options = kind.options.model_validate(settings.options())
    except ValidationError as error:
        raise config_error(error, "pilothouse.toml", ("sources", name), kind.options) from error
    conceal(_secrets(options))
    return Source(name, settings, kind, options, rules)


def _secrets(value: Any) -> list[str]:
    if isinstance(value, SecretStr):
        return [value.get_secret_value()]
    parts = vars(value).values() if hasattr(value, "model_fields_set") else value.values() if isinstance(value, dict) else ()
    return [secret for part in parts for secret in _secrets(part)]
