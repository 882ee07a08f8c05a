"""What a user gets wrong is told by one error that names it and the way out, before anything is done."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from pilothouse.cli.app import app

SOURCE = '[sources.s4]\nconnector = "sap"\nurl = "http://127.0.0.1:9"\nuser = "ada"\npassword = "hunter-2"\n'


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PILOTHOUSE_CONFIG", str(tmp_path / "pilothouse.toml"))
    monkeypatch.delenv("PILOTHOUSE_HOME", raising=False)
    (tmp_path / "pilothouse.toml").write_text(SOURCE)
    return tmp_path


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("sync ghost", ["no source 'ghost'", "names s4"]),
        ("sync s4/ghost", ["no stream 'ghost'", "sales_order"]),
        ("quarantine show s4/ghost", ["no stream 'ghost'"]),
        ("quarantine show ghost/product", ["no source 'ghost'"]),
        ("quarantine release s4/product", ["nothing to release is named", "--rule"]),
        ("drift accept s4/ghost", ["no stream 'ghost'"]),
        ("drift accept s4", ["names no stream", "SOURCE/STREAM"]),
        ("history raw/s4/product", ["no such table", "pilothouse tables"]),
        ("query SELEC", ["syntax error", "pilothouse tables"]),
        ("query SELECT --at product", ["not TABLE=VERSION", "--at raw/"]),
    ],
)
def test_a_name_that_nothing_has_is_told_with_those_there_are(project: Path, command: str, told: list[str]) -> None:
    result = CliRunner().invoke(app, command.split(" "))
    assert result.exit_code == 1, result.output
    assert [words for words in told if words not in result.output] == []
    assert "hunter-2" not in result.output
    assert not (project / ".pilothouse" / "lake").exists()


@pytest.mark.parametrize("command", ["sync", "up"])
def test_a_project_without_sources_has_nothing_to_sync_and_says_so(project: Path, command: str) -> None:
    (project / "pilothouse.toml").write_text("")
    result = CliRunner().invoke(app, [command])
    assert result.exit_code == 1
    assert "names no source" in result.output
    assert not (project / ".pilothouse").exists()


@pytest.mark.parametrize("home", ["file", "file/below"])
def test_a_home_that_cannot_be_is_told_before_anything_starts(project: Path, monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    (project / "file").write_text("in the way")
    monkeypatch.setenv("PILOTHOUSE_HOME", str(project / home))
    for command in ("up", "tables"):
        result = CliRunner().invoke(app, [command])
        assert result.exit_code == 1
        assert "Not a directory" in result.output
        assert "PILOTHOUSE_HOME" in result.output or "PILOTHOUSE_LAKE__URL" in result.output


def test_doctor_sends_who_lives_in_the_sandbox_to_up(project: Path) -> None:
    without_password = SOURCE.replace('password = "hunter-2"\n', "")
    (project / "pilothouse.toml").write_text(without_password + "sandbox = true\n")
    assert "`pilothouse up` serves it" in CliRunner().invoke(app, ["doctor"]).output
    (project / "pilothouse.toml").write_text(without_password)
    assert "serves it" not in CliRunner().invoke(app, ["doctor"]).output
