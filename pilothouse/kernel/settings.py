"""Every setting in one tree, from `pilothouse.toml` and the environment.

Built once, at an entry point, and passed down: nothing reads the environment at import. Strongest first:

1. the environment: `PILOTHOUSE_<SECTION>__<KEY>`, for secrets above all (`PILOTHOUSE_SOURCES__S4__PASSWORD`). The database's address
   may also be called `PILOTHOUSE_DATABASE_URL`, which is how platforms like to hand one over;
2. `<home>/run/local.toml`: the addresses of what `pilothouse up` runs right now;
3. `pilothouse.toml`: which sources, engines and policies, under version control;
4. the defaults below.

An unknown key is an error, never ignored: a misspelt setting that silently does nothing costs a day.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from pilothouse.kernel.concealing import sounds_secret
from pilothouse.kernel.errors import ConfigError

FILE = "pilothouse.toml"
PREFIX = "PILOTHOUSE_"
DATABASE_URL = f"{PREFIX}DATABASE_URL"
_NAME = re.compile(r"[a-z][a-z0-9_]*")  # of a source: a schema in SQL, a folder, and part of a variable's name


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DatabaseSettings(_Section):
    """The operational PostgreSQL."""

    url: SecretStr | None = Field(None, description="a managed server; without it `pilothouse up` runs one of its own")
    port: int = Field(0, ge=0, le=65535, description="of the server that `pilothouse up` runs; 0 takes a free one")


class LakeSettings(_Section):
    """Where the Delta tables are."""

    url: str | None = Field(None, description="a path, s3://, abfss:// or gs://; without it <home>/lake")
    options: dict[str, str] = Field(default_factory=dict, description="of the object store, such as aws_region")
    keep: timedelta = Field(timedelta(days=30), ge=timedelta(0), description="how long a version that nothing points to can be read")


class _Reached(_Section):
    """Something that is logged on to."""

    def told(self) -> dict[str, Any]:
        """What is set, secrets in the clear."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        plain = {name: value.get_secret_value() if isinstance(value, SecretStr) else value for name, value in values.items()}
        return {name: value for name, value in plain.items() if value not in {None, ""}}


class SnowflakeSettings(_Reached):
    """The Snowflake account in which models run where `tables.engine` is snowflake, in the words of its connector."""

    account: str = Field("", description="the account's identifier")
    user: str = Field("", description="who logs on")
    password: SecretStr | None = Field(None, description="of that user")
    authenticator: str = Field("", description="another way to log on than by password, such as oauth")
    token: SecretStr | None = Field(None, description="for that way")
    private_key_path: str = Field("", description="file of a private key, to log on by it")
    private_key_passphrase: SecretStr | None = Field(None, description="of that key")
    database: str = Field("", description="a database for Pilothouse alone: its schemas come and go")
    warehouse: str = Field("", description="what computes")
    role: str = Field("", description="which may create schemas in the database")
    host: str = Field("", description="of a server that is not found by the account's identifier")
    port: int | None = Field(None, ge=1, le=65535, description="of that server")
    protocol: str = Field("", description="of that server")


class DatabricksSettings(_Reached):
    """The SQL warehouse in which models run where `tables.engine` is databricks."""

    host: str = Field("", description="of the workspace")
    http_path: str = Field("", description="of the SQL warehouse")
    token: SecretStr | None = Field(None, description="of who logs on")
    catalog: str = Field("", description="a catalog for Pilothouse alone: its schemas come and go")


class TableSettings(_Section):
    """How tables are made by SQL."""

    engine: Literal["duckdb", "spark", "snowflake", "databricks"] = Field("duckdb", description="what runs the models")
    every: timedelta = Field(timedelta(minutes=2), gt=timedelta(0), description="how often is looked whether one is out of date")
    memory: str = Field(
        "4GB",
        pattern=r"(?i)^\d+(\.\d+)? ?[KMGT]i?B$",
        description="what DuckDB may use before it spills to disk, and the driver of Spark",
    )
    threads: int = Field(2, ge=1, description="how many models are built side by side")
    spark: dict[str, str] = Field(default_factory=dict, description="Spark's own settings by their names, such as spark.master")
    snowflake: SnowflakeSettings = SnowflakeSettings()
    databricks: DatabricksSettings = DatabricksSettings()


