"""Settings: one tree, validated at the door, every complaint with its key and its cure."""

from __future__ import annotations

from pathlib import Path

import pytest

from assets.platform import Platform
from pilothouse.kernel.errors import ConfigError
from pilothouse.kernel.settings import load, project_file


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("PILOTHOUSE_CONFIG", "PILOTHOUSE_HOME", "PILOTHOUSE_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "pilothouse.toml").write_text('[sources.s4]\nconnector = "sap"\nurl = "https://s4"\n')
    return tmp_path


def test_the_environment_overrides_the_file_and_joins_its_sections(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOTHOUSE_SOURCES__S4__PASSWORD", "geheim")
    monkeypatch.setenv("PILOTHOUSE_SANDBOX__SCALE", "0.1")
    settings = load()
    assert settings.sources["s4"].options() == {"url": "https://s4", "password": "geheim"}
    assert settings.sandbox.scale == 0.1


def test_a_managed_database_may_be_named_by_one_plain_variable(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running = project / ".pilothouse" / "run"
    running.mkdir(parents=True)
    (running / "local.toml").write_text('[database]\nurl = "postgresql://local"\n')
    monkeypatch.setenv("PILOTHOUSE_DATABASE_URL", "postgresql://managed")
    for settings in (load(), load(running=False)):
        assert settings.database.url is not None
        assert settings.database.url.get_secret_value() == "postgresql://managed"
    monkeypatch.setenv("PILOTHOUSE_DATABASE__URL", "postgresql://by-section")
    url = load().database.url
    assert url is not None
    assert url.get_secret_value() == "postgresql://by-section"


def test_what_up_runs_right_now_overrides_the_file(project: Path) -> None:
    running = project / ".pilothouse" / "run"
    running.mkdir(parents=True)
    (running / "local.toml").write_text('[sources.s4]\nurl = "http://127.0.0.1:4004"\n')
    assert load().sources["s4"].options()["url"] == "http://127.0.0.1:4004"


def test_home_is_beside_the_file_wherever_one_stands(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = project / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert load().home == project / ".pilothouse"
    assert project_file() == project / "pilothouse.toml"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[lake]\nurll = 'x'", "unknown setting 'lake.urll'[\\s\\S]*known here: url, options, keep"),
        ("[sandbx]\nscale = 1", "unknown setting 'sandbx'[\\s\\S]*sandbox"),
        ("[sandbox]\nscale = 'big'", "'sandbox.scale' is 'big'[\\s\\S]*PILOTHOUSE_SANDBOX__SCALE"),
        ("[sources.s4]\nurl = 'x'", "'sources.s4.connector' is missing[\\s\\S]*PILOTHOUSE_SOURCES__S4__CONNECTOR"),
        ("[lake\n", "not valid TOML"),
        ("[ports]\ndagster = 99999", "'ports.dagster' is 99999"),
        ("[retention]\nevents = -1", "'retention.events' is -1 seconds"),
        ("[lake]\nkeep = -5", "'lake.keep' is -5 seconds"),
        ("[sources.s4]\nconnector = 'sap'\nevery = 0", "'sources.s4.every' is 0 seconds"),
        ("[sources.'s4/eu']\nconnector = 'sap'", "'s4/eu' cannot name a source: small letters"),
        ("[tables]\nmemory = 'lots'", "'tables.memory' is 'lots'"),
    ],
)
def test_a_wrong_file_is_one_error_that_names_key_and_cure(project: Path, text: str, said: str) -> None:
    (project / "pilothouse.toml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        load()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('user = "ada"\npassword = "hunter-2"\nclient_secret = "hunter-2"', "give one of the two"),
        ('user = "ada"\npassword = "hunter-2"\nstreams = ["ghost"]', "no stream is called 'ghost'"),
        ("password = 70771", "'sources.s4.password' is no secret that can be taken"),
        ('password = "hunter-2"\npagesize = 3', r"unknown setting 'sources.s4.pagesize'[\s\S]*known here:[\s\S]*page_size"),
    ],
)
def test_what_is_wrong_with_a_source_is_told_without_its_secrets(project: Path, text: str, said: str) -> None:
    (project / "pilothouse.toml").write_text(f'[sources.s4]\nconnector = "sap"\nurl = "https://s4"\n{text}\n')
    with pytest.raises(ConfigError, match=said) as caught:
        _ = Platform(load()).sources
    assert "hunter-2" not in str(caught.value)
    assert "70771" not in str(caught.value)


def test_a_secret_of_the_store_is_not_told_either(project: Path) -> None:
    (project / "pilothouse.toml").write_text("[lake.options]\naws_secret_access_key = 70771\n")
    with pytest.raises(ConfigError, match="aws_secret_access_key") as caught:
        load()
    assert "70771" not in str(caught.value)


def test_a_misspelt_variable_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOTHOUSE_LAKEE__URL", "x")
    with pytest.raises(ConfigError, match="PILOTHOUSE_LAKEE__URL"):
        load()


def test_no_project_is_said_plainly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PILOTHOUSE_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="not found"):
        load()


def test_a_config_path_that_is_wrong_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOTHOUSE_CONFIG", "/nowhere/pilothouse.toml")
    with pytest.raises(ConfigError, match=r"/nowhere/pilothouse\.toml"):
        load()
