"""What `up` starts listens where it was told to, or says where else."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from pilothouse.kernel.settings import PortSettings, SandboxSettings, Settings, SourceSettings
from pilothouse.local.process import choose_port, listening
from pilothouse.local.stack import Stack


def test_the_sandbox_listens_where_it_was_told_and_a_taken_port_is_replaced_and_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        sap, salesforce = choose_port(0), taken.getsockname()[1]
        settings = Settings(
            home=tmp_path / "home",
            sandbox=SandboxSettings(scale=0.01, pace=86400),
            ports=PortSettings(sap=sap, salesforce=salesforce),
            sources={name: SourceSettings(connector=kind, sandbox=True) for name, kind in (("s4", "sap"), ("crm", "salesforce"))},
        )
        stack = Stack(settings, tmp_path / "pilothouse.toml")
        stack.claim()
        try:
            told = stack._sandbox("")
            assert told["s4"]["url"] == f"http://127.0.0.1:{sap}"
            (name, (wanted, instead)), *others = stack.moved.items()
            assert (name, wanted, others) == ("sandbox salesforce", salesforce, [])
            assert told["crm"]["url"] == f"https://127.0.0.1:{instead}"
            assert listening(sap)
            assert listening(instead)
            assert json.loads((settings.home / "sandbox" / "endpoints.json").read_text())["sap"] == told["s4"]["url"]
        finally:
            stack.stop()
    assert not listening(sap)