class GraphSettings(_Section):
    """The graph of firms, orders and what holds them together, behind Bolt."""

    engine: Literal["arcadedb", "neo4j"] = Field("arcadedb", description="what kind of server it is")
    url: str | None = Field(None, description="bolt:// or neo4j+s:// of a server of yours; without it `pilothouse up` runs one of its own")
    user: str = Field("", description="who writes; without it root (ArcadeDB) or neo4j (Neo4j)")
    password: SecretStr | None = Field(None, description="of that user")
    database: str = Field("", description="which of the server's databases; without it pilothouse (ArcadeDB) or neo4j (Neo4j)")
    port: int = Field(0, ge=0, le=65535, description="of the server that `pilothouse up` runs; 0 takes a free one")
    memory: str = Field("1g", pattern=r"^\d+[mg]$", description="what the server that `pilothouse up` runs may use for its heap")
    reader: str = Field(
        "", description="who reads and may not write, for people's own tools; `pilothouse up` makes one where the engine can"
    )
    reader_password: SecretStr | None = Field(None, description="of that reader")


class MlflowSettings(_Section):
    """Where versions of models are kept and seen."""

    url: SecretStr | None = Field(
        None, description="of a tracking server of your own; without it `pilothouse up` runs one over the operational server"
    )
    artifacts: str | None = Field(None, description="where models and pictures lie: a path or an object store; without it <home>/mlflow")
    keep: int = Field(20, ge=2, description="how many versions of a model are kept, beside the one that is used")


class ModelSettings(_Section):
    """When models are scored and trained again."""

    every: timedelta = Field(
        timedelta(minutes=10), description="how often is looked whether scores are out of date, or outcomes have drifted"
    )


class PortSettings(_Section):
    """Where `pilothouse up` listens on loopback. A taken port is replaced by a free one, and says so."""

    dagster: int = Field(3000, ge=0, le=65535, description="of the Dagster UI")
    mlflow: int = Field(5000, ge=0, le=65535, description="of the MLflow UI")
    sap: int = Field(0, ge=0, le=65535, description="of the sandbox's SAP; 0 takes a free one, and keeps it")
    salesforce: int = Field(0, ge=0, le=65535, description="of the sandbox's Salesforce; 0 takes a free one, and keeps it")
    admin: int = Field(0, ge=0, le=65535, description="of the sandbox's faults and clock; 0 takes a free one, and keeps it")


class SandboxSettings(_Section):
    """The enterprise in a box."""

    enabled: bool = Field(default=True, description="whether `pilothouse up` starts it")
    scale: float = Field(1.0, gt=0, le=100, description="1 is a company with 40,000 orders")
    seed: int = Field(7, description="the same seed, the same company")
    pace: float = Field(20.0, gt=0, description="seconds between two beats of the company's life")


class SourceSettings(BaseModel):
    """One source. Keys beyond these are its connector's own options and are checked by it."""

    model_config = ConfigDict(extra="allow", frozen=True)

    connector: str = Field(description="which kind of source it is: sap, salesforce, sql, or one that a plugin brings")
    every: timedelta = Field(timedelta(minutes=1), gt=timedelta(0), description="how often the source is synced")
    fresh_within: timedelta = Field(timedelta(hours=1), gt=timedelta(0), description="older than this is late")
    owner: str = Field("", description="who answers for its data, shown in the Dagster UI")
    sandbox: bool = Field(default=False, description="served by the enterprise in a box")

    def options(self) -> dict[str, Any]:
        """What only the connector understands."""
        return dict(self.model_extra or {})


DriftAnswer = Literal["accept", "hold", "block"]


class DriftSettings(_Section):
    """What a changed schema does: `accept` reads on, `hold` waits until a person accepts, `block` cannot be accepted."""

    added: DriftAnswer = Field("accept", description="a column that was not there before")
    removed: DriftAnswer = Field("hold", description="a column that is not there any more")
    renamed: DriftAnswer = Field("hold", description="a column that goes by another name")
    widened: DriftAnswer = Field("accept", description="a type that holds all it held before, and more")
    retyped: DriftAnswer = Field("block", description="any other change of a type")


class PrincipalSettings(_Section):
    """Somebody who may approve what agents propose."""

    role: str = Field(
        min_length=1,
        description="what somebody is, such as credit_manager; proposals name the roles that may approve them. `admin` may approve in place"
        " of any role, and issues tokens",
    )
    limit: Decimal | None = Field(None, ge=0, description="up to which amount; any where it is not set")


