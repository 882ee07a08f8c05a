"""What holds for every command."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from pilothouse.cli.app import app

PILOTHOUSE = Path(sys.executable).with_name("pilothouse")


def test_standard_output_carries_the_answer_alone_whatever_is_logged_meanwhile(tmp_path: Path) -> None:
    with socket.socket() as taken_but_silent:  # bound, never listening: whoever connects is refused, and tries again
        taken_but_silent.bind(("127.0.0.1", 0))
        (tmp_path / "pilothouse.toml").write_text(
            f'[sources.s4]\nconnector = "sap"\nurl = "http://127.0.0.1:{taken_but_silent.getsockname()[1]}"\nuser = "reader"\n'
        )
        answer = subprocess.run(
            [PILOTHOUSE, "doctor", "--json"],
            cwd=tmp_path,
            env={"PILOTHOUSE_SOURCES__S4__PASSWORD": "not-a-secret"},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert "request repeated" in answer.stderr
    (source,) = [finding for finding in json.loads(answer.stdout) if finding["what"] == "source s4"]
    assert source["state"] == "wrong"
    assert "PILOTHOUSE_SOURCES__S4__URL" in source["cure"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands(shell: str) -> None:
    asked = {"COMP_WORDS": "pilothouse quar", "COMP_CWORD": "1", "_TYPER_COMPLETE_ARGS": "pilothouse quar"}
    for_fish = {"_TYPER_COMPLETE_FISH_ACTION": "get-args"} if shell == "fish" else {}
    environment = {**asked, **for_fish, "_PILOTHOUSE_COMPLETE": f"complete_{shell}"}
    told = subprocess.run([PILOTHOUSE], env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert "quarantine" in told.stdout, told.stderr


def test_every_command_answers_programs_too_and_shows_an_example() -> None:
    found = dict(commands(typer.main.get_command(app)))
    assert len(found) > 15
    documents = {"--json", "--out"}  # what can be written into a file is a document that programs read as it is
    assert [name for name, command in found.items() if not any(documents & {*each.opts} for each in command.params)] == []
    assert [name for name, command in found.items() if f"Example: {name}" not in (command.help or "")] == []


def commands(command: Any, name: str = "pilothouse") -> Iterator[tuple[str, Any]]:
    """Every command below this one, with all the words that call it."""
    below = getattr(command, "commands", {})
    if not below:
        yield name, command
    for word, each in below.items():
        yield from commands(each, f"{name} {word}")
