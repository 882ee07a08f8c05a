"""Doctor names what is wrong on this machine, and the way out."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pilothouse.local import doctor
from pilothouse.local.doctor import Finding, examine


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PILOTHOUSE_CONFIG", str(tmp_path / "pilothouse.toml"))
    monkeypatch.delenv("PILOTHOUSE_HOME", raising=False)
    (tmp_path / "pilothouse.toml").write_text("")
    return tmp_path


def found(what: str) -> Finding:
    (finding,) = [finding for finding in examine() if finding.what == what]
    return finding


def runs(project: Path, pid: int) -> None:
    """What an `up` of that number would have left."""
    folder = project / ".pilothouse" / "run"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "parts.json").write_text("[]")
    (folder / "up.lock").write_text(str(pid))


@pytest.mark.parametrize("setting", ["ports.dagster", "ports.sap", "database.port", "graph.port"])
def test_a_port_that_another_program_has_is_named_with_its_setting(project: Path, setting: str) -> None:
    section, name = setting.split(".")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (project / "pilothouse.toml").write_text(f"[{section}]\n{name} = {port}\n")
        assert f"port {port} ({setting}) is taken" in found("pilothouse up").cure
    assert f"port {port}" not in found("pilothouse up").cure


def test_an_up_that_died_is_told_even_if_another_program_has_its_number_by_now(project: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for pid in (dead.pid, 1):
        runs(project, pid)
        finding = found("pilothouse up")
        assert (finding.state, finding.found) == ("wrong", "ended without cleaning up")
        assert "start it again" in finding.cure


def test_an_up_that_runs_is_told_with_its_number(project: Path) -> None:
    waits = "print('here', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", waits, "pilothouse", "up"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as living:
        assert living.stdout is not None
        living.stdout.readline()  # a process that has only just begun has no name yet
        runs(project, living.pid)
        assert found("pilothouse up") == Finding("pilothouse up", "ok", f"process {living.pid}")
        living.communicate(b"\n")


def test_a_disk_that_is_nearly_full_is_told(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found("disk").state == "ok"
    monkeypatch.setattr(doctor, "_LOW_DISK", 1 << 60)
    finding = found("disk")
    assert finding.state == "wrong"
    assert "free some space" in finding.cure


def test_a_home_that_can_be_none_is_told_with_its_variable(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "file").write_text("in the way")
    monkeypatch.setenv("PILOTHOUSE_HOME", str(project / "file" / "below"))
    finding = found("home")
    assert finding.state == "wrong"
    assert "is no folder" in finding.found
    assert "PILOTHOUSE_HOME" in finding.cure
    assert sorted(each.name for each in project.iterdir()) == ["file", "pilothouse.toml"]


def test_a_wrong_setting_ends_the_examination_with_its_cure(project: Path) -> None:
    (project / "pilothouse.toml").write_text("[sandbx]\nscale = 1\n")
    (finding,) = examine()
    assert (finding.what, finding.state) == ("settings", "wrong")
    assert "sandbox" in finding.cure