class ApprovalSettings(_Section):
    """How proposals become writes in source systems."""

    four_eyes_above: Decimal = Field(Decimal(50_000), ge=0, description="from this amount on two people must approve")
    expires: timedelta = Field(timedelta(days=3), gt=timedelta(0), description="how long a proposal can be approved")


class ProviderSettings(_Section):
    """A server of language models."""

    kind: Literal["openai", "anthropic", "mistral", "groq", "ollama", "compatible"] = Field(
        description="whose dialect it speaks; compatible is any other server that speaks OpenAI's"
    )
    url: str = Field("", description="where it is, if not where its maker serves it: of Ollama and compatible servers up to and with /v1")
    key: SecretStr | None = Field(None, description="of an account there")
    stream: bool = Field(
        default=True, description="whether answers are read as they are said; false for a server that cannot call tools so"
    )
    timeout: timedelta = Field(timedelta(seconds=30), gt=timedelta(0), description="how long it may take for a whole answer")
    patience: timedelta = Field(
        timedelta(milliseconds=700), gt=timedelta(0), description="how long it may show no sign of life before another is asked beside it"
    )


class LanguageModelSettings(_Section):
    """A language model that agents may be set to decide by."""

    provider: str = Field(description="which of [providers] serves it")
    name: str = Field(min_length=1, description="as the provider calls it")
    input_price: Decimal | None = Field(None, ge=0, description="of a million tokens that are sent; without it, what is listed for it")
    output_price: Decimal | None = Field(None, ge=0, description="of a million tokens that are answered; without it, what is listed for it")
    answer_tokens: int = Field(2_000, ge=50, description="how long an answer may be")
    temperature: float | None = Field(None, ge=0, le=2, description="how freely it chooses its words; not sent where it is not set")


class GatewaySettings(_Section):
    """How language models are asked."""

    route: Literal["cheapest", "declared"] = Field("cheapest", description="who is asked first of those that are well")
    keep: timedelta = Field(
        timedelta(days=14), ge=timedelta(0), description="how long an answer serves the same question over the same data"
    )


class BrainSettings(_Section):
    """How one agent decides here."""

    brain: Literal["policy", "language"] = Field("policy", description="what decides: its decision tree, or a language model")
    models: tuple[str, ...] = Field((), description="which of [language_models] may decide for it; the gateway chooses among them")
    tried: bool = Field(default=False, description="whether only a version decides that `pilothouse eval` has tried")
    judge: str = Field("", description="which of [language_models] reads its reasons in `pilothouse eval`; none reads them without one")

    @field_validator("models", mode="before")
    @classmethod
    def _listed_in_a_variable(cls, models: Any) -> Any:
        """In the environment a list is a text."""
        return tuple(each.strip(' "') for each in models.strip("[]").split(",") if each.strip()) if isinstance(models, str) else models


class AgentSettings(_Section):
    """When agents decide on what happens, and under each one's name (`[agents.credit_desk]`) how."""

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, BrainSettings]

    every: timedelta = Field(timedelta(seconds=10), gt=timedelta(0), description="how often is looked whether something happened")
    patience: timedelta = Field(
        timedelta(days=1), gt=timedelta(0), description="how long an event waits for what it is about to come into the tables"
    )

    @property
    def brains(self) -> dict[str, BrainSettings]:
        """What is set for single agents, by name."""
        return dict(self.__pydantic_extra__ or {})


