"""Jars, where Maven is what a script makes of it: what is asked of it, and what becomes of what it brings."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from pilothouse.kernel.errors import ConfigError, SourceUnavailable
from pilothouse.kernel.maven import Jar, fetched

JAR = Jar("org.example", "thing", "1.0", hashlib.sha256(b"a jar").hexdigest())
BRINGS = """for word in "$@"; do case $word in -DoutputDirectory=*) folder=${{word#*=}};; -f) :;; esac; done
mkdir -p "$folder"; printf '%s' '{content}' > "$folder/thing-1.0.jar"; echo called >> {log}"""


def maven(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str) -> None:
    program = tmp_path / "bin" / "mvn"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")


def test_a_jar_is_fetched_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    maven(monkeypatch, tmp_path, BRINGS.format(content="a jar", log=tmp_path / "log"))
    for _ in range(2):
        assert [path.read_bytes() for path in fetched([JAR], tmp_path / "jars")] == [b"a jar"]
    assert (tmp_path / "log").read_text() == "called\n"
    assert [path.name for path in (tmp_path / "jars").iterdir()] == ["thing-1.0.jar"]


def test_another_jar_under_its_name_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    maven(monkeypatch, tmp_path, BRINGS.format(content="another", log=tmp_path / "log"))
    with pytest.raises(ConfigError, match=r"org.example:thing:1.0 is not the jar that it should be"):
        fetched([JAR], tmp_path / "jars")
    assert list((tmp_path / "jars").iterdir()) == []


def test_what_maven_complains_of_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    maven(monkeypatch, tmp_path, "echo '[ERROR] no route to the repository'; exit 1")
    with pytest.raises(SourceUnavailable, match=r"no route to the repository[\s\S]*hint: "):
        fetched([JAR], tmp_path / "jars")


def test_without_maven_the_jar_and_the_folder_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"thing-1.0.jar is not here[\s\S]*apt-get install maven"):
        fetched([JAR], tmp_path / "jars")
