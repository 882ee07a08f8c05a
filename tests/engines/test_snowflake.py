"""The models on Snowflake, as far as a server that speaks its protocol goes: fakesnow, which translates to DuckDB."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import fakesnow
import pytest
import snowflake.connector

from pilothouse.kernel.errors import ConfigError
from pilothouse.kernel.settings import SnowflakeSettings, TableSettings
from pilothouse.tables.building import Builder, Made
from pilothouse.tables.project import Project
from tests.raw_company import RawCompany

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(1_200)]  # fakesnow's own

PASSWORD = "not-in-any-file-7f3a"
# What fakesnow cannot run, and why. A name that it has learned has to be taken out, or this fails.
BEYOND: dict[str, str] = {}


@pytest.fixture(scope="module")
def account() -> Iterator[SnowflakeSettings]:
    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    with fakesnow.server() as words:
        logging.getLogger("uvicorn.access").disabled = True
        snowflake.connector.connect(**words).cursor().execute("CREATE DATABASE lake")
        yield SnowflakeSettings(
            account="fakesnow",
            user="pilot",
            password=PASSWORD,
            database="LAKE",
            host=words["host"],
            port=words["port"],
            protocol=words["protocol"],
        )


@pytest.fixture(scope="module")
def by_snowflake(raw: RawCompany, by_duckdb: Builder, project: Project, work: Path, account: SnowflakeSettings) -> Builder:
    list(by_duckdb.build())  # of what an earlier module changed
    return Builder(raw.lake, project, work, TableSettings(engine="snowflake", snowflake=account))


@pytest.fixture(scope="module")
def made(by_snowflake: Builder) -> dict[str, Made]:
    return {each.model.name: each for each in by_snowflake.build(full=True)}


def test_every_table_that_snowflake_makes_is_the_one_that_duckdb_made(made: dict[str, Made]) -> None:
    assert {name: each.reason for name, each in made.items() if each.reason and name not in BEYOND} == {}
    assert [name for name, each in made.items() if each.changed] == []


def test_what_cannot_be_run_here_is_known_by_name(made: dict[str, Made]) -> None:
    assert {name for name, each in made.items() if each.how == "failed"} == BEYOND.keys()


def test_an_input_is_loaded_once_for_each_version(by_snowflake: Builder, made: dict[str, Made], account: SnowflakeSettings) -> None:
    loaded = _loaded(account)
    list(by_snowflake.build(["stg_crm__account"], full=True))
    assert _loaded(account) == loaded
    assert len([name for name in loaded if name.startswith("RAW__CRM__ACCOUNT__")]) == 1


def test_no_secret_reaches_a_file(made: dict[str, Made], work: Path) -> None:
    files = [path for path in work.rglob("*") if path.is_file()]
    assert any(path.name == "profiles.yml" for path in files)
    assert [path for path in files if PASSWORD.encode() in path.read_bytes()] == []


def test_a_database_with_schemas_of_others_is_refused(
    raw: RawCompany, project: Project, work: Path, made: dict[str, Made], account: SnowflakeSettings
) -> None:
    cursor = snowflake.connector.connect(**account.told()).cursor()
    cursor.execute("CREATE DATABASE others")
    cursor.execute("CREATE SCHEMA others.staging")
    settings = TableSettings(engine="snowflake", snowflake=account.model_copy(update={"database": "OTHERS"}))
    with pytest.raises(ConfigError, match=r"the database has a schema staging that Pilothouse did not make[\s\S]*alone"):
        list(Builder(raw.lake, project, work, settings).build(["stg_crm__account"], full=True))


def test_what_is_not_set_is_named(raw: RawCompany, project: Project, work: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"tables.snowflake: account and user and database not set[\s\S]*PILOTHOUSE_TABLES__SNOWFLAKE__ACCOUNT"
    ):
        Builder(raw.lake, project, work, TableSettings(engine="snowflake"))


def _loaded(account: SnowflakeSettings) -> list[str]:
    connection = snowflake.connector.connect(**account.told())
    cursor = connection.cursor()
    cursor.execute("SELECT table_name, created FROM information_schema.tables WHERE table_schema = 'PILOTHOUSE_LOADED' ORDER BY 1")
    return [str(row[0]) for row in cursor.fetchall()]