class MoneySettings(_Section):
    """What a decision about an order brings or costs. These are a company's own figures: the defaults are those of a maker of machine
    parts, and every one says what it stands for. What decisions earned, what they would have, and what was best follow from them."""

    margin: float = Field(0.20, ge=0, le=1, description="of an order's net value, what is left when its own costs are paid")
    money_costs: float = Field(0.08, ge=0, description="what a euro that comes late costs in a year: the interest of a credit line")
    late_costs: float = Field(40.0, ge=0, description="euros of reminders and calls, for an order paid more than 30 days late")
    lost_costs: float = Field(250.0, ge=0, description="euros of lawyers and agencies for an order that is never paid, beside its value")
    prepayment_costs: float = Field(15.0, ge=0, description="euros for asking, waiting and booking what is paid ahead")
    prepayment_leaves: float = Field(
        0.10,
        ge=0,
        le=1,
        description="of customers asked to pay all ahead, the share that orders elsewhere; of a part, as its square: a third puts off few",
    )
    hold_costs: float = Field(45.0, ge=0, description="euros for the hour of whoever looks at an order that is held")
    hold_leaves: float = Field(0.04, ge=0, le=1, description="the share of customers who do not wait for that and order elsewhere")
    hold_finds: float = Field(
        0.75, ge=0, le=1, description="of orders that would be paid late or never, the share that whoever looks finds out; they are prepaid"
    )
    leaving_takes: float = Field(
        1.0, ge=0, description="later orders that go with a customer who leaves, as a multiple of this one's margin"
    )
    lost_after: timedelta = Field(
        timedelta(days=180), gt=timedelta(days=30), description="after the due date: an invoice open for longer counts as never paid"
    )
    fixed_limit: float = Field(
        25_000.0, ge=0, description="euros that a customer may owe under the rule of a fixed limit, against which decisions are measured"
    )


class OutcomeSettings(_Section):
    """When decisions are settled."""

    every: timedelta = Field(timedelta(minutes=5), gt=timedelta(0), description="how often is looked whether payments settle decisions")


class RetentionSettings(_Section):
    """How long what grows is kept. What a decision points to is never removed."""

    events: timedelta = Field(timedelta(days=30), ge=timedelta(0), description="of the event log")
    runs: timedelta = Field(timedelta(days=14), ge=timedelta(0), description="of Dagster's runs and their logs")
    quarantine: timedelta = Field(
        timedelta(days=365),
        ge=timedelta(days=1),
        description="of rejected rows, since they were released, or since they came; what the source shows again is held again",
    )
    traces: timedelta = Field(
        timedelta(days=90), ge=timedelta(days=1), description="of what MLflow shows of language models; the ledger keeps their decisions"
    )


class Settings(BaseSettings):
    """The whole tree."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
        hide_input_in_errors=True,
    )

    home: Path = Field(Path(".pilothouse"), description="where everything lives that runs on this machine")
    database: DatabaseSettings = DatabaseSettings()
    lake: LakeSettings = LakeSettings()
    tables: TableSettings = TableSettings()
    graph: GraphSettings = GraphSettings()
    mlflow: MlflowSettings = MlflowSettings()
    models: ModelSettings = ModelSettings()
    ports: PortSettings = PortSettings()
    sandbox: SandboxSettings = SandboxSettings()
    sources: dict[str, SourceSettings] = Field(default_factory=dict)
    drift: DriftSettings = DriftSettings()
    agents: AgentSettings = AgentSettings()
    principals: dict[str, PrincipalSettings] = Field(default_factory=dict)
    approvals: ApprovalSettings = ApprovalSettings()
    providers: dict[str, ProviderSettings] = Field(default_factory=dict)
    language_models: dict[str, LanguageModelSettings] = Field(default_factory=dict)
    gateway: GatewaySettings = GatewaySettings()
    money: MoneySettings = MoneySettings()
    outcomes: OutcomeSettings = OutcomeSettings()
    retention: RetentionSettings = RetentionSettings()

    @field_validator("sources")
    @classmethod
    def _named_as_a_schema_and_a_variable_can_be(cls, sources: dict[str, SourceSettings]) -> dict[str, SourceSettings]:
        for name in sources:
            if not _NAME.fullmatch(name):
                raise ValueError(f"'{name}' cannot name a source: small letters, digits and _ can, beginning with a letter")
        return sources

    @property
    def lake_url(self) -> str:
        """Where the lake is, whether set or by default."""
        return self.lake.url or str(self.home / "lake")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment over what `load` read from files."""
        return env_settings, init_settings


def project_file(start: Path | None = None) -> Path:
    """The nearest `pilothouse.toml` at or above a folder (the current one by default)."""
    named = os.environ.get("PILOTHOUSE_CONFIG")
    if named:
        if not Path(named).is_file():
            raise ConfigError(f"PILOTHOUSE_CONFIG={named}: there is no such file", hint="point it at a pilothouse.toml, or unset it")
        return Path(named).resolve()
    folder = (start or Path.cwd()).resolve()
    for candidate in (folder, *folder.parents):
        if (candidate / FILE).is_file():
            return candidate / FILE
    raise ConfigError(
        f"{FILE}: not found in {folder} or above", hint="run inside a Pilothouse project, or set PILOTHOUSE_CONFIG to its path"
    )


