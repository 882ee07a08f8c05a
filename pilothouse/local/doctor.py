"""What is wrong with this project on this machine, and how to mend it. Looks, changes nothing."""

from __future__ import annotations

import json
import os
import shutil
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from assets.platform import Platform
from pilothouse.kernel.errors import PilothouseError
from pilothouse.kernel.settings import Settings, load
from pilothouse.local.process import listening

_LOW_DISK = 2 << 30


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    what: str
    state: Literal["ok", "warning", "wrong"]
    found: str
    cure: str = ""


def examine() -> list[Finding]:
    """Every finding, in the order in which they depend on each other. A wrong setting ends the examination."""
    try:
        settings = load()
        platform = Platform(settings)
        names = ", ".join(f"{name} ({len(source.streams)} streams)" for name, source in platform.sources.items())
    except PilothouseError as error:
        return [Finding("settings", "wrong", error.message, error.hint)]
    findings = [Finding("settings", "ok", f"sources: {names or 'none'}")]
    findings += [_home(settings), _disk(settings), *_running(settings)]
    findings.append(_asked("database", lambda: _database(platform)))
    findings.append(_graph(platform))
    findings.append(_asked("lake", lambda: f"{platform.lake.url}: {sum(1 for _ in platform.lake.tables())} tables"))
    findings += [_source(platform, name) for name in platform.sources]
    platform.close()
    return findings


def _database(platform: Platform) -> str:
    platform.database.check()
    return f"{platform.database.where}: answers, schema is current"


def _graph(platform: Platform) -> Finding:
    """A graph that no setting names is one that nobody needs: syncs and tables do without."""
    found = _asked("graph", lambda: f"{platform.graph.where}: answers ({platform.graph.check()})")
    return found if platform.settings.graph.url is not None else replace(found, state="warning")


def _asked(what: str, question: Callable[[], str]) -> Finding:
    try:
        return Finding(what, "ok", question())
    except PilothouseError as error:
        return Finding(what, "wrong", error.message, error.hint)


def _source(platform: Platform, name: str) -> Finding:
    def question() -> str:
        with closing(platform.source(name).connect()) as connector:
            connector.check()
        return f"{platform.source(name).kind.name}: answers, knows us, offers what we read"

    finding = _asked(f"source {name}", question)
    served_by_us = platform.source(name).settings.sandbox and not (platform.settings.home / "run" / "parts.json").exists()
    if finding.state == "wrong" and served_by_us:
        return replace(finding, cure=f"`pilothouse up` serves it out of its sandbox; for one of your own: {finding.cure}")
    return finding


def _home(settings: Settings) -> Finding:
    folder = _there(settings)
    if folder.is_dir() and os.access(folder, os.W_OK):
        return Finding("home", "ok", str(settings.home))
    found = f"{folder} cannot be written" if folder.is_dir() else f"{folder} is no folder"
    return Finding("home", "wrong", found, "set PILOTHOUSE_HOME to a folder of yours, or mend its owner")


def _there(settings: Settings) -> Path:
    """What exists of the way to home."""
    return next(parent for parent in (settings.home, *settings.home.parents) if parent.exists())


def _disk(settings: Settings) -> Finding:
    free = shutil.disk_usage(_there(settings)).free
    found = f"{free / (1 << 30):.1f} GB free"
    if free < _LOW_DISK:
        return Finding("disk", "wrong", found, "free some space: a full disk stops every sync (nothing is lost; it goes on afterwards)")
    return Finding("disk", "ok", found)


def _running(settings: Settings) -> Iterator[Finding]:
    """Whether `pilothouse up` runs, whether what it started lives, and whether something else sits on its ports."""
    run = settings.home / "run"
    parts = run / "parts.json"
    if not parts.exists():
        yield Finding("pilothouse up", "warning", "does not run", "; ".join(["start it with `pilothouse up`", *_taken(settings)]))
        return
    owner = _owner(run / "up.lock")
    if owner is None or not _is_ours(owner):
        yield Finding("pilothouse up", "wrong", "ended without cleaning up", "start it again: it finds what is left and goes on")
        return
    yield Finding("pilothouse up", "ok", f"process {owner}")
    for part in json.loads(parts.read_text()):
        if str(part["address"]).startswith("http://") and part["name"] == "Dagster UI":
            yield _web(part["name"], part["address"])


def _taken(settings: Settings) -> Iterator[str]:
    """The ports that are set and that another program has."""
    wanted = {f"ports.{name}": port for name, port in settings.ports.model_dump().items()}
    if settings.database.url is None:
        wanted["database.port"] = settings.database.port
    if settings.graph.url is None:
        wanted["graph.port"] = settings.graph.port
    for name, port in wanted.items():
        if port and listening(port):
            yield f"port {port} ({name}) is taken by another program, so it will choose a free one"


def _is_ours(pid: int) -> bool:
    """Whether that process is a `pilothouse`: the number of one that died may long be another program's."""
    try:
        return b"pilothouse" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _owner(lock: Path) -> int | None:
    text = lock.read_text().strip() if lock.exists() else ""
    return int(text) if text.isdecimal() else None


def _web(name: str, address: str) -> Finding:
    try:
        with urllib.request.urlopen(f"{address}/server_info", timeout=10) as answer:  # noqa: S310 - our own address
            told = json.load(answer)
        return Finding(name, "ok", f"{address} (Dagster {told.get('dagster_version', '?')})")
    except OSError as error:
        return Finding(name, "wrong", f"{address} does not answer ({error})", "`pilothouse up` restarts it; its log is in <home>/logs")
