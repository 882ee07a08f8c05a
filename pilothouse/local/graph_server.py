"""A graph server on this machine: the program that runs it, and how it is reached."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pilothouse.local.process import Program


@dataclass(frozen=True)
class GraphServer:
    """One server. The program is started, awaited, revived and stopped like every other."""

    engine: Literal["arcadedb", "neo4j"]
    home: Path
    program: Program
    url: str
    user: str
    password: str
    database: str
    reader: str = ""
    reader_password: str = ""

    def settings(self) -> dict[str, str]:
        """What the settings must say for the graph to be found."""
        names = ("url", "user", "password", "database", "reader", "reader_password")
        return {name: value for name in names if (value := getattr(self, name))}