def load(file: Path | None = None, *, running: bool = True) -> Settings:
    """The settings of the project in this folder (or of `file`), validated; ConfigError names what is wrong and where.

    Without `running` the addresses of what runs are left out: whoever starts it must not believe those of an earlier life.
    """
    file = file or project_file()
    _refuse_unknown_variables()
    declared = _toml(file)
    home = Path(os.environ.get(f"{PREFIX}HOME") or declared.get("home", ".pilothouse"))
    home = home if home.is_absolute() else file.parent / home
    local = home / "run" / "local.toml"
    merged = _merged(declared, _toml(local) if running and local.is_file() else {})
    if address := os.environ.get(DATABASE_URL):
        merged = _merged(merged, {"database": {"url": address}})
    try:
        settings = Settings(**merged)
    except ValidationError as error:
        raise config_error(error, file.name) from error
    return settings.model_copy(update={"home": home})


def config_error(error: ValidationError, where: str, section: tuple[str, ...] = (), model: type[BaseModel] = Settings) -> ConfigError:
    """The first complaint of a validation of `model`, as one error that names the key, the value (unless it is a secret, or so much
    that secrets may be among it) and where to set it."""
    first = error.errors(include_url=False)[0]
    path = tuple(str(part) for part in (*section, *first["loc"]))
    key, variable = ".".join(path), PREFIX + "__".join(path).upper()
    if first["type"] == "extra_forbidden":
        known = _siblings(model, first["loc"])
        hint = f"known here: {', '.join(known)}" if known else "remove it or correct its name"
        return ConfigError(f"{where}: unknown setting '{key}'", hint=hint)
    if first["type"] == "missing":
        hint = f"set {variable} in the environment, or {path[-1]} under [{'.'.join(path[:-1])}]"
        return ConfigError(f"{where}: setting '{key}' is missing", hint=hint)
    said = first["msg"].removeprefix("Value error, ")
    if isinstance(first["input"], Mapping | BaseModel):  # secrets may be among what it holds
        return ConfigError(f"{where}: '{key}': {said}", hint=f"correct it there, or set {variable}__<KEY>")
    given = first["input"]
    shown = f"{given.total_seconds():g} seconds" if isinstance(given, timedelta) else repr(given)
    shown = "no secret that can be taken" if _is_secret(model, first["loc"]) else shown
    return ConfigError(f"{where}: setting '{key}' is {shown}: {said}", hint=f"correct it there, or set {variable}")


def _is_secret(model: type[BaseModel], location: tuple[int | str, ...]) -> bool:
    field = getattr(_model_at(model, location[:-1]), "model_fields", {}).get(str(location[-1]))
    return sounds_secret(str(location[-1])) or (field is not None and "SecretStr" in str(field.annotation))


def _refuse_unknown_variables() -> None:
    """A misspelt variable would be ignored by pydantic-settings, which looks only for names it knows."""
    known = {name.upper() for name in Settings.model_fields} | {"CONFIG", "TOKEN"}  # those two are no settings
    for variable in sorted(os.environ.keys() - {DATABASE_URL}):
        if variable.startswith(PREFIX) and variable.removeprefix(PREFIX).split("__")[0] not in known:
            names = ", ".join(PREFIX + name for name in sorted(known))
            raise ConfigError(f"environment: unknown setting {variable}", hint=f"known are {names} and their sections")


def _siblings(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The settings known beside the one that is unknown."""
    return list(getattr(_model_at(model, location[:-1]), "model_fields", {}))


def _model_at(model: Any, location: tuple[int | str, ...]) -> Any:
    for part in location:
        field = getattr(model, "model_fields", {}).get(str(part))
        model = field.annotation if field is not None else None
    return model


def _toml(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as handle:
            return tomllib.load(handle)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file.name}: not valid TOML ({error})", hint="mend that line") from error
    except OSError as error:
        raise ConfigError(f"{file.name}: cannot be read ({error.strerror})", hint="check the file and its owner") from error


def _merged(weak: Mapping[str, Any], strong: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(weak)
    for key, value in strong.items():
        old = merged.get(key)
        merged[key] = _merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged
