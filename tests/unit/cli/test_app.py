"""What holds for every command."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

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
    assert {"source s4"} <= {finding["what"] for finding in json.loads(answer.stdout)}
